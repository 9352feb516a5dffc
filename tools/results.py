"""`python -m tools.results`: put what metrics/dropbox/ says into README.md.

Between a line `<!-- name -->` and the next `<!-- end -->` is what was measured; everything else
there, the date and the machine among it, is written by hand.
"""

import sys
import textwrap
from pathlib import Path
from typing import Any

from handwriting.core import files
from handwriting.core.errors import InputError
from stages.report.report import pretraining
from tools.choices import filled, table

SOURCE = "dropbox"
PAGE, METRICS = Path("README.md"), Path(f"metrics/{SOURCE}")
NETWORKS = {
    "characters": "1: 62 classes, a single image, its writer among those learnt from",
    "characters-same-hand": "1: the same, read in the light of the writer's other images",
    "characters-new-hands": "1: a single image by a writer never seen",
    "characters-new-hands-same-hand": "1: the same, with the writer's other images",
    "characters-ensemble": "1: a single image, by the mean of one network of each way above",
    "characters-ensemble-same-hand": "1: the same, with the writer's other images",
    "mnist-random": "2: MNIST, from random weights",
    "mnist-digits": "2: MNIST, from the network of the digits",
    "mnist-characters": "2: MNIST, from the network of all 62 classes",
    "mnistTask3-naive": "3: mnistTask3, its folder names taken at their word",
    "mnistTask3-naive-argmin": "3: the same network, answering what it holds for least likely",
    "mnistTask3-random": "3: mnistTask3 as audited, from random weights",
    "mnistTask3-digits": "3: the same, from the network of the digits",
    "mnistTask3-characters": "3: the same, from the network of all 62 classes",
}


def metrics(name: str) -> dict[str, Any]:
    """The metrics of that name."""
    content: dict[str, Any] = files.read_json(METRICS / f"{name}.json")
    return content


def percent(share: float) -> str:
    """A share as a percentage."""
    return f"{100 * share:.2f}%"


def networks() -> str:
    """The accuracy of every arm."""
    rows = (
        (
            f"`{name}`",
            said + (f" ({m['companions']:.0f} on average)" if "companions" in m else ""),
            f"{percent(m['accuracy'])} ± {100 * m['accuracy_sd']:.2f}",
            f"{100 * m['accuracy_low']:.2f} to {100 * m['accuracy_high']:.2f}%",
            str(len(m["correct"])),
            f"{m['images']:,}",
        )
        for name, said in NETWORKS.items()
        for m in [metrics(name)]
    )
    columns = ("network", "question", "accuracy ± sd", "95% interval", "runs", "images")
    return table(columns, rows)


def answers() -> str:
    """The three answers, in a paragraph, and what else is asked of the 62 classes."""
    alone, together = metrics("characters"), metrics("characters-same-hand")
    audit, match = metrics("audit")["mnistTask3"], metrics("match")
    least = min(metrics(name)["accuracy"] for name in NETWORKS if name.startswith("mnistTask3-r"))
    taught = match["pseudo_labels_right"] / match["pseudo_labels"]
    more = 100 * (together["accuracy"] - alone["accuracy"])
    text = f"""
    In three answers: a small network reads nine in ten of 62 classes from a single image, by known
    hands as by new ones, and {more:.1f} points more once it has seen the writer's other characters.
    {metrics("transfer")["answer"]} {falling_rates()}
    With all labels 98% of the validation images are read rightly for the first time after
    {images_to(0.98, "characters")} images instead of {images_to(0.98, "random")}, for good after
    {kept(0.98, "characters")} instead of {kept(0.98, "random")} (medians; of the first also the
    quickest and the slowest seed): a better beginning, for which a base network has seen
    {pretraining(SOURCE):,} images of the 62 classes.
    The labels of mnistTask3 are found to be complementary from
    themselves and three networks of 400 other digits ({percent(audit["right"])} of them right, 95%
    interval {percent(audit["right_low"])} to {percent(audit["right_high"])};
    of all {match["images"]:,}, held-out ones included, {match["labels_right"]} are), and as such
    they teach to read digits, at {percent(least)} from random weights (of what the networks of
    all starts then taught themselves {percent(taught)} was right). Of the 62 classes, with case
    forgiven, {percent(alone["case_folded_accuracy"])} are read rightly (same hand
    {percent(together["case_folded_accuracy"])}), of the digits among them
    {percent(alone["digits_accuracy"])}, and the right class is among the first three for
    {percent(alone["top3_accuracy"])}.
    """
    return textwrap.fill(" ".join(text.split()), 104, break_on_hyphens=False) + "\n"


def falling_rates() -> str:
    """The nearest to a decision of layers that learn at falling rates, where labels are fewest."""
    rows = files.read_csv(METRICS / "transfer/comparisons.csv")
    rows = [row for row in rows if row["against_way"] != row["way"]]
    fewest = min(rows, key=lambda row: int(row["budget"]))["budget"]
    few = [row for row in rows if row["budget"] == fewest]
    best = min(few, key=lambda row: float(row["p"]))
    columns = ("difference", "low", "high")
    points, low, high = (f"{100 * float(best[name]):+.2f}" for name in columns)
    said = best["verdict"] if best["verdict"] in ("helps", "hurts") else f"is {best['verdict']}"
    return (
        f"A secondary comparison, with {fewest}: layers learning at falling rates from"
        f" {best['start']} instead of all weights from random ones {said}, {points} points ({low}"
        f" to {high}, n = {best['n']}, corrected p = {float(best['p_corrected']):.2g})."
    )


def images_to(accuracy: float, start: str) -> str:
    """How many images it took to come to an accuracy from a start for the first time."""
    row = speed(accuracy, start)
    middle, least, most = (int(row[f"{name}_images"]) for name in ("median", "fewest", "most"))
    return f"{middle:,} ({least:,} to {most:,})"


def kept(accuracy: float, start: str) -> str:
    """How many images it took to come there for good."""
    return f"{int(speed(accuracy, start)['median_images_kept']):,}"


def speed(accuracy: float, start: str) -> dict[str, str]:
    """How soon networks of a start come to an accuracy, with all labels."""
    wanted = {"start": start, "way": "full", "budget": "all", "threshold": str(accuracy)}
    rows = files.read_csv(METRICS / "transfer/speed.csv")
    (row,) = (each for each in rows if wanted.items() <= each.items())
    return row


def budgets() -> str:
    """The primary comparison of question two, at each budget."""
    head = ("images of each class", "random", "digits", "characters")
    more = ("characters - random, points (95% interval, n)", "corrected p", "of interest", "")
    rows = (
        (
            budget,
            *(percent(found[start]) for start in head[1:]),
            f"{100 * found['difference']:+.2f} ({100 * found['low']:+.2f} to"
            f" {100 * found['high']:+.2f}, {found['seeds']})",
            f"{found['p_corrected']:.2g}",
            f"{100 * found['margin']:g}",
            found["verdict"]
            + (
                ", by less"
                if found["verdict"] in ("helps", "hurts") and found["within_margin"]
                else ""
            ),
        )
        for budget, found in metrics("transfer").items()
        if budget != "answer"
    )
    return table((*head, *more), rows)


def page(text: str) -> str:
    """README.md with its blocks filled."""
    for name, content in (("networks", networks()), ("answers", answers()), ("budgets", budgets())):
        text = filled(text, name, content)
    return text


if __name__ == "__main__":
    try:
        PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    except InputError as problem:
        sys.exit(f"results: {problem}")
