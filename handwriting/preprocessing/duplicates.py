"""Which images of a data set are the same picture, or very nearly."""

import math
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.intp]
Pairs = tuple[Rows, Rows]  # rows of the one and of the other

_SHARE = 200  # of this many pixels one may differ in near-duplicates: 3 of 28 x 28
_INK = 128  # of 255: what is as bright counts as ink
_BLOCK = 512  # images that are looked at at a time: as many as the processor's cache holds
_SORTED = 8192  # rows whose pairs are sought at a time: few enough not to count in memory


def digests(images: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """The sha256 of each of uint8 [N, ...] as four numbers: uint64 [N, 4]."""
    found = np.empty((len(images), 4), np.uint64)
    for start in range(0, len(images), _BLOCK):
        block = np.ascontiguousarray(images[start : start + _BLOCK])
        found[start : start + _BLOCK] = numbers(sha256(image).digest() for image in block)
    return found


def numbers(hashes: Iterator[bytes]) -> NDArray[np.uint64]:
    """N sha256s as uint64 [N, 4], which are in the order of the bytes."""
    return np.frombuffer(b"".join(hashes), ">u8").reshape(-1, 4).astype(np.uint64)


def order(columns: Sequence[NDArray[Any]]) -> Rows:
    """The rows by the first of the columns [N], what is equal there by the second, and so on.

    It is np.lexsort(columns[::-1]) for columns that begin with a hash: this tells nearly all rows
    apart, and only the others need the slow sort by all.
    """
    ordered = np.argsort(columns[0], kind="stable")
    equal = np.diff(columns[0][ordered]) == 0
    tied = np.zeros(len(ordered), bool)
    tied[1:] |= equal
    tied[:-1] |= equal
    rows = ordered[tied]
    ordered[tied] = rows[np.lexsort([column[rows] for column in columns[::-1]])]
    return ordered


def same(digests: NDArray[np.uint64]) -> Rows:
    """Of each row of uint64 [N, 4] the number of its group of equal rows, from 0."""
    ordered = order(list(digests.T))
    following = digests[ordered]
    group = np.empty(len(ordered), np.intp)
    group[ordered[:1]] = 0
    group[ordered[1:]] = np.cumsum((following[1:] != following[:-1]).any(axis=1))
    return group


def tolerance(pixels: int) -> int:
    """In how many of its pixels an image may differ from its near-duplicate."""
    return pixels // _SHARE


def near(images: NDArray[np.uint8], rows: Rows) -> Iterator[Pairs]:
    """All pairs of near-duplicates among these rows of uint8 [N, ...], each pair once.

    Two images are near-duplicates if they differ in at most tolerance() of their pixels, each taken
    for ink or paper. The pixels are dealt, eight by eight, to one band more than that, so that at
    least one of the bands of a pair is equal: only images that share a band are compared, and no
    pair is missed. It is told of in its first band of equal hash, so that nothing in memory grows
    with the number of pairs.
    """
    hashes, inks = _bands(images)
    total = inks.sum(axis=1, dtype=np.int32)
    allowed = hashes.shape[1] - 1
    for band in range(hashes.shape[1]):
        for one, other in _of_equal_hash(hashes[rows, band]):
            one, other = rows[one], rows[other]
            # The amounts of ink tell most pairs apart without a look at the pixels.
            likely = np.abs(total[one] - total[other]) <= allowed
            one, other = one[likely], other[likely]
            told = (hashes[one, :band] == hashes[other, :band]).any(axis=1)
            likely = ~told & (np.abs(inks[one] - inks[other]).sum(axis=1) <= allowed)
            one, other = one[likely], other[likely]
            close = _differing(images, one, other) <= allowed
            if close.any():
                yield one[close], other[close]


def _bands(images: NDArray[np.uint8]) -> tuple[NDArray[np.uint64], NDArray[np.int16]]:
    """Of each band of each image a hash of its ink and the number of its pixels that are ink.

    uint8 [N, ...] -> [N, bands] both.
    """
    pixels = images.reshape(len(images), math.prod(images.shape[1:]))
    bands = tolerance(pixels.shape[1]) + 1
    length = math.ceil(math.ceil(pixels.shape[1] / 8) / bands)  # bytes, of eight pixels each
    hashes = np.empty((len(pixels), bands), np.uint64)
    inks = np.empty((len(pixels), bands), np.int16)
    for start in range(0, len(pixels), _BLOCK):
        rows = slice(start, start + _BLOCK)
        bits = np.packbits(pixels[rows] >= _INK, axis=1)
        bits = np.pad(bits, ((0, 0), (0, length * bands - bits.shape[1])))
        padded = np.zeros((len(bits), bands, 8 * math.ceil(length / 8)), np.uint8)
        padded[:, :, :length] = bits.reshape(-1, length, bands).swapaxes(1, 2)
        words = padded.view(np.uint64)
        hashes[rows] = _hash(words)
        inks[rows] = np.bitwise_count(words).sum(axis=2)
    return hashes, inks


def _hash(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """uint64 [N, bands, words] -> [N, bands], as SplitMix64 mixes, which spreads every bit."""
    hashed = np.zeros(words.shape[:2], np.uint64)
    for word in range(words.shape[2]):
        hashed = (hashed ^ words[:, :, word]) * np.uint64(0xBF58476D1CE4E5B9)
        hashed ^= hashed >> np.uint64(31)
    return hashed


def _differing(images: NDArray[np.uint8], one: Rows, other: Rows) -> NDArray[np.intp]:
    """In how many pixels the images of each pair differ, each taken for ink or paper."""
    found = np.empty(len(one), np.intp)
    for start in range(0, len(one), _BLOCK):
        pairs = slice(start, start + _BLOCK)
        differ = (images[one[pairs]] >= _INK) != (images[other[pairs]] >= _INK)
        found[pairs] = np.count_nonzero(differ.reshape(len(differ), -1), axis=1)
    return found


def _of_equal_hash(hashed: NDArray[np.uint64]) -> Iterator[Pairs]:
    """All pairs of rows of uint64 [N] that are equal."""
    order = np.argsort(hashed)
    hashed = hashed[order]
    for start in range(0, len(order), _SORTED):
        first, step = np.arange(start, min(start + _SORTED, len(order))), 1
        while len(first):  # neighbours, then next neighbours; of few rows, many steps at a time
            steps = np.arange(step, step + max(1, _SORTED // len(first)))
            second = first[:, None] + steps
            within = second < len(order)
            equal = within & (hashed[np.where(within, second, 0)] == hashed[first][:, None])
            place, _ = equal.nonzero()
            yield order[first[place]], order[second[equal]]
            first, step = first[equal[:, -1]], step + len(steps)
