"""The report's section on question two: does pretraining on the characters help on MNIST?"""

from collections.abc import Callable, Sequence

from stages.common.reporting import charts
from stages.common.reporting.page import Chart, Part, Section, Sheet, table_of
from stages.common.reporting.question_one import captions
from stages.common.reporting.results import Results, Row, accuracies, curves, percent

NETWORKS = {
    "mnist-random": "from random weights",
    "mnist-digits": "from the network of the digits",
    "mnist-characters": "from the network of all 62 classes",
}
_FULL = "full"  # the way of fine-tuning in which all weights learn


def section(results: Results) -> Section:
    """The section, its answer first."""
    metrics = {name: results.metrics(name) for name in NETWORKS}
    said = ", ".join(
        f"{NETWORKS[name]} {percent(each['accuracy'])} ({100 * each['accuracy_low']:.2f} to"
        f" {100 * each['accuracy_high']:.2f}%, sd {100 * each['accuracy_sd']:.2f})"
        for name, each in metrics.items()
    )
    first = metrics["mnist-random"]
    with_all = (
        f"With all labels, of {first['images']:,} test images are read rightly {said}"
        f"; the means of {len(first['correct'])} seeds, with the 95%"
        " interval of the sampling of the images, and the sd between the seeds."
    )
    answer = f"{results.metrics('transfer')['answer']} {with_all}"
    spread = 100 * (max(m["accuracy"] for m in metrics.values()) - min(
        m["accuracy"] for m in metrics.values()))  # fmt: skip
    sampling = 100 * (first["accuracy_high"] - first["accuracy_low"]) / 2
    takeaway = (
        f"The starts differ by {spread:.2f} points at most; the sampling of the test images alone"
        f" makes ±{sampling:.2f}."
    )
    runs = {NETWORKS[name]: results.curves(name) for name in NETWORKS}
    title, band = (
        "Learning curves on MNIST",
        "The lines are means over the seeds, the bands hold all seeds.",
    )
    parts: list[Part] = [
        accuracies("mnist", takeaway, metrics, NETWORKS),
        curves("curves-mnist", title, band, runs, "accuracy of validation images"),
        *transfer(results),
        mistakes(results),
    ]
    return Section("two", "Two: does pretraining on them help on MNIST?", answer, parts)


def transfer(results: Results) -> list[Chart]:
    """What the statistics of question two say, a part for each of their tables."""
    parts: dict[str, Callable[[list[dict[str, str]]], Chart]] = {
        "budgets": budget_curves,
        "comparisons": comparisons,
        "curves": few_labels,
        "speed": speed,
        "digits": digits,
        "cka": similarity,
        "agreement": agreement,
    }
    return [make(results.tracked(f"transfer/{name}.csv")) for name, make in parts.items()]


def budget_curves(rows: list[dict[str, str]]) -> Chart:
    """Test accuracy against the number of labels."""
    sizes = sorted({row["budget"] for row in rows}, key=_size)
    arms = sorted({(row["way"] != _FULL, row["way"], row["start"]) for row in rows})
    series = {
        f"{start}, {way}": [
            {"x": str(sizes.index(row["budget"])), **row}
            for row in sorted(rows, key=lambda row: _size(row["budget"]))
            if (row["start"], row["way"]) == (start, way)
        ]
        for _, way, start in arms
    }
    figure = charts.lines(series, "x", "mean", ("labels for each class", "test accuracy"), sizes)
    few, fewest = sizes[0], [row for row in rows if row["budget"] == sizes[0]]
    best = max(fewest, key=lambda row: float(row["mean"]))
    takeaway = (
        f"With {few} labels for each class the best is {best['start']} ({best['way']}) at"
        f" {_interval(best)}, the mean of {best['n']} seeds with its 95% interval."
    )
    return Chart("budgets", "Accuracy by the number of labels", takeaway, figure, table_of(rows))


def comparisons(rows: list[dict[str, str]]) -> Chart:
    """The paired tests: differences with their intervals."""
    verdicts = sorted({row["verdict"] for row in rows})
    counts = ", ".join(f"{v} {sum(r['verdict'] == v for r in rows)}" for v in verdicts)
    shown = {
        f"{row['start']} against {row['against']}, {row['way']}, {row['budget']}": (
            100 * float(row["difference"]),
            100 * float(row["low"]),
            100 * float(row["high"]),
        )
        for row in rows
    }
    figure = charts.intervals(shown, "difference in points")
    takeaway = f"Of {len(rows)} paired comparisons: {counts}."
    return Chart("comparisons", "Paired tests", takeaway, figure, table_of(rows))


