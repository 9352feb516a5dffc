"""Question three after the fact: how correct the diagnosis and self-training were.

The images of mnistTask3 are those of MNIST's training split, re-encoded as JPEG. Each is matched by
its pixels to its original, whose label is the truth. Nothing that trains, chooses or diagnoses
depends on what comes of this. Rows are those of the train and then of the validation split.

reads   data/tensors/<source>/{mnist,mnistTask3}/{train,validation}.safetensors,
        artifacts/<source>/label_noise/mnistTask3.{json,csv},
        artifacts/<source>/runs/mnistTask3/<init>/{networks.pt,pseudo_labels.npy}
writes  metrics/<source>/oracle/: summary.json, transitions.csv (counts of labels by true class),
        pseudo_labels.csv (of each round), believed_correct.csv (rows that the diagnosis believes);
        artifacts/<source>/evaluation/oracle/labels.csv, artifacts/<source>/figures/oracle/jpeg.png
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from handwriting.core import cli, files
from handwriting.core.errors import say
from handwriting.data import dataset
from handwriting.evaluation import gallery, oracle, study
from handwriting.noise import self_training
from handwriting.noise.ranking import WRONG
from handwriting.training import checkpoint


def main(scratch: Path, source: str) -> None:
    torch.set_num_threads(1)
    artifacts, parts = Path(f"artifacts/{source}"), ("train", "validation")
    train, validation = dataset.load_splits(source, "mnistTask3", *parts)
    given = dataset.join(train, validation)
    original = dataset.join(*dataset.load_splits(source, "mnist", *parts))
    matches, differences = oracle.match(given.images, original.images)
    labels = original.labels[matches]
    truth = labels[: len(train.labels)]
    diagnosis = files.read_json(artifacts / "label_noise/mnistTask3.json")
    counts = oracle.transitions(labels, given.labels, len(given.classes))
    ranked = oracle.judged(pd.read_csv(artifacts / "label_noise/mnistTask3.csv"), truth)
    believed = ranked[ranked["p_wrong"] < WRONG][["row", "given", "true"]]
    runs = {init: artifacts / f"runs/mnistTask3/{init}" for init in study.INITS}
    rounds = pd.concat(
        oracle.pseudo_label_counts(init, self_training.load(each / "pseudo_labels.npy"), truth)
        for init, each in runs.items()
    )
    first = checkpoint.load(runs["random"] / "networks.pt")[0]
    predictions = study.predict(first, replace(train, labels=truth))
    summary = oracle.summary(matches, differences, counts, np.array(diagnosis["estimated"])) | {
        "believed_correct": len(believed),
        "believed_correct_and_are": int((believed["given"] == believed["true"]).sum()),
        **oracle.ranking(ranked),
        "train_images": len(truth),
        "train_predictions_correct": int(predictions.correct.sum()),
        "pseudo_labels": int(rounds["pseudo_labels"].sum()),  # of all inits, rounds and seeds
        "pseudo_labels_correct": int(rounds["correct"].sum()),
    }
    table = pd.DataFrame(counts, given.classes, given.classes).reset_index(names="true_class")
    found = pd.DataFrame({"row": range(len(labels)), "mnist_row": matches, "label": labels})
    metrics, folder = Path(f"metrics/{source}/oracle"), artifacts / "evaluation/oracle"
    files.write_json(metrics / "summary.json", summary, scratch)
    files.write_frame(metrics / "transitions.csv", table, scratch)
    files.write_frame(metrics / "pseudo_labels.csv", rounds, scratch)
    files.write_frame(metrics / "believed_correct.csv", believed, scratch)
    files.write_frame(folder / "labels.csv", found, scratch)
    shown = np.unique(labels, return_index=True)[1]
    tiles = oracle.jpeg_rows(given.images[shown], original.images[matches[shown]])
    gallery.write(artifacts / "figures/oracle/jpeg.png", tiles, len(shown), scratch)
    error = f"the diagnosed matrix is off by {summary['matrix_error']:.4f} at most"
    say(f"{summary['labels_correct']:,} of {summary['images']:,} labels are correct; {error}")


if __name__ == "__main__":
    cli.run(main)
