"""The order of the images, and the reason that each has."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np

from handwriting.noise import ranking
from handwriting.noise.diagnosis import Diagnosis
from handwriting.noise.examination import Examination
from handwriting.noise.ranking import LABEL, NO_CLASS, OTHER_LABEL, Row
from tests.networks import split

NONE = Diagnosis("clean", np.eye(10), np.eye(10), 1, (1, 1), {})


def examined(
    count: int,
    wrong: Mapping[int, tuple[int, float]] = MappingProxyType({}),
    outlier: Mapping[int, float] = MappingProxyType({}),
    copy: Mapping[int, int] = MappingProxyType({}),
) -> Examination:
    """Images that have their labels' class for sure, but for what is said of some rows."""
    p_true = np.full((count, 10), 0.01)
    p_true[np.arange(count), np.arange(count) % 10] = 0.91
    for row, (other, p) in wrong.items():
        p_true[row] = (1 - p) / 9
        p_true[row, other] = p
    p_outlier, copies = np.zeros(count), np.arange(count)
    conflicting = np.zeros(count, bool)
    for row, p in outlier.items():
        p_outlier[row] = p
    for row, other in copy.items():
        copies[row], conflicting[[row, other]] = other, True
    return Examination(NONE, p_true, p_outlier, p_true, copies, conflicting)


def ranked(found: Examination) -> list[Row]:
    count = len(found.p_outlier)
    return ranking.ranked([f"{i:02d}" for i in range(count)], split(count), found)


def test_every_image_has_a_row_and_the_likeliest_to_be_wrong_come_first() -> None:
    rows = ranked(examined(30, wrong={4: (7, 0.6), 12: (0, 0.95)}, outlier={20: 0.999}))
    assert sorted(row.path for row in rows) == [f"{i:02d}" for i in range(30)]
    assert [row.path for row in rows[:3]] == ["20", "12", "04"]
    assert [row.reason for row in rows[:4]] == [NO_CLASS, LABEL, LABEL, ""]
    wrong = [row.p_wrong for row in rows if row.p_wrong is not None]
    assert wrong == sorted(wrong, reverse=True)
    assert (rows[1].given, rows[1].suggested) == ("2", "0")
    assert rows[1].p_suggested == 0.95


def test_a_suggestion_is_never_the_given_label() -> None:
    rows = ranked(examined(30, wrong={4: (7, 0.6)}, outlier={20: 0.999}))
    assert [row for row in rows if row.suggested == row.given] == []


def test_the_likeliest_class_is_the_given_or_the_suggested_one_or_none() -> None:
    rows = ranked(examined(30, wrong={4: (7, 0.6), 12: (0, 0.3)}, outlier={20: 0.999}))
    likeliest = {row.path: row.likeliest for row in rows}
    assert [likeliest[each] for each in ("04", "12", "20", "21")] == ["7", "0", None, "1"]
    assert Row("x", "1", None, 1.0, None, "blank").likeliest is None


def test_copies_under_other_labels_are_neighbours_where_the_likelier_wrong_one_is() -> None:
    rows = ranked(examined(30, wrong={3: (5, 0.99), 8: (1, 0.8)}, copy={3: 25}))
    assert [row.path for row in rows[:3]] == ["03", "25", "08"]
    assert [row.reason for row in rows[:3]] == [OTHER_LABEL, OTHER_LABEL, LABEL]


def test_equal_probabilities_are_in_the_order_of_the_names() -> None:
    assert [row.path for row in ranked(examined(10))] == [f"{i:02d}" for i in range(10)]
