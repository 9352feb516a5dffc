"""Everything measured, on one self-contained page, and a page to draw on: a leaf that measures
nothing.

reads   metrics/<source>/, data/<source>/README.md, params.yaml, requirements.txt, and of
        artifacts/<source>/ the predictions, learning curves, audits, sheets and transitions
writes  artifacts/<source>/report.html; artifacts/<source>/draw.html, which needs
        characters.onnx and a runtime beside it: `make report` serves them
"""

from pathlib import Path
from typing import Any

from handwriting.core import cli as entry
from handwriting.core import files, params
from handwriting.data.alphabet import CHARACTERS
from handwriting.reporting import characters as question_one
from handwriting.reporting import charts, drawing, page
from handwriting.reporting import mnist as question_two
from handwriting.reporting import mnistTask3 as question_three
from handwriting.reporting.page import Table
from handwriting.reporting.results import Results

SHOWN_PARAMS = (  # the sections, besides archives.<source> and preprocess.<source>
    "digits",
    "strengths",
    "network",
    "compute",
    "train",
    "crossvalidate",
    "pretrain",
    "finetune",
    "audit",
    "correct",
    "naive",
    "transfer",
    "test_archives",
)


Plain: Any = object  # whatever is there: it is shown, not used


def main(scratch: Path, source: str) -> None:
    results = Results(source)
    folder = Path(f"artifacts/{source}")
    audits = {
        name: files.read_json(folder / f"audit/{name}.json") for name in ("mnist", "mnistTask3")
    }
    sections = [
        question_one.section(results, params.load("test_archives", list[str])),
        question_two.section(results, pretraining(source)),
        question_three.section(results, audits),
    ]
    archives = params.load(f"archives.{source}", dict[str, Any])
    shown = {f"preprocess.{source}": params.load(f"preprocess.{source}", dict[str, Any])}
    shown |= {name: params.load(name, Plain) for name in SHOWN_PARAMS}
    text = page.render(
        "report.html",
        source=source,
        sections=sections,
        pipeline=drawing.drawing(),
        card=Path(f"data/{source}/README.md").read_text(encoding="utf-8"),
        model_card=(folder / "model-card.md").read_text(encoding="utf-8"),
        digests=digests(archives),
        params=Table(("param", "value"), flat(shown)),
        packages=packages(Path("requirements.txt")),
        plotly=charts.library(),
    )
    path = folder / "report.html"
    files.write_bytes(path, text.encode(), scratch)
    print(f"{path}: {len(text.encode()) / 1e6:.1f} MB")
    framing = shown[f"preprocess.{source}"]["characters"]
    draw = page.render("draw.html", source=source, classes="".join(CHARACTERS), framing=framing)
    files.write_bytes(folder / "draw.html", draw.encode(), scratch)


def pretraining(source: str) -> int:
    """How many images a base network of all 62 classes sees, again and again."""
    epochs = params.load(f"pretrain.epochs.{source}.characters", float)
    return round(epochs * params.load(f"preprocess.{source}.bases.images", int))


def digests(archives: dict[str, Any]) -> Table:
    """What the archives are known by."""
    rows = [
        (dataset, file["name"], file["digest"])
        for dataset, content in archives.items()
        for file in content["files"]
    ]
    return Table(("data set", "file", "digest (sha256)"), rows)


def flat(value: object, name: str = "") -> list[tuple[str, str]]:
    """(dotted name, value) of everything in nested mappings."""
    if not isinstance(value, dict):
        return [(name, str(value))]
    return [
        row
        for key, each in value.items()
        for row in flat(each, f"{name}.{key}" if name else str(key))
    ]


def packages(path: Path) -> Table:
    """The pinned versions."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return Table(("package", "version"), [line.split("==", 1) for line in lines if "==" in line])


if __name__ == "__main__":
    entry.run(main)
