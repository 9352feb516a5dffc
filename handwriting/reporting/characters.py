"""The report's section on question one: how well are 62 handwritten classes read?"""

from handwriting.data.alphabet import CHARACTERS
from handwriting.reporting import charts
from handwriting.reporting.page import Chart, Part, Section, Sheet, table_of
from handwriting.reporting.results import Results, accuracies, curves, in_points, percent, told

NETWORKS = {
    "characters": "a single image, its writer among those learnt from",
    "characters-same-hand": "the same, with the writer's other images",
    "characters-new-hands": "a single image by a writer never seen",
    "characters-new-hands-same-hand": "the same, with the writer's other images",
    "characters-ensemble": "a single image, by the mean of one network of each way above",
    "characters-ensemble-same-hand": "the same, with the writer's other images",
}
_HIGHEST_LOSS = 5  # that is drawn: above it a rate is far too high
_ABLATION = "The ablation (one choice changed at a time) has not been measured on this source."


def section(results: Results, test_archives: list[str]) -> Section:
    """The section, its answer first."""
    names = NETWORKS | {
        f"{archive}{kind}{suffix}": f"the shipped {who} on {archive}{said}"
        for archive in test_archives
        for kind, who in (("", "network"), ("-ensemble", "ensemble"))
        for suffix, said in (("", ""), ("-same-hand", ", its writers known"))
    }
    metrics = {name: results.metrics(name) for name in names}
    alone, together = metrics["characters"], metrics["characters-same-hand"]
    new = metrics["characters-new-hands"]
    answer = (
        f"Of single characters by hands that it knows the network reads {told(alone)} rightly,"
        f" by hands it has never seen {told(new)}; with the writer's other characters beside"
        f" them, {told(together)}."
    )
    difference = 100 * (together["accuracy"] - alone["accuracy"])
    takeaway = (
        f"Knowing the writer's other images changes {percent(alone['accuracy'])} by"
        f" {difference:+.2f} points."
    )
    parts: list[Part] = [
        accuracies("characters", takeaway, metrics, names),
        learning(results),
        confusion(results),
        classes(results),
        twins(results),
        companions(results),
        calibration(results),
        *(mistakes(results, kind) for kind in ("worst", "confident")),
        feature_map(results),
        strengths(results),
        ablation(results),
        rates(results),
    ]
    return Section("one", "One: how well are 62 handwritten classes read?", answer, parts)


def learning(results: Results) -> Chart:
    """Learning curves of the folds."""
    ways = {"known hands": "known-hands", "new hands": "new-hands"}
    runs = {name: results.table(f"folds/{way}-curves.csv") for name, way in ways.items()}
    count = len({row["run"] for row in runs["known hands"]})
    takeaway = f"The line is the mean of {count} folds, the band holds all of them."
    title = "Learning curves on held-out images"
    return curves("curves-characters", title, takeaway, runs, "accuracy of held-out images")


def confusion(results: Results) -> Chart:
    """The confusion matrix of the 62 classes, and the pairs that are confused most."""
    said = results.table("predictions/characters.csv")
    table = charts.confusion(said, "characters", CHARACTERS)
    pairs = results.tracked("characters/pairs.csv")
    all_wrong = sum(int(row["times"]) for row in pairs)
    first = pairs[0]
    takeaway = (
        f"Most often confused are {first['one']} and {first['other']} ({first['times']} times);"
        f" the ten worst of {len(pairs)} pairs make up"
        f" {sum(int(row['times']) for row in pairs[:10])} of {all_wrong} mistakes."
    )
    figure = charts.heatmap(table, CHARACTERS, ("predicted", "actual"), 760)
    title = "Confusion of the 62 classes"
    return Chart("confusion-characters", title, takeaway, figure, table_of(pairs))


def classes(results: Results) -> Chart:
    """F1 of each class, the weakest first."""
    rows = sorted(results.tracked("characters/classes.csv"), key=lambda r: float(r["f1"]))
    weak = ", ".join(f"{row['class']} ({float(row['f1']):.2f})" for row in rows[:5])
    names, values = [row["class"] for row in rows], [float(row["f1"]) for row in rows]
    figure = charts.bars(names, {"F1": values}, ("class", "F1"))
    takeaway = f"The weakest classes are {weak}, of {rows[0]['images']} images each."
    return Chart("classes", "F1 of each class", takeaway, figure, table_of(rows))


