"""The report's section on question two: does pretraining on the characters help on MNIST?"""

import math
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from handwriting.data.alphabet import DIGITS
from handwriting.reporting import charts
from handwriting.reporting.page import TEXTS, Chart, Section
from handwriting.reporting.results import Results, accuracies, calibration, chart, curves, mistakes

INITS = ("random", "digits", "characters")


def section(results: Results) -> Section:
    """Return the section."""
    shown = numbers(results)
    shares = [shown[init]["accuracy"] for init in INITS]
    measured = results.table("transfer/measures")
    accuracy = measured[measured["measure"] == "accuracy"]
    full = accuracy["method"] == "full"
    parts = (
        accuracies(results, 2, points=100 * (max(shares) - min(shares))),
        curves("mnist", results.table("mnist/curves"), "init"),
        by_labels("labels", accuracy[full], ["init"]),
        by_labels("methods", accuracy[~full], ["init", "method"]),
        comparisons(results.table("transfer/comparisons")),
        few_labels(results.table("transfer/curves")),
        speed(results.table("transfer/speed")),
        areas(measured),
        digits(results.table("transfer/digits")),
        pairs(results, "cka", "cka", ["first", "second", "layer"]),
        pairs(results, "agreement", "share", ["first", "second"]),
        calibration(results, "mnist", shown["characters"]),
        mistakes(results, "mnist", "worst"),
    )
    same = [str(TEXTS["two"]["same"])] if results.classes() == [*DIGITS] else []
    return Section("two", shown, [*same, *parts])


def numbers(results: Results) -> dict[str, Any]:
    """Return what the answer names."""
    metrics = {init: results.json(f"mnist-{init}") for init in INITS}
    return metrics | {"answer": results.json("transfer/answer")["answer"]}


def by_labels(identity: str, rows: pd.DataFrame, by: list[str]) -> Chart:
    """Return the accuracy against the number of labels."""
    figure = charts.error_lines(rows, by, order := ordered(rows))
    few = rows[rows["labels"] == order[0]]
    return chart(identity, figure, rows, few=order[0], best=few.nlargest(1, "mean").iloc[0])


def ordered(rows: pd.DataFrame) -> list[str]:
    """Return the numbers of labels in order, all labels last."""
    return sorted(rows["labels"].unique(), key=lambda each: float(each.replace("all", "inf")))


def comparisons(rows: pd.DataFrame) -> Chart:
    """Return the paired tests: differences with their intervals."""
    shown = rows[rows["method"] != "linear_probe"]
    columns = shown[["init", "method", "against", "against_method", "labels"]].values
    names = [
        f"{init} against {against}, {method}, {labels}"
        if method == against_method
        else f"{init}, {method}, against {against}, {against_method}, {labels}"
        for init, method, against, against_method, labels in columns
    ]
    title = "difference in points"
    figure = charts.intervals(shown, "difference", title, names, shown["init"])
    counts = rows["verdict"].value_counts().items()
    verdicts = ", ".join(f"{verdict} {count}" for verdict, count in counts)
    numbers: dict[str, Any] = {"count": len(rows), "primary": rows["primary"].sum()}
    return chart("comparisons", figure, rows, verdicts=verdicts, **numbers)


def few_labels(rows: pd.DataFrame) -> Chart:
    """Return the mean learning curves with the fewest labels, all weights trained."""
    few = ordered(rows)[0]
    chosen = rows[(rows["labels"] == few) & (rows["method"] == "full")]
    means = chosen.groupby(["init", "step"], sort=False)[["images_seen", "accuracy"]].mean()
    return curves("few", means.reset_index(), "init", few=few)


