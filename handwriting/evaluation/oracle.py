"""Question three after the fact: MNIST's own labels of the images, found by their pixels."""

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

CLOSE = 12.0  # mean difference of two pixels, of 255, up to which an image is the other's JPEG
_BLOCK = 4  # side of the blocks of pixels whose means are compared: JPEG keeps them
_ROWS = 500  # images compared at a time with all others
_EXAGGERATED = 4  # factor of the differences that are shown

Images = NDArray[np.uint8]
Integers = NDArray[np.int64]
Floats = NDArray[np.float64]


def match(images: Images, originals: Images) -> tuple[Integers, Floats]:
    """Return the row of the most similar original of each image, and the mean difference of their
    pixels, int64 and float64 [N]."""
    means, targets = (
        torch.nn.functional.avg_pool2d(torch.from_numpy(each).float(), _BLOCK).flatten(1)
        for each in (images, originals)
    )
    lengths = (targets**2).sum(1)
    found = [(lengths - 2 * part @ targets.T).argmin(1) for part in torch.split(means, _ROWS)]
    rows = torch.cat(found).numpy()
    return rows, np.abs(images.astype(np.int16) - originals[rows]).mean((1, 2, 3))


def transitions(truth: Integers, labels: Integers, classes: int) -> Integers:
    """Return how many images of each true class have each label: int64 [C, C]."""
    return np.bincount(truth * classes + labels, minlength=classes**2).reshape(classes, classes)


def pseudo_label_counts(init: str, labels: NDArray[np.int8], truth: Integers) -> pd.DataFrame:
    """Return how many pseudo-labels of each round, counted from 1, and seed are correct.

    `labels` are int8 [seeds, rounds, N], negative for none.
    """
    rows = [
        (init, i + 1, seed, len(truth), (given >= 0).sum(), (given == truth).sum())
        for i in range(labels.shape[1])
        for seed, given in enumerate(labels[:, i])
    ]
    columns = ["init", "round", "seed", "images", "pseudo_labels", "correct"]
    return pd.DataFrame(rows, columns=columns)


def summary(
    rows: Integers, differences: Floats, counts: Integers, estimated: Floats
) -> dict[str, float]:
    """Return what the matches say of the labels, counts int64 [C, C], and of the estimated matrix
    of their probabilities, float64 [C, C]."""
    error = np.abs(estimated - counts / counts.sum(1, keepdims=True)).max()
    return {
        "images": len(rows),
        "matched": int((differences < CLOSE).sum()),
        "distinct_matches": len(np.unique(rows)),
        "pixel_difference": float(differences.mean()),
        "labels_correct": int(np.trace(counts)),
        "matrix_error": float(error),
    }


def jpeg_rows(images: Images, originals: Images) -> Images:
    """Return a row of originals, one of images, and one of their differences, exaggerated."""
    differences = np.abs(images.astype(int) - originals) * _EXAGGERATED
    return np.concatenate([originals, images, differences.clip(0, 255).astype(np.uint8)])


def judged(ranked: pd.DataFrame, truth: Integers) -> pd.DataFrame:
    """Return the table of diagnose-labels with a column `true`, of the true labels of all rows."""
    return ranked.assign(true=truth[ranked["row"]])


def ranking(judged: pd.DataFrame) -> dict[str, float]:
    """Return how well wrong labels are told from right ones, as the area under the ROC curve, and
    how many of the wrong ones there is a right suggestion for."""
    wrong = judged["given"] != judged["true"]
    both = 0 < wrong.sum() < len(wrong)  # else there is nothing to tell apart
    return {
        "wrong_labels": int(wrong.sum()),
        "auroc_of_wrong": float(roc_auc_score(wrong, judged["p_wrong"])) if both else 0.5,
        "suggestions_correct": int((judged["suggested"] == judged["true"])[wrong].sum()),
    }
