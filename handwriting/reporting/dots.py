"""Dot plots: a value with its interval in each row, as HTML."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from markupsafe import Markup

from handwriting.reporting.scales import Scale
from handwriting.reporting.svg import html, line, marker

_LIMIT = 5.0  # smallest effects of interest, beyond which an interval is cut off


class Row(NamedTuple):
    """A row of a dot plot."""

    name: str
    about: str  # below the name
    value: float
    low: float
    high: float
    text: str  # the number
    interval: str  # below the number
    colour: str = "clean"
    hollow: bool = False


def dots(rows: Sequence[Row], scale: Scale, band: bool = False) -> Markup:
    """Return a dot with its interval for each row, on a band from -1 to 1 if wanted."""
    ground = _band(scale) if band else Markup()
    ground += Markup().join(line(at, 0, at, 100, "grid") for at, _ in scale.ticks)
    form = Markup(
        '<div class="row" role="listitem"><div class="name">{}<small>{}</small></div>'
        '<svg class="axis" aria-hidden="true">{}</svg>'
        '<div class="num">{}<small>{}</small></div></div>'
    )
    shown = Markup().join(
        form.format(each.name, each.about, ground + _dot(each, scale), each.text, each.interval)
        for each in rows
    )
    tick = Markup('<text x="{:.4g}%" y="12" class="c m">{}</text>')
    ticks = Markup().join(tick.format(at, text) for at, text in scale.ticks)
    whole = (
        '<div class="dots{}"><div role="list">{}</div><div class="row ticks" aria-hidden="true">'
        '<span></span><svg class="axis">{}</svg></div></div>'
    )
    return html(whole, " forest" * band, shown, ticks)


def mini(rows: Sequence[Row], scale: Scale) -> Markup:
    """Return a dot plot with a band that fits on a card."""
    drawn, label = _band(scale), Markup('<text x="-8" y="{:.4g}%" dy=".35em" class="e m">{}</text>')
    drawn += line(scale.at(0), 0, scale.at(0), 100, "grid")
    for number, row in enumerate(rows):
        y = 100 * (number + 0.5) / len(rows)
        drawn += label.format(y, row.name) + _dot(row, scale, y)
    form = '<svg class="mini" style="height:{}px" aria-hidden="true">{}</svg>'
    return html(form, 16 * len(rows), drawn)


def effects(rows: Iterable[Row]) -> Scale:
    """Return the scale of differences that are divided by their smallest effect of interest."""
    reach = max((abs(each) for row in rows for each in (row.low, row.high)), default=1.0)
    end = min(_LIMIT, max(1.5, 1.1 * reach))
    scale, unit = Scale(-end, end, ()), " SESOI" if end < 3 else ""
    texts = {-1: f"-1{unit}", 0: "0", 1: f"+1{unit}"}
    return scale._replace(ticks=[(scale.at(each), text) for each, text in texts.items()])


def _band(scale: Scale) -> Markup:
    left, right = scale.at(-1), scale.at(1)
    form = '<rect x="{}%" width="{:.4g}%" height="100%" class="band"/>'
    return html(form, left, right - left)


def _dot(row: Row, scale: Scale, y: float = 50) -> Markup:
    """Return a marker on its interval, which is cut off at the ends of the axis."""
    ends = (row.low, row.value, row.high)
    low, at, high = (min(100, max(0, scale.at(each))) for each in ends)
    form = '<line x1="{}%" x2="{}%" y1="{:.4g}%" y2="{:.4g}%" stroke="var(--{})" stroke-width="3"/>'
    bar = html(form, low, high, y, y, row.colour)
    if at == scale.at(row.value):
        return bar + marker(row.colour, row.hollow, at, y)
    arrow = '<svg x="{}%" y="{:.4g}%"><path d="{}" fill="none" stroke="var(--{})"/></svg>'
    path = "M-5-6l6 6l-6 6" if at else "M5-6l-6 6l6 6"
    return bar + html(arrow, at, y, path, row.colour)
