"""How right the audit and the learning from wrong labels were: looked up after the fact.

The images of mnistTask3 are those of MNIST's training split, re-encoded as JPEG. Each is matched by
its pixels to the one that it was made of, whose label is the truth. Nothing that learns, chooses or
diagnoses depends on what comes of this; rows are those of the train and the validation split.

reads   data/tensors/<source>/{mnist,mnistTask3}/{train,validation}.safetensors,
        artifacts/<source>/audit/mnistTask3.json, artifacts/<source>/mnistTask3-random.pt,
        artifacts/<source>/seeds/mnistTask3-<start>-pseudo-labels.npy
writes  metrics/<source>/match.json, metrics/<source>/transitions.csv (the true counts),
        metrics/<source>/pseudo-labels.csv (how right those of each round were),
        metrics/<source>/believed-right.csv (the rows whose labels the audit believes), the MNIST
        image and label of each row, artifacts/<source>/matched.csv, and one image of each class as
        both have it, artifacts/<source>/sheets/jpeg.png
"""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from handwriting.classifier import Classifier
from handwriting.core import cli as entry
from handwriting.core import files
from handwriting.data import dataset
from handwriting.data.dataset import Split
from handwriting.evaluation import sheets
from handwriting.noise import self_training as pseudo_labels
from handwriting.noise.self_training import Labels

STARTS = ("random", "digits", "characters")
_POOL = 4  # the side of the squares whose means are compared: JPEG keeps them
_ROWS = 500  # images compared at a time with all others
_EXAGGERATED = 4  # times, the differences that are shown
_CLOSE = 12.0  # mean difference of two pixels, of 255, up to which an image is the other's JPEG


def main(scratch: Path, source: str) -> None:
    torch.set_num_threads(1)
    tensors = Path(f"data/tensors/{source}")
    wrong, right = (dataset.load_all(tensors / name) for name in ("mnistTask3", "mnist"))
    train = len(dataset.load(tensors / "mnistTask3/train.safetensors").labels)
    twins, differences = nearest(wrong, right)
    truth = right.labels[twins]
    audit = files.read_json(Path(f"artifacts/{source}/audit/mnistTask3.json"))
    classifier = Classifier(Path(f"artifacts/{source}/mnistTask3-random.pt"))
    said = classifier.logits(wrong.images[:train]).argmax(1).numpy()
    counts = transitions(truth, wrong.labels, len(wrong.classes))
    believed = np.array(audit["rows_believed_right"], np.int64)
    rounds = [
        (start, *row)
        for start in STARTS
        for row in rightness(pseudo_labels.load(learnt_from(source, start)), truth[:train])
    ]
    metrics = {
        "images": len(truth),
        "matched": int((differences < _CLOSE).sum()),
        "distinct_matches": len(np.unique(twins)),
        "pixel_difference": float(differences.mean()),
        "labels_right": int(np.trace(counts)),
        "matrix_error": matrix_error(np.array(audit["estimated"]), counts),
        "believed_right": len(believed),
        "believed_right_and_are": int((truth[believed] == wrong.labels[believed]).sum()),
        "train_images": train,
        "train_answers_right": int((said == truth[:train]).sum()),
        "pseudo_labels": sum(row[-2] for row in rounds),  # of all starts, rounds and seeds
        "pseudo_labels_right": sum(row[-1] for row in rounds),
    }
    files.write_json(Path(f"metrics/{source}/match.json"), metrics, scratch)
    columns = ["start", "round", "seed", "images", "pseudo_labels", "right"]
    files.write_csv(Path(f"metrics/{source}/pseudo-labels.csv"), columns, rounds, scratch)
    surest = np.column_stack([believed, wrong.labels[believed], truth[believed]]).tolist()
    columns = ["row", "label", "true label"]
    files.write_csv(Path(f"metrics/{source}/believed-right.csv"), columns, surest, scratch)
    matched = zip(range(len(truth)), twins.tolist(), truth.tolist(), strict=True)
    path = Path(f"artifacts/{source}/matched.csv")
    files.write_csv(path, ["row", "mnist_row", "label"], matched, scratch)
    rows = ([wrong.classes[i], *row] for i, row in enumerate(counts.tolist()))
    columns = ["true class", *wrong.classes]
    files.write_csv(Path(f"metrics/{source}/transitions.csv"), columns, rows, scratch)
    firsts = np.unique(truth, return_index=True)[1]
    picture = beside(wrong.images[firsts], right.images[twins[firsts]])
    files.write_bytes(Path(f"artifacts/{source}/sheets/jpeg.png"), picture, scratch)
    print(f"{source}: {metrics}")


def beside(images: NDArray[np.uint8], originals: NDArray[np.uint8]) -> bytes:
    """PNG: a row of originals, one of images, uint8 [N, 1, S, S], one of how they differ."""
    apart = np.abs(images.astype(int) - originals) * _EXAGGERATED
    rows = (originals, images, apart.clip(0, 255).astype(np.uint8))
    return sheets.sheet(np.concatenate(rows), len(images))


def nearest(images: Split, others: Split) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """For each image the row of the other that is most like it, int64 [N], and the mean difference
    of their pixels, [N]."""
    means, theirs = pooled(images), pooled(others)
    lengths = (theirs**2).sum(1)
    found = [
        (lengths - 2 * chunk @ theirs.T).argmin(1)
        for chunk in tqdm(torch.split(means, _ROWS), disable=None)
    ]
    rows = torch.cat(found).numpy()
    differences = [
        np.abs(images.images[i : i + _ROWS].astype(int) - others.images[rows[i : i + _ROWS]]).mean(
            (1, 2, 3)
        )
        for i in range(0, len(rows), _ROWS)
    ]
    return rows, np.concatenate(differences)


def pooled(split: Split) -> torch.Tensor:
    """The means of small squares of each image: float32 [N, squares]."""
    images = torch.from_numpy(split.images)
    parts = [
        torch.nn.functional.avg_pool2d(part.float(), _POOL) for part in torch.split(images, _ROWS)
    ]
    return torch.cat(parts).flatten(1)


def learnt_from(source: str, start: str) -> Path:
    """The file of the pseudo-labels of an arm."""
    return Path(f"artifacts/{source}/seeds/mnistTask3-{start}-pseudo-labels.npy")


def rightness(labels: Labels, truth: NDArray[np.int64]) -> list[tuple[int, int, int, int, int]]:
    """Of each round of self-training, counted from 1, and each seed: round, seed, the images that
    were learnt from, how many of them had a pseudo-label, and for how many it was the truth."""
    return [
        (
            i + 1,
            seed,
            len(truth),
            int((said != pseudo_labels.NONE).sum()),
            int((said == truth).sum()),
        )
        for i in range(labels.shape[1])
        for seed, said in enumerate(labels[:, i])
    ]


def transitions(
    truth: NDArray[np.int64], labels: NDArray[np.int64], classes: int
) -> NDArray[np.int64]:
    """How many images of each class have each label: int64 [C, C]."""
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (truth, labels), 1)
    return counts


def matrix_error(estimated: NDArray[np.float64], counts: NDArray[np.int64]) -> float:
    """The largest difference between an entry of the estimated and of the true matrix."""
    return float(np.abs(estimated - counts / counts.sum(1, keepdims=True)).max())


if __name__ == "__main__":
    entry.run(main)