def few_labels(rows: list[dict[str, str]]) -> Chart:
    """Learning curves at the smallest budget, all weights learning."""
    few = min((row["budget"] for row in rows), key=_size)
    chosen = [row for row in rows if row["budget"] == few and row["way"] == _FULL]
    starts = sorted({row["start"] for row in chosen})
    runs = {start: [row for row in chosen if row["start"] == start] for start in starts}
    takeaway = f"Means over the seeds with {few} labels for each class; the bands hold all seeds."
    title = "Learning curves with few labels"
    return curves("curves-few", title, takeaway, runs, "accuracy", run="seed")


def speed(rows: list[dict[str, str]]) -> Chart:
    """How many images it takes to come to each accuracy."""
    names = sorted({f"{row['start']}, {row['way']}" for row in rows})
    arms = [[row for row in rows if f"{row['start']}, {row['way']}" == name] for name in names]
    shares = [
        sum(int(row["reached"]) for row in arm) / sum(int(row["n"]) for row in arm) for arm in arms
    ]
    figure = charts.bars(names, shares, ("start, way", "share of the accuracies reached"))
    whole = [row for row in rows if (row["way"], row["budget"]) == (_FULL, "all")]
    by_goal = {goal: [row for row in whole if row["threshold"] == goal] for goal in _goals(whole)}
    common = [goal for goal, each in by_goal.items() if all(row["median_images"] for row in each)]
    takeaway = "With all labels, no accuracy was reached by half of the runs of every start."
    if common:
        told = ", ".join(
            f"{int(row['median_images']):,} from {row['start']}" for row in by_goal[common[-1]]
        )
        takeaway = (
            f"With all labels, {percent(float(common[-1]))} of the validation images are read"
            f" rightly once so many have been seen: {told}; medians over the seeds, of which those"
            " that never got there count as longest."
        )
    return Chart("speed", "How soon it gets there", takeaway, figure, table_of(rows))


def digits(rows: list[dict[str, str]]) -> Chart:
    """Errors on each digit by start."""
    starts = sorted({row["start"] for row in rows})
    series = {start: [row for row in rows if row["start"] == start] for start in starts}
    figure = charts.lines(series, "digit", "errors", ("digit", "errors"))
    worst = max(rows, key=lambda row: float(row["errors"]))
    takeaway = (
        f"Most errors: {worst['errors']} of {worst['images']} images of {worst['digit']}, from"
        f" {worst['start']}."
    )
    return Chart("digits", "Errors on each digit", takeaway, figure, table_of(rows))


def similarity(rows: list[dict[str, str]]) -> Chart:
    """How alike the layers of two networks are."""
    names = [f"{row['first']} / {row['second']}, {row['layer']}" for row in rows]
    figure = charts.bars(names, [float(row["cka"]) for row in rows], ("", "linear CKA"))
    least = min(rows, key=lambda row: float(row["cka"]))
    takeaway = (
        f"Least alike are {least['first']} and {least['second']} in layer {least['layer']}:"
        f" {float(least['cka']):.2f} of 1."
    )
    return Chart("cka", "How alike the layers are", takeaway, figure, table_of(rows))


def agreement(rows: list[dict[str, str]]) -> Chart:
    """How often two networks give the same answer."""
    names = [f"{row['first']} / {row['second']}" for row in rows]
    figure = charts.bars(names, [float(row["share"]) for row in rows], ("", "share"))
    least = min(rows, key=lambda row: float(row["share"]))
    takeaway = (
        f"{least['first']} and {least['second']} agree least, on {percent(float(least['share']))}."
    )
    return Chart("agreement", "How often they agree", takeaway, figure, table_of(rows))


def mistakes(results: Results) -> Sheet:
    """The wrong answers of one network on MNIST's test split."""
    rows = results.table("sheets/digits/worst.csv")
    takeaway = (
        f"The {len(rows)} worst of seed 0 of mnist-characters, each as actual → predicted with its"
        " confidence."
    )
    png = results.picture("sheets/digits/worst.png")
    return Sheet("worst-digits", "The worst mistakes on MNIST", takeaway, png, 12, captions(rows))


def _goals(rows: Sequence[Row]) -> list[str]:
    return sorted({row["threshold"] for row in rows}, key=float)


def _size(budget: str) -> float:
    return float("inf") if budget == "all" else float(budget)


def _interval(row: Row) -> str:
    low, high = 100 * float(row["low"]), 100 * float(row["high"])
    return f"{percent(float(row['mean']))} ({low:.2f} to {high:.2f}%)"
