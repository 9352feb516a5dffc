"""Two ways of answering the same questions: how far apart they are, and how sure that is."""

from collections.abc import Sequence
from statistics import fmean, stdev
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from handwriting.evaluation import metrics as measures


class Difference(NamedTuple):
    """Of two accuracies on the same images, the second less the first."""

    mean: float  # over the images
    low: float  # of the 95% interval: other hands of the same kind
    high: float
    deviation: float  # sample standard deviation between the folds' differences


def difference(
    first: NDArray[np.bool_],
    second: NDArray[np.bool_],
    fold: NDArray[np.int64],
    hands: Sequence[str],
) -> Difference:
    """Of bool [N], right or wrong, in folds int64 [N], by N hands."""
    low, high = measures.over_hands(torch.from_numpy(second.astype(float) - first), hands)
    apart = [float(second[fold == i].mean() - first[fold == i].mean()) for i in np.unique(fold)]
    mean = float(second.mean() - first.mean())
    return Difference(mean, low, high, stdev(apart) if len(apart) > 1 else 0.0)


def accuracy(right: NDArray[np.bool_], fold: NDArray[np.int64]) -> tuple[float, float]:
    """(accuracy over all images, its sample standard deviation between the folds)."""
    each = [fmean(right[fold == i].tolist()) for i in np.unique(fold)]
    return float(right.mean()), stdev(each) if len(each) > 1 else 0.0
