"""Geometry features: size and position of the ink on its canvas, which framing removes."""

import math
import operator

import numpy as np
from numpy.typing import NDArray

NUMBERS = 4  # log height, log width, centre y, centre x
# Mean and standard deviation over trainPart1, lengths as shares of the canvas.
_MEAN = np.array([-0.747, -1.321, 0.525, 0.488], np.float32)
DEVIATION = (0.264, 0.338, 0.053, 0.060)
# A little more than the range of trainPart1: beyond it the geometry tells nothing.
LEAST, MOST = (0.15, 0.05, 0.3, 0.2), (0.95, 0.65, 0.8, 0.85)

Shares = tuple[float, float, float, float]  # height, width, centre y, centre x, of the canvas
UNKNOWN: Shares = (math.nan, math.nan, math.nan, math.nan)


def trained(shares: Shares) -> bool:
    """Return whether geometry is within the range of the training images."""
    return all(map(operator.le, LEAST, shares)) and all(map(operator.le, shares, MOST))


def standardised(geometry: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return float32 [N, 4] of about mean 0 and deviation 1.

    `geometry` is float32 [N, 4] of Shares. NaN, unknown geometry, stays NaN.
    """
    logs = np.log(np.maximum(geometry[:, :2], np.float32(1e-3)))
    values = np.concatenate([logs, geometry[:, 2:]], axis=1)
    return np.asarray((values - _MEAN) / np.array(DEVIATION, np.float32), np.float32)
