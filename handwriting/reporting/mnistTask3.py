"""The report's section on question three: what can be learned from labels that are wrong?"""

from typing import Any

import pandas as pd
from markupsafe import Markup

from handwriting.data.alphabet import DIGITS
from handwriting.reporting import ink, scales, verdicts
from handwriting.reporting.dots import Row, dots
from handwriting.reporting.matrix import matrix
from handwriting.reporting.networks import TITLES
from handwriting.reporting.page import Chart, Part, Section, Sheet
from handwriting.reporting.results import (
    Results,
    about,
    accuracies,
    accuracy,
    calibration,
    curves,
    mistakes,
    row,
)
from handwriting.reporting.svg import html

_METHODS = {  # of the figure, by what a network was trained on and how
    "mnistTask3-naive": "naive",
    "mnistTask3-naive-argmin": "argmin",
    "mnistTask3-random": "forward_correction",
    "mnist-random": "clean",
}
_AXES = ("true digit", "given label")  # of the matrices: columns, rows
_NOISE = 34  # of 255, of JPEG's ground
_ON_CARD = 3  # the folder that the card shows


def section(results: Results) -> Section:
    """Return the section."""
    shown, oracle = numbers(results), results.json("oracle/summary")
    images = ink.tiles(results.pixels("figures/mnistTask3/folders"), len(DIGITS))
    names = [f"mnistTask3-{init}" for init in ("random", "digits", "characters")]
    versions = ["MNIST", "mnistTask3", "difference x 4"]
    picture = Sheet("jpeg", oracle, results.picture("figures/oracle/jpeg"), 10, rows=versions)
    parts: tuple[Part, ...] = (
        folders(results, images),
        methods(results, **shown),
    )
    inits = results.table("mnistTask3/comparisons")
    folded = (
        accuracy(results, 3, names, sentences=verdicts.sentences(inits)),
        Chart("inits", {}, Markup(), verdicts.tabled(inits)),
        label_noise(results, "mnist"),
        label_noise(results, "mnistTask3"),
        looked_up(oracle),
        pseudo_labels(results.table("oracle/pseudo_labels"), oracle),
        curves("mnistTask3", results.table("mnistTask3/curves_mean"), "init"),
        clean_labels(results),
        picture,
        calibration(results, "mnistTask3", shown["forward"]),
        worst(results),
    )
    digits = ["" if digit == _ON_CARD else str(digit) for digit in range(len(DIGITS))]
    first = len(DIGITS) * _ON_CARD
    card = ink.strip(images[first : first + len(DIGITS)], digits, 5, _NOISE)
    return Section("three", shown, card, parts, folded)


def numbers(results: Results) -> dict[str, Any]:
    """Return what the answer names."""
    names = {"naive": "mnistTask3-naive", "forward": "mnistTask3-random", "clean": "mnist-random"}
    metrics = {name: results.json(network) for name, network in names.items()}
    noise = results.table("mnistTask3/label_noise").set_index("dataset").loc["mnistTask3"]
    helped = metrics["forward"]["low"] > metrics["naive"]["high"]
    found = metrics | {"noise": noise, "oracle": results.json("oracle/summary")}
    return found | {"variant": "learned" if helped else "not"}


def folders(results: Results, images: ink.Tiles) -> Chart:
    """Return what is in the folders: an image of each kind, and how many there are."""
    counts = results.table("oracle/transitions").set_index("true_class").T
    counts.columns = counts.columns.astype(str)
    images = images.copy()
    images[:: len(DIGITS) + 1] = 0  # the few that are correct, in an otherwise empty diagonal
    sheet = ink.data_uri(ink.joined(images, len(DIGITS)), _NOISE)
    both = (
        matrix(counts, _AXES, diagonal="naive", picture=sheet),
        matrix(counts, _AXES, "{:,.0f}", diagonal="naive"),
    )
    form = '<div class="two"><div><h4>One image of each kind</h4>{}</div>'
    form += "<div><h4>How many there are</h4>{}</div></div>"
    found = results.json("oracle/summary")
    table = counts.reset_index(names="given label")
    return Chart("transitions", found, html(form, *both), table)


