"""The paired difference of two networks on the same images, with its interval and spread."""

from collections.abc import Sequence
from statistics import stdev
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from handwriting.evaluation import metrics


class Difference(NamedTuple):
    """The second accuracy minus the first."""

    mean: float  # over the images
    low: float  # of the 95% interval over writers
    high: float
    deviation: float  # sample standard deviation between folds


def difference(
    first: NDArray[np.bool_],
    second: NDArray[np.bool_],
    fold: NDArray[np.int64],
    writers: Sequence[str],
) -> Difference:
    """Compare two networks: which images they classify correctly, bool [N], the fold of each image,
    int64 [N], and its writer."""
    low, high = metrics.clustered_interval(torch.from_numpy(second.astype(float) - first), writers)
    folds = [float(second[fold == i].mean() - first[fold == i].mean()) for i in np.unique(fold)]
    mean = float(second.mean() - first.mean())
    return Difference(mean, max(-1.0, low), min(1.0, high), _deviation(folds))


def accuracy(correct: NDArray[np.bool_], fold: NDArray[np.int64]) -> tuple[float, float]:
    """Return the accuracy over all images, and its standard deviation between folds."""
    return float(correct.mean()), _deviation([correct[fold == i].mean() for i in np.unique(fold)])


def _deviation(folds: Sequence[float]) -> float:
    return stdev(folds) if len(folds) > 1 else 0.0
