"""Equal and nearly equal images of a data set."""

import math
from collections.abc import Iterator
from hashlib import sha256
from itertools import count

import numpy as np
from numpy.typing import NDArray

Digests = NDArray[np.uint64]  # [N]
Rows = NDArray[np.intp]
Pairs = tuple[Rows, Rows]  # rows of the one and of the other

_SHARE = 200  # of this many pixels one may differ in near-duplicates: 3 of 28 x 28
_INK = 128  # of 255: what is as bright counts as ink
_BLOCK = 512  # images at a time, which fit into the processor's cache
_BASE = np.uint64(0xBF58476D1CE4E5B9)  # of a polynomial hash modulo 2^64


def digest(content: bytes) -> int:
    """Return the first 64 bits of the sha256."""
    return int.from_bytes(sha256(content).digest()[:8])


def digests(images: NDArray[np.uint8]) -> Digests:
    """Return the digest of each of uint8 [N, ...]: uint64 [N]."""
    return np.fromiter((digest(each.tobytes()) for each in images), np.uint64, len(images))


def tolerance(pixels: int) -> int:
    """Return the number of pixels in which near-duplicates may differ."""
    return pixels // _SHARE


def near(images: NDArray[np.uint8], rows: Rows) -> Iterator[Pairs]:
    """Yield all pairs of near-duplicates among these rows of uint8 [N, ...], each pair once.

    Two images are near-duplicates if at most tolerance() of their pixels, taken as ink or paper,
    differ. Bytes of eight pixels are dealt to one band more than that, so at least one band of a
    pair is equal: only images that share a band are compared, and no pair is missed. Each pair is
    reported in its first band of equal hash, so memory does not grow with the number of pairs.
    """
    pixels = images.reshape(len(images), math.prod(images.shape[1:]))
    allowed = tolerance(pixels.shape[1])
    hashes = _band_hashes(pixels, allowed + 1)
    for band in range(allowed + 1):
        for one, other in _equal_pairs(hashes[rows, band]):
            one, other = rows[one], rows[other]
            first = ~(hashes[one, :band] == hashes[other, :band]).any(axis=1)
            one, other = one[first], other[first]
            close = _differing(pixels, one, other) <= allowed
            yield one[close], other[close]


def _band_hashes(pixels: NDArray[np.uint8], bands: int) -> NDArray[np.uint64]:
    """Return a hash of the ink of each band of uint8 [N, pixels]: [N, bands]."""
    hashes = np.empty((len(pixels), bands), np.uint64)
    powers = _BASE ** np.arange(math.ceil(pixels.shape[1] / 8), dtype=np.uint64)
    for start in range(0, len(pixels), _BLOCK):
        bits = np.packbits(pixels[start : start + _BLOCK] >= _INK, axis=1)
        for band in range(bands):
            hashes[start : start + _BLOCK, band] = bits[:, band::bands] @ powers[band::bands]
    return hashes


def _differing(pixels: NDArray[np.uint8], one: Rows, other: Rows) -> NDArray[np.intp]:
    """Return the number of pixels, taken as ink or paper, that differ in each pair."""
    found = np.empty(len(one), np.intp)
    for start in range(0, len(one), _BLOCK):
        inks = (pixels[rows[start : start + _BLOCK]] >= _INK for rows in (one, other))
        found[start : start + _BLOCK] = np.count_nonzero(np.not_equal(*inks), axis=1)
    return found


def _equal_pairs(hashes: NDArray[np.uint64]) -> Iterator[Pairs]:
    """Yield all pairs of equal rows of uint64 [N]: neighbours when sorted, then others."""
    order = np.argsort(hashes)
    hashes, first = hashes[order], np.arange(len(order))
    for step in count(1):
        first = first[first + step < len(order)]
        first = first[hashes[first] == hashes[first + step]]
        if not len(first):
            return
        yield order[first], order[first + step]
