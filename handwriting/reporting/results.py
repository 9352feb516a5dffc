"""The measurements of one source, and the parts that several sections have."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from markupsafe import Markup
from numpy.typing import NDArray
from plotly.graph_objects import Figure

from handwriting.core import files
from handwriting.reporting import charts, ink, scales, still
from handwriting.reporting.dots import Row, dots
from handwriting.reporting.networks import NETWORKS, TITLES, named
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

    def picture(self, path: str) -> str:
        """Return artifacts/<source>/<path>.png as ink in a data: URI."""
        return ink.data_uri(self.pixels(path))

    def pixels(self, path: str) -> NDArray[np.uint8]:
        """Return artifacts/<source>/<path>.png, uint8 [H, W]."""
        return ink.pixels(Path("artifacts", self.source, f"{path}.png").read_bytes())

    def tiles(self, data: str, sheet: str) -> pd.DataFrame:
        """Return what is on a sheet, a row for each tile or each row of tiles."""
        rows = self.evaluated(f"{data}/tiles")
        return rows[rows["sheet"] == sheet]


def explored(identity: str, figure: Figure, table: pd.DataFrame, **numbers: Any) -> Chart:
    """Return a chart of lines that can be explored, whose text names the numbers."""
    return Chart(identity, numbers, still.plot(figure), table, str(figure.to_json()))


def row(
    metrics: Mapping[Any, Any], name: str, about: str, colour: str = "clean", hollow: bool = False
) -> Row:
    """Return the row of a dot plot of accuracies with what a metrics file has."""
    value, low, high = (float(metrics[key]) for key in ("accuracy", "low", "high"))
    interval = f"{100 * low:.2f} to {100 * high:.2f}"
    return Row(name, about, value, low, high, f"{value:.2%}", interval, colour, hollow)


def accuracies(rows: Sequence[Row]) -> Markup:
    """Return a dot plot of accuracies."""
    return dots(rows, scales.accuracy([each for row in rows for each in (row.low, row.high)]))


def accuracy(results: Results, question: int, names: Sequence[str], **numbers: Any) -> Chart:
    """Return the accuracies of networks; hollow are those that are adapted to a writer."""
    metrics = [results.json(name) for name in names]
    rows = []
    for name, each in zip(names, metrics, strict=True):
        label = named(name).label
        colour, title = (label, TITLES[label]) if label in TITLES else ("clean", label)
        hollow = name.endswith("-adapted")
        rows.append(row(each, title, about(each), colour, hollow))
    table = pd.DataFrame(metrics)
    table.insert(0, "network", names)
    table.insert(1, "what", [named(name).what for name in names])
    return Chart(f"accuracy-{_DATA[question - 1]}", numbers, accuracies(rows), table)


def about(metrics: Mapping[str, Any]) -> str:
    """Return what an accuracy was measured on."""
    runs = "fold" if metrics["writers"] else "run"
    return f"{metrics['images']:,} images, {metrics['runs']} {runs}s"


def curves(data: str, rows: pd.DataFrame, by: str, **numbers: Any) -> Chart:
    """Return mean learning curves, which the column `by` tells apart."""
    titles = ("training images seen", "accuracy of held-out images")
    figure = charts.accuracies(rows, "images_seen", "accuracy", [by], titles)
    return explored(f"curves-{data}", figure, rows, **numbers)


def calibration(results: Results, data: str, metrics: dict[str, float]) -> Chart:
    """Return whether a network's confidence is its accuracy."""
    rows = results.table(f"{data}/calibration")
    return explored(f"calibration-{data}", charts.reliability(rows), rows, ece=metrics["ece"])


def mistakes(results: Results, data: str, sheet: str, **numbers: Any) -> Sheet:
    """Return a sheet of misclassified images, each captioned with its classes and confidence."""
    rows = results.tiles(data, sheet)
    captions = [
        (f"{actual} → {predicted} {float(share):.0%}", f"a {actual} classified as {predicted}")
        for actual, predicted, share in rows[["actual", "predicted", "confidence"]].values
    ]
    picture = results.picture(f"figures/{data}/{sheet}")
    return Sheet(f"{sheet}-{data}", {"count": len(rows), **numbers}, picture, 12, captions)
