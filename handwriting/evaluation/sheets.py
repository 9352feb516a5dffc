"""Many small images as one picture: a sheet of tiles, from left to right and from the top."""

import io
import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_LEVELS = 32  # of grey: what a thumbnail shows, at half of the bytes of 256


def sheet(images: NDArray[np.uint8], columns: int) -> bytes:
    """PNG of uint8 [N, 1, height, width], bright ink on dark; tiles that are missing are dark.

    The sheet is `columns` tiles wide, be there as many or not.
    """
    count, _, height, width = images.shape
    rows = max(1, math.ceil(count / columns))
    tiles = np.zeros((rows * columns, height, width), np.uint8)
    tiles[:count] = images[:, 0]
    grid = tiles.reshape(rows, columns, height, width).transpose(0, 2, 1, 3)
    pixels = grid.reshape(rows * height, columns * width)
    step = 255 / (_LEVELS - 1)
    coarse = (np.round(pixels / step) * step).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
