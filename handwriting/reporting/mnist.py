"""The report's section on question two: does pretraining on the characters help on MNIST?"""

from collections.abc import Callable, Sequence
from functools import partial

from handwriting.reporting import charts
from handwriting.reporting.characters import captions, tiles
from handwriting.reporting.page import Chart, Part, Section, Sheet, table_of
from handwriting.reporting.results import (
    Results,
    Row,
    accuracies,
    curves,
    in_points,
    percent,
    spread,
)

NETWORKS = {
    "mnist-random": "from random weights",
    "mnist-digits": "from the network of the digits",
    "mnist-characters": "from the network of all 62 classes",
}
CORRECTED = "corrected"  # the way of the networks of question three
_FULL = "full"  # the way of fine-tuning in which all weights learn
_SEEDS = ("first_seed", "second_seed")  # columns of what two networks have in common
_KEPT = "median_images_kept"  # column of speed.csv


def section(results: Results, pretraining: int) -> Section:
    """The section, its answer first; `pretraining` is how many images a base network of all 62
    classes has seen."""
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
    accuracy = [each["accuracy"] for each in metrics.values()]
    takeaway = (
        f"The starts differ by {100 * (max(accuracy) - min(accuracy)):.2f} points at most. The"
        " intervals are of the sampling of the test images, which all of them read: what is sure"
        " of their differences say the paired tests below."
    )
    points = results.tracked("transfer/curves.csv")
    runs = {
        said: [
            row
            for row in points
            if (f"mnist-{row['start']}", row["way"], row["budget"]) == (name, _FULL, "all")
        ]
        for name, said in NETWORKS.items()
    }
    title, band = (
        "Learning curves on MNIST",
        "The lines are means over the seeds, the bands hold all seeds.",
    )
    parts: list[Part] = [
        accuracies("mnist", takeaway, metrics, NETWORKS),
        curves("curves-mnist", title, band, runs, "accuracy of validation images", run="seed"),
        *transfer(results, pretraining),
        mistakes(results),
    ]
    return Section("two", "Two: does pretraining on them help on MNIST?", answer, parts)


def transfer(results: Results, pretraining: int) -> list[Part]:
    """What the statistics of question two say, a part for each of their tables."""
    parts: list[tuple[str, Callable[[list[dict[str, str]]], Part]]] = [
        ("measures", budget_curves),
        ("measures", other_ways),
        ("comparisons", comparisons),
        ("curves", few_labels),
        ("speed", partial(speed, pretraining)),
        ("measures", quality),
        ("digits", digits),
        ("cka", similarity),
        ("agreement", agreement),
    ]
    tables = {name: results.tracked(f"transfer/{name}.csv") for name, _ in parts}
    # Question three's networks are in these tables too, and shown there.
    return [
        make([row for row in tables[name] if row.get("way") != CORRECTED]) for name, make in parts
    ]


def budget_curves(rows: list[dict[str, str]]) -> Chart:
    """The test error against the number of labels, all weights learning."""
    chosen = [row for row in _accuracies(rows) if row["way"] == _FULL]
    sizes = _sizes(chosen)
    series = {
        start: [
            {
                "x": str(sizes.index(row["budget"])),
                "error": str(100 - 100 * float(row["mean"])),
                "low": str(_error(row["high"])),
                "high": str(_error(row["low"])),
            }
            for row in each
        ]
        for start, each in _by_start(chosen).items()
    }
    titles = ("labels for each class", "test error in %")
    figure = charts.lines(series, "x", "error", titles, sizes, log=True)
    few, fewest = sizes[0], [row for row in chosen if row["budget"] == sizes[0]]
    best = max(fewest, key=lambda row: float(row["mean"]))
    takeaway = (
        f"With {few} labels for each class the best start is {best['start']} at"
        f" {_interval(best)}, the mean of {best['n']} seeds with its 95% interval, which is of the"
        " seeds, for these test images."
    )
    return Chart("budgets", "Error by the number of labels", takeaway, figure, table_of(chosen))


