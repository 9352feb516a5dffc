"""MNIST's idx files (yann.lecun.com/exdb/mnist has the format), read from a tar."""

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from handwriting.core.errors import InputError
from handwriting.data import alphabet
from handwriting.data.duplicates import Digests, digests
from handwriting.preprocessing.pixels import Pixels
from handwriting.preprocessing.settings import Framing, Images
from handwriting.preprocessing.tables import Table, refuse
from handwriting.raw import tars

_CHUNK = 4 << 20  # bytes of pixels read at a time
_BLANK = 64  # of 255: an image with no brighter pixel has no ink
_LIGHT = 192  # of 255: a border this bright is not MNIST's
_CLASSES = len(alphabet.DIGITS)


def read(archive: Path, images: Images, framing: Framing, pixels: Pixels) -> Table:
    """Append the images to `pixels`; return a table of the train split, then the test split.

    Raises InputError for the first unusable file.
    """
    members = {path: (offset, size) for path, offset, size in tars.listing(archive).members()}
    side, labels, keys = framing.image_size, list[NDArray[np.uint8]](), list[Digests]()
    for prefix, count in ("train", images.train), ("t10k", images.test):
        shape = (count, side, side)
        start = _start(archive, members, f"{prefix}-images-idx3-ubyte", shape)
        labelled = _start(archive, members, f"{prefix}-labels-idx1-ubyte", shape[:1])
        labels.append(np.fromfile(archive, np.uint8, count, offset=labelled))
        keys.append(np.empty(count, np.uint64))
        blank, top = list[int](), np.zeros(256, np.int64)
        for first in range(0, count, step := max(1, _CHUNK // side**2)):
            some = _part(archive, start, first, (min(step, count - first), side, side))
            keys[-1][first : first + step] = digests(some)
            pixels.append(some, keys[-1][first : first + step])
            blank += (first + np.flatnonzero(some.max(axis=(1, 2)) < _BLANK)).tolist()
            top += np.bincount(some[:, 0].ravel(), minlength=256)
        _check(f"{archive}: {prefix}", top, blank, labels[-1])

    def path(row: int) -> str:
        test = row >= images.train
        return f"{'t10k' if test else 'train'}-images-idx3-ubyte[{row - test * images.train}]"

    of, digest = np.concatenate(labels).astype(np.int64), np.concatenate(keys)
    geometry = np.empty((len(of), 0), np.float32)
    return Table(pixels, of, geometry, digest, digest, alphabet.DIGITS, path)


def _start(
    archive: Path, members: Mapping[str, tuple[int, int]], name: str, shape: tuple[int, ...]
) -> int:
    """Return where the values of an idx file begin. Raises InputError unless it has this shape."""
    offset, length = members.get(name, (0, 0))
    header, expected = 4 * (1 + len(shape)), list(shape)  # bytes: a magic number, the shape
    with archive.open("rb") as file:
        file.seek(offset)
        magic, *found = np.frombuffer(file.read(header).ljust(header, b"\0"), ">u4").tolist()
    if magic != 0x0800 + len(shape) or length != header + math.prod(found):
        raise InputError(f"{archive}: {name}: missing, or not a valid idx file")
    if found != expected:
        raise InputError(f"{archive}: {name}: {found} where params.yaml expects {expected}")
    return offset + header


def _part(archive: Path, start: int, first: int, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return images of an idx file from image `first` on."""
    size = math.prod(shape[1:])
    values = np.fromfile(archive, np.uint8, shape[0] * size, offset=start + first * size)
    return values.reshape(shape)


def _check(where: str, top: NDArray[np.int64], blank: list[int], labels: NDArray[np.uint8]) -> None:
    """Raise InputError for images unlike MNIST's and for wrong labels.

    `top` counts the values of the first row of the images, int64 [256].
    """
    middle = [(top.sum() - 1) // 2, top.sum() // 2]
    if np.searchsorted(np.cumsum(top), middle, "right").mean() >= _LIGHT:
        raise InputError(f"{where}: dark ink on a light background, not light on dark as in MNIST")
    missing = np.setdiff1d(np.arange(_CLASSES), labels).tolist()
    unknown = np.unique(labels[labels >= _CLASSES]).tolist()
    refuse(where, {"images without ink": blank, "no image of": missing, "labels over 9": unknown})
