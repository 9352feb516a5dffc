"""Tables in Markdown, and how their cells are written."""

from collections.abc import Iterable
from typing import Any

import pandas as pd


def table(columns: dict[str, list[str]]) -> str:
    """Return columns as a table in Markdown."""
    rows = [list(columns), ["---"] * len(columns), *zip(*columns.values(), strict=True)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def cells(form: str, values: Iterable[Any], missing: str = "") -> list[str]:
    """Return values as text."""
    return [missing if pd.isna(value) else form.format(value) for value in values]


def accuracy(frame: pd.DataFrame) -> list[str]:
    """Return accuracies with their standard deviations, in percent."""
    rows = (100 * frame[["accuracy", "sd"]]).values
    return ["not run yet" if pd.isna(each) else f"{each:.2f} ± {sd:.2f}" for each, sd in rows]


def interval(frame: pd.DataFrame, form: str) -> list[str]:
    """Return the columns low and high in percent; nothing where they are equal or missing."""
    rows = 100 * frame[["low", "high"]].values
    return [form.format(low, high) if low < high else "" for low, high in rows]


def points(frame: pd.DataFrame) -> list[str]:
    """Return differences with their intervals, in percentage points."""
    bounds = interval(frame, "({:+z.2f} to {:+z.2f})")
    both = zip(100 * frame["difference"], bounds, strict=True)
    return [f"{difference:+z.2f} {bound}" if bound else "" for difference, bound in both]
