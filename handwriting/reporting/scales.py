"""Where a value is on the axis of a still figure, and which ticks the axis has."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

ERRORS = (100, 50, 30, 20, 10, 5, 3, 2, 1, 0.5, 0.3, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01)  # percent
_FINE = [mantissa * 10.0**power for power in (1, 0, -1) for mantissa in range(9, 0, -1)]
_LEAST = 1e-4  # error that a logarithmic axis can show
HIGH = 0.85  # accuracy from which on the axis is logarithmic in the error
_APART = 16  # percent of the axis, at least, from tick to tick, of four characters


class Scale(NamedTuple):
    """An axis from its start, at 0%, to its end, at 100%."""

    start: float
    end: float
    ticks: Sequence[tuple[float, str]]  # where each is in percent, and its text
    of: Callable[[Any], float] = float  # what is linear along the axis

    def at(self, value: Any) -> float:
        """Return the position of a value in percent."""
        return round(100 * (self.of(value) - self.start) / (self.end - self.start), 2)


def of_axis(axis: Mapping[str, Any], values: Sequence[Any]) -> Scale:
    """Return the scale of an axis of a plotly figure for the values on it."""
    if names := axis.get("categoryarray"):
        place = list(map(str, names)).index
        ticks = [(100 * (i + 0.5) / len(names), str(name)) for i, name in enumerate(names)]
        return Scale(-0.5, len(names) - 0.5, ticks, lambda value: place(str(value)))
    if axis.get("autorange") == "reversed":
        return accuracy([1 - value / 100 for value in values], of=lambda error: 1 - error / 100)
    if axis.get("tickformat") == ".0%":
        return accuracy(values)
    return logarithmic(values) if axis.get("type") == "log" else linear(values)


def linear(values: Iterable[float], most: int = 5) -> Scale:
    """Return a scale with round ticks, which begins and ends with one of them."""
    low, high = _ends(values)
    step = 10 ** math.floor(math.log10((high - low) / most))
    step = next(each * step for each in (1, 2, 5, 10) if (high - low) / (each * step) <= most)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    scale = Scale(first * step, last * step, ())
    marked = [step * number for number in range(first, last + 1)]
    return scale._replace(ticks=[(scale.at(each), _short(round(each, 9))) for each in marked])


def logarithmic(values: Iterable[float]) -> Scale:
    """Return a scale of positive values with round ticks."""
    low, high = _ends(value for value in values if value > 0)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    scale = Scale(math.log10(low) - 0.05, math.log10(high) + 0.05, (), math.log10)
    marked = [each * 10.0**power for power in powers for each in (1, 2, 3, 5, 7)]
    return scale._replace(ticks=_thinned((scale.at(each), _short(each)) for each in marked))


def accuracy(values: Iterable[float], of: Callable[[float], float] = float) -> Scale:
    """Return a scale of accuracies, 0 to 1, logarithmic in the error if they are high.

    `of` turns what is shown into an accuracy.
    """
    low, high = _ends(values)
    if high <= HIGH:
        scale = linear([max(0.0, low), min(1.0, high)])
        ticks = [(at, f"{100 * float(text):g}%") for at, text in scale.ticks]
        return scale._replace(ticks=ticks, of=of)

    def position(value: float) -> float:
        return -math.log10(max(_LEAST, 1 - of(value)))

    start, end = (-math.log10(max(_LEAST, 1 - each)) for each in (low, high))
    room = 0.05 * (end - start) + 0.02
    scale = Scale(start - room, end + room, (), lambda value: -math.log10(max(_LEAST, 1 - value)))
    for errors in (ERRORS, _FINE):
        ticks = _thinned((scale.at(1 - error / 100), f"{100 - error:.4g}%") for error in errors)
        if len(ticks) > 3:
            break
    return scale._replace(ticks=ticks, of=position)


def _short(value: float) -> str:
    """Return a value as a tick: 20000 as 20k."""
    return f"{value / 1000:g}k" if abs(value) >= 10_000 else f"{value:,.6g}"


def _ends(values: Iterable[float]) -> tuple[float, float]:
    """Return the extremes of the finite values, some way from each other."""
    finite = [float(value) for value in values if pd.notna(value) and math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=1.0)
    return (low, high) if high - low > 1e-9 else (low - abs(low) / 100, high + abs(high) / 100 or 1)


def _thinned(ticks: Iterable[tuple[float, str]]) -> list[tuple[float, str]]:
    """Return the ticks on the axis that are far enough from the one before."""
    kept: list[tuple[float, str]] = []
    for at, text in ticks:
        apart = _APART + 2 * max(0, len(text) - 4)
        if 0 <= at <= 100 and (not kept or at - kept[-1][0] >= apart):
            kept.append((at, text))
    return kept
