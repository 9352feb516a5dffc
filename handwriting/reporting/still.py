"""Still figures with two axes: lines, bars and the map of features."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup
from plotly.graph_objects import Figure

from handwriting.reporting import scales
from handwriting.reporting.charts import SYMBOLS
from handwriting.reporting.scales import Scale
from handwriting.reporting.svg import html, line, marker, wide

_DASHES = {"solid": "none", "dash": "7 4", "dot": "2 4", "dashdot": "8 3 2 3"}
_NARROW = 260  # pixels of an axis on a phone
_LETTER, _BESIDE = 7, 72  # pixels of a letter, and beside the axis


def plot(figure: Figure) -> Markup:
    """Return a plotly figure of lines, with its bands, markers and legend."""
    drawn = figure.to_dict()
    traces, layout = drawn["data"], drawn["layout"]
    x, y = (
        scales.of_axis(layout[f"{axis}axis"], [each for trace in traces for each in trace[axis]])
        for axis in "xy"
    )
    paths = Markup().join(_path(trace, x, y) for trace in traces)
    content = html('<svg viewBox="0 0 100 100" preserveAspectRatio="none">{}</svg>', paths)
    errors = layout["yaxis"].get("autorange") == "reversed"
    colours, legend = list[str](), Markup()
    for trace in (each for each in traces if each.get("name")):
        colour = trace["meta"]["colour"]
        hollow = colours.count(colour) % 2 == 1
        colours.append(colour)
        legend += _key(trace["name"], colour, _DASHES[trace["line"]["dash"]], hollow)
        for a, b in zip(trace["x"], trace["y"], strict=True):
            hover = f"{trace['name']}: {a}, {f'{100 - b:.4g}%' if errors else f'{b:,.4g}'}"
            point = marker(colour, hollow, x.at(a), 100 - y.at(b))
            content += html("<g><title>{}</title>{}</g>", hover, point)
    titles = [layout[f"{axis}axis"]["title"]["text"] for axis in "xy"]
    return _axes(x, y, content, titles, legend if len(colours) > 1 else Markup())


def _path(trace: Any, x: Scale, y: Scale) -> Markup:
    """Return the line of a trace, or its band."""
    pairs = zip(trace["x"], trace["y"], strict=True)
    points = " ".join(f"{x.at(a):.4g},{100 - y.at(b):.4g}" for a, b in pairs)
    colour = trace["meta"]["colour"]
    if trace.get("fill"):
        return Markup('<polygon points="{}" fill="var(--{})"/>').format(points, colour)
    dash = _DASHES[trace["line"]["dash"]]
    form = '<polyline points="{}" stroke="var(--{})" stroke-dasharray="{}"/>'
    return html(form, points, colour, dash)


def _key(name: str, colour: str, dash: str, hollow: bool) -> Markup:
    form = (
        '<li><svg aria-hidden="true"><line x2="100%" y1="50%" y2="50%" stroke="var(--{})"'
        ' stroke-width="2" stroke-dasharray="{}"/>{}</svg>{}</li>'
    )
    return html(form, colour, dash, marker(colour, hollow), name)


def _axes(x: Scale, y: Scale, content: Markup, titles: Sequence[str], legend: Markup) -> Markup:
    """Return content, whose positions are percentages, within axes."""
    label = Markup('<text x="-8" y="{:.4g}%" dy=".35em" class="e m">{}</text>')
    below = Markup('<text x="{:.4g}%" y="100%" dy="1.6em" class="c m">{}</text>')
    grid = Markup().join(
        line(0, 100 - at, 100, 100 - at, "grid") + label.format(100 - at, text)
        for at, text in y.ticks
    )
    grid += Markup().join(below.format(at, text) for at, text in x.ticks)
    form = (
        '{}<p class="axis-title">{}</p><svg class="area" aria-hidden="true">{}</svg>'
        '<p class="axis-title c">{}</p>'
    )
    keys = Markup('<ul class="legend">{}</ul>').format(legend) if legend else legend
    return html(form, keys, titles[1], grid + content, titles[0])


def bars(rows: pd.DataFrame, x: str, y: str, by: str, titles: Sequence[str]) -> Markup:
    """Return for each x a bar of each value of the column `by`, side by side, from 0."""
    names, groups = list(rows[x].unique()), list(rows[by].unique())
    tall = scales.linear([0, rows["high" if "high" in rows else y].max()])
    place = scales.of_axis({"categoryarray": names}, names)
    width, drawn = 80 / len(names) / len(groups), Markup()
    looks = {
        name: (name, 1) if name in SYMBOLS else ("clean", 1 - 0.6 * number / len(groups))
        for number, name in enumerate(groups)
    }
    form = Markup(
        '<rect x="{:.4g}%" y="{:.4g}%" width="{:.4g}%" height="{:.4g}%" fill="var(--{})"'
        ' opacity="{:.2g}"><title>{}, {}: {:.4g}</title></rect>'
    )
    for row in rows.to_dict("records"):
        left, top = place.at(row[x]) + width * (groups.index(row[by]) - len(groups) / 2), row[y]
        size = left, 100 - tall.at(top), 0.9 * width, tall.at(top)
        drawn += form.format(*size, *looks[row[by]], row[by], row[x], row[y])
        if "high" in row:
            middle, low, high = left + 0.45 * width, tall.at(row["low"]), tall.at(row["high"])
            drawn += line(middle, 100 - low, middle, 100 - high, "stroke")
    key = Markup('<li><i style="background:var(--{});opacity:{:.2g}"></i>{}</li>')
    legend = Markup().join(key.format(*look, name) for name, look in looks.items())
    axes = _axes(place, tall, drawn, titles, legend if len(groups) > 1 else Markup())
    room = len(names) * (_LETTER * max(len(str(name)) for name in names) + _LETTER)
    return wide(axes, room + _BESIDE) if room > _NARROW else axes


def cloud(rows: pd.DataFrame) -> Markup:
    """Return the map of features: each image as its class, mistakes in bold."""
    x, y = (scales.linear(rows[axis].astype(float)) for axis in "xy")
    form = Markup('<text x="{}%" y="{}%" dy=".35em" data-row="{}" class="c{}">{}</text>')
    drawn = Markup()
    for number, (across, up, actual, predicted) in enumerate(rows.values.tolist()):
        kind = " wrong" if actual != predicted else ""
        drawn += form.format(x.at(across), round(100 - y.at(up), 2), number, kind, actual[:2])
    return Markup('<svg class="area cloud" aria-hidden="true">{}</svg>').format(drawn)
