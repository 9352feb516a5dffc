"""Two ways of answering: their difference, its interval, its spread."""

import numpy as np
import pytest

from stages.common import paired

FOLD = np.repeat(np.arange(4), 250)


def answers(accuracy: float, seed: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.random.default_rng(seed).random(1000) < accuracy


def test_a_way_compared_with_itself_is_no_different_and_surely_so() -> None:
    right = answers(0.9, 0)
    apart = paired.difference(right, right, FOLD)
    assert apart.mean == apart.deviation == 0
    assert -0.003 < apart.low < 0 < apart.high < 0.003


def test_the_interval_is_the_one_that_agresti_publishes() -> None:
    first = np.repeat([True, True, False, False], [700, 60, 90, 150])
    second = np.repeat([True, False, True, False], [700, 60, 90, 150])
    apart = paired.difference(first, second, FOLD)
    # diffpropci(60, 90, 1000, 0.95) of users.stat.ufl.edu/~aa/cda/R/matched, worked out by hand.
    middle = 30 / 1002
    half = 1.959964 * (151 - 30**2 / 1002) ** 0.5 / 1002
    assert apart.mean == pytest.approx(0.03)
    assert (apart.low, apart.high) == pytest.approx((middle - half, middle + half), abs=1e-6)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    held = 0
    for seed in range(400):
        first, second = answers(0.88, 2 * seed), answers(0.9, 2 * seed + 1)
        apart = paired.difference(first, second, FOLD)
        held += apart.low <= 0.02 <= apart.high
    assert 0.92 <= held / 400 <= 0.98


def test_the_spread_is_between_the_folds() -> None:
    right = np.repeat([True, False, True, True], 250)
    accuracy, deviation = paired.accuracy(right, FOLD)
    assert accuracy == 0.75
    assert deviation == pytest.approx(0.5)
    assert paired.difference(~right, right, FOLD).deviation == pytest.approx(1.0)
