"""Question two: what pretraining does for MNIST, measured on its test split, with its uncertainty.

Every network that finetune has made is measured; arms are compared by the differences between
networks of one seed, which saw the same images in the same order.

reads   artifacts/<source>/{seeds/mnist-,budgets/}<start>.pt and their curves,
        artifacts/<source>/budgets/<start>-early.csv, artifacts/<source>/bases/<start>.pt,
        data/tensors/<source>/mnist/{train,test}.safetensors
writes  metrics/<source>/transfer.json, metrics/<source>/transfer/*.csv
params  compute, digits.<source>, strengths, transfer
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, fields, replace
from functools import partial
from itertools import combinations
from pathlib import Path
from statistics import fmean, median
from typing import Any, NamedTuple

import numpy as np
import torch
from pydantic import PositiveFloat

from stages.common import (
    budget,
    convergence,
    dataset,
    entry,
    files,
    measures,
    parallel,
    params,
    pretrained,
    significance,
    similarity,
)
from stages.common.checkpoint import Point
from stages.common.compute import Compute
from stages.common.dataset import Split
from stages.common.measures import Answers
from stages.common.significance import Comparison
from stages.predict import Classifier

STARTS = ("random", "digits", "characters")
PAIRS = (("characters", "random"), ("digits", "random"), ("characters", "digits"))
_COMPARED = 10_000  # training images, at most, of which the generalisation gap is taken
_ALIKE = 500  # test images on which layers are compared


@params.section
class Primary:
    """The comparison that the answer rests on, chosen beforehand, at each budget."""

    start: str
    against: str
    way: str


@params.section
class Study:
    """What was declared before any result was seen."""

    primary: Primary
    smallest: dict[str, PositiveFloat]  # difference of interest at each budget


class Run(NamedTuple):
    """One network, measured."""

    start: str
    way: str  # full, probe or discriminative
    budget: str  # images of each class, or "all"
    seed: int
    train_images: int
    accuracy: float  # as all that follows, on the test split
    nll: float  # mean negative logarithm of the probability of the right class
    ece: float
    brier: float
    gap: float  # between the accuracies on images learnt from and on the test split
    curve_area: float
    distance: float  # that the convolutions travelled
    early_gradient: float
    early_roughness: float


class Measured(NamedTuple):
    """One network, and what comparisons take of it."""

    run: Run
    answers: Answers
    curve: list[Point]
    flops: int  # of a training image


def main(scratch: Path, source: str) -> None:
    compute = replace(params.load("compute", Compute), device="cpu")
    study = params.load("transfer", Study)
    jobs = [(start, kind) for kind in ("budgets/", "seeds/mnist-") for start in STARTS]
    found = parallel.run(partial(measure, source), jobs, compute)
    everything = [each for arm in found for each in arm]
    tables: dict[str, Table] = {
        "runs": (Run._fields, [each.run for each in everything]),
        "curves": curves(everything),
        "thresholds": thresholds(everything),
        "speed": speed(everything),
        "budgets": budgets(everything),
        "comparisons": comparisons(everything, study),
        "digits": digits(everything),
        "agreement": agreement(everything),
        "cka": layers(source),
    }
    for name, (columns, rows) in tables.items():
        path = Path(f"metrics/{source}/transfer/{name}.csv")
        files.write_csv(path, columns, rows, scratch)
    summary = summarise(everything, study)
    files.write_json(Path(f"metrics/{source}/transfer.json"), summary, scratch)
    print(f"{source} transfer: {summary['answer']}")


def measure(source: str, job: tuple[str, str]) -> list[Measured]:
    """All networks of one start, with all images or with few."""
    start, kind = job
    path = Path(f"artifacts/{source}/{kind}{start}")
    folder = Path(f"data/tensors/{source}/mnist")
    train, test = (dataset.load(folder / f"{each}.safetensors") for each in ("train", "test"))
    points = grouped(files.read_csv(path.with_name(f"{path.name}-curves.csv")))
    first = grouped(files.read_csv(Path(f"artifacts/{source}/budgets/{start}-early.csv")))
    measured = []
    for classifier in Classifier.all_of(path.with_suffix(".pt")):
        name = classifier.about["name"]
        way, images, seed = name.split()
        learnt = seen(train, images, int(seed))
        base = pretrained.load(source, start, pretrained.use_of(images), int(seed) + 1)[-1]
        curve = [
            Point(int(p["step"]), int(p["images_seen"]), float(p["loss"]), float(p["accuracy"]))
            for p in points[name]
        ]
        early = [(float(p["loss"]), float(p["gradient_norm"])) for p in first[name]]
        answers = Answers(classifier.logits(test.images), torch.from_numpy(test.labels))
        fit = Answers(classifier.logits(learnt.images), torch.from_numpy(learnt.labels))
        accuracy = measures.mean(answers.right)
        run = Run(
            *(start, way, images, int(seed)),
            len(train.labels) if images == "all" else len(learnt.labels),
            *(accuracy, measures.nll(answers), measures.calibration_error(answers)),
            *(measures.brier(answers), measures.mean(fit.right) - accuracy),
            *(convergence.area(curve), convergence.travelled(classifier.network, base)),
            *convergence.smoothness(early),
        )
        flops = convergence.flops_per_image(classifier.network, way == "probe")
        measured.append(Measured(run, answers, curve, flops))
    return measured


def grouped(rows: Iterable[dict[str, str]]) -> dict[str, list[dict[str, str]]]:
    """The rows of each run."""
    groups: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        groups.setdefault(row["run"], []).append(row)
    return groups


def seen(train: Split, images: str, seed: int) -> Split:
    """The images that a network has learnt from, or enough of them."""
    if images == "all":
        return train.rows(slice(_COMPARED))
    return train.rows(budget.choose(train.labels, int(images), seed))


Table = tuple[Sequence[str], list[Sequence[Any]]]


def key(run: Run) -> tuple[str, str, str, int]:
    """What names a run."""
    return run.start, run.way, run.budget, run.seed


def curves(measured: Sequence[Measured]) -> Table:
    """Every point of every learning curve."""
    rows: list[Sequence[Any]] = [
        (*key(each.run), *point) for each in measured for point in each.curve
    ]
    return ("start", "way", "budget", "seed", *Point._fields), rows


def thresholds(measured: Sequence[Measured]) -> Table:
    """What it took to come to each threshold; empty where it was never reached."""
    rows: list[Sequence[Any]] = []
    for each in measured:
        for threshold in convergence.THRESHOLDS:
            at = convergence.reached(each.curve, threshold)
            cost = ("", "", "") if at is None else (*at, at[1] * each.flops)
            rows.append((*key(each.run), threshold, *cost))
    columns = ("start", "way", "budget", "seed", "threshold", "step", "images_seen", "flops")
    return columns, rows


def speed(measured: Sequence[Measured]) -> Table:
    """The median images to each threshold: empty where fewer than half of the runs reached it."""
    rows: list[Sequence[Any]] = []
    for arm, of_arm in arms(measured).items():
        for threshold in convergence.THRESHOLDS:
            found = [convergence.reached(each.curve, threshold) for each in of_arm]
            # A run that ended before it came there is longer than any that did.
            middle = median(float("inf") if at is None else at[1] for at in found)
            count = sum(at is not None for at in found)
            shown = "" if middle == float("inf") else round(middle)
            rows.append((*arm, threshold, len(found), count, shown))
    return ("start", "way", "budget", "threshold", "n", "reached", "median_images"), rows


def arms(measured: Sequence[Measured]) -> dict[tuple[str, str, str], list[Measured]]:
    """The networks of each start, way and budget, by seed."""
    found: dict[tuple[str, str, str], list[Measured]] = {}
    for each in measured:
        found.setdefault((each.run.start, each.run.way, each.run.budget), []).append(each)
    return found


def budgets(measured: Sequence[Measured]) -> Table:
    """The accuracy of each arm, with the t interval of its mean over seeds."""
    rows: list[Sequence[Any]] = []
    for arm, of_arm in arms(measured).items():
        values = [each.run.accuracy for each in of_arm]
        rows.append((*arm, len(values), fmean(values), *significance.interval(values)))
    return ("start", "way", "budget", "n", "mean", "low", "high"), rows


def comparisons(measured: Sequence[Measured], study: Study) -> Table:
    """All paired comparisons, the primary ones corrected apart from the others."""
    names = [field.name for field in fields(Comparison)]
    rows: list[Sequence[Any]] = [
        (
            size,
            way,
            start,
            against,
            int(primary),
            *astuple(each),
            sentence(start, against, size, way, each),
        )
        for (size, way, start, against, primary), each in compared(measured, study)
    ]
    return ("budget", "way", "start", "against", "primary", *names, "sentence"), rows


def compared(
    measured: Sequence[Measured], study: Study
) -> Iterator[tuple[tuple[str, str, str, str, bool], Comparison]]:
    """((budget, way, start, against, whether it is primary), what was found)."""
    found = arms(measured)
    primary = (study.primary.start, study.primary.against)
    families: dict[bool, list[tuple[tuple[str, str, str, str, bool], Comparison]]] = {}
    for way, size in dict.fromkeys((way, size) for _, way, size in found):
        for pair in PAIRS:
            if any((start, way, size) not in found for start in pair):
                continue
            right = [
                np.array([each.answers.right.numpy() for each in found[start, way, size]])
                for start in pair
            ]
            smallest = study.smallest[size]
            first = way == study.primary.way and pair == primary
            place = (size, way, *pair, first)
            families.setdefault(first, []).append(
                (place, significance.compare(right[0], right[1], smallest))
            )
    for family in (True, False):
        members = families.get(family, [])
        whole = significance.corrected([each for _, each in members])
        yield from zip([place for place, _ in members], whole, strict=True)


def sentence(start: str, against: str, size: str, way: str, found: Comparison) -> str:
    """A comparison in words."""
    images = "all images" if size == "all" else f"{size} images of each class"
    what = f"with {images} ({way}), starting from {start} instead of {against}"
    numbers = (
        f"{100 * found.difference:+.2f} points, 95% interval {100 * found.low:+.2f} to"
        f" {100 * found.high:+.2f}, n = {found.n}, corrected p = {found.p_corrected:.3g}"
    )
    words = {
        "helps": "helps",
        "hurts": "hurts",
        "equivalent": f"makes no difference of {100 * found.margin:g} points or more",
        "undecided": "makes no difference that these runs could decide",
    }
    return f"{what} {words[found.verdict]} ({numbers})"


def digits(measured: Sequence[Measured]) -> Table:
    """The mean number of errors in each digit, of the networks that learnt from all images."""
    rows: list[Sequence[Any]] = []
    for (start, way, size), of_arm in arms(measured).items():
        if (way, size) != ("full", "all"):
            continue
        for digit in range(10):
            of_digit = of_arm[0].answers.truth == digit
            errors = [int((~each.answers.right)[of_digit].sum()) for each in of_arm]
            rows.append((start, digit, fmean(errors), int(of_digit.sum())))
    return ("start", "digit", "errors", "images"), rows


def agreement(measured: Sequence[Measured]) -> Table:
    """The share of test images of which two networks that learnt from all images say the same: the
    mean over pairs with one seed, or, within an arm, over all pairs of seeds."""
    found = {
        start: of_arm
        for (start, way, size), of_arm in arms(measured).items()
        if (way, size) == ("full", "all")
    }
    said = {
        start: [each.answers.logits.argmax(1) for each in of_arm] for start, of_arm in found.items()
    }
    rows: list[Sequence[Any]] = []
    for one, other in [*combinations(STARTS, 2), *((start, start) for start in STARTS)]:
        if one == other:
            pairs = list(combinations(said[one], 2))
        else:
            pairs = list(zip(said[one], said[other], strict=True))
        rows.append((one, other, fmean(measures.mean(a == b) for a, b in pairs)))
    return ("first", "second", "share"), rows


def layers(source: str) -> Table:
    """Linear CKA between networks that learnt from all images, layer by layer: pairs as above."""
    test = dataset.load(Path(f"data/tensors/{source}/mnist/test.safetensors"))
    images = torch.from_numpy(test.images[:_ALIKE])
    grams = {
        start: [
            similarity.layers(each.network, images)
            for each in Classifier.all_of(f"artifacts/{source}/seeds/mnist-{start}.pt")
        ]
        for start in STARTS
    }
    rows: list[Sequence[Any]] = []
    for one, other in [*combinations(STARTS, 2), *((start, start) for start in STARTS)]:
        if one == other:
            pairs = list(combinations(grams[one], 2))
        else:
            pairs = list(zip(grams[one], grams[other], strict=True))
        for layer in range(len(pairs[0][0])):
            alike = fmean(similarity.cka(a[layer], b[layer]) for a, b in pairs)
            rows.append((one, other, layer + 1, alike))
    return ("first", "second", "layer", "cka"), rows


def summarise(measured: Sequence[Measured], study: Study) -> dict[str, Any]:
    """The headline: the primary comparison at each budget, and the answer in a sentence."""
    means = {arm: fmean(each.run.accuracy for each in of) for arm, of in arms(measured).items()}
    primary = {place[0]: each for place, each in compared(measured, study) if place[-1]}
    summary: dict[str, Any] = {"answer": answer(primary, study)}
    for size, each in primary.items():
        summary[size] = {start: means[start, study.primary.way, size] for start in STARTS}
        summary[size] |= {
            "difference": each.difference,
            "low": each.low,
            "high": each.high,
            "p_corrected": each.p_corrected,
            "verdict": each.verdict,
            "seeds": each.n,
        }
    return summary


def answer(primary: dict[str, Comparison], study: Study) -> str:
    """The primary comparisons in one sentence."""
    said = []
    for verdict, words in (
        ("helps", "helps"),
        ("hurts", "hurts"),
        ("equivalent", "makes no difference of interest"),
        ("undecided", "makes no difference that was decided"),
    ):
        sizes = [
            f"{'all images' if size == 'all' else size} ({100 * each.difference:+.2f} points)"
            for size, each in primary.items()
            if each.verdict == verdict
        ]
        if sizes:
            said.append(f"{words} with {', '.join(sizes)}")
    start, against = study.primary.start, study.primary.against
    return (
        f"Starting from {start} instead of {against} weights, by images of each class:"
        f" {'; '.join(said)}."
    )


if __name__ == "__main__":
    entry.run(main)
