"""The report's section on question two: does pretraining on the characters help on MNIST?"""

import math
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from scipy import stats

from handwriting.data.alphabet import DIGITS
from handwriting.reporting import charts, still, verdicts
from handwriting.reporting.dots import mini
from handwriting.reporting.matrix import matrix
from handwriting.reporting.networks import words
from handwriting.reporting.page import Chart, Part, Section
from handwriting.reporting.results import (
    Results,
    accuracy,
    calibration,
    curves,
    explored,
    mistakes,
)

INITS = ("random", "digits", "characters")


def section(results: Results) -> Section:
    """Return the section."""
    shown = numbers(results)
    measured = results.table("transfer/measures")
    accuracies = measured[measured["measure"] == "accuracy"]
    full = accuracies["method"] == "full"
    parts = (
        by_labels("labels", accuracies[full], ["init"]),
        verdicts.chart(results),
        *speed(results.table("transfer/speed")),
    )
    names = [f"mnist-{init}" for init in INITS]
    points = 100 * (max(shown["shares"]) - min(shown["shares"]))
    folded = (
        accuracy(results, 2, names, points=points),
        comparisons(results),
        by_labels("methods", accuracies[~full], ["init", "method"]),
        curves("mnist", results.table("mnist/curves"), "init"),
        few_labels(results.table("transfer/curves")),
        areas(measured),
        digits(results.table("transfer/digits")),
        layers(results),
        agreement(results),
        calibration(results, "mnist", shown["characters"]),
        mistakes(results, "mnist", "worst"),
    )
    return Section("two", shown, mini(*verdicts.rows(results)), parts, folded)


def numbers(results: Results) -> dict[str, Any]:
    """Return what the answer names."""
    metrics = {init: results.json(f"mnist-{init}") for init in INITS}
    rows = verdicts.primary(results)
    few, *_, whole = rows.values()
    return metrics | {
        "verdict": verdicts.short(rows),
        "headline": verdicts.headline(rows),
        "shares": [metrics[init]["accuracy"] for init in INITS],
        "fewest": next(iter(rows)),
        "few_points": 100 * few["difference"],
        "points": 100 * whole["difference"],
        "pairs": " to ".join(map(str, sorted({each["seeds"] for each in rows.values()}))),
        "variant": "same" if results.classes() == [*DIGITS] else "other",
    }


def by_labels(identity: str, rows: pd.DataFrame, by: list[str]) -> Chart:
    """Return the accuracy against the number of labels."""
    titles = ("labels per class", "test accuracy")
    figure = charts.accuracies(rows, "labels", "mean", by, titles, order := ordered(rows))
    few = rows[rows["labels"] == order[0]]
    best = few.nlargest(1, "mean").iloc[0].to_dict()
    best |= {name: words(best[name]) for name in ("init", "method")}
    return explored(identity, figure, rows, few=order[0], best=best)


def ordered(rows: pd.DataFrame) -> list[str]:
    """Return the numbers of labels in order, all labels last."""
    return sorted(rows["labels"].unique(), key=lambda each: float(each.replace("all", "inf")))


def comparisons(results: Results) -> Chart:
    """Return all paired tests."""
    rows = verdicts.tabled(results.table("transfer/comparisons"))
    counts = rows["verdict"].value_counts().items()
    found: dict[str, Any] = {"count": len(rows), "primary": rows["primary"].sum()}
    found["verdicts"] = ", ".join(f"{verdict} {count}" for verdict, count in counts)
    return Chart("all-comparisons", found, Markup(), rows)


def few_labels(rows: pd.DataFrame) -> Chart:
    """Return the mean learning curves with the fewest labels, all weights trained."""
    few = ordered(rows)[0]
    chosen = rows[(rows["labels"] == few) & (rows["method"] == "full")]
    means = chosen.groupby(["init", "step"], sort=False)[["images_seen", "accuracy"]].mean()
    return curves("few", means.reset_index(), "init", few=few)


def speed(rows: pd.DataFrame) -> list[Part]:
    """Return how many images it takes to reach each accuracy for good, with all labels."""
    whole = with_all_labels(rows)
    shown = whole.dropna(subset=["median_images_kept"])
    if shown.empty:
        return [Part("speed", {"variant": "none"})]
    order = [f"{100 * each:g}%" for each in sorted(shown["threshold"].unique())]
    titles = ("accuracy of validation images", "images seen until it is kept, median")
    named = shown.assign(threshold=[f"{100 * each:g}%" for each in shown["threshold"]])
    figure = charts.lines(named, "threshold", "median_images_kept", ["init"], titles, order)
    figure.update_yaxes(type="log")
    goal = shown["threshold"].max()
    columns = shown.loc[shown["threshold"] == goal, ["median_images_kept", "init"]].values
    of_each = ", ".join(f"{images:,} (from {init})" for images, init in columns)
    return [explored("speed", figure, whole, goal=goal, of_each=of_each)]


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
    return explored("measures", figure, rows, few=order[0], of_each=of_each)


def digits(rows: pd.DataFrame) -> Chart:
    """Return the errors on each digit by init, means over the seeds."""
    means = spread(rows, ["init", "digit", "images"], "errors", ["seed"])
    means = means.sort_values("init", key=lambda names: names.map(INITS.index), kind="stable")
    means = means.sort_values("digit", kind="stable")
    worst = means.nlargest(1, "mean").iloc[0]
    drawn = still.bars(means, "digit", "mean", "init", ("digit", "errors"))
    return Chart("digits", {"worst": worst}, drawn, means)


def layers(results: Results) -> Chart:
    """Return how similar the layers of networks of two inits are."""
    by, seeds = ["first", "second", "layer"], ["first_seed", "second_seed"]
    means = spread(results.table("transfer/cka"), by, "cka", seeds, most=1)
    least = means.nsmallest(1, "mean").iloc[0]
    names = [f"{first}, {second}" for first, second in means[["first", "second"]].values]
    z = means.assign(pair=names).pivot(index="pair", columns="layer", values="mean")
    z = z.loc[[*dict.fromkeys(names)], sorted(z.columns, key=int)]
    drawn = matrix(z, ("layer", "inits"), "{:.2f}", least=z.min().min())
    return Chart("cka", {"least": least}, drawn, means)


def agreement(results: Results) -> Chart:
    """Return on what share of test images networks of two inits agree."""
    by, seeds = ["first", "second"], ["first_seed", "second_seed"]
    means = spread(results.table("transfer/agreement"), by, "share", seeds, most=1)
    least = means.nsmallest(1, "mean").iloc[0]
    z = pd.DataFrame(math.nan, INITS, INITS)
    for first, second, mean in means[["first", "second", "mean"]].values:
        z.loc[first, second] = z.loc[second, first] = 100 * mean
    drawn = matrix(z, ("init", "init"), "{:.1f}", least=z.min().min())
    return Chart("agreement", {"least": least}, drawn, means)


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
