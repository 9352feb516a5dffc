"""The report's section on question three: what can be learned from labels that are wrong?"""

from typing import Any

import pandas as pd

from handwriting.data.alphabet import DIGITS
from handwriting.reporting import charts
from handwriting.reporting.page import Chart, Section, Sheet
from handwriting.reporting.results import Results, accuracies, calibration, chart, curves, mistakes

_LABELS = {"full": "clean labels", "forward_correction": "wrong labels, forward correction"}


def section(results: Results) -> Section:
    """Return the section."""
    shown, oracle = numbers(results), results.json("oracle/summary")
    counts = results.table("oracle/transitions").set_index("true_class")
    folders = [f"folder {digit}" for digit in DIGITS]
    versions = ["MNIST", "mnistTask3", "difference x 4"]
    parts = (
        accuracies(results, 3, **shown),
        Sheet("folders", {}, results.picture("figures/mnistTask3/folders"), 12, rows=folders),
        label_noise(results, "mnist"),
        label_noise(results, "mnistTask3"),
        matrix("transitions", counts.div(counts.sum(axis=1), axis=0), **oracle),
        looked_up(oracle),
        pseudo_labels(results.table("oracle/pseudo_labels"), oracle),
        Sheet("jpeg", oracle, results.picture("figures/oracle/jpeg"), 10, rows=versions),
        curves("mnistTask3", results.table("mnistTask3/curves_mean"), "init"),
        clean_labels(results),
        inits(results.table("mnistTask3/comparisons")),
        calibration(results, "mnistTask3", shown["forward"]),
        worst(results),
    )
    return Section("three", shown, parts)


def numbers(results: Results) -> dict[str, Any]:
    """Return what the answer names."""
    names = {"naive": "mnistTask3-naive", "forward": "mnistTask3-random"}
    metrics = {name: results.json(network) for name, network in names.items()}
    noise = results.table("mnistTask3/label_noise").set_index("dataset").loc["mnistTask3"]
    return metrics | {"noise": noise, "oracle": results.json("oracle/summary")}


def label_noise(results: Results, data: str) -> Chart:
    """Return the transition matrix that the labels of a data set are diagnosed with."""
    found = results.json(f"label_noise/{data}", "artifacts")
    estimated = pd.DataFrame(found["estimated"], DIGITS, DIGITS)
    return matrix(f"label-noise-{data}", estimated, **found)


def matrix(identity: str, shares: pd.DataFrame, **numbers: Any) -> Chart:
    """Return a transition matrix, rows the true classes."""
    figure = charts.heatmap(shares, ("given label", "true class"))
    return chart(identity, figure, shares.reset_index(names="true class"), **numbers)


def looked_up(oracle: dict[str, Any]) -> Chart:
    """Return how correct the diagnosis and the network were about the training images."""
    shares = {
        "images found in MNIST": ("matched", "images"),
        "labels that are correct": ("labels_correct", "images"),
        "labels believed correct that are": ("believed_correct_and_are", "believed_correct"),
        "wrong labels with the right suggestion": ("suggestions_correct", "wrong_labels"),
        "predictions that are correct": ("train_predictions_correct", "train_images"),
    }
    counts = [(name, oracle[part], oracle[whole]) for name, (part, whole) in shares.items()]
    table = pd.DataFrame(counts, columns=["what", "count", "of"])
    table["share"] = share = table["count"] / table["of"].clip(1)
    rows = table.assign(low=share, high=share)
    figure = charts.intervals(rows, "share", "share in %", list(shares))
    return chart("oracle", figure, table, **oracle)


def pseudo_labels(rows: pd.DataFrame, oracle: dict[str, Any]) -> Chart:
    """Return how correct the pseudo-labels of self-training were."""
    share = (rows["correct"] / rows["pseudo_labels"].clip(1)).groupby([rows["init"], rows["round"]])
    shown = share.agg(mean="mean", low="min", high="max").reset_index()
    names = [f"{init}, round {number}" for init, number in shown[["init", "round"]].values]
    title = "correct pseudo-labels in %"
    figure = charts.intervals(shown, "mean", title, names, shown["init"])
    return chart("pseudo-labels", figure, rows, **oracle)


def clean_labels(results: Results) -> Chart:
    """Return the networks of question two and three side by side: clean and wrong labels."""
    rows = pd.concat([results.table(f"{name}/measures") for name in ("transfer", "mnistTask3")])
    rows = rows[(rows["labels"] == "all") & rows["method"].isin(_LABELS)]
    shown = rows[rows["measure"] == "accuracy"]
    names = [f"{_LABELS[method]}, from {init}" for method, init in shown[["method", "init"]].values]
    colours = ["clean" if method == "full" else method for method in shown["method"]]
    figure = charts.intervals(shown, "mean", "test accuracy in %", names, colours)
    clean, wrong = (row for _, row in shown[shown["init"] == "random"].iterrows())
    return chart("clean-labels", figure, rows, clean=clean, wrong=wrong)


def inits(rows: pd.DataFrame) -> Chart:
    """Return whether the init matters for forward correction: the paired tests."""
    names = [f"{init} against {against}" for init, against in rows[["init", "against"]].values]
    figure = charts.intervals(rows, "difference", "difference in points", names, rows["init"])
    return chart("inits", figure, rows, sentences=" ".join(rows["sentence"]))


def worst(results: Results) -> Sheet:
    """Return the mistakes of a network that was trained on the wrong labels."""
    tables = {data: results.evaluated(f"{data}/predictions") for data in ("mnistTask3", "mnist")}
    wrong, clean = (set(t["row"][t[f"{data}-random"] != t["actual"]]) for data, t in tables.items())
    numbers = {"wrong": len(wrong), "clean": len(clean), "both": len(wrong & clean)}
    return mistakes(results, "mnistTask3", "worst", **numbers)
