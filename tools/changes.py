"""`make changes`: what this workspace changes against another revision, for a pull request.

Writes dvc_plots/changes.md, with the metrics and params that differ and the learning curves in
Mermaid, which GitHub draws in a comment, and all plots in dvc_plots/index.html.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from handwriting.core.errors import InputError

FOLDER = Path("dvc_plots")  # DVC's own name for it; git ignores it
LIMIT = 65_000  # characters of a comment: GitHub takes 65,536
POINTS = 21  # of a drawn curve: Mermaid spaces them evenly
COLOURS = {"blue": "#0072b2", "orange": "#e69f00"}  # the other revision, this workspace


def dvc(source: list[str], *words: str) -> str:
    """What a DVC verb says for the source; raises InputError with its own error."""
    command = [sys.executable, "-m", "tools.repro", *source, *words]
    done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603
    if done.returncode != 0:
        raise InputError(done.stderr.strip() or f"dvc {' '.join(words)} failed")
    sys.stderr.write(done.stderr)  # a revision that DVC could not read is a warning of its
    return done.stdout


def first(content: Any, key: str) -> Any:
    """The first value under `key`, wherever it is in nested dictionaries and lists."""
    if isinstance(content, dict):
        if key in content:
            return content[key]
        content = list(content.values())
    if isinstance(content, list):
        return next((found for each in content if (found := first(each, key)) is not None), None)
    return None


def charts(plots: dict[str, Any]) -> Iterator[str]:
    """A Mermaid chart for each file of each plot that is a curve of numbers over numbers."""
    for title, (plot, *_) in plots["data"].items():
        if "content" not in plot:  # a picture, or nothing that a revision has
            continue
        content, revisions = plot["content"], plot["revisions"]
        x, y = (first(content, axis) for axis in "xy")
        if x["type"] != "quantitative" or y["type"] != "quantitative":
            continue
        values = content["data"]["values"]
        for file in sorted({each.get("filename", "") for each in values}):
            curves = {
                colour: [
                    (float(each[x["field"]]), float(each[y["field"]]))
                    for each in values
                    if (each["rev"], each.get("filename", "")) == (revision, file)
                ]
                for colour, revision in zip(COLOURS.values(), revisions, strict=False)
            }
            # A revision may not have the file.
            curves = {colour: curve for colour, curve in curves.items() if curve}
            arm = Path(file).stem.removesuffix("-mean")
            yield chart(f"{title} - {arm}", x["title"], y["title"], curves)


def chart(title: str, x: str, y: str, curves: dict[str, list[tuple[float, float]]]) -> str:
    """Curves, by colour, as a Mermaid chart, between the first and the last x that they share."""
    low = max(min(curve)[0] for curve in curves.values())
    high = min(max(curve)[0] for curve in curves.values())
    grid = np.linspace(low, high, POINTS)
    lines = [np.interp(grid, *np.array(curve).T) for curve in curves.values()]
    palette = ", ".join(curves)
    theme = {"themeVariables": {"xyChart": {"plotColorPalette": palette}}}
    return "\n".join(
        [
            "```mermaid",
            f"%%{{init: {json.dumps(theme)}}}%%",
            "xychart-beta",
            f'  title "{title}"',
            f'  x-axis "{x}" {low:g} --> {high:g}',
            f'  y-axis "{y}"',
            *(f"  line [{', '.join(f'{value:.4f}' for value in line)}]" for line in lines),
            "```",
        ]
    )


def page(against: str, metrics: str, params: str, drawn: list[str]) -> str:
    """The Markdown of it all, without the charts where they are too long for a comment."""
    head = [
        f"### Against {against}",
        metrics.strip() or "No metric differs.",
        params.strip() or "No param differs.",
    ]
    colours = f"Blue: {against}; orange: this branch. All plots are in the run's artifact."
    details = ["<details><summary>Learning curves</summary>", colours, *drawn, "</details>"]
    text = "\n\n".join([*head, *details]) + "\n"
    if len(text) <= LIMIT:
        return text
    text = "\n\n".join([*head, "The plots are in the run's artifact."]) + "\n"
    return text[:LIMIT]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--source", help="as of tools.repro")
    parser.add_argument("--against", default="main", help="a revision of git, by default main")
    given = parser.parse_args()
    source = ["--source", given.source] if given.source else []
    metrics = dvc(source, "metrics", "diff", given.against, "--md")
    params = dvc(source, "params", "diff", given.against, "--md")
    dvc(source, "plots", "diff", given.against, "--out", str(FOLDER))
    plots = json.loads(dvc(source, "plots", "diff", given.against, "--json"))
    path = FOLDER / "changes.md"
    path.write_text(page(given.against, metrics, params, list(charts(plots))), encoding="utf-8")
    print(f"{path}: against {given.against}")


if __name__ == "__main__":
    try:
        main()
    except InputError as problem:
        sys.exit(f"changes: {problem}")