def speed(rows: pd.DataFrame) -> Chart | str:
    """Return how many images it takes to reach each accuracy for good, with all labels."""
    whole = with_all_labels(rows)
    shown = whole.dropna(subset=["median_images_kept"])
    if shown.empty:
        return str(TEXTS["speed"]["none"])
    titles = ("accuracy of validation images", "images seen until it is kept, median")
    figure = charts.lines(shown, "threshold", "median_images_kept", ["init"], titles)
    goal = shown["threshold"].max()
    columns = shown.loc[shown["threshold"] == goal, ["median_images_kept", "init"]].values
    of_each = ", ".join(f"{images:,} (from {init})" for images, init in columns)
    return chart("speed", figure, whole, goal=goal, of_each=of_each)


def with_all_labels(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of speed.csv of full fine-tuning with all labels, by their threshold."""
    whole = rows[(rows["method"] == "full") & (rows["labels"] == "all") & (rows["decisive"] == 1)]
    return whole.sort_values("threshold", kind="stable")


def areas(rows: pd.DataFrame) -> Chart:
    """Return the area under the learning curves, and a table of every measure."""
    shown = rows[(rows["method"] == "full") & (rows["measure"] == "curve_area")]
    order, titles = ordered(shown), ("labels per class", "area under the learning curve")
    figure = charts.lines(shown, "labels", "mean", ["init"], titles, order)
    few = shown.loc[shown["labels"] == order[0], ["init", "mean"]].values
    of_each = ", ".join(f"{init} {mean:.3f}" for init, mean in few)
    return chart("measures", figure, rows, few=order[0], of_each=of_each)


def digits(rows: pd.DataFrame) -> Chart:
    """Return the errors on each digit by init, means over the seeds."""
    means = spread(rows, ["init", "digit", "images"], "errors", ["seed"])
    order, worst = sorted(means["digit"].unique()), means.nlargest(1, "mean").iloc[0]
    figure = charts.lines(means, "digit", "mean", ["init"], ("digit", "errors"), order)
    return chart("digits", figure, means, worst=worst)


def pairs(results: Results, identity: str, value: str, by: list[str]) -> Chart:
    """Return how similar the networks of two inits are, means over pairs of seeds."""
    rows = results.table(f"transfer/{identity}")
    means = spread(rows, by, value, ["first_seed", "second_seed"], most=1)
    names = [" / ".join(map(str, key)) for key in means[by].values]
    title = f"{identity}, 1 at most; {' / '.join(by)}"
    figure = charts.intervals(means, "mean", title, names, scale=1)
    least = int(means["mean"].to_numpy().argmin())
    return chart(identity, figure, means, least=names[least], value=means["mean"].iloc[least])


def spread(
    rows: pd.DataFrame, by: list[str], value: str, seeds: list[str], most: float = math.inf
) -> pd.DataFrame:
    """Return the mean of `value` over the rows that are alike in `by`, with its 95% interval, from
    0 to at most `most`, over the seeds in the columns `seeds`, and the number of rows."""
    found = []
    for key, each in rows.groupby(by, sort=False):
        mean, reach = float(each[value].mean()), jackknife(each, value, seeds)
        found.append((*key, mean, max(0.0, mean - reach), min(most, mean + reach), len(each)))
    return pd.DataFrame(found, columns=[*by, "mean", "low", "high", "n"])


def jackknife(rows: pd.DataFrame, value: str, seeds: list[str]) -> float:
    """Return half of the 95% interval of the mean of a column, whose values depend on seeds.

    It is taken from the means that leave out one of the seeds (Tukey 1958; Efron and Stein 1981).
    With one value per seed that is Student's. 0 for too few seeds to leave one out.
    """
    of_rows, values = rows[seeds].to_numpy(int), rows[value].to_numpy(float)
    rest = [values[(of_rows != seed).all(1)] for seed in np.unique(of_rows)]
    if len(rest) < 2 or not all(map(len, rest)):
        return 0.0
    means = np.array([each.mean() for each in rest])
    square = ((means - means.mean()) ** 2).sum() * (len(rest) - 1) / len(rest)
    return float(stats.t.ppf(0.975, len(rest) - 1)) * math.sqrt(square)
