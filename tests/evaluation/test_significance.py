"""The verdicts of comparisons, in their words too."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from handwriting.core.errors import InputError
from handwriting.evaluation import significance, study
from handwriting.evaluation.metrics import Predictions


def correct(*accuracies: float) -> Iterator[NDArray[np.bool_]]:
    """For each accuracy the images that five networks classify correctly, of 10,000."""
    for arm, accuracy in enumerate(accuracies):
        yield np.random.default_rng(arm).random((5, 10_000)) < accuracy


def with_verdicts(*comparisons: dict[str, float]) -> pd.DataFrame:
    return significance.with_verdicts(pd.DataFrame(comparisons).assign(family=0), "family")


def test_a_clear_difference_helps_and_its_mirror_hurts() -> None:
    one, other = correct(0.97, 0.93)
    pairs = (one, other), (other, one)
    found = with_verdicts(*(significance.compare(*pair, 0.005) for pair in pairs))
    assert found["verdict"].tolist() == ["helps", "hurts"]
    assert found["low"][0] <= 0.04 <= found["high"][0]
    assert found["difference"][0] == -found["difference"][1]


def test_a_small_difference_is_equivalent_within_a_wide_margin_and_undecided_in_a_narrow() -> None:
    one, other = correct(0.95, 0.95)
    found = with_verdicts(*(significance.compare(one, other, margin) for margin in (0.02, 0.0001)))
    assert found["verdict"].tolist() == ["equivalent", "undecided"]


def test_arms_that_never_differ_have_no_test_and_no_width() -> None:
    [one] = correct(0.9)
    found = with_verdicts(significance.compare(one, one, 0.01))
    assert found[["difference", "low", "high", "p"]].iloc[0].tolist() == [0, 0, 0, 1]
    assert found["verdict"][0] == "equivalent"


def test_a_single_seed_is_no_comparison() -> None:
    [one] = correct(0.9)
    with pytest.raises(InputError, match="a single seed"):
        significance.compare(one[:1], one[:1], 0.01)


def test_an_interval_stays_within_its_bounds() -> None:
    assert significance.interval(np.array([0.99, 1.0]), (0, 1))[1] == 1
    assert significance.interval(np.array([0.5, 0.5]), (0, 1)) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("verdict", "within", "words"),
    [
        ("helps", 0, "{one} beats {other} at 1,000 labels per class (-0.04 points)."),
        ("hurts", 1, "{one} is worse than {other} by less than the smallest effect of interest at"),
        ("equivalent", 1, "{one} against {other}: no difference of interest at 1,000 labels per"),
        ("undecided", 0, "{one} against {other}: inconclusive at 1,000 labels per class (-0.04"),
    ],
)
def test_a_verdict_in_words(verdict: str, within: int, words: str) -> None:
    row = {"init": "digits", "method": "layerwise_decay", "against": "random", "labels": "1000"}
    row |= {"against_method": "full", "verdict": verdict}
    frame = pd.DataFrame([row | {"within_margin": within, "difference": -0.0004}])
    one = "Layer-wise learning-rate decay from the digits checkpoint"
    expected = words.format(one=one, other="training from scratch")
    assert study.conclusion(frame).startswith(expected)


def test_what_is_decided_comes_first_and_the_rest_needs_no_subject() -> None:
    row = {"init": "characters", "method": "full", "against": "random", "against_method": "full"}
    undecided = row | {"verdict": "undecided", "labels": "10", "difference": 0.001}
    helps = row | {"verdict": "helps", "labels": "all", "difference": 0.02}
    frame = pd.DataFrame([undecided, helps]).assign(within_margin=0)
    assert study.conclusion(frame) == (
        "Full fine-tuning from the characters checkpoint beats training from scratch with all"
        " labels (+2.00 points). Inconclusive at 10 labels per class (+0.10 points)."
    )


def test_without_a_primary_comparison_there_is_no_answer() -> None:
    frame = pd.DataFrame({"primary": [0], "p_corrected": ["1"]})
    with pytest.raises(InputError, match=r"compare_inits\.primary"):
        study.headline(pd.DataFrame(), frame)


def measured(init: str, method: str, seed: int, labels: str = "10") -> study.Measured:
    """Networks of `seed` mistakes in 9 images."""
    row = {"init": init, "method": method, "labels": labels, "seed": seed}
    truth = torch.arange(9) + (torch.arange(9) < seed)
    return study.Measured(row, pd.DataFrame(), 0, Predictions(torch.eye(9), truth), [])


def test_arms_are_paired_by_seed_and_a_method_of_checkpoints_with_training_from_scratch() -> None:
    arms = {("random", "full"): 3, ("digits", "full"): 2, ("digits", "layerwise_decay"): 2}
    found = study.pairs(measured(*arm, i) for arm, n in arms.items() for i in reversed(range(n)))
    assert list(found) == [
        ("10", "full", "digits", "random", "full"),
        ("10", "layerwise_decay", "digits", "random", "full"),
    ]
    for one, other in found.values():
        assert (~one).sum(1).tolist() == (~other).sum(1).tolist() == [0, 1]
    sizes = [measured("random", "full", 0, "all"), measured("digits", "layerwise_decay", 0, "all")]
    assert not study.pairs(sizes)  # which differ with all labels


def test_a_number_of_labels_without_a_smallest_effect_is_named() -> None:
    primary = study.Primary(init="digits", against="random", method="full")
    declared = study.Declared(primary=primary, smallest_effect={"100": 0.01})
    runs = [measured(init, "full", seed) for init in ("random", "digits") for seed in (0, 1)]
    with pytest.raises(InputError, match=r"compare_inits\.smallest_effect\.10 is missing"):
        study.comparisons(runs, declared)
