"""The digits of the embedded sample, which are MNIST's own."""

import gzip
from functools import cache

import numpy as np

from handwriting.data.dataset import Split
from tests.networks import SHAPE
from tests.workspace import ROOT


@cache
def split(count: int) -> Split:
    """The first training images with their true labels."""
    folder = ROOT / "data/sample"
    images, labels = (
        np.frombuffer(gzip.decompress((folder / f"train-{name}-ubyte.gz").read_bytes()), np.uint8)
        for name in ("images-idx3", "labels-idx1")
    )
    pixels = images[16:].reshape(-1, 1, 28, 28)[:count].copy()
    none = np.zeros((count, 0), np.float32)
    return Split(pixels, labels[8:][:count].astype(np.int64), none, SHAPE.classes, SHAPE.ink_size)
