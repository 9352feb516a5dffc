"""Confusable classes: found where they are often confused, and not where chance confuses a few."""

import numpy as np
import pytest

from handwriting.characters import confusable

CLASSES = ("0", "O", "A", "two words")


@pytest.mark.parametrize(
    ("images", "one", "other", "found"),
    [
        (100, 6, 4, True),  # a twentieth of both together
        (100, 10, 0, True),  # all of them in one direction
        (100, 5, 4, False),  # less
        (10, 2, 2, False),  # a fifth, of too few to know
        (10, 3, 2, True),
    ],
)
def test_a_pair_is_confusable_from_a_twentieth_of_its_images_and_five_on(
    images: int, one: int, other: int, found: bool
) -> None:
    counts = np.diag([images] * 4)
    counts[0, [0, 3]] = images - one, one
    counts[3, [3, 0]] = images - other, other
    assert confusable.pairs(CLASSES, counts) == ([["0", "two words"]] if found else [])


def test_a_class_may_be_in_several_pairs() -> None:
    counts = np.full((3, 3), 20)
    assert confusable.pairs(CLASSES[:3], counts) == [["0", "O"], ["0", "A"], ["O", "A"]]
