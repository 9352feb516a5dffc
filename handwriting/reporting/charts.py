"""The report's figures, in plotly's JSON: no colours but a trace's number, which the page gives a
colour of its theme."""

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import plotly.graph_objects as go

Row = Mapping[str, str]
_DASHES = ("solid", "dash", "dot", "dashdot")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up")


def library() -> str:
    """plotly.js, as text: its published bundle of the flat charts.

    A browser runs it in about a third of the time of the whole, which the package `plotly` brings.
    It is on npm but not on PyPI, and so kept beside this file.
    """
    return Path(__file__).with_name("plotly-cartesian.min.js").read_text(encoding="utf-8")


def lines(
    series: Mapping[str, Sequence[Row]],
    x: str,
    y: str,
    titles: tuple[str, str],
    ticks: Sequence[str] = (),
    colours: int = 4,
    log: bool = False,
) -> str:
    """A line for each entry, with a band where its rows tell `low` and `high`; `titles` of axes.

    With `ticks`, x counts them. So many `colours` take turns, and with the next turn of them dashes
    and symbols change: names are told apart by both. `log`: y is logarithmic.
    """
    figure = _figure(titles)
    if log:
        figure.update_yaxes(type="log", dtick="D2")
    if ticks:
        figure.update_xaxes(tickvals=list(range(len(ticks))), ticktext=list(ticks))
    for i, (name, rows) in enumerate(series.items()):
        colour, kind = i % colours, i // colours if colours < len(series) else i
        where = [float(row[x]) for row in rows]
        if rows and "low" in rows[0]:
            low, high = ([float(row[side]) for row in rows] for side in ("low", "high"))
            figure.add_scatter(
                x=[*where, *reversed(where)],
                y=[*high, *reversed(low)],
                fill="toself",
                mode="none",
                meta={"colour": colour},
                legendgroup=name,
                showlegend=False,
                hoverinfo="skip",
            )
        figure.add_scatter(
            x=where,
            y=[float(row[y]) for row in rows],
            name=name,
            legendgroup=name,
            mode="lines+markers",
            line={"width": 2, "dash": _DASHES[kind % 4]},
            marker={"size": 6, "symbol": _SYMBOLS[kind % 4]},
            meta={"colour": colour},
        )
    return _json(figure)


def band(runs: Sequence[Row], run: str, x: str, y: str) -> list[dict[str, str]]:
    """Of the runs of one arm, point by point: their mean, the lowest and the highest of them.

    Folds differ by an image, and so their points by a few; those of equal rank are taken together.
    """
    of_run: dict[str, list[Row]] = {}
    for row in runs:
        of_run.setdefault(row[run], []).append(row)
    points = []
    for rows in zip(*of_run.values(), strict=False):
        values = [float(row[y]) for row in rows]
        where = fmean(float(row[x]) for row in rows)
        point = {x: where, y: fmean(values), "low": min(values), "high": max(values)}
        points.append({name: str(value) for name, value in point.items()})
    return points


def intervals(rows: Mapping[str, tuple[float, float, float]], title: str) -> str:
    """A dot with its interval for each name: (value, low, high)."""
    names = [_lines(name) for name in rows]
    values, lows, highs = zip(*rows.values(), strict=True)
    figure = _figure((title, ""))
    figure.add_scatter(
        x=values,
        y=names,
        mode="markers",
        marker={"size": 10},
        meta={"colour": 0},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [high - value for value, high in zip(values, highs, strict=True)],
            "arrayminus": [value - low for value, low in zip(values, lows, strict=True)],
        },
        hovertemplate="%{y}: %{x:.2f}<extra></extra>",
    )
    figure.update_layout(**_names_from_the_top(names))
    return _json(figure)


def bars(
    names: Sequence[str], series: Mapping[str, Sequence[float]], titles: tuple[str, str]
) -> str:
    """For each short name a bar of each series, side by side."""
    figure = _figure(titles)
    for i, (name, values) in enumerate(series.items()):
        figure.add_bar(x=names, y=values, name=name, meta={"colour": i})
    figure.update_layout(xaxis={"type": "category"}, showlegend=len(series) > 1)
    return _json(figure)


