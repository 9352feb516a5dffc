"""Two ways of answering: their difference, its interval, its spread."""

import numpy as np
import pytest

from handwriting.evaluation import paired

FOLD = np.repeat(np.arange(4), 250)
HANDS = [f"{i % 50:03}" for i in range(1000)]


def answers(accuracy: float, seed: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    return np.random.default_rng(seed).random(1000) < accuracy


def test_a_way_compared_with_itself_is_no_different() -> None:
    right = answers(0.9, 0)
    assert paired.difference(right, right, FOLD, HANDS) == (0, 0, 0, 0)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    held = 0
    for seed in range(400):
        first, second = answers(0.88, 2 * seed), answers(0.9, 2 * seed + 1)
        apart = paired.difference(first, second, FOLD, HANDS)
        held += apart.low <= 0.02 <= apart.high
    assert 0.92 <= held / 400 <= 0.98


def test_images_that_a_hand_decides_together_are_counted_as_the_fewer_that_they_are() -> None:
    first, second = np.repeat([True, False], 500), np.tile(np.repeat([True, False], 20), 25)
    alone = [str(i) for i in range(1000)]  # as if each image were by a hand of its own
    together = [str(i // 20) for i in range(1000)]
    narrow, wide = (paired.difference(first, second, FOLD, each) for each in (alone, together))
    assert narrow.mean == wide.mean
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low)


def test_the_spread_is_between_the_folds() -> None:
    right = np.repeat([True, False, True, True], 250)
    accuracy, deviation = paired.accuracy(right, FOLD)
    assert accuracy == 0.75
    assert deviation == pytest.approx(0.5)
    assert paired.difference(~right, right, FOLD, HANDS).deviation == pytest.approx(1.0)