def methods(results: Results, **found: Any) -> Chart:
    """Return the accuracies that come out, by method."""
    metrics = {name: results.json(name) for name in _METHODS}
    titles = TITLES | {"clean": "Clean labels, for comparison"}
    rows = [
        row(each, titles[method], about(each), method, method == "clean")
        for each, method in zip(metrics.values(), _METHODS.values(), strict=True)
    ]
    table = pd.DataFrame(metrics).T.reset_index(names="network")
    return Chart("methods-mnistTask3", found, accuracies(rows), table)


def label_noise(results: Results, data: str) -> Chart:
    """Return the transition matrix that the labels of a data set are diagnosed with."""
    found = results.json(f"label_noise/{data}", "artifacts")
    shares = pd.DataFrame(found["estimated"], DIGITS, DIGITS).T
    outline = "" if data == "mnist" else "naive"  # the diagonal that mnistTask3 leaves out
    drawn = matrix(100 * shares, _AXES, "{:.0f}", diagonal=outline)
    return Chart(f"label-noise-{data}", found, drawn, shares.reset_index(names="given label"))


def looked_up(oracle: dict[str, Any]) -> Chart:
    """Return what the diagnosis found, checked with the true labels."""
    shares = {
        "images with a match in MNIST": ("matched", "images"),
        "labels that are correct": ("labels_correct", "images"),
        "labels believed correct that are": ("believed_correct_and_are", "believed_correct"),
        "wrong labels with the right suggestion": ("suggestions_correct", "wrong_labels"),
        "predictions that are correct": ("train_predictions_correct", "train_images"),
    }
    counts = [
        (name, oracle[part], oracle[whole])
        for name, (part, whole) in shares.items()
        if oracle[whole]
    ]
    table = pd.DataFrame(counts, columns=["what", "count", "of"])
    table["share"] = table["count"] / table["of"]
    rows = [
        Row(name, f"of {whole:,}", share, share, share, f"{share:.2%}", f"{part:,}")
        for name, part, whole, share in table.values.tolist()
    ]
    variant = "some" if oracle["believed_correct"] else "none"
    return Chart(
        "oracle", oracle | {"variant": variant}, dots(rows, scales.accuracy(table["share"])), table
    )


def pseudo_labels(rows: pd.DataFrame, oracle: dict[str, Any]) -> Chart:
    """Return how correct the pseudo-labels of self-training were."""
    some = rows[rows["pseudo_labels"] > 0]
    share = (some["correct"] / some["pseudo_labels"]).groupby(
        [some["init"], some["round"]], sort=False
    )
    shown = share.agg(accuracy="mean", low="min", high="max").reset_index()
    points = [
        row(each, f"{TITLES[each['init']]}, round {each['round']}", "all seeds", each["init"])
        for each in shown.to_dict("records")
    ]
    variant = "some" if oracle["pseudo_labels"] else "none"
    return Chart("pseudo-labels", oracle | {"variant": variant}, accuracies(points), rows)


def clean_labels(results: Results) -> Chart:
    """Return the networks of question two and three side by side: clean and wrong labels."""
    rows = pd.concat([results.table(f"{name}/measures") for name in ("transfer", "mnistTask3")])
    kinds = {"full": "clean labels", "forward_correction": "wrong labels"}
    rows = rows[(rows["labels"] == "all") & rows["method"].isin(kinds)]
    shown = rows[rows["measure"] == "accuracy"].rename(columns={"mean": "accuracy"})
    points = [
        row(
            each,
            TITLES[each["init"]],
            f"{kinds[each['method']]}, {each['n']} runs",
            each["init"],
            each["method"] == "full",
        )
        for each in shown.to_dict("records")
    ]
    clean, wrong = shown[shown["init"] == "random"].to_dict("records")
    return Chart("clean-labels", {"clean": clean, "wrong": wrong}, accuracies(points), rows)


def worst(results: Results) -> Sheet:
    """Return the mistakes of a network that was trained on the wrong labels."""
    tables = {data: results.evaluated(f"{data}/predictions") for data in ("mnistTask3", "mnist")}
    wrong, clean = (set(t["row"][t[f"{data}-random"] != t["actual"]]) for data, t in tables.items())
    found = {"wrong": len(wrong), "clean": len(clean), "both": len(wrong & clean)}
    return mistakes(results, "mnistTask3", "worst", **found)
