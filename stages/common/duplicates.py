"""Which images of a data set are the same picture, or very nearly."""

import math
from collections.abc import Iterator
from hashlib import sha256

import numpy as np
from numpy.typing import NDArray

Signatures = NDArray[np.uint64]  # [N, bands, words]: the pixels as ink or paper, a bit each
Pairs = tuple[NDArray[np.intp], NDArray[np.intp]]  # rows of the one and of the other

_SHARE = 200  # of this many pixels one may differ in near-duplicates: 3 of 28 x 28
_INK = 128  # of 255: what is as bright counts as ink
_BLOCK = 512  # images that are dealt at a time: as many as the processor's cache holds


def digests(images: NDArray[np.uint8]) -> list[bytes]:
    """The sha256 of each of uint8 [N, ...]."""
    return [sha256(image).digest() for image in np.ascontiguousarray(images)]


def tolerance(pixels: int) -> int:
    """In how many of its pixels an image may differ from its near-duplicate."""
    return pixels // _SHARE


def signatures(images: NDArray[np.uint8]) -> Signatures:
    """What near() compares, of uint8 [N, ...]: the pixels are dealt to tolerance() + 1 bands."""
    pixels = images.reshape(len(images), math.prod(images.shape[1:]))
    bands = tolerance(pixels.shape[1]) + 1
    length = math.ceil(pixels.shape[1] / bands)
    packed = np.zeros((len(pixels), bands, 8 * math.ceil(length / 64)), np.uint8)
    for start in range(0, len(pixels), _BLOCK):
        block = pixels[start : start + _BLOCK]
        block = np.pad(block, ((0, 0), (0, length * bands - block.shape[1])))
        dealt = np.ascontiguousarray(block.reshape(-1, length, bands).swapaxes(1, 2))
        bits = np.packbits(dealt >= _INK, axis=2)
        packed[start : start + _BLOCK, :, : bits.shape[2]] = bits
    return packed.view(np.uint64)


def near(known: Signatures) -> Iterator[Pairs]:
    """All pairs of near-duplicates, each once, as pairs of rows.

    Two images are near-duplicates if they differ in at most tolerance() of their pixels, each taken
    for ink or paper. So few differing pixels leave at least one of the bands equal: only images
    that share a band are compared, and no pair is missed. It is told of in its first equal band, so
    that nothing in memory grows with the number of pairs.
    """
    bands = known.shape[1]
    for band in range(bands):
        for one, other in _of_equal_hash(known[:, band]):
            close = np.bitwise_count(known[one] ^ known[other]).sum(axis=(1, 2)) < bands
            if not close.any():
                continue
            one, other = one[close], other[close]
            equal = (known[one] == known[other]).all(axis=2)
            new = equal[:, band] & ~equal[:, :band].any(axis=1)
            yield one[new], other[new]


def _of_equal_hash(words: NDArray[np.uint64]) -> Iterator[Pairs]:
    """All pairs of rows of uint64 [N, words] whose hashes are equal."""
    hashed = np.zeros(len(words), np.uint64)
    for word in words.T:  # as SplitMix64 mixes, which spreads every bit over all
        hashed = (hashed ^ word) * np.uint64(0xBF58476D1CE4E5B9)
        hashed ^= hashed >> np.uint64(31)
    order = np.argsort(hashed, kind="stable")
    hashed = hashed[order]
    first = np.arange(len(order))
    for step in range(1, len(order)):  # neighbours, then next neighbours, and so on
        first = first[: np.searchsorted(first, len(order) - step)]
        first = first[hashed[first] == hashed[first + step]]
        if not len(first):
            return
        yield order[first], order[first + step]
