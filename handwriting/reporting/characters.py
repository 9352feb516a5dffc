"""The report's section on question one: how well are all classes classified?"""

from typing import Any

import pandas as pd

from handwriting.reporting import charts
from handwriting.reporting.networks import NETWORKS
from handwriting.reporting.page import Chart, Part, Section, Sheet
from handwriting.reporting.results import Results, accuracies, calibration, chart, curves, mistakes


def section(results: Results) -> Section:
    """Return the section."""
    shown, pairs = numbers(results), results.table("characters/confusable")
    points = 100 * (shown["adapted"]["accuracy"] - shown["single"]["accuracy"])
    parts: list[Part] = [
        accuracies(results, 1, points=points, variant=shown["variant"]),
        curves("characters", results.table("characters/curves"), "protocol"),
        confusion(results),
        classes(results.table("characters/classes")),
    ]
    if len(pairs):
        parts.append(confusable(pairs))
    if shown["single"]["writers"]:
        parts.append(context_size(results))
    parts.append(calibration(results, "characters", shown["single"]))
    if shown["single"]["accuracy"] < 1:
        parts += [mistakes(results, "characters", each) for each in ("worst", "confident")]
    return Section("one", shown, [*parts, feature_map(results), magnitudes(results)])


def numbers(results: Results) -> dict[str, Any]:
    """Return what the answer names."""
    names = {"single": "", "adapted": "-adapted", "unseen": "-unseen-writers"}
    found = {name: results.json(f"characters{suffix}") for name, suffix in names.items()}
    variant = "text" if found["single"]["writers"] else "unknown"
    return found | {"classes": len(results.classes()), "variant": variant}


def confusion(results: Results) -> Chart:
    """Return the confusion matrix, and the pairs that are confused most."""
    predictions = results.evaluated("characters/predictions")
    pairs = results.table("characters/pairs")
    counts = pd.crosstab(predictions["actual"], predictions["characters"])
    names = results.classes()
    counts = counts.reindex(index=names, columns=names, fill_value=0)
    figure = charts.heatmap(counts, ("predicted class", "actual class"), 860)
    ten, mistakes = pairs["times"][:10].sum(), pairs["times"].sum()
    numbers: dict[str, Any] = {"pairs": len(pairs), "ten": ten, "mistakes": mistakes}
    if pairs.empty:
        return chart("confusion", figure, pairs, variant="none")
    return chart("confusion", figure, pairs, pair=pairs.iloc[0], **numbers)


def classes(rows: pd.DataFrame) -> Chart:
    """Return F1 of each class, the weakest first."""
    rows = rows.sort_values("f1", kind="stable")
    figure = charts.bars(rows.assign(of="F1"), "class", "f1", "of", ("class", "F1"))
    weakest = ", ".join(f"{name} ({f1:.2f})" for name, f1 in rows[["class", "f1"]].values[:5])
    return chart("classes", figure, rows, weakest=weakest)


def confusable(rows: pd.DataFrame) -> Chart:
    """Return how often an image is predicted as the other class of a confusable pair."""
    titles = ("confusable classes", "images taken for the other one")
    figure = charts.bars(labelled(rows), "classes", "confused", "label", titles)
    total = rows.groupby("network")["confused"].sum()
    numbers = {"single": total["characters"], "adapted": total["characters-adapted"]}
    return chart("confusable", figure, rows, **numbers)


def context_size(results: Results) -> Chart:
    """Return the accuracy against the number of other images by the writer."""
    rows = results.table("characters/context_size")
    types = results.table("characters/character_types")
    shown = labelled(rows).assign(accuracy=rows["correct"] / rows["images"])
    shown["context"] = shown["context"].astype(str)
    order, titles = list(shown["context"].unique()), ("other images by the writer", "accuracy")
    figure = charts.lines(shown, "context", "accuracy", ["label"], titles, order)
    seen = shown[shown["network"] == "characters"].set_index("context")["accuracy"]
    total = types[types["network"] == "characters"].sum()
    numbers = {"none": seen["0"], "eight": seen["8"], "all": seen.iloc[-1]}
    numbers |= {"same": total["adapted_same_type"], "single": total["single"]}
    numbers["variant"] = "one_type" if types["type"].nunique() == 1 else "text"
    return chart("context", figure, rows, images=total["images"], **numbers)


def labelled(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with the label of their network."""
    return rows.assign(label=[NETWORKS[name].label for name in rows["network"]])


def feature_map(results: Results) -> Chart:
    """Return the held-out images of a fold as the network sees them, on a plane."""
    rows, png = results.evaluated("characters/map"), results.picture("evaluation/characters/map")
    wrong = (rows["actual"] != rows["predicted"]).sum()
    return chart("map", charts.scatter(rows), rows, png, images=len(rows), wrong=wrong)


def magnitudes(results: Results) -> Sheet:
    """Return each augmentation alone, then all of them."""
    rows = results.tiles("characters", "magnitudes")["row"].tolist()
    return Sheet("magnitudes", {}, results.picture("figures/characters/magnitudes"), 12, rows=rows)