def twins(results: Results) -> Chart:
    """How often an image is taken for its twin, alone and beside others by its writer."""
    rows = results.tracked("characters/twins.csv")
    shown = {
        f"{who}, {how}": [row for row in rows if row["reading"] == f"{name}{suffix}"]
        for name, who in (("characters", "known hands"), ("characters-new-hands", "new hands"))
        for suffix, how in (("", "alone"), ("-same-hand", "with the writer's others"))
    }
    alone, together = (
        sum(int(row["taken_for_a_twin"]) for row in shown[f"known hands, {how}"])
        for how in ("alone", "with the writer's others")
    )
    takeaway = (
        f"Of characters that are alike {alone} images by known hands are taken for a twin,"
        f" {together} where the writer's other images are known."
    )
    names = [row["twins"] for row in next(iter(shown.values()))]
    series = {name: [float(r["taken_for_a_twin"]) for r in each] for name, each in shown.items()}
    figure = charts.bars(names, series, ("twins", "images taken for a twin"))
    return Chart("twins", "Twins", takeaway, figure, table_of(rows))


def companions(results: Results) -> Chart:
    """How well images are read beside so many others by their writers."""
    rows = results.tracked("characters/companions.csv")
    images = results.metrics("characters")["images"]
    names = {"characters": "known hands", "characters-new-hands": "new hands"}
    names |= {"characters-ensemble": "two networks"}
    counts = list(dict.fromkeys(row["companions"] for row in rows))
    series = {
        who: [
            {"count": str(counts.index(row["companions"])), "low": row["low"], "high": row["high"]}
            | {"accuracy": str(int(row["right"]) / images)}
            for row in rows
            if row["reading"] == name
        ]
        for name, who in names.items()
    }
    first, some, most = (
        float(next(r["accuracy"] for r in series["known hands"] if r["count"] == str(i)))
        for i in (0, counts.index("8"), len(counts) - 1)
    )
    takeaway = (
        f"By known hands from {percent(first)} with none to {percent(some)} with eight and"
        f" {percent(most)} with all of them, drawn at random; no label of theirs is used. The bands"
        " are 95% intervals of each accuracy, not of the differences, over the hands. Beside those"
        f" of its own kind alone, digits, capitals or small letters, {of_a_kind(results)}."
    )
    titles = ("other images by the writer, at most", "accuracy")
    figure = charts.lines(series, "count", "accuracy", titles, counts)
    title = "How many of the writer's other images it takes"
    return Chart("companions", title, takeaway, figure, table_of(rows))


def of_a_kind(results: Results) -> str:
    """How many images by known hands are read rightly beside others of their kind, and alone."""
    rows = results.tracked("characters/kinds.csv")
    rows = [row for row in rows if row["reading"] == "characters"]
    beside, alone, images = (
        sum(int(row[name]) for row in rows) for name in ("beside_its_kind", "alone", "images")
    )
    return f"{beside:,} of {images:,} are read rightly, and {alone:,} alone"


def calibration(results: Results) -> Chart:
    """Whether the network is as sure as it is right."""
    rows = results.tracked("characters/calibration.csv")
    error = results.metrics("characters")["calibration_error"]
    takeaway = (
        f"Confidence and accuracy differ by {100 * error:.1f} points on average"
        " (expected calibration error, of all held-out images together)."
    )
    figure = charts.reliability(rows)
    return Chart("calibration", "Calibration", takeaway, figure, table_of(rows))


def mistakes(results: Results, kind: str) -> Sheet:
    """Wrong answers as pictures."""
    rows = tiles(results, "characters", kind)
    said = {
        "worst": ("The worst mistakes", "Those whose true class the network thought least likely:"),
        "confident": ("The most confident mistakes", "Those of whose wrong answer it was surest:"),
    }
    title, what = said[kind]
    takeaway = f"{what} {len(rows)} of them, each as actual → predicted with its confidence."
    png = results.picture(f"sheets/characters/{kind}.png")
    return Sheet(f"{kind}-characters", title, takeaway, png, 12, captions(rows))


