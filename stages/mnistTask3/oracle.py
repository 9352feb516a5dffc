"""Question three after the fact: how correct the diagnosis and self-training were.

The images of mnistTask3 are those of MNIST's training split, re-encoded as JPEG. Each is matched by
its pixels to its original, whose label is the truth. Nothing that trains, chooses or diagnoses
depends on what comes of this. Rows are those of the train and then of the validation split.

reads   data/tensors/<source>/{mnist,mnistTask3}/{train,validation}.safetensors,
        artifacts/<source>/label_noise/mnistTask3.json,
        artifacts/<source>/runs/mnistTask3/<init>/{networks.pt,pseudo_labels.npy}
writes  metrics/<source>/oracle/: summary.json, transitions.csv (counts of labels by true class),
        pseudo_labels.csv (of each round), believed_correct.csv (rows that the diagnosis believes);
        artifacts/<source>/evaluation/oracle/: labels.csv (of each row), jpeg.png
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch

from handwriting.classifier import Classifier
from handwriting.core import cli, files
from handwriting.data import dataset
from handwriting.data.dataset import Split
from handwriting.evaluation import oracle, sheets, study
from handwriting.noise import self_training


def main(scratch: Path, source: str) -> None:
    torch.set_num_threads(1)
    artifacts, tensors = Path(f"artifacts/{source}"), Path(f"data/tensors/{source}")
    (train, given), (_, mnist) = (load(tensors / name) for name in ("mnistTask3", "mnist"))
    originals, differences = oracle.match(given.images, mnist.images)
    labels = mnist.labels[originals]
    truth = labels[: len(train.labels)]
    diagnosis = files.read_json(artifacts / "label_noise/mnistTask3.json")
    counts = oracle.transitions(labels, given.labels, len(given.classes))
    rows = np.array(diagnosis["rows_believed_correct"], np.int64)
    believed = pd.DataFrame({"row": rows, "label": given.labels[rows], "true_label": labels[rows]})
    runs = {init: artifacts / f"runs/mnistTask3/{init}" for init in study.INITS}
    rounds = pd.concat(
        oracle.pseudo_label_counts(init, self_training.load(each / "pseudo_labels.npy"), truth)
        for init, each in runs.items()
    )
    model = Classifier.all_of(runs["random"] / "networks.pt")[0]
    predicted = model.logits(train.images).argmax(1).numpy()
    summary = oracle.summary(originals, differences, counts, np.array(diagnosis["estimated"])) | {
        "believed_correct": len(believed),
        "believed_correct_and_are": int((believed["label"] == believed["true_label"]).sum()),
        "train_images": len(truth),
        "train_predictions_correct": int((predicted == truth).sum()),
        "pseudo_labels": int(rounds["pseudo_labels"].sum()),  # of all inits, rounds and seeds
        "pseudo_labels_correct": int(rounds["correct"].sum()),
    }
    table = pd.DataFrame(counts, given.classes, given.classes).rename_axis("true_class")
    found = pd.DataFrame({"row": range(len(labels)), "mnist_row": originals, "label": labels})
    metrics, folder = Path(f"metrics/{source}/oracle"), artifacts / "evaluation/oracle"
    files.write_json(metrics / "summary.json", summary, scratch)
    files.write_frame(metrics / "transitions.csv", table.reset_index(), scratch)
    files.write_frame(metrics / "pseudo_labels.csv", rounds, scratch)
    files.write_frame(metrics / "believed_correct.csv", believed, scratch)
    files.write_frame(folder / "labels.csv", found, scratch)
    first = np.unique(labels, return_index=True)[1]
    tiles = oracle.jpeg_rows(given.images[first], mnist.images[originals[first]])
    sheets.write(folder / "jpeg.png", tiles, len(first), scratch)
    print(f"{source}: {summary}")


def load(folder: Path) -> tuple[Split, Split]:
    """Return the train split, and the train and the validation split in one."""
    train, validation = (
        dataset.load(folder / f"{name}.safetensors") for name in ("train", "validation")
    )
    return train, dataset.join(train, validation)


if __name__ == "__main__":
    cli.run(main)
