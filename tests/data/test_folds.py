"""Cross-validation: every image held out once, classes even, and writers kept apart where said."""

import numpy as np
import pytest

from handwriting.core.errors import InputError
from handwriting.data import folds

LABELS = np.repeat(np.arange(6), 20)
HANDS = [str(i % 11) for i in range(120)]


@pytest.mark.parametrize("way", [folds.KNOWN, folds.NEW])
def test_every_fold_holds_out_something_and_the_same_seed_the_same(way: str) -> None:
    drawn = folds.draw(LABELS, HANDS, 5, 1)[way]
    assert set(drawn.tolist()) == set(range(5))
    assert np.array_equal(drawn, folds.draw(LABELS, HANDS, 5, 1)[way])
    assert not np.array_equal(drawn, folds.draw(LABELS, HANDS, 5, 2)[way])


def test_with_known_hands_the_classes_are_even() -> None:
    drawn = folds.draw(LABELS, HANDS, 5, 0)[folds.KNOWN]
    assert all(
        ((drawn == fold) & (label == LABELS)).sum() == 4 for fold in range(5) for label in range(6)
    )


def test_with_new_hands_no_writer_is_on_both_sides() -> None:
    drawn = folds.draw(LABELS, HANDS, 5, 0)[folds.NEW]
    for hand in set(HANDS):
        assert len({fold for fold, each in zip(drawn, HANDS, strict=True) if each == hand}) == 1


def test_more_folds_than_images_of_a_class_are_refused() -> None:
    with pytest.raises(InputError, match=r"21 folds of 120 images, known-hands"):
        folds.draw(LABELS, HANDS, 21, 0)
