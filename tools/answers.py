"""`python -m tools.answers SOURCE`: print the answer to each question, and where to look next.

README has the same sentences (tools/tables.py).
"""

import textwrap
from typing import Any

from handwriting.core.errors import InputError
from handwriting.reporting import verdicts
from handwriting.reporting.results import Results
from tools import program

SAMPLE = "The sample is drawn by a script: its accuracies say nothing about handwriting."
_COMPLEMENTARY = "complementary: nearly every image in folder k is not a k"
_LEARNED = "A network that reads each label as “not k” (forward correction)"
Answer = tuple[str, str]  # in one sentence; its interval, count and what to compare it with


def characters(results: Results) -> Answer:
    """Return the answer to question one."""
    single = results.json("characters")
    images, folds = f"{single['images']:,} images", f"{single['runs']}-fold cross-validation"
    share, classes = f"{single['accuracy']:.1%} of single characters", len(results.classes())
    bold = f"A small CNN classifies {share} correctly, over {classes} classes, from {images}."
    if not single["writers"]:
        return bold, f"95% interval {interval(single)}, n = {images}, {folds}."
    unseen, adapted = (results.json(f"characters-{n}") for n in ("unseen-writers", "adapted"))
    return bold, (
        f"95% interval {interval(single)}, n = {images} by {single['writers']} writers, {folds}."
        f" Of writers who are not in the training set: {unseen['accuracy']:.1%}"
        f" ({interval(unseen)}). With the writer's other images, unlabelled:"
        f" {adapted['accuracy']:.1%} ({interval(adapted)})."
    )


def transfer(results: Results) -> Answer:
    """Return the answer to question two."""
    found = verdicts.primary(results)
    points = ". ".join(
        f"{labels}: {100 * each['difference']:+z.2f} ({100 * each['low']:+z.2f} to"
        f" {100 * each['high']:+z.2f}), ±{100 * each['margin']:g}"
        for labels, each in found.items()
    )
    pairs = {each["seeds"] for each in found.values()}
    seeds = " to ".join(map(str, sorted({min(pairs), max(pairs)})))
    return (
        f"Does pretraining on these characters help on MNIST? {verdicts.headline(found)}.",
        "Points gained over random weights by labels per class, with 95% interval. No relevant"
        " difference: it is clearly within the margin (±), which was fixed beforehand."
        f" {points}. All weights trained, n = {seeds} pairs of runs.",
    )


def wrong_labels(results: Results) -> Answer:
    """Return the answer to question three."""
    naive, forward, clean = (
        results.json(name) for name in ("mnistTask3-naive", "mnistTask3-random", "mnist-random")
    )
    kind = results.table("mnistTask3/label_noise").set_index("dataset")["kind"]["mnistTask3"]
    what, how = kind, "Forward correction with the diagnosed matrix"
    if "complementary" in kind:
        what, how = _COMPLEMENTARY, _LEARNED
    return (
        f"The labels of mnistTask3 are {what}. {how} classifies"
        f" {forward['accuracy']:.2%} of MNIST's test images correctly.",
        f"95% interval {interval(forward, 2)}, n = {forward['images']:,} test images,"
        f" {forward['runs']} seeds. Labels used as given: {naive['accuracy']:.2%} (expected: they"
        f" are wrong). Clean labels: {clean['accuracy']:.2%}.",
    )


def doubtful(results: Results) -> Answer:
    """Return the answer on doubtful labels of a source of one's own."""
    naive, forward = map(results.json, ("doubtful-naive", "doubtful-corrected"))
    return (
        f"{results.json('label_noise/doubtful', 'artifacts')['sentence']}.",
        f"A network trained on them as given classifies {naive['accuracy']:.1%}"
        f" ({interval(naive)}) of the characters correctly. By forward correction it is"
        f" {forward['accuracy']:.1%} ({interval(forward)}).",
    )


ANSWERS = {  # by a network that each question has
    "characters": characters,
    "mnist-random": transfer,
    "mnistTask3-random": wrong_labels,
    "doubtful-naive": doubtful,
}


def interval(metrics: dict[str, Any], digits: int = 1) -> str:
    """Return the 95% interval of an accuracy in percent."""
    return f"{100 * metrics['low']:.{digits}f} to {100 * metrics['high']:.{digits}f}%"


def main(source: list[str]) -> None:
    """Print the answers, 80 columns wide."""
    if len(source) != 1:
        raise InputError("name one source: python -m tools.answers sample")
    [name] = source
    results = Results(name)
    found = [answer(results) for network, answer in ANSWERS.items() if results.has(network)]
    if not found:
        raise InputError(f"metrics/{name}: no network has been measured")
    print(f"\nAnswers of source {name}")
    for number, (answer, rest) in enumerate(found, 1):
        print(textwrap.fill(f"{number}. {answer}", 80, subsequent_indent="   "))
        print(textwrap.indent(textwrap.fill(rest, 77), "   "))
    print(f"\n{SAMPLE}" if name == "sample" else "")
    print(f"Report: artifacts/{name}/report.html")
    of_source = "" if name == "sample" else f" SOURCE={name}"
    print(f"Next: make report{of_source}" + ", make repro SOURCE=real" * (name == "sample"))
    print("DVC: . .venv/bin/activate, then dvc metrics show, dvc plots show, dvc repro")


if __name__ == "__main__":
    program.run(main, "; has `make repro` run?")
