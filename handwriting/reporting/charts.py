"""The report's figures that can be explored, as plotly's: a trace names its colour, the page's
theme resolves it.

The page draws them on request with plotly-cartesian.min.js, the published bundle of the flat
charts. It starts in about a third of the time of the whole, which the package `plotly` brings. It
is on npm only.
"""

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from handwriting.reporting import scales
from handwriting.reporting.networks import words

Names = Sequence[str]
Titles = tuple[str, str]  # of the x axis and of the y axis

# Inits and methods have one colour each everywhere, in the light and in the dark theme; `clean` is
# for clean labels and all that has no rival. The templates in .dvc/plots/ have the light ones.
PALETTE = {
    "random": ("#748094", "#8d9db3"),
    "digits": ("#1766c2", "#62a8ff"),
    "characters": ("#8c1d63", "#ff9fd8"),
    "naive": ("#941c06", "#ff7d57"),
    "argmin": ("#8f6800", "#f2c84b"),
    "forward_correction": ("#0a7857", "#45d0a2"),
    "clean": ("#1c1917", "#f5f5f4"),
}
SYMBOLS = {"random": "circle", "digits": "square", "characters": "triangle-up"}
_DASHES = ("solid", "dash", "dot", "dashdot")


def lines(
    frame: pd.DataFrame, x: str, y: str, by: Names, titles: Titles, order: Names = ()
) -> go.Figure:
    """Return a line for each group of rows, with a band between the columns low and high, if any.

    The first column of `by` gives the colour, the last one dashes and symbols. `titles` are of the
    axes. With `order`, x is one of these names.
    """
    frame = frame.dropna(subset=[x, y])
    figure, last = _figure(titles), list(frame[by[-1]].unique())
    if order:
        figure.update_xaxes(type="category", categoryorder="array", categoryarray=list(order))
    for names, rows in frame.groupby(list(by), sort=False):
        where, colour = rows[x].tolist(), names[0] if names[0] in PALETTE else "clean"
        style = {"legendgroup": str(names), "meta": {"colour": colour}}
        if "low" in rows:
            edge = [*rows["high"], *rows["low"][::-1]]
            band = {"fill": "toself", "mode": "none", "hoverinfo": "skip", "showlegend": False}
            figure.add_scatter(x=where + where[::-1], y=edge, **band, **style)
        plain = colour != "clean" and len(by) == 1
        dash = _DASHES[0 if plain else last.index(names[-1]) % len(_DASHES)]
        style |= {
            "name": ", ".join(words(str(name)) for name in names),
            "line": {"width": 2, "dash": dash},
        }
        style |= {"marker": {"size": 7, "symbol": SYMBOLS.get(colour, "diamond")}}
        figure.add_scatter(x=where, y=rows[y].tolist(), mode="lines+markers", **style)
    return figure


def accuracies(
    frame: pd.DataFrame, x: str, y: str, by: Names, titles: Titles, order: Names = ()
) -> go.Figure:
    """Return lines of accuracies; where they are high, on a logarithmic axis of the error."""
    if frame[y].max() <= scales.HIGH:
        return lines(frame, x, y, by, titles, order).update_yaxes(tickformat=".0%")
    columns = [name for name in (y, "low", "high") if name in frame]
    error = (100 - 100 * frame[columns].astype(float)).clip(scales.ERRORS[-1], 100)
    figure = lines(frame.assign(**error), x, y, by, titles, order)
    texts = [f"{100 - each:g}%" for each in scales.ERRORS]
    ticks = {"tickvals": scales.ERRORS, "ticktext": texts}
    return figure.update_yaxes(type="log", autorange="reversed", **ticks)


def heatmap(z: pd.DataFrame, titles: Titles, height: int = 460) -> go.Figure:
    """Return a table as shades, square, rows from the top."""
    figure = _figure(titles)
    hover = f"{titles[1]} %{{y}}, {titles[0]} %{{x}}: %{{z:.4~g}}<extra></extra>"
    content = {"x": list(map(str, z.columns)), "y": list(map(str, z.index)), "z": z.values.tolist()}
    figure.add_heatmap(**content, showscale=False, hovertemplate=hover)
    axis = {"type": "category", "dtick": 1, "tickfont": {"size": 9 if len(z) > 20 else 13}}
    axis["constrain"] = "domain"
    square = {"autorange": "reversed", "scaleanchor": "x"}
    return figure.update_layout(xaxis=axis, yaxis=axis | square, height=height)


def reliability(rows: pd.DataFrame) -> go.Figure:
    """Return accuracy against confidence, with the line on which both are equal."""
    ends = pd.DataFrame({"confidence": [0.0, 1.0], "accuracy": [0.0, 1.0], "of": "calibrated"})
    rows = pd.concat([rows[["confidence", "accuracy"]].assign(of="the network"), ends])
    return lines(rows, "confidence", "accuracy", ["of"], ("confidence", "accuracy"))


def scatter(rows: pd.DataFrame) -> go.Figure:
    """Return the map of features: each image as its class, mistakes larger."""
    figure, correct = _figure(("", "")), rows["actual"] == rows["predicted"]
    for name, chosen in {"correct": rows[correct], "misclassified": rows[~correct]}.items():
        colour, size = ("clean", 13) if name == "correct" else ("naive", 17)
        style = {"mode": "text", "textfont": {"size": size}, "meta": {"colour": colour}}
        x, y = (chosen[axis].astype(float).tolist() for axis in ("x", "y"))
        points = {"text": chosen["actual"].tolist(), "customdata": chosen.index.tolist()}
        figure.add_scatter(x=x, y=y, name=name, hoverinfo="none", **points, **style)
    bare = {"showticklabels": False, "zeroline": False, "title": ""}
    return figure.update_layout(xaxis=bare, yaxis=bare, height=620)


def _figure(titles: Titles) -> go.Figure:
    x, y = ({"title": {"text": each, "font": {"size": 13}}, "automargin": True} for each in titles)
    layout = {"template": "none", "xaxis": x, "yaxis": y, "height": 400, "hovermode": "closest"}
    layout |= {
        "margin": {"l": 50, "r": 12, "t": 36, "b": 48},
        "legend": {"orientation": "h", "y": -0.2},
    }
    return go.Figure(layout=layout)
