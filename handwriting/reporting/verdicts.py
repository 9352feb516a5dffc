"""The verdict on question two, in words and as a figure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from handwriting.reporting.dots import Row, dots, effects
from handwriting.reporting.page import Chart
from handwriting.reporting.results import Results
from handwriting.reporting.scales import Scale

_PHRASES = {
    "helps": "pretraining helps",
    "hurts": "pretraining hurts",
    "equivalent": "no relevant difference",
    "undecided": "inconclusive",
}


def primary(results: Results) -> dict[str, Any]:
    """Return the comparison that the answer rests on, at each number of labels."""
    found: dict[str, Any] = results.json("transfer/answer")
    return {labels: each for labels, each in found.items() if labels != "answer"}


def relevant(comparison: Mapping[str, Any]) -> str:
    """Return its verdict; what is within the smallest effect of interest is not relevant."""
    return "equivalent" if comparison["within_margin"] else str(comparison["verdict"])


def short(verdicts: Sequence[str]) -> str:
    """Return verdicts in a few words."""
    found = {*verdicts}
    if len(found) == 1:
        return _PHRASES[verdicts[0]].capitalize()
    if found == {"equivalent", "undecided"}:
        open_ = 2 * verdicts.count("undecided") > len(verdicts)
        return "Mostly inconclusive" if open_ else "No relevant difference"
    if {"helps", "hurts"} <= found:
        return "It depends on the labels"
    return f"It {'helps' if 'helps' in found else 'hurts'} in part"


def headline(found: Mapping[str, str]) -> str:
    """Return the verdict at each number of labels as a heading."""
    groups: dict[str, list[str]] = {}
    for labels, verdict in found.items():
        groups.setdefault(verdict, []).append(labels)
    said = [f"{_PHRASES[each]} at {_spans(chosen, [*found])}" for each, chosen in groups.items()]
    if len(said) == 1:
        said = [f"{_PHRASES[next(iter(groups))]} at any number of labels"]
    else:
        said[0] += " labels per class"
    return said[0][0].upper() + ", ".join(said)[1:]


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
    return " and ".join([", ".join(texts[:-1]), texts[-1]][len(texts) < 2 :])


def _written(labels: str) -> str:
    return labels if labels == "all" else f"{int(labels):,}"


def rows(results: Results) -> tuple[list[Row], Scale]:
    """Return the differences, divided by their smallest effect of interest, and their scale."""
    found = []
    for labels, each in primary(results).items():
        value, low, high = (each[key] / each["margin"] for key in ("difference", "low", "high"))
        points, said = f"{100 * each['difference']:+.2f}", _PHRASES[relevant(each)]
        name, about = _written(labels), f"{each['seeds']} pairs of seeds"
        hollow = relevant(each) == "undecided"
        found.append(Row(name, about, value, low, high, points, said, "characters", hollow))
    return found, effects(found)


def chart(results: Results) -> Chart:
    """Return the comparison that the answer rests on."""
    table = pd.DataFrame(primary(results)).T.reset_index(names="labels")
    return Chart("comparisons", {}, dots(*rows(results), band=True), table)
