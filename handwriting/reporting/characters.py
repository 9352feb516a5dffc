"""The report's section on question one: how well are all classes classified?"""

from typing import Any

import pandas as pd
from markupsafe import Markup

from handwriting.reporting import charts, ink, still
from handwriting.reporting.matrix import matrix
from handwriting.reporting.networks import NETWORKS
from handwriting.reporting.page import Chart, Part, Section, Sheet
from handwriting.reporting.results import (
    Results,
    accuracy,
    calibration,
    curves,
    explored,
    mistakes,
)

_SHOWN = 12  # confusable classes in the figure
_ON_CARD = 6  # pairs of classes
_MAP = "characters/map"


def section(results: Results) -> Section:
    """Return the section."""
    shown, pairs = numbers(results), results.table("characters/confusable")
    wrong, known = shown["single"]["accuracy"] < 1, bool(shown["single"]["writers"])
    variant = shown["variant"]
    parts: list[Part] = [accuracy(results, 1, results.networks(1), variant=variant)]
    if wrong:
        parts.append(mistakes(results, "characters", "worst"))
    folded: list[Part] = [confusable(pairs)] if len(pairs) else []
    folded += [confusion(results), classes(results.table("characters/classes"))]
    folded += [context_size(results)] if known else []
    folded.append(curves("characters", results.table("characters/curves"), "protocol"))
    folded.append(calibration(results, "characters", shown["single"]))
    folded += [mistakes(results, "characters", "confident")] if wrong else []
    folded += [feature_map(results), magnitudes(results)]
    return Section("one", shown, card(results), parts, folded)


def numbers(results: Results) -> dict[str, Any]:
    """Return what the answer names."""
    names = {"single": "", "adapted": "-adapted", "unseen": "-unseen-writers"}
    found = {name: results.json(f"characters{suffix}") for name, suffix in names.items()}
    points = 100 * (found["adapted"]["accuracy"] - found["single"]["accuracy"])
    variant = "known" if found["single"]["writers"] else "unknown"
    return found | {"classes": len(results.classes()), "points": points, "variant": variant}


def card(results: Results) -> Markup:
    """Return an image of each class of the pairs that are confused most."""
    rows, tiles = results.evaluated(_MAP), ink.tiles(results.pixels(f"evaluation/{_MAP}"), 24)
    first = rows.drop_duplicates("actual").reset_index().set_index("actual")["index"]
    pairs = results.table("characters/pairs")[["one", "other"]].values.ravel().tolist()
    chosen = [name for name in dict.fromkeys([*pairs, *first.index]) if name in first.index]
    chosen = chosen[: 2 * _ON_CARD]
    return ink.strip(tiles[first[chosen].to_numpy()], chosen, _ON_CARD)


def confusion(results: Results) -> Chart:
    """Return the confusion matrix, and the pairs that are confused most."""
    predictions = results.evaluated("characters/predictions")
    pairs = results.table("characters/pairs")
    counts = pd.crosstab(predictions["actual"], predictions["characters"])
    names, titles = results.classes(), ("predicted class", "actual class")
    counts = counts.reindex(index=names, columns=names, fill_value=0)
    ten, wrong = pairs["times"][:10].sum(), pairs["times"].sum()
    found: dict[str, Any] = {"pairs": len(pairs), "ten": ten, "mistakes": wrong, "variant": "none"}
    if len(pairs):
        found |= {"pair": pairs.iloc[0], "variant": "some"}
    figure = str(charts.heatmap(counts, titles, 860).to_json())
    return Chart("confusion", found, matrix(counts, titles), pairs, figure)


def classes(rows: pd.DataFrame) -> Chart:
    """Return F1 of each class, the weakest first."""
    rows = rows.sort_values("f1", kind="stable")
    drawn = still.bars(rows.assign(of="F1"), "class", "f1", "of", ("class", "F1"))
    weakest = ", ".join(f"{name} ({f1:.2f})" for name, f1 in rows[["class", "f1"]].values[:5])
    return Chart("classes", {"weakest": weakest}, drawn, rows)


def confusable(rows: pd.DataFrame) -> Chart:
    """Return how often an image is predicted as the other class of a confusable pair."""
    total = rows.groupby("network")["confused"].sum()
    found = {"single": total["characters"], "adapted": total["characters-adapted"]}
    shown = labelled(rows[rows["network"].isin(["characters", "characters-adapted"])])
    worst = rows[rows["network"] == "characters"].nlargest(_SHOWN, "confused")["classes"]
    shown = shown.set_index("classes").loc[worst].reset_index()
    titles = ("confusable classes", "images predicted as the other")
    drawn = still.bars(shown, "classes", "confused", "label", titles)
    return Chart("confusable", found | {"shown": len(worst)}, drawn, rows)


def context_size(results: Results) -> Chart:
    """Return the accuracy against the number of other images by the writer."""
    rows = results.table("characters/context_size")
    types = results.table("characters/character_types")
    shown = labelled(rows).assign(accuracy=rows["correct"] / rows["images"])
    shown["context"] = shown["context"].astype(str)
    order, titles = list(shown["context"].unique()), ("other images by the writer", "accuracy")
    figure = charts.accuracies(shown, "context", "accuracy", ["label"], titles, order)
    seen = shown[shown["network"] == "characters"].set_index("context")["accuracy"]
    total = types[types["network"] == "characters"].sum()
    found = {"none": seen["0"], "eight": seen["8"], "all": seen.iloc[-1]}
    found |= {"same": total["adapted_same_type"], "single": total["single"]}
    found["variant"] = "one_type" if types["type"].nunique() == 1 else "types"
    return explored("context", figure, rows, images=total["images"], **found)


def labelled(rows: pd.DataFrame) -> pd.DataFrame:
    """Return rows with the label of their network."""
    return rows.assign(label=[NETWORKS[name].label for name in rows["network"]])


def feature_map(results: Results) -> Chart:
    """Return the held-out images of a fold as the network sees them, on a plane."""
    rows, figure = results.evaluated(_MAP), charts.scatter(results.evaluated(_MAP))
    found = {"images": len(rows), "wrong": (rows["actual"] != rows["predicted"]).sum()}
    picture = results.picture(f"evaluation/{_MAP}")
    return Chart("map", found, still.cloud(rows), rows, str(figure.to_json()), picture)


def magnitudes(results: Results) -> Sheet:
    """Return each augmentation alone, then all of them."""
    rows = results.tiles("characters", "magnitudes")["row"].tolist()
    return Sheet("magnitudes", {}, results.picture("figures/characters/magnitudes"), 12, rows=rows)
