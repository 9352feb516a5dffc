"""Axes and words of the report's figures."""

import pandas as pd
import pytest

from handwriting.reporting import charts, scales, still, verdicts


def test_axes_have_ticks_that_are_sorted_and_apart() -> None:
    for scale in (
        scales.linear([0.02, 0.99]),
        scales.logarithmic([2100, 4083]),
        scales.accuracy([0.0002, 0.9968]),
        scales.accuracy([0.4, 0.6]),
        scales.linear([3, 3]),
    ):
        places = [at for at, _ in scale.ticks]
        assert len(places) >= 2
        assert places == sorted(places)
        assert 0 <= min(places) <= max(places) <= 100


def test_high_accuracies_are_on_an_axis_of_the_error_with_ticks_in_percent() -> None:
    scale = scales.accuracy([0.9, 0.999])
    assert [text for _, text in scale.ticks][:3] == ["90%", "95%", "98%"]
    assert scale.at(0.99) == pytest.approx(50, abs=0.1)
    assert scale.at(1) == scale.at(0.9999)


def test_ordinal_axes_are_sorted_with_all_last() -> None:
    rows = pd.DataFrame({"labels": ["all", "10"], "mean": [0.9, 0.8], "init": "random"})
    figure = charts.accuracies(rows, "labels", "mean", ["init"], ("", ""), ["10", "100", "all"])
    drawn = str(still.plot(figure))
    assert drawn.index(">10<") < drawn.index(">100<") < drawn.index(">all<")


@pytest.mark.parametrize(
    ("verdicts_of", "short", "headline"),
    [
        ("helps helps helps", "Pretraining helps", "Pretraining helps at any number of labels"),
        (
            "equivalent equivalent equivalent undecided undecided",
            "No relevant difference",
            "No relevant difference at 10 to 300 labels per class, inconclusive at 1,000 and all",
        ),
        (
            "undecided undecided equivalent",
            "Mostly inconclusive",
            "Inconclusive at 10 and 100 labels per class, no relevant difference at 300",
        ),
        (
            "helps equivalent hurts",
            "It depends on the labels",
            "Pretraining helps at 10 labels per class, no relevant difference at 100,"
            " pretraining hurts at 300",
        ),
        (
            "undecided helps undecided",
            "It helps in part",
            "Inconclusive at 10 and 300 labels per class, pretraining helps at 100",
        ),
    ],
)
def test_the_headline_says_every_verdict(verdicts_of: str, short: str, headline: str) -> None:
    found = verdicts_of.split()
    labels = ["10", "100", "300", "1000", "all"][: len(found)]
    assert verdicts.short(found) == short
    assert verdicts.headline(dict(zip(labels, found, strict=True))) == headline


def test_a_clear_difference_that_is_too_small_to_matter_is_no_relevant_gain() -> None:
    assert verdicts.relevant({"verdict": "helps", "within_margin": 1}) == "equivalent"
    assert verdicts.relevant({"verdict": "helps", "within_margin": 0}) == "helps"
