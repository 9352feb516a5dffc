"""Everything measured, on one self-contained page: a leaf that computes nothing.

reads   metrics/<source>/<network>.json, artifacts/<source>/predictions/<network>.csv,
        artifacts/<source>/seeds/<network>-curves.csv, artifacts/<source>/folds/<way>-curves.csv,
        artifacts/<source>/audit/<dataset>.json
writes  artifacts/<source>/report.html
"""

from collections import Counter
from html import escape
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from stages.common import entry, files

QUESTIONS = {
    "One: how well are 62 handwritten classes read?": [
        "characters",
        "characters-same-hand",
        "characters-new-hands",
        "characters-new-hands-same-hand",
    ],
    "Two: does pretraining on them help on MNIST?": [
        "mnist-random",
        "mnist-digits",
        "mnist-characters",
    ],
    "Three: what can be learnt from labels that are wrong?": [
        "mnistTask3-naive",
        "mnistTask3-random",
        "mnistTask3-digits",
        "mnistTask3-characters",
    ],
}
_COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7"]  # Okabe and Ito's, for the colour-blind
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse } td, th { padding: .3rem .8rem; border-bottom: 1px solid #ccc }
td { text-align: right } td:first-child, th:first-child { text-align: left }
"""


def main(scratch: Path, source: str) -> None:
    sections = [section(title, networks, source) for title, networks in QUESTIONS.items()]
    sections.append(audit_section(source))
    page = f"""<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Three questions, source {escape(source)}</title><style>{_STYLE}</style>
<script>{get_plotlyjs()}</script>
<h1>Three questions, source: {escape(source)}</h1>
{"".join(sections)}</html>
"""
    path = Path(f"artifacts/{source}/report.html")
    files.write_bytes(path, page.encode(), scratch)
    print(f"{path}: {len(page) / 1e6:.1f} MB")


def section(title: str, networks: list[str], source: str) -> str:
    """The HTML of one question: its table, learning curves and confusion table."""
    metrics = {name: files.read_json(Path(f"metrics/{source}/{name}.json")) for name in networks}
    if "characters" in networks:
        shown, folders = "characters", {way: f"folds/{way}" for way in ("known-hands", "new-hands")}
    else:
        shown, folders = networks[-1], {name: f"seeds/{name}" for name in networks}
    curves = {
        name: files.read_csv(Path(f"artifacts/{source}/{folder}-curves.csv"))
        for name, folder in folders.items()
    }
    predictions = files.read_csv(Path(f"artifacts/{source}/predictions/{shown}.csv"))
    charts = html_of(curve_chart(curves), f"curves-{shown}")
    charts += html_of(confusion_chart(predictions, shown), f"confusion-{shown}")
    return f"<h2>{escape(title)}</h2>{table(metrics)}{charts}"


def audit_section(source: str) -> str:
    """The HTML of what was found about the labels of the digit sets."""
    html = "<h2>What is wrong with the labels?</h2>"
    for name in ("mnist", "mnistTask3"):
        audit = files.read_json(Path(f"artifacts/{source}/audit/{name}.json"))
        html += f"<h3>{escape(name)}</h3><p>{escape(audit['sentence'])}.</p>"
        figure = go.Figure(go.Heatmap(z=audit["estimated"], colorscale="Blues"))
        figure.update_layout(
            title=f"{name}: the given label for each true class, as estimated",
            xaxis={"title": "given label", "dtick": 1},
            yaxis={"title": "true class", "dtick": 1, "autorange": "reversed"},
            height=450,
        )
        html += html_of(figure, f"audit-{name}")
    return html


def table(metrics: dict[str, dict[str, Any]]) -> str:
    """The accuracies with their spread and counts."""
    rows = "".join(
        f"<tr><td>{escape(name)}<td>{100 * each['accuracy']:.2f}%"
        f"<td>{100 * each['accuracy_sd']:.2f}<td>{len(each['correct'])}<td>{each['images']:,}"
        f"<td>{escape(each['split'])}"
        for name, each in metrics.items()
    )
    head = "<tr><th>network<th>accuracy<th>sd over runs<th>runs<th>images<th>measured on"
    return f"<table>{head}{rows}</table>"


def curve_chart(curves: dict[str, list[dict[str, str]]]) -> go.Figure:
    """Validation accuracy against images seen, a line for each run."""
    figure = go.Figure()
    for colour, (name, rows) in zip(_COLOURS, curves.items(), strict=False):
        runs = sorted({row["run"] for row in rows})
        for run in runs:
            of_run = [row for row in rows if row["run"] == run]
            figure.add_scatter(
                x=[int(row["images_seen"]) for row in of_run],
                y=[float(row["accuracy"]) for row in of_run],
                name=name,
                legendgroup=name,
                showlegend=run == runs[0],
                line={"color": colour, "width": 1.5},
            )
    figure.update_layout(
        title="Learning curves", xaxis_title="images seen", yaxis_title="validation accuracy"
    )
    return figure


def confusion_chart(predictions: list[dict[str, str]], name: str) -> go.Figure:
    """How often each class was taken for each other."""
    counts = Counter((row["actual"], row["predicted"]) for row in predictions)
    classes = sorted(
        {row["actual"] for row in predictions} | {row["predicted"] for row in predictions}
    )
    table = [[counts[actual, predicted] for predicted in classes] for actual in classes]
    figure = go.Figure(go.Heatmap(x=classes, y=classes, z=table, colorscale="Blues"))
    figure.update_layout(
        title=f"Confusion, {name}, seed 0",
        xaxis={"title": "predicted", "type": "category"},
        yaxis={"title": "actual", "type": "category", "autorange": "reversed"},
        height=600,
    )
    return figure


def html_of(figure: go.Figure, identity: str) -> str:
    """A figure as an HTML element with an id of its own."""
    return str(figure.to_html(full_html=False, include_plotlyjs=False, div_id=identity))


if __name__ == "__main__":
    entry.run(main)
