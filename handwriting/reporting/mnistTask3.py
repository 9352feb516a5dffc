"""The report's section on question three: what can be learnt from labels that are wrong?"""

from statistics import fmean
from typing import Any

from handwriting.data.alphabet import DIGITS
from handwriting.reporting import charts
from handwriting.reporting.characters import captions, tiles
from handwriting.reporting.mnist import CORRECTED
from handwriting.reporting.page import Chart, Part, Section, Sheet, Table, table_of
from handwriting.reporting.results import Results, accuracies, curves, in_points, percent, told

NETWORKS = {
    "mnistTask3-naive": "its folder names taken at their word",
    "mnistTask3-naive-argmin": "the same, answering what it holds for least likely",
    "mnistTask3-random": "as audited, from random weights",
    "mnistTask3-digits": "the same, from the network of the digits",
    "mnistTask3-characters": "the same, from the network of all 62 classes",
}


def section(results: Results, audits: dict[str, dict[str, object]]) -> Section:
    """The section, its answer first; `audits` are what the audit says of each digit set."""
    metrics = {name: results.metrics(name) for name in NETWORKS}
    naive, corrected = metrics["mnistTask3-naive"], metrics["mnistTask3-random"]
    found = results.metrics("match")
    answer = (
        f"{audits['mnistTask3']['sentence']}. Taken at their word they teach {told(naive)}; as"
        f" what they are, from random weights, {told(corrected)} of MNIST's test images."
    )
    takeaway = (
        f"The same images and labels: {percent(naive['accuracy'])} against"
        f" {percent(corrected['accuracy'])} once it is known what is wrong with the labels. (The"
        " naive networks are the usual ones of params.yaml, in fewer passes than the corrected.)"
    )
    trained = [name for name in NETWORKS if not name.endswith("-argmin")]
    runs = {NETWORKS[name]: results.curves(name) for name in trained}
    curves_say = (
        "Each is scored as its own reading of the labels has it, which for the naive one is not"
        " whether it is right: see the accuracies above for that. For the corrected it is an"
        " estimate by the inverse of the audit's matrix, which chance may carry past 100%. It may"
        " dip where a round begins, as the rates rise again and other targets are learnt from."
    )
    title = "Learning curves, naive and corrected"
    after = (
        f"Looked up after the fact by their pixels, {found['labels_right']} of"
        f" {found['images']:,} labels are right. No entry of the matrix that the audit estimated is"
        f" further than {found['matrix_error']:.4f} from the one found here."
    )
    counts = [[float(row[digit]) for digit in DIGITS] for row in results.tracked("transitions.csv")]
    truth = [[each / sum(row) for each in row] for row in counts]
    parts: list[Part] = [
        accuracies("mnistTask3", takeaway, metrics, NETWORKS),
        folders(results),
        *(estimate(name, audit) for name, audit in audits.items()),
        _matrix("transitions", "The labels as they turned out to be", after, truth),
        looked_up(found),
        pseudo_labels(results, found),
        jpeg(results, found["pixel_difference"]),
        curves("curves-mnistTask3", title, curves_say, runs, "validation accuracy as labelled"),
        beside_clean(results),
        starts(results),
        mistakes(results),
    ]
    return Section("three", "Three: what can be learnt from labels that are wrong?", answer, parts)


def looked_up(found: dict[str, Any]) -> Chart:
    """How right the audit and the network were about the images that were learnt from."""
    shares = {
        "images found in MNIST": ("matched", "images"),
        "labels that are right": ("labels_right", "images"),
        "labels believed right that are": ("believed_right_and_are", "believed_right"),
        "answers of mnistTask3-random that are right": ("train_answers_right", "train_images"),
    }
    rows = [
        (name, found[part], found[whole], percent(found[part] / max(1, found[whole])))
        for name, (part, whole) in shares.items()
    ]
    takeaway = (
        f"Of {found['believed_right']} labels that the audit believed right (believed-right.csv"
        f" among the metrics lists them) {found['believed_right_and_are']} are; and of the"
        f" {found['train_images']:,} images that were learnt from without their true labels, seed 0"
        " from random weights reads"
        f" {found['train_answers_right']:,} as MNIST labels them."
    )
    lengths = {name: found[part] / max(1, found[whole]) for name, (part, whole) in shares.items()}
    figure = charts.lying_bars(lengths, "share")
    columns = ("what", "count", "of", "share")
    return Chart("looked-up", "How right it was", takeaway, figure, Table(columns, rows))


