"""MNIST's idx files (yann.lecun.com/exdb/mnist has the format), read from a tar."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from handwriting.core.errors import InputError
from handwriting.data import alphabet
from handwriting.data.dataset import Split
from handwriting.data.duplicates import Digests, digests
from handwriting.preprocessing.settings import Framing, Images
from handwriting.preprocessing.tables import Table, refuse
from handwriting.raw import tars

_BLANK = 64  # of 255: an image with no brighter pixel has no ink
_LIGHT = 192  # of 255: a border this bright is not MNIST's
_CLASSES = len(alphabet.DIGITS)


def read(archive: Path, images: Images, framing: Framing) -> tuple[Table, Digests]:
    """Return the train split, then the test split, and the digests of the pixels: uint64 [N].

    Raises InputError for the first unusable file.
    """
    members = {path: (offset, size) for path, offset, size in tars.listing(archive).members()}
    count, side = images.train + images.test, framing.image_size
    pixels = np.empty((count, 1, side, side), np.uint8)
    labels = np.empty(len(pixels), np.uint8)
    for prefix, rows in ("train", slice(images.train)), ("t10k", slice(images.train, None)):
        _fill(archive, members, f"{prefix}-images-idx3-ubyte", pixels[rows, 0])
        _fill(archive, members, f"{prefix}-labels-idx1-ubyte", labels[rows])
        _check(f"{archive}: {prefix}", pixels[rows, 0], labels[rows])

    def path(row: int) -> str:
        test = row >= images.train
        return f"{'t10k' if test else 'train'}-images-idx3-ubyte[{row - test * images.train}]"

    geometry, keys = np.empty((len(pixels), 0), np.float32), digests(pixels)
    split = Split(pixels, labels.astype(np.int64), geometry, alphabet.DIGITS, framing.ink_size)
    return Table(split, keys, np.arange(len(pixels)), path), keys


def _fill(
    archive: Path, members: Mapping[str, tuple[int, int]], name: str, array: NDArray[np.uint8]
) -> None:
    """Read an idx file of the shape of `array` into it. Raises InputError for any other file."""
    offset, length = members.get(name, (0, 0))
    header, expected = 4 * (1 + array.ndim), list(array.shape)  # bytes: a magic number, the shape
    with archive.open("rb") as file:
        file.seek(offset)
        magic, *shape = np.frombuffer(file.read(header).ljust(header, b"\0"), ">u4").tolist()
        if magic != 0x0800 + array.ndim or length != header + math.prod(shape):
            raise InputError(f"{archive}: {name}: missing, or not a valid idx file")
        if shape != expected:
            raise InputError(f"{archive}: {name}: {shape} where params.yaml expects {expected}")
        file.readinto(array.data)


def _check(where: str, pixels: NDArray[np.uint8], labels: NDArray[np.uint8]) -> None:
    """Raise InputError for images unlike MNIST's and for wrong labels."""
    if np.median(pixels[:, 0]) >= _LIGHT:
        raise InputError(f"{where}: dark ink on a light background, not light on dark as in MNIST")
    blank = np.flatnonzero(pixels.max(axis=(1, 2)) < _BLANK).tolist()
    missing = np.setdiff1d(np.arange(_CLASSES), labels).tolist()
    unknown = np.unique(labels[labels >= _CLASSES]).tolist()
    refuse(where, {"images without ink": blank, "no image of": missing, "labels over 9": unknown})
