"""Many small images as one picture: a sheet of tiles, from left to right and from the top."""

import io
import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from handwriting.core import files

_LEVELS = 32  # of grey: enough for a thumbnail, at half the bytes of 256


def write(path: Path, images: NDArray[np.uint8], columns: int, scratch: Path) -> None:
    """Write the sheet() of images as a PNG file."""
    files.write_bytes(path, sheet(images, columns), scratch)


def sheet(images: NDArray[np.uint8], columns: int) -> bytes:
    """Return a PNG of uint8 [N, 1, height, width], `columns` tiles wide; missing tiles are dark."""
    count, _, height, width = images.shape
    rows = max(1, math.ceil(count / columns))
    tiles = np.zeros((rows * columns, height, width), np.uint8)
    tiles[:count] = images[:, 0]
    grid = tiles.reshape(rows, columns, height, width).transpose(0, 2, 1, 3)
    step = 255 / (_LEVELS - 1)
    coarse = (np.round(grid.reshape(rows * height, -1) / step) * step).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()
