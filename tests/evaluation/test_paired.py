"""The paired difference of two networks: its interval and its spread."""

import numpy as np
import pytest
from numpy.typing import NDArray

from handwriting.evaluation import paired

FOLD = np.repeat(np.arange(4), 250)
WRITERS = [f"{i % 50:03}" for i in range(1000)]


def correct(accuracy: float, seed: int) -> NDArray[np.bool_]:
    return np.random.default_rng(seed).random(1000) < accuracy


def test_a_network_does_not_differ_from_itself() -> None:
    one = correct(0.9, 0)
    assert paired.difference(one, one, FOLD, WRITERS) == (0, 0, 0, 0)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    covered = 0
    for seed in range(400):
        first, second = correct(0.88, 2 * seed), correct(0.9, 2 * seed + 1)
        found = paired.difference(first, second, FOLD, WRITERS)
        covered += found.low <= 0.02 <= found.high
    assert 0.92 <= covered / 400 <= 0.98


def test_images_of_a_writer_that_change_together_widen_the_interval() -> None:
    first, second = np.repeat([True, False], 500), np.tile(np.repeat([True, False], 20), 25)
    each = [str(i) for i in range(1000)]  # as if every image had a writer of its own
    groups = [str(i // 20) for i in range(1000)]
    narrow, wide = (paired.difference(first, second, FOLD, names) for names in (each, groups))
    assert narrow.mean == wide.mean
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low)


def test_the_spread_is_between_the_folds() -> None:
    one = np.repeat([True, False, True, True], 250)
    assert paired.accuracy(one, FOLD) == pytest.approx((0.75, 0.5))
    assert paired.difference(~one, one, FOLD, WRITERS).deviation == pytest.approx(1.0)
