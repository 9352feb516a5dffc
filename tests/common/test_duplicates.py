"""duplicates: every pair within the tolerance is found once, and no other."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from stages.common import duplicates

Pixels = NDArray[np.uint8]


def pairs(images: Pixels) -> list[tuple[int, int]]:
    found = duplicates.near(duplicates.signatures(images))
    return sorted(
        (min(pair), max(pair))
        for one, other in found
        for pair in zip(one.tolist(), other.tolist(), strict=True)
    )


def compared(images: Pixels) -> list[tuple[int, int]]:
    """The same by the definition."""
    ink = images.reshape(len(images), -1) >= 128
    allowed = duplicates.tolerance(ink.shape[1])
    rows = combinations(range(len(ink)), 2)
    return [(i, j) for i, j in rows if (ink[i] != ink[j]).sum() <= allowed]


def crowd(size: int, count: int, seed: int) -> Pixels:
    """Copies of a few drawings, with a few pixels changed in each."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (3, size * size), dtype=np.uint8)[rng.integers(0, 3, count)]
    for image in images:
        changed = rng.integers(0, size * size, rng.integers(0, 3 + size * size // 200))
        image[changed] = 255 - image[changed]
    return images.reshape(count, 1, size, size)


@settings(deadline=None, derandomize=True, database=None)
@given(st.sampled_from([8, 15, 28, 40]), st.integers(1, 40), st.integers(0, 1000))
def test_the_pairs_are_those_of_comparing_all(size: int, count: int, seed: int) -> None:
    images = crowd(size, count, seed)
    assert pairs(images) == compared(images)


def test_images_beyond_one_block_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "_BLOCK", 7)
    images = crowd(28, 60, 0)
    assert compared(images)
    assert pairs(images) == compared(images)


def test_the_tolerance_is_half_a_percent_of_the_pixels() -> None:
    assert [duplicates.tolerance(size * size) for size in (8, 28, 256)] == [0, 3, 327]


def test_equal_bytes_are_equal_digests() -> None:
    one, other, again = duplicates.digests(np.array([[1, 2], [2, 1], [1, 2]], np.uint8))
    assert one == again != other
