"""The verdict on question two, in words and as a figure."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from handwriting.reporting.dots import Row, dots, effects
from handwriting.reporting.networks import TITLES
from handwriting.reporting.page import Chart
from handwriting.reporting.results import Results
from handwriting.reporting.scales import Scale

# What a person reads for each verdict: the only table of these words.
PHRASES = {
    "helps": "better",
    "hurts": "worse",
    "equivalent": "no relevant difference",
    "undecided": "inconclusive",
}
Comparison = Mapping[Any, Any]  # with its verdict, and whether it is within the margin


def primary(results: Results) -> dict[str, Any]:
    """Return the comparison that the answer rests on, at each number of labels."""
    found: dict[str, Any] = results.json("transfer/answer")
    return {labels: each for labels, each in found.items() if labels != "answer"}


def relevant(comparison: Comparison) -> str:
    """Return its verdict; what is within the smallest effect of interest is "equivalent"."""
    return "equivalent" if comparison["within_margin"] else str(comparison["verdict"])


def phrase(comparison: Comparison) -> str:
    """Return its verdict in words."""
    return PHRASES[relevant(comparison)]


def spoken(rows: Mapping[str, Comparison]) -> list[tuple[str, str]]:
    """Return each verdict in words and the numbers of labels that it is of, in words.

    The rows are by number of labels, as primary() returns them.
    """
    groups: dict[str, list[str]] = {}
    for labels, each in rows.items():
        groups.setdefault(phrase(each), []).append(labels)
    if len(groups) == 1:
        return [(next(iter(groups)), "any number of labels")]
    return [(verdict, _spans(chosen, [*rows])) for verdict, chosen in groups.items()]


def short(rows: Mapping[str, Comparison]) -> str:
    """Return the verdicts in a few words."""
    verdicts = [relevant(each) for each in rows.values()]
    found = {*verdicts}
    if len(found) == 1:
        return _subject(PHRASES[verdicts[0]])
    if found == {"equivalent", "undecided"}:
        open_ = 2 * verdicts.count("undecided") > len(verdicts)
        return _subject(
            ("mostly " if open_ else "") + PHRASES["undecided" if open_ else "equivalent"]
        )
    if {"helps", "hurts"} <= found:
        return "It depends on the labels"
    return f"{PHRASES['helps' if 'helps' in found else 'hurts'].capitalize()} in part"


def headline(rows: Mapping[str, Comparison]) -> str:
    """Return the verdict at each number of labels as a heading."""
    return _subject(", ".join(f"{verdict} at {labels}" for verdict, labels in spoken(rows)))


def _subject(said: str) -> str:
    """Return what is said of pretraining as a sentence."""
    said = f"Pretraining is {said}" if said.startswith(("better", "worse")) else said
    return said[0].upper() + said[1:]


def sentences(rows: pd.DataFrame) -> str:
    """Return what each paired test of the inits of one method found."""
    return " ".join(
        f"{TITLES[each['init']]} against {TITLES[each['against']].lower()}: {phrase(each)}"
        f" ({100 * each['difference']:+z.2f} points)."
        for each in rows.to_dict("records")
    )


def tabled(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a table of comparisons with its verdicts in words, without their sentences."""
    said = [phrase(each) for each in rows.to_dict("records")]
    return rows.assign(verdict=said).drop(columns="sentence", errors="ignore")


def _spans(chosen: Iterable[str], order: list[str]) -> str:
    """Return numbers of labels, three and more that follow each other as "first to last"."""
    runs: list[list[str]] = []
    for name in chosen:
        if runs and order.index(name) == order.index(runs[-1][-1]) + 1:
            runs[-1].append(name)
        else:
            runs.append([name])
    texts: list[str] = []
    for run in runs:
        names = [_written(name) for name in run]
        texts += [f"{names[0]} to {names[-1]}"] if len(names) > 2 else names
    joined = " and ".join([", ".join(texts[:-1]), texts[-1]][len(texts) < 2 :])
    return f"{joined} labels" if joined.endswith("all") else f"{joined} labels per class"


def _written(labels: str) -> str:
    return labels if labels == "all" else f"{int(labels):,}"


def rows(results: Results) -> tuple[list[Row], Scale]:
    """Return the differences, divided by their smallest effect of interest, and their scale."""
    found = []
    for labels, each in primary(results).items():
        value, low, high = (each[key] / each["margin"] for key in ("difference", "low", "high"))
        points, said = f"{100 * each['difference']:+z.2f}", phrase(each)
        name, about = _written(labels), f"{each['seeds']} pairs of seeds"
        hollow = relevant(each) == "undecided"
        found.append(Row(name, about, value, low, high, points, said, "characters", hollow))
    return found, effects(found)


def chart(results: Results) -> Chart:
    """Return the comparison that the answer rests on."""
    table = tabled(pd.DataFrame(primary(results)).T.reset_index(names="labels"))
    return Chart("comparisons", {}, dots(*rows(results), band=True), table)