def lying_bars(rows: Mapping[str, float], title: str) -> str:
    """A bar for each long name, from the top."""
    figure = _figure((title, ""))
    names = [_lines(name) for name in rows]
    figure.add_bar(x=list(rows.values()), y=names, orientation="h", meta={"colour": 0})
    figure.update_layout(**_names_from_the_top(names))
    return _json(figure)


def heatmap(
    z: Sequence[Sequence[float]], names: Sequence[str], titles: tuple[str, str], height: int = 460
) -> str:
    """A square table as colours, rows from the top."""
    figure = _figure(titles)
    figure.add_heatmap(
        x=names,
        y=names,
        z=z,
        colorbar={"thickness": 10},
        hovertemplate=f"{titles[1]} %{{y}}, {titles[0]} %{{x}}: %{{z:.4~g}}<extra></extra>",
    )
    figure.update_layout(
        xaxis={"type": "category", "constrain": "domain"},
        yaxis={"type": "category", "autorange": "reversed"},
        height=height,
    )
    return _json(figure)


def confusion(predictions: Sequence[Row], by: str, classes: Sequence[str]) -> list[list[int]]:
    """How often each actual class (row) was taken for each other (column) `by` a network."""
    counts = Counter((row["actual"], row[by]) for row in predictions)
    return [[counts[actual, said] for said in classes] for actual in classes]


def reliability(rows: Sequence[Row]) -> str:
    """Accuracy against confidence, with the line on which both are equal."""
    figure = _figure(("confidence", "accuracy"))
    figure.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", name="as sure as right", line={"dash": "dot"},
        meta={"colour": 1},
    )  # fmt: skip
    figure.add_scatter(
        x=[float(row["confidence"]) for row in rows],
        y=[float(row["accuracy"]) for row in rows],
        customdata=[int(row["images"]) for row in rows],
        mode="lines+markers",
        name="the network",
        marker={"size": 8},
        hovertemplate="confidence %{x:.2f}, accuracy %{y:.2f}, %{customdata} images<extra></extra>",
        meta={"colour": 0},
    )
    return _json(figure)


def plane(rows: Sequence[Row]) -> str:
    """The map of features: each image as its class, those read wrongly in another colour."""
    figure = _figure(("", ""))
    for i, (name, right) in enumerate({"read rightly": True, "read wrongly": False}.items()):
        chosen = [n for n, r in enumerate(rows) if (r["actual"] == r["predicted"]) == right]
        figure.add_scatter(
            x=[float(rows[n]["x"]) for n in chosen],
            y=[float(rows[n]["y"]) for n in chosen],
            text=[rows[n]["actual"] for n in chosen],
            customdata=chosen,
            mode="text",
            name=name,
            textfont={"size": 13 if right else 17, "weight": "normal" if right else "bold"},
            hoverinfo="none",
            meta={"colour": i},
        )
    bare = {"showticklabels": False, "zeroline": False, "title": ""}
    figure.update_layout(xaxis=bare, yaxis=bare, height=620)
    return _json(figure)


def _lines(name: str) -> str:
    """A long name in lines that leave room for the chart on a phone."""
    return "<br>".join(textwrap.wrap(name, 26))


def _names_from_the_top(names: Sequence[str]) -> dict[str, Any]:
    """A layout with a row for each name."""
    axis = {"type": "category", "autorange": "reversed", "automargin": True}
    lines = max((name.count("<br>") + 1 for name in names), default=1)
    return {"yaxis": axis, "height": 130 + max(40, 17 * lines) * len(names)}


def _figure(titles: tuple[str, str]) -> go.Figure:
    figure = go.Figure()
    figure.update_layout(
        template="none",
        xaxis={"title": {"text": titles[0], "font": {"size": 13}}, "automargin": True},
        yaxis={"title": {"text": titles[1], "font": {"size": 13}}, "automargin": True},
        margin={"l": 50, "r": 12, "t": 36, "b": 48},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        height=400,
        hovermode="closest",
    )
    return figure


def _json(figure: go.Figure) -> str:
    return str(figure.to_json())