def pseudo_labels(results: Results, found: dict[str, Any]) -> Chart:
    """How right the answers were that the networks went on to learn from."""
    rows = results.tracked("pseudo-labels.csv")
    shown = {}
    for key in dict.fromkeys((row["start"], row["round"]) for row in rows):
        counts = [row for row in rows if (row["start"], row["round"]) == key]
        shares = [100 * int(row["right"]) / max(1, int(row["pseudo_labels"])) for row in counts]
        name = f"from {key[0]}, round {key[1]}"
        shown[name] = (fmean(shares), min(shares), max(shares))
    takeaway = (
        "After its first round a network also learns from its own answers where it is sure of"
        f" them: {percent(found['pseudo_labels_right'] / max(1, found['pseudo_labels']))} of these"
        f" {found['pseudo_labels']:,} (all starts, rounds and seeds) are what MNIST says. The"
        " intervals hold all seeds."
    )
    figure = charts.intervals(shown, "pseudo-labels that are right, in %")
    return Chart(
        "pseudo-labels", "How right what it taught itself was", takeaway, figure, table_of(rows)
    )


def beside_clean(results: Results) -> Chart:
    """The networks that learnt from wrong labels beside the same that learnt from true ones."""
    rows = [
        row
        for row in results.tracked("transfer/measures.csv")
        if row["budget"] == "all" and row["way"] in ("full", CORRECTED)
    ]
    labels = {"full": "true labels", CORRECTED: "wrong labels, corrected"}
    accuracy = [row for row in rows if row["measure"] == "accuracy"]
    shown = {
        f"{labels[row['way']]}, from {row['start']}": in_points(row, "mean") for row in accuracy
    }
    true, wrong = (
        next(row for row in accuracy if (row["way"], row["start"]) == (way, "random"))
        for way in labels
    )
    takeaway = (
        f"From random weights the same network learns {percent(float(true['mean']))} from MNIST's"
        f" true labels ({true['n']} seeds) and {percent(float(wrong['mean']))} from the wrong ones"
        f" ({wrong['n']} seeds), each by its own recipe; the intervals are over the seeds. The"
        " table has every measure of both."
    )
    figure = charts.intervals(shown, "test accuracy in %")
    title = "Beside the same network with true labels"
    return Chart("beside-clean", title, takeaway, figure, table_of(rows))


def starts(results: Results) -> Chart:
    """Whether it matters which weights the correction starts from: the paired tests."""
    rows = [row for row in results.tracked("transfer/comparisons.csv") if row["way"] == CORRECTED]
    shown = {
        f"{row['start']} against {row['against']}": in_points(row, "difference") for row in rows
    }
    said = "; ".join(row["sentence"] for row in rows)
    figure = charts.intervals(shown, "difference in points")
    takeaway = f"Of pairs of seeds: {said}."
    return Chart("starts", "Does the start matter here?", takeaway, figure, table_of(rows))


def folders(results: Results) -> Sheet:
    """The first images of each folder of mnistTask3."""
    png = results.picture("sheets/digits/folders.png")
    takeaway = "A row is a folder: what is in it is hardly ever the digit that names it."
    rows = [f"folder {digit}" for digit in DIGITS]
    return Sheet("folders", "What is in the folders", takeaway, png, 12, (), rows)


def jpeg(results: Results, difference: float) -> Sheet:
    """An image of each class as MNIST has it and as mnistTask3 has it."""
    takeaway = (
        f"The re-encoding as JPEG moves a pixel by {difference:.1f} of 255 on average; where, the"
        " last row shows."
    )
    png = results.picture("sheets/jpeg.png")
    rows = ["MNIST", "mnistTask3", "difference x 4"]
    return Sheet("jpeg", "JPEG against MNIST's own pixels", takeaway, png, 10, (), rows)


def mistakes(results: Results) -> Sheet:
    """Where the network that learnt from wrong labels is still wrong, and why."""
    said = results.table("predictions/digits.csv")
    wrong, clean = (
        {row["row"] for row in said if row[name] != row["actual"]}
        for name in ("mnistTask3-random", "mnist-random")
    )
    rows = tiles(results, "digits", "corrected")
    takeaway = (
        f"Seed 0 of mnistTask3-random is wrong on {len(wrong)} of MNIST's test images,"
        f" {len(wrong & clean)} of them also misread by a network that learnt MNIST's true labels,"
        f" which has {len(clean)} mistakes: these {len(wrong & clean)} are hard for both, the other"
        f" {len(wrong - clean)} are what these labels and this seed cost. The {len(rows)} worst,"
        " each as actual → predicted with its confidence."
    )
    png = results.picture("sheets/digits/corrected.png")
    return Sheet("worst-corrected", "Where it is still wrong", takeaway, png, 12, captions(rows))


def estimate(name: str, audit: dict[str, object]) -> Chart:
    """The transition matrix as the audit estimates it, from the labels alone."""
    title = f"The labels of {name}, as audited"
    matrix: list[list[float]] = audit["estimated"]  # type: ignore[assignment]
    return _matrix(f"audit-{name}", title, f"{audit['sentence']}.", matrix)


def _matrix(identity: str, title: str, takeaway: str, matrix: list[list[float]]) -> Chart:
    figure = charts.heatmap(matrix, DIGITS, ("given label", "true class"))
    rows = [
        [digit, *(f"{each:.4g}" for each in row)] for digit, row in zip(DIGITS, matrix, strict=True)
    ]
    return Chart(identity, title, takeaway, figure, Table(("true class", *DIGITS), rows))
