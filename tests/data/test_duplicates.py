"""duplicates: every pair within the tolerance is found once, and no other."""

from hashlib import sha256
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from handwriting.data import duplicates
from tests.fuzzing import FUZZ

Pixels = NDArray[np.uint8]
SIZES = st.sampled_from([8, 15, 28, 40])


def pairs(images: Pixels, rows: NDArray[np.intp]) -> list[tuple[int, ...]]:
    found = duplicates.near(images, rows)
    return sorted(tuple(sorted(pair)) for each in found for pair in np.transpose(each).tolist())


def compared(images: Pixels, rows: NDArray[np.intp]) -> list[tuple[int, ...]]:
    """Return the same by the definition."""
    ink = images.reshape(len(images), -1) >= 128
    allowed = duplicates.tolerance(ink.shape[1])
    found = combinations(rows.tolist(), 2)
    return [(i, j) for i, j in found if (ink[i] != ink[j]).sum() <= allowed]


def crowd(size: int, count: int, seed: int) -> Pixels:
    """Return copies of a few drawings with a few pixels changed in each."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (3, size * size), dtype=np.uint8)[rng.integers(0, 3, count)]
    for image in images:
        changed = rng.integers(0, size * size, rng.integers(0, 3 + size * size // 200))
        image[changed] = 255 - image[changed]
    return images.reshape(count, 1, size, size)


@FUZZ
@given(SIZES, st.integers(1, 40), st.integers(1, 3), st.integers(0, 1000), st.integers(1, 50))
def test_the_pairs_are_those_of_comparing_all_in_one_or_several_blocks(
    monkeypatch: pytest.MonkeyPatch, size: int, count: int, step: int, seed: int, block: int
) -> None:
    monkeypatch.setattr(duplicates, "_BLOCK", block)
    images, rows = crowd(size, count, seed), np.arange(0, count, step)
    assert pairs(images, rows) == compared(images, rows)


def test_the_tolerance_is_half_a_percent_of_the_pixels() -> None:
    assert [duplicates.tolerance(size * size) for size in (8, 28, 256)] == [0, 3, 327]


def test_digests_are_of_the_bytes_and_in_their_order() -> None:
    images = np.random.default_rng(0).integers(0, 256, (1000, 9), dtype=np.uint8)
    expected = [int.from_bytes(sha256(image).digest()[:8]) for image in images]
    assert duplicates.digests(images).tolist() == expected
