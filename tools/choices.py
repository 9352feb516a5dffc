"""`python -m tools.choices`: put the study's tables and its curve into docs/design-choices.md.

Between a line `<!-- name -->` and the next `<!-- end -->` of that page is what metrics/dropbox/
says; everything else there is written by hand. The curve is docs/rates.svg.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from handwriting.core import files
from handwriting.core.errors import InputError

PAGE, CURVE = Path("docs/design-choices.md"), Path("docs/rates.svg")
METRICS, REASONS = Path("metrics/dropbox"), Path("ablation/reasons.json")
_READINGS = {"alone": "a single image", "same hand": "with the writer's other images"}
_WAYS = {
    "known-hands": "known hands",
    "new-hands": "new hands",
    "both": "known hands; the second network of the other way",
    "members": "known hands; the others of other seeds",
}
_FILES = {"choices": "ablation", "views": "views", "rates": "rates"}  # of each block, in METRICS
_NOT_RUN = "Not run yet.\n"
_COLOURS = ("#1f6feb", "#d1242f")
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 720, 360, 60, 50  # of the picture, of its margins, in pixels
_MOST = 6.0  # of the loss that is shown: guessing has 4.1


def table(head: Sequence[str], rows: Iterator[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def percent(value: str) -> str:
    """A share as a percentage."""
    return f"{100 * float(value):.2f}"


def points(row: dict[str, str]) -> str:
    """A difference of two shares with its interval, in percentage points."""
    apart, low, high = (100 * float(row[name]) for name in ("difference", "low", "high"))
    return f"{apart:+.2f} ({low:+.2f} to {high:+.2f})"


def choices() -> str:
    """What the ablation says, its first row apart: that is what the others are compared with."""
    head = (
        "changed",
        "top-1 %",
        "difference (95%)",
        "its sd",
        "same hand %",
        "loss",
        "why",
        "from",
    )

    measured = {row["choice"]: row for row in files.read_csv(METRICS / "ablation.csv")}

    def rows() -> Iterator[Sequence[str]]:
        for name, about in files.read_json(REASONS).items():
            cells = ("not run yet", "", "", "", "")
            if row := measured.get(name):
                apart = (
                    ("", "") if name == "recipe" else (points(row), percent(row["difference_sd"]))
                )
                accuracy = f"{percent(row['accuracy'])} ± {percent(row['sd'])}"
                cells = (accuracy, *apart, percent(row["same_hand"]), f"{float(row['loss']):.3f}")
            yield about["change"], *cells, about["why"], about["source"]

    return table(head, rows())


def views() -> str:
    """What views and ensembles add."""
    head = (
        "held out",
        "read",
        "networks",
        "views",
        "top-1 %",
        "difference (95%)",
        "its sd",
        "loss",
    )

    def rows() -> Iterator[Sequence[str]]:
        for row in files.read_csv(METRICS / "views.csv"):
            base = row["networks"] == row["views"] == "1"
            apart = ("", "") if base else (points(row), percent(row["difference_sd"]))
            yield (
                *(_WAYS[row["way"]], _READINGS[row["reading"]]),
                *(row["networks"], row["views"]),
                *(f"{percent(row['accuracy'])} ± {percent(row['sd'])}", *apart),
                f"{float(row['loss']):.3f}",
            )

    return table(head, rows())


def at(logarithm: float, loss: float, low: float, high: float) -> tuple[float, float]:
    """The place of a point in the picture, in pixels."""
    across = _LEFT + (logarithm - low) / (high - low) * (_WIDTH - _LEFT - 20)
    return round(across, 1), round((_HEIGHT - _BOTTOM) * (1 - min(loss, _MOST) / _MOST) + 10, 1)


def text(x: float, y: float, content: str, more: str = 'text-anchor="middle"') -> str:
    """Words in an SVG."""
    return f'<text x="{x}" y="{y}" {more}>{content}</text>'


def axes(low: float, high: float) -> Iterator[str]:
    """A line for each power of ten, and the numbers along both axes."""
    for power in range(round(low), int(high) + 1):
        x, y = at(power, 0, low, high)
        yield f'<path d="M{x},10V{y}" stroke="#d0d7de"/>'
        yield text(x, y + 18, f"{10.0**power:g}")
    for loss in range(int(_MOST) + 1):
        x, y = at(low, loss, low, high)
        yield text(x - 8, y + 4, str(loss), 'text-anchor="end"')


def curve() -> str:
    """The range test as an SVG: the smoothed loss over the rate's logarithm."""
    rows = files.read_csv(METRICS / "rates.csv")
    low, high = (float(row["log10_rate"]) for row in (rows[0], rows[-1]))
    lines = list(axes(low, high))
    groups = [name for name in rows[0] if name.endswith("_smoothed")]
    for i, (group, colour) in enumerate(zip(groups, _COLOURS, strict=True)):
        losses = ((float(row["log10_rate"]), row[group]) for row in rows)
        places = (at(x, float(loss), low, high) for x, loss in losses if loss)
        path = " ".join(f"{x},{y}" for x, y in places)
        lines.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        label = f"rate of the {group.removesuffix('_smoothed')}"
        lines.append(text(_LEFT + 20, 30 + 18 * i, label, f'fill="{colour}"'))
    lines.append(text(_WIDTH / 2, _HEIGHT - 6, "the rate; upwards the loss, mean of ten steps"))
    head = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" font-size="12"'
    paper = '<rect width="100%" height="100%" fill="white"/>'
    return "\n".join(
        [f'<svg xmlns="http://www.w3.org/2000/svg" {head}>', paper, *lines, "</svg>\n"]
    )


def filled(written: str, name: str, content: str) -> str:
    """A page with `content` between a line `<!-- name -->` and the next `<!-- end -->`.

    Raises InputError for a page without them.
    """
    start, end = f"<!-- {name} -->\n", "<!-- end -->"
    if end not in written.partition(start)[2]:
        raise InputError(f"the page has no {start.strip()} with an {end} after it")
    before, _, rest = written.partition(start)
    _, _, after = rest.partition(end)
    return f"{before}{start}\n{content}\n{end}{after}"


def page(written: str) -> str:
    """The page with its tables as the metrics have them."""
    blocks = {"choices": choices, "views": views, "rates": picture}
    for name, content in blocks.items():
        there = (METRICS / f"{_FILES[name]}.csv").exists()
        written = filled(written, name, content() if there else _NOT_RUN)
    return written


def picture() -> str:
    """Where the page shows the curve."""
    return f"![the loss over the rates]({CURVE.name})\n"


if __name__ == "__main__":
    try:
        PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    except (InputError, OSError, KeyError, ValueError) as problem:
        sys.exit(f"choices: {problem}")
    if (METRICS / "rates.csv").exists():
        CURVE.write_text(curve(), encoding="utf-8")