def other_ways(rows: list[dict[str, str]]) -> Chart:
    """Accuracy of the head alone, and of layers at falling rates, against the number of labels."""
    chosen = [row for row in _accuracies(rows) if row["way"] != _FULL]
    sizes = _sizes(chosen)
    starts = _by_start(chosen)
    series = {
        f"{start}, {way}": _placed(arm, sizes)
        for way in dict.fromkeys(row["way"] for row in chosen)
        for start, each in starts.items()
        if (arm := [row for row in each if row["way"] == way])
    }
    titles = ("labels for each class", "test accuracy")
    figure = charts.lines(series, "x", "mean", titles, sizes, colours=len(starts))
    few = [row for row in chosen if row["budget"] == sizes[0]]
    best = max(few, key=lambda row: float(row["mean"]))
    takeaway = (
        f"With {sizes[0]} labels for each class {best['start']} ({best['way']}) is at"
        f" {_interval(best)}; how it compares is among the paired tests below. The head alone"
        " learns on a body whose weights are frozen; the statistics of its batch normalisation"
        " follow the new images. With all images these ways are of the usual strength, all weights"
        " learning of the strongest."
    )
    return Chart("ways", "Other ways of fine-tuning", takeaway, figure, table_of(chosen))


def comparisons(rows: list[dict[str, str]]) -> Chart:
    """The paired tests: differences with their intervals."""
    verdicts = sorted({row["verdict"] for row in rows})
    counts = ", ".join(f"{v} {sum(r['verdict'] == v for r in rows)}" for v in verdicts)
    shown = {
        f"{_pair(row)}, {row['budget']}": in_points(row, "difference")
        for row in rows
        if row["way"] != "probe"
    }
    figure = charts.intervals(shown, "difference in points")
    primary = sum(row["primary"] == "1" for row in rows)
    takeaway = (
        f"Of {len(rows)} paired comparisons: {counts}, by p that are corrected for their number"
        f" (the {primary} primary ones and all others apart; Benjamini and Yekutieli, false"
        " discovery rate). The intervals are of one comparison each, over pairs of seeds for these"
        " test images; images_low and images_high are over images for these networks. Of the head"
        " alone, whose differences are many times as large, the table tells."
    )
    return Chart("comparisons", "Paired tests", takeaway, figure, table_of(rows))


def few_labels(rows: list[dict[str, str]]) -> Chart:
    """Learning curves at the smallest budget, all weights learning."""
    few = _sizes(rows)[0]
    chosen = [row for row in rows if row["budget"] == few and row["way"] == _FULL]
    starts = sorted({row["start"] for row in chosen})
    runs = {start: [row for row in chosen if row["start"] == start] for start in starts}
    takeaway = f"Means over the seeds with {few} labels for each class; the bands hold all seeds."
    title = "Learning curves with few labels"
    return curves("curves-few", title, takeaway, runs, "accuracy", run="seed")


def speed(pretraining: int, rows: list[dict[str, str]]) -> Chart | str:
    """How many images it takes to come to each accuracy, with all labels."""
    rows = [row for row in rows if row["decisive"] == "1"]
    whole = [row for row in rows if (row["way"], row["budget"]) == (_FULL, "all")]
    if not whole:
        return "Too few images are held out to tell how soon an accuracy is reached."
    goals = sorted({row["threshold"] for row in whole}, key=float)
    ticks = [f"{100 * float(goal):g}%" for goal in goals]
    shown, title = "median_images", "images seen until then"
    if not any(row[shown] for row in whole):
        shown, title = "reached", "runs that came there"
    series = {
        start: [
            {"x": str(goals.index(row["threshold"])), "shown": row[shown]}
            for row in each
            if row[shown]
        ]
        for start, each in _by_start(whole).items()
    }
    figure = charts.lines(series, "x", "shown", ("validation accuracy", title), ticks)
    by_goal = {goal: [row for row in whole if row["threshold"] == goal] for goal in goals}
    common = [goal for goal, each in by_goal.items() if all(row[_KEPT] for row in each)]
    takeaway = "With all labels, no accuracy was reached by half of the runs of every start."
    if common:
        first, for_good = (
            ", ".join(f"{int(row[name]):,} from {row['start']}" for row in by_goal[common[-1]])
            for name in ("median_images", _KEPT)
        )
        takeaway = (
            f"With all labels, {percent(float(common[-1]))} of the validation images are read"
            f" rightly once so many have been seen: {first}; for good, since a curve swings while"
            f" the rate is high: {for_good}. Medians over the seeds, of which those that never got"
            " there count as longest, on straight lines between the points of a curve; what a base"
            f" network saw before is not counted, {pretraining:,} images of the 62 classes."
        )
    return Chart("speed", "How soon it gets there", takeaway, figure, table_of(rows))


