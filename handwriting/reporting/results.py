"""What was measured of each network, and how a number is told: with its interval and its count."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from scipy import stats

from handwriting.core import files
from handwriting.reporting import charts
from handwriting.reporting.page import Chart, Table

Row = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Results:
    """The files of one source: metrics in git, tables and pictures of the evaluate stages."""

    source: str

    def metrics(self, name: str) -> Any:
        """metrics/<source>/<name>.json."""
        return files.read_json(Path("metrics", self.source, f"{name}.json"))

    def table(self, path: str) -> list[dict[str, str]]:
        """artifacts/<source>/<path>, a CSV file."""
        return files.read_csv(Path("artifacts", self.source, path))

    def curves(self, network: str) -> list[dict[str, str]]:
        """The learning curves of all seeds of a network of the digits."""
        return self.table(f"seeds/{network}-curves.csv")

    def picture(self, path: str) -> bytes:
        """artifacts/<source>/<path>, a PNG file."""
        return Path("artifacts", self.source, path).read_bytes()

    def tracked(self, path: str) -> list[dict[str, str]]:
        """metrics/<source>/<path>, a CSV file; no rows if there is none."""
        whole = Path("metrics", self.source, path)
        return files.read_csv(whole) if whole.exists() else []


def spread(
    rows: Sequence[Row], by: Sequence[str], value: str, seeds: Sequence[str]
) -> list[dict[str, str]]:
    """Of the rows that are alike in `by`: the mean of `value`, its 95% interval over the seeds that
    the columns `seeds` name, and how many rows they are. Numbers keep four digits that count.
    """
    groups: dict[tuple[str, ...], list[tuple[float, set[str]]]] = {}
    for row in rows:
        of_row = float(row[value]), {row[name] for name in seeds}
        groups.setdefault(tuple(row[name] for name in by), []).append(of_row)
    found = []
    for key, each in groups.items():
        mean, reach = fmean(number for number, _ in each), jackknife(each)
        numbers = {"mean": mean, "low": mean - reach, "high": mean + reach}
        found.append(
            dict(zip(by, key, strict=True))
            | {name: f"{number:.4g}" for name, number in numbers.items()}
            | {"n": str(len(each))}
        )
    return found


def jackknife(values: Sequence[tuple[float, set[str]]]) -> float:
    """Half of the 95% interval of the mean of values, each of the seeds that it depends on: by the
    means that are left without one of the seeds (Tukey 1958; Efron and Stein 1981), which of
    values of a seed each is Student's. 0 of too few seeds to leave one out."""
    names = set().union(*(seeds for _, seeds in values))
    rest = [[number for number, seeds in values if name not in seeds] for name in sorted(names)]
    if len(names) < 2 or not all(rest):
        return 0.0
    means = [fmean(each) for each in rest]
    square = sum((each - fmean(means)) ** 2 for each in means) * (len(names) - 1) / len(names)
    return float(stats.t.ppf(0.975, len(names) - 1)) * math.sqrt(square)


def in_points(row: Row, value: str) -> tuple[float, float, float]:
    """A value of a table with its interval, (value, low, high), in hundredths."""
    return 100 * float(row[value]), 100 * float(row["low"]), 100 * float(row["high"])


def percent(share: float) -> str:
    """0.98765 -> 98.77%."""
    return f"{100 * share:.2f}%"


def told(metrics: Mapping[str, Any]) -> str:
    """An accuracy with its interval, its images and its runs."""
    low, high = 100 * metrics["accuracy_low"], 100 * metrics["accuracy_high"]
    return (
        f"{percent(metrics['accuracy'])} (95% interval {low:.2f} to {high:.2f}%,"
        f" {metrics['images']:,} images, {len(metrics['correct'])} runs)"
    )


def accuracies(
    data: str, takeaway: str, metrics: Mapping[str, Mapping[str, Any]], names: Mapping[str, str]
) -> Chart:
    """The accuracies of the networks of a data set, side by side; `names` says what each is."""
    columns = ["network", "what", "accuracy", "low", "high", "sd of runs", "runs", "images"]
    columns += ["loss", "calibration error"]
    rows = [
        (
            name,
            names[name],
            *(percent(each[key]) for key in ("accuracy", "accuracy_low", "accuracy_high")),
            f"{100 * each['accuracy_sd']:.2f}",
            len(each["correct"]),
            f"{each['images']:,}",
            f"{each['loss']:.4f}",
            f"{each['calibration_error']:.4f}",
        )
        for name, each in metrics.items()
    ]
    shown = {
        name: tuple(100 * each[key] for key in ("accuracy", "accuracy_low", "accuracy_high"))
        for name, each in metrics.items()
    }
    figure = charts.intervals(shown, "accuracy in %")
    return Chart(f"accuracy-{data}", f"Accuracy, {data}", takeaway, figure, Table(columns, rows))


def curves(
    identity: str,
    title: str,
    takeaway: str,
    runs: Mapping[str, Sequence[Row]],
    measured: str,
    run: str = "run",
) -> Chart:
    """Learning curves: the mean of each arm's runs, told apart by the column `run`, in the band of
    all of them."""
    series = {
        name: charts.band(rows, run, "images_seen", "accuracy") for name, rows in runs.items()
    }
    figure = charts.lines(series, "images_seen", "accuracy", ("images seen", measured))
    columns = ("network", "images seen", "mean", "lowest", "highest")
    rows = [
        (
            name,
            f"{float(row['images_seen']):.0f}",
            *(f"{float(row[k]):.4f}" for k in ("accuracy", "low", "high")),
        )
        for name, each in series.items()
        for row in each
    ]
    return Chart(identity, title, takeaway, figure, Table(columns, rows))
