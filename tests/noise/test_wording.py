"""A diagnosis in words."""

import json

import numpy as np
import pytest

from handwriting.noise import wording
from handwriting.noise.diagnosis import Diagnosis, Floats

TEN = tuple("0123456789")
SAME = np.eye(10)


def found(kind: str, matrix: Floats, share: float = 0.8) -> Diagnosis:
    return Diagnosis(kind, matrix, matrix, share, (share - 0.01, share + 0.01), {kind: 0.0})


def mapped(**target: int) -> Floats:
    return SAME[[target.get(f"_{i}", i) for i in range(10)]]


def test_exchanged_classes_and_circles_and_merged_ones_are_named() -> None:
    matrix = mapped(_3=8, _8=3, _0=4, _4=6, _6=0, _7=1)
    assert wording.concerned(found("merged classes", matrix), TEN) == [
        "renamed in a circle: 0 is called 4 is called 6 is called 0",
        "3 and 8 are exchanged",
        "7 is filed under 1",
    ]


def test_classes_that_lead_into_a_circle_are_filed_under_it() -> None:
    matrix = mapped(_1=2, _2=1, _5=1, _6=5)
    assert [*wording.renamed(matrix, TEN)] == [
        "1 and 2 are exchanged",
        "5 is filed under 1",
        "6 is filed under 5",
    ]


@pytest.mark.parametrize("seed", range(20))
def test_each_renamed_class_is_named_whatever_the_arrangement(seed: int) -> None:
    target = np.random.default_rng(seed).integers(0, 10, 10)
    text = "; ".join(wording.renamed(SAME[target], TEN))
    moved = {str(i) for i in range(10) if target[i] != i}
    assert {each for each in TEN if each in text} == moved | {str(target[int(i)]) for i in moved}
    assert text.count("filed") + text.count("exchanged") + text.count("circle") <= len(moved)


def test_flips_are_named_with_their_shares_the_largest_first() -> None:
    matrix = SAME.copy()
    matrix[9, [9, 4]], matrix[7, [7, 1]] = [0.6, 0.4], [0.9, 0.1]
    expected = ["40% of 9 are called 4", "10% of 7 are called 1"]
    assert wording.concerned(found("flips of some classes", matrix), TEN) == expected


def test_noise_that_is_even_names_no_class() -> None:
    matrix = 0.6 * SAME + 0.04
    assert wording.concerned(found("symmetric noise", matrix), TEN) == []
    assert wording.concerned(found("general", matrix), TEN) == []


def test_of_uneven_noise_the_classes_with_most_wrong_labels_come_first() -> None:
    shares = np.linspace(1, 0.5, 10)[:, None]
    named = wording.concerned(found("uneven noise", shares * SAME + (1 - shares) / 9), TEN)
    assert named[0] == "of 9 56% are right"
    assert named[-1] == "of 1 95% are right"
    assert len(named) == 9  # nothing is said of 0, all of whose labels are right


def test_the_sentence_has_the_share_and_its_interval_and_at_most_ten_findings() -> None:
    classes = [f"class {i}" for i in range(30)]
    target = np.arange(30)
    target[:24] = np.arange(24).reshape(12, 2)[:, ::-1].ravel()
    text = wording.sentence(found("permutation", np.eye(30)[target], 0.2), classes)
    start = "Classes have changed names (class 0 and class 1 are exchanged; "
    assert text.startswith(start)
    assert text.count("exchanged") == 10
    assert text.endswith(" and 2 more): 20.00% are correct (95% interval 19.00% to 21.00%)")
    assert "\n" not in text


def test_a_summary_is_json_with_the_classes_and_both_matrices() -> None:
    summary = wording.summary(found("permutation", mapped(_3=8, _8=3)), TEN)
    again = json.loads(json.dumps(summary, allow_nan=False))
    assert again == summary
    assert summary["classes"] == [*TEN]
    assert summary["concerned"] == ["3 and 8 are exchanged"]
    assert np.shape(summary["matrix"]) == np.shape(summary["estimated"]) == (10, 10)
    assert summary["low"] < summary["clean_fraction"] < summary["high"]
    assert summary["concerned"][0] in summary["sentence"]


def test_flips_are_named_among_two_classes_too() -> None:
    matrix = np.array([[0.7, 0.3], [0.0, 1.0]])
    assert [*wording.flipped(matrix, ("cat", "dog"))] == ["30% of cat are called dog"]


def test_a_clean_set_says_how_many_images_are_listed() -> None:
    clean = found("clean", SAME, 0.9999)
    assert wording.sentence(clean, TEN, 6).startswith("The labels are clean but for 6 images: ")
    assert wording.sentence(clean, TEN).startswith("The labels are clean: ")
