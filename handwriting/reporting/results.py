"""The measurements of one source, and the parts that several sections have."""

from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from plotly.graph_objects import Figure

from handwriting.core import files
from handwriting.reporting import charts
from handwriting.reporting.networks import NETWORKS, named
from handwriting.reporting.page import Chart, Sheet

_DATA = ("characters", "mnist", "mnistTask3", "doubtful")  # of each question
_TEXT = ("labels", "class", "one", "other", "digit", "layer")  # columns of names, digits or not


class Results(NamedTuple):
    """The metrics in git and the tables and pictures of the evaluate stages."""

    source: str

    def networks(self, question: int) -> list[str]:
        """Return the names of the measured networks of a question, test archives last."""
        measured = sorted(path.stem for path in Path("metrics", self.source).glob("*.json"))
        names = dict.fromkeys([*NETWORKS, *measured])
        return [name for name in names if named(name).question == question]

    def json(self, path: str, top: str = "metrics") -> Any:
        """Return <top>/<source>/<path>.json."""
        return files.read_json(Path(top, self.source, f"{path}.json"))

    def table(self, path: str) -> pd.DataFrame:
        """Return metrics/<source>/<path>.csv."""
        whole, types = Path("metrics", self.source, f"{path}.csv"), dict.fromkeys(_TEXT, "str")
        return pd.read_csv(whole, dtype=types, keep_default_na=False, na_values="").convert_dtypes()

    def classes(self) -> list[str]:
        """Return the classes of question one."""
        return self.table("characters/classes")["class"].tolist()

    def has(self, network: str) -> bool:
        """Return whether a network has been measured."""
        return Path("metrics", self.source, f"{network}.json").exists()

    def evaluated(self, path: str) -> pd.DataFrame:
        """Return artifacts/<source>/evaluation/<path>.csv, everything as text."""
        whole = Path("artifacts", self.source, "evaluation", f"{path}.csv")
        return pd.read_csv(whole, dtype=str, keep_default_na=False)

    def picture(self, path: str) -> bytes:
        """Return artifacts/<source>/<path>.png."""
        return Path("artifacts", self.source, f"{path}.png").read_bytes()

    def tiles(self, data: str, sheet: str) -> pd.DataFrame:
        """Return what is on a sheet, a row for each tile or each row of tiles."""
        rows = self.evaluated(f"{data}/tiles")
        return rows[rows["sheet"] == sheet]


def chart(
    identity: str, figure: Figure, table: pd.DataFrame, sheet: bytes = b"", **numbers: Any
) -> Chart:
    """Return a chart whose text names the numbers."""
    return Chart(identity, numbers, str(figure.to_json()), table, sheet)


def accuracies(results: Results, question: int, **numbers: Any) -> Chart:
    """Return the accuracies of the networks of a question, test archives last."""
    data, names = _DATA[question - 1], results.networks(question)
    frame = pd.DataFrame([results.json(name) for name in names])
    labels = [named(name).label for name in names]
    colours = labels if question > 1 else ()
    figure = charts.intervals(frame, "accuracy", "accuracy in %", labels, colours)
    frame.insert(0, "network", names)
    frame.insert(1, "what", [named(name).what for name in names])
    return chart(f"accuracy-{data}", figure, frame, **numbers)


def curves(data: str, rows: pd.DataFrame, by: str, **numbers: Any) -> Chart:
    """Return mean learning curves, which the column `by` tells apart."""
    titles = ("training images seen", "accuracy of held-out images")
    figure = charts.lines(rows, "images_seen", "accuracy", [by], titles)
    return chart(f"curves-{data}", figure, rows, **numbers)


def calibration(results: Results, data: str, metrics: dict[str, float]) -> Chart:
    """Return whether a network's confidence is its accuracy."""
    rows = results.table(f"{data}/calibration")
    return chart(f"calibration-{data}", charts.reliability(rows), rows, ece=metrics["ece"])


def mistakes(results: Results, data: str, sheet: str, **numbers: Any) -> Sheet:
    """Return a sheet of misclassified images, each captioned with its classes and confidence."""
    rows = results.tiles(data, sheet)
    captions = [
        (f"{actual} → {predicted} {float(share):.0%}", f"a {actual} classified as {predicted}")
        for actual, predicted, share in rows[["actual", "predicted", "confidence"]].values
    ]
    png = results.picture(f"figures/{data}/{sheet}")
    return Sheet(f"{sheet}-{data}", {"count": len(rows), **numbers}, png, 12, captions)
