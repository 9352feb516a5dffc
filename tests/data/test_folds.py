"""Cross-validation: every image held out once, classes even, and writers kept apart where said."""

import numpy as np
import pytest

from handwriting.core.errors import InputError
from handwriting.data import folds

LABELS = np.repeat(np.arange(6), 20)
WRITERS = [str(i % 11) for i in range(120)]


@pytest.mark.parametrize("protocol", [folds.SEEN, folds.UNSEEN])
def test_every_fold_holds_out_something_and_the_same_seed_the_same(protocol: str) -> None:
    drawn = folds.draw(LABELS, WRITERS, 5, 1)[protocol]
    assert set(drawn.tolist()) == set(range(5))
    assert np.array_equal(drawn, folds.draw(LABELS, WRITERS, 5, 1)[protocol])
    assert not np.array_equal(drawn, folds.draw(LABELS, WRITERS, 5, 2)[protocol])


def test_with_seen_writers_the_classes_are_even() -> None:
    drawn = folds.draw(LABELS, WRITERS, 5, 0)[folds.SEEN]
    assert np.unique([drawn, LABELS], axis=1, return_counts=True)[1].tolist() == [4] * 30


def test_with_unseen_writers_no_writer_is_on_both_sides() -> None:
    drawn = folds.draw(LABELS, WRITERS, 5, 0)[folds.UNSEEN]
    assert len(set(zip(drawn.tolist(), WRITERS, strict=True))) == len(set(WRITERS))


def test_more_folds_than_images_of_a_class_are_refused() -> None:
    with pytest.raises(InputError, match=r"21 folds of 120 images, seen-writers"):
        folds.draw(LABELS, WRITERS, 21, 0)
