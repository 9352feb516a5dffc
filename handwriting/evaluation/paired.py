"""The paired difference of two networks on the same images, with its interval and spread."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from handwriting.evaluation import metrics

Correct = NDArray[np.bool_]


class Difference(NamedTuple):
    """The second accuracy minus the first."""

    mean: float  # over the images
    low: float  # of the 95% interval over writers
    high: float
    deviation: float  # sample standard deviation between folds


def difference(
    first: Correct, second: Correct, fold: NDArray[np.int64], writers: Sequence[str]
) -> Difference:
    """Compare two networks: which images they classify correctly, bool [N], the fold of each image,
    int64 [N], and its writer."""
    gain = second.astype(float) - first
    low, high = metrics.clustered_interval(torch.from_numpy(gain), writers)
    mean, deviation = accuracy(gain, fold)
    return Difference(mean, max(-1.0, low), min(1.0, high), deviation)


def accuracy(correct: NDArray[Any], fold: NDArray[np.int64]) -> tuple[float, float]:
    """Return the mean over all images, and the standard deviation of the folds' means."""
    folds = pd.Series(correct).groupby(fold).mean()
    return float(correct.mean()), float(folds.std()) if len(folds) > 1 else 0.0
