"""Axes and words of the report's figures."""

from itertools import pairwise

import pandas as pd
import pytest

from handwriting.reporting import charts, mnistTask3, scales, still, verdicts
from handwriting.reporting.results import Results
from tests.workspace import ROOT


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
        assert min(b - a for a, b in pairwise(places)) >= 16
        assert 0 <= min(places) <= max(places) <= 100


def test_high_accuracies_are_on_an_axis_of_the_error_with_ticks_in_percent() -> None:
    scale = scales.accuracy([0.9, 0.999])
    assert [text for _, text in scale.ticks][:3] == ["90%", "97%", "99%"]
    assert scale.at(0.99) == pytest.approx(50, abs=0.1)
    assert scale.at(1) == scale.at(0.9999)


def test_bars_with_long_names_scroll_on_a_phone() -> None:
    rows = pd.DataFrame({"x": ["Z2z", "O0o"] * 6, "y": 1.0, "by": "a"})
    rows["x"] += [str(i) for i in range(12)]
    assert "min-width" in still.bars(rows, "x", "y", "by", ("", ""))
    assert "min-width" not in still.bars(rows[:3], "x", "y", "by", ("", ""))


def test_ordinal_axes_are_sorted_with_all_last() -> None:
    rows = pd.DataFrame({"labels": ["all", "10"], "mean": [0.9, 0.8], "init": "random"})
    figure = charts.accuracies(rows, "labels", "mean", ["init"], ("", ""), ["10", "100", "all"])
    drawn = str(still.plot(figure))
    assert drawn.index(">10<") < drawn.index(">100<") < drawn.index(">all<")


@pytest.mark.parametrize(
    ("verdicts_of", "short", "headline"),
    [
        (
            "helps helps helps",
            "Pretraining is better",
            "Pretraining is better at any number of labels",
        ),
        (
            "equivalent equivalent equivalent undecided undecided",
            "No relevant difference",
            "No relevant difference at 10 to 300 labels per class, inconclusive at 1,000 and all"
            " labels",
        ),
        (
            "undecided undecided equivalent",
            "Mostly inconclusive",
            "Inconclusive at 10 and 100 labels per class, no relevant difference at 300 labels per"
            " class",
        ),
        (
            "helps equivalent hurts",
            "It depends on the labels",
            "Pretraining is better at 10 labels per class, no relevant difference at 100 labels per"
            " class, worse at 300 labels per class",
        ),
        (
            "undecided helps undecided",
            "Better in part",
            "Inconclusive at 10 and 300 labels per class, better at 100 labels per class",
        ),
    ],
)
def test_the_headline_says_every_verdict(verdicts_of: str, short: str, headline: str) -> None:
    labels = ["10", "100", "300", "1000", "all"]
    rows = {
        name: {"verdict": each, "within_margin": 0}
        for name, each in zip(labels, verdicts_of.split(), strict=False)
    }
    assert verdicts.short(rows) == short
    assert verdicts.headline(rows) == headline


def test_a_clear_difference_that_is_too_small_to_matter_is_no_relevant_difference() -> None:
    small, large = ({"verdict": "helps", "within_margin": within} for within in (1, 0))
    assert [verdicts.relevant(each) for each in (small, large)] == ["equivalent", "helps"]
    assert verdicts.spoken({"10": small, "100": large, "all": small}) == [
        ("no relevant difference", "10 and all labels"),
        ("better", "100 labels per class"),
    ]


@pytest.fixture
def sample(monkeypatch: pytest.MonkeyPatch) -> Results:
    """The committed metrics of the sample."""
    monkeypatch.chdir(ROOT)
    return Results("sample")


def test_shares_of_nothing_are_left_out(sample: Results) -> None:
    oracle = sample.json("oracle/summary")
    for count in (0, 5):
        chart = mnistTask3.looked_up(oracle | {"believed_correct": count})
        assert ("labels believed correct that are" in chart.still) == (count > 0)
        assert len(chart.table) == (5 if count else 4)
        assert chart.text.startswith("Of 5 labels" if count else "The diagnosis believed no label")
    rows = sample.table("oracle/pseudo_labels")
    chart = mnistTask3.pseudo_labels(rows[:0], oracle | {"pseudo_labels": 0})
    assert chart.text.endswith("It was confident of none.")


def test_pseudo_labels_are_in_the_order_of_the_inits(sample: Results) -> None:
    rows = sample.table("oracle/pseudo_labels")
    drawn = str(mnistTask3.pseudo_labels(rows, sample.json("oracle/summary")).still)
    names = ("Random weights", "Digits checkpoint", "Characters checkpoint")
    assert sorted(names, key=drawn.index) == [*names]
