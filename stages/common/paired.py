"""Two ways of answering the same questions: how far apart they are, and how sure that is."""

import math
from statistics import fmean, stdev
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_NORMAL = 1.959964  # of the normal distribution, 95% are within so many deviations


class Difference(NamedTuple):
    """Of two accuracies on the same images, the second less the first."""

    mean: float  # over the images
    low: float  # of the 95% interval: other images of the same kind
    high: float
    deviation: float  # sample standard deviation between the folds' differences


def difference(
    first: NDArray[np.bool_], second: NDArray[np.bool_], fold: NDArray[np.int64]
) -> Difference:
    """Of bool [N], right or wrong, in folds int64 [N].

    The interval is that of Agresti and Min (2005, Statistics in Medicine 24, 729-740) for matched
    proportions, which adds half an image to each of the four cells.
    """
    gained, lost = int((second & ~first).sum()) + 0.5, int((first & ~second).sum()) + 0.5
    count = len(first) + 2
    middle = (gained - lost) / count
    half = _NORMAL * math.sqrt(gained + lost - (gained - lost) ** 2 / count) / count
    apart = [float(second[fold == i].mean() - first[fold == i].mean()) for i in np.unique(fold)]
    mean = float(second.mean() - first.mean())
    deviation = stdev(apart) if len(apart) > 1 else 0.0
    return Difference(mean, middle - half, middle + half, deviation)


def accuracy(right: NDArray[np.bool_], fold: NDArray[np.int64]) -> tuple[float, float]:
    """(accuracy over all images, its sample standard deviation between the folds)."""
    each = [fmean(right[fold == i].tolist()) for i in np.unique(fold)]
    return float(right.mean()), stdev(each) if len(each) > 1 else 0.0