def quality(rows: list[dict[str, str]]) -> Chart:
    """All measures of every arm; the figure is of how high their learning curves are."""
    sizes = _sizes(rows)
    areas = [row for row in rows if (row["way"], row["measure"]) == (_FULL, "curve_area")]
    series = {start: _placed(each, sizes) for start, each in _by_start(areas).items()}
    titles = ("labels for each class", "mean height of the learning curve")
    figure = charts.lines(series, "x", "mean", titles, sizes)
    first = {row["start"]: row for row in areas if row["budget"] == sizes[0]}
    told = ", ".join(f"{start} {float(row['mean']):.3f}" for start, row in first.items())
    takeaway = (
        f"The mean accuracy of validation images along a training with {sizes[0]} labels for each"
        f" class, which is high where learning is fast: {told}; the bands are 95% intervals over"
        " the seeds. The table has every measure of every arm."
    )
    return Chart("measures", "Every measure of training", takeaway, figure, table_of(rows))


def digits(rows: list[dict[str, str]]) -> Chart:
    """Errors on each digit by start, means over the seeds."""
    means = spread(rows, ("start", "digit", "images"), "errors", ("seed",))
    figure = charts.lines(_by_start(means), "digit", "mean", ("digit", "errors"))
    worst = max(means, key=lambda row: float(row["mean"]))
    takeaway = (
        f"Most errors: {worst['mean']} of {worst['images']} images of {worst['digit']}, from"
        f" {worst['start']}; means of {worst['n']} seeds with their 95% intervals."
    )
    return Chart("digits", "Errors on each digit", takeaway, figure, table_of(means))


def similarity(rows: list[dict[str, str]]) -> Chart:
    """How alike the layers of two networks are, means over pairs of seeds."""
    means = spread(rows, ("first", "second", "layer"), "cka", _SEEDS)
    shown = {f"{row['first']} / {row['second']}, {row['layer']}": _triple(row) for row in means}
    figure = charts.intervals(shown, "linear CKA, up to 1")
    least = min(means, key=lambda row: float(row["mean"]))
    takeaway = (
        f"Least alike are {least['first']} and {least['second']} in layer {least['layer']}:"
        f" {float(least['mean']):.2f} of 1, the mean of {least['n']} pairs of seeds; 95% intervals"
        " over the seeds (jackknife, as networks of one start are in several pairs)."
    )
    return Chart("cka", "How alike the layers are", takeaway, figure, table_of(means))


def agreement(rows: list[dict[str, str]]) -> Chart:
    """How often two networks give the same answer, means over pairs of seeds."""
    means = spread(rows, ("first", "second"), "share", _SEEDS)
    shown = {f"{row['first']} / {row['second']}": _triple(row) for row in means}
    figure = charts.intervals(shown, "share of the test images")
    least = min(means, key=lambda row: float(row["mean"]))
    takeaway = (
        f"{least['first']} and {least['second']} agree least, on {percent(float(least['mean']))},"
        f" the mean of {least['n']} pairs of seeds; 95% intervals over the seeds (jackknife)."
    )
    return Chart("agreement", "How often they agree", takeaway, figure, table_of(means))


def mistakes(results: Results) -> Sheet:
    """The wrong answers of one network on MNIST's test split."""
    rows = tiles(results, "digits", "worst")
    takeaway = (
        f"The {len(rows)} worst of seed 0 of mnist-characters, each as actual → predicted with its"
        " confidence."
    )
    png = results.picture("sheets/digits/worst.png")
    return Sheet("worst-digits", "The worst mistakes on MNIST", takeaway, png, 12, captions(rows))


def _accuracies(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row["measure"] == "accuracy"]


def _by_start(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row["start"], []).append(row)
    return found


def _placed(rows: Sequence[Row], sizes: Sequence[str]) -> list[Row]:
    """The rows with their budget's place on the axis."""
    return [{"x": str(sizes.index(row["budget"])), **row} for row in rows]


def _sizes(rows: Sequence[Row]) -> list[str]:
    """The label budgets, all images last."""
    sizes = {row["budget"] for row in rows}
    return sorted(sizes, key=lambda size: float("inf") if size == "all" else float(size))


def _pair(row: Row) -> str:
    """The arms of a comparison."""
    if row["way"] == row["against_way"]:
        return f"{row['start']} against {row['against']}, {row['way']}"
    return f"{row['start']}, {row['way']}, against {row['against']}, {row['against_way']}"


def _error(accuracy: str) -> float:
    """In percent, and above nothing, which has no place on a logarithmic axis."""
    return max(100 - 100 * float(accuracy), 0.01)


def _triple(row: Row) -> tuple[float, float, float]:
    return float(row["mean"]), float(row["low"]), float(row["high"])


def _interval(row: Row) -> str:
    low, high = 100 * float(row["low"]), 100 * float(row["high"])
    return f"{percent(float(row['mean']))} ({low:.2f} to {high:.2f}%)"
