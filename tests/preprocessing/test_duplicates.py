"""duplicates: every pair within the tolerance is found once, and no other."""

from hashlib import sha256
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from handwriting.preprocessing import duplicates

Pixels = NDArray[np.uint8]


def pairs(images: Pixels, rows: NDArray[np.intp] | None = None) -> list[tuple[int, int]]:
    found = duplicates.near(images, np.arange(len(images)) if rows is None else rows)
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


def test_only_pairs_of_the_rows_asked_for_are_found() -> None:
    images = crowd(28, 40, 1)
    rows = np.arange(0, 40, 3)
    expected = [pair for pair in compared(images) if set(pair) <= set(rows.tolist())]
    assert pairs(images, rows) == expected


def test_equal_bytes_are_equal_digests() -> None:
    one, other, again = duplicates.digests(np.array([[1, 2], [2, 1], [1, 2]], np.uint8)).tolist()
    assert one == again != other


def test_digests_are_in_the_order_of_their_bytes() -> None:
    images = np.random.default_rng(0).integers(0, 256, (1000, 9), dtype=np.uint8)
    hashed = [sha256(image).digest() for image in images]
    ordered = duplicates.order(list(duplicates.digests(images).T))
    assert ordered.tolist() == sorted(range(1000), key=hashed.__getitem__)


@settings(deadline=None, derandomize=True, database=None)
@given(st.integers(0, 30), st.integers(1, 4), st.integers(0, 1000))
def test_rows_that_tie_are_ordered_by_the_next_columns(rows: int, most: int, seed: int) -> None:
    columns = np.random.default_rng(seed).integers(0, most, (4, rows), dtype=np.uint64)
    assert duplicates.order(list(columns)).tolist() == np.lexsort(columns[::-1]).tolist()
    group = duplicates.same(columns.T)
    values = list(map(tuple, columns.T.tolist()))
    assert sorted(set(group.tolist())) == list(range(len(set(values))))
    for (i, one), (j, other) in combinations(enumerate(values), 2):
        assert (group[i] == group[j]) == (one == other)