def tiles(results: Results, folder: str, sheet: str) -> list[dict[str, str]]:
    """What is on a sheet of a folder."""
    rows = results.table(f"sheets/{folder}/tiles.csv")
    return [row for row in rows if row["sheet"] == sheet]


def captions(rows: list[dict[str, str]]) -> list[tuple[str, str]]:
    """Of each mistake, the words under it and the words for who cannot see it."""
    return [
        (
            f"{row['actual']} → {row['predicted']} {float(row['confidence']):.0%}",
            f"a {row['actual']} read as {row['predicted']}",
        )
        for row in rows
    ]


def feature_map(results: Results) -> Chart:
    """The held-out images of a fold as the network sees them, on a plane."""
    rows = results.table("sheets/characters/map.csv")
    wrong = sum(row["actual"] != row["predicted"] for row in rows)
    takeaway = (
        f"{len(rows)} images that the network has not learnt from, {wrong} of them read wrongly,"
        " lie beside those that look alike to it (t-SNE; distances between far groups mean"
        " nothing). Point at one, or move the slider, to see it."
    )
    picture = results.picture("sheets/characters/map.png")
    table = table_of(rows)
    figure = charts.plane(rows)
    return Chart("map", "A map of what the network sees", takeaway, figure, table, picture)


def strengths(results: Results) -> Sheet:
    """Each augmentation alone, then all of them."""
    rows = [row["row"] for row in tiles(results, "characters", "strengths")]
    takeaway = (
        "What has one range goes from its lower end, on the left, to its upper end; the rest is"
        " drawn. The noise on the numbers of size and place cannot be seen."
    )
    png = results.picture("sheets/characters/strengths.png")
    title = "Each augmentation at its chosen strength"
    return Sheet("strengths", title, takeaway, png, 12, (), rows)


def rates(results: Results) -> Chart | str:
    """The learning-rate range test, where it has been made."""
    rows = results.tracked("rates.csv")
    if not rows:
        return "The learning rates' range test has not been made on this source."
    groups = {"convolutions (Muon)": "convolutions_smoothed", "head": "head_smoothed"}
    best = {
        name: float(min((r for r in rows if r[key]), key=lambda r: float(r[key]))["rate"])
        for name, key in groups.items()
    }
    least = ", ".join(f"at {rate:.2g} for the {name}" for name, rate in best.items())
    takeaway = (
        "In a short training one rate grows at every step by the same factor, the other being the"
        f" recipe's. The loss is least {least}; beyond, a rate is too high. (Losses over"
        f" {_HIGHEST_LOSS} are in the table alone.)"
    )
    series = {
        name: [
            {"x": row["log10_rate"], "y": row[key]}
            for row in rows
            if row[key] and float(row[key]) < _HIGHEST_LOSS
        ]
        for name, key in groups.items()
    }
    titles = ("logarithm of the rate", "loss, mean of about ten steps")
    figure = charts.lines(series, "x", "y", titles)
    return Chart("rates", "The learning rates' range test", takeaway, figure, table_of(rows))


def ablation(results: Results) -> Chart | str:
    """What each choice of the recipe is worth, where it has been measured."""
    rows = results.tracked("ablation.csv")
    if not rows:
        return _ABLATION
    changed = {
        row["choice"]: in_points(row, "difference") for row in rows if row["choice"] != "recipe"
    }
    sure = [name for name, (_, low, high) in changed.items() if not low <= 0 <= high]
    least = min(changed, key=lambda name: changed[name])
    takeaway = (
        f"Of {len(changed)} choices, changed one at a time, {least} loses most:"
        f" {changed[least][0]:+.2f} points (95% interval {changed[least][1]:+.2f} to"
        f" {changed[least][2]:+.2f}, {rows[0]['images']} images). The interval leaves out 0 for"
        f" {len(sure)} of them: {', '.join(sure) or 'none'}."
    )
    figure = charts.intervals(changed, "difference in points")
    return Chart("ablation", "The ablation", takeaway, figure, table_of(rows))
