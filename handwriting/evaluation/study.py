"""Question two's tables: what each network did, what each arm did, and how the arms compare."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from itertools import combinations
from statistics import fmean, median
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveFloat

from handwriting.core import params
from handwriting.core.errors import InputError
from handwriting.evaluation import convergence, significance
from handwriting.evaluation import metrics as measures
from handwriting.evaluation.metrics import Answers
from handwriting.evaluation.significance import Comparison
from handwriting.training.live import Point

STARTS = ("random", "digits", "characters")
FULL = "full"  # the way in which all weights learn at the same rates
CORRECTED = "corrected"  # the way of those that learnt from wrong labels: question three's
PRIMARY, OTHER = "primary", "other"  # families of comparisons, and CORRECTED is one
PAIRS = (("characters", "random"), ("digits", "random"), ("characters", "digits"))
PAIR = ("first", "second", "first_seed", "second_seed")  # columns of what two networks share
WAYS = {
    FULL: "all weights learning",
    "probe": "the head alone learning",
    "discriminative": "layers learning at falling rates",
}
_DECISIVE = 5  # mistakes
_SHOWN = 9  # of so many mistakes one shows where labels name another class than the true one
Table = tuple[Sequence[str], list[Sequence[Any]]]  # columns and rows
T = TypeVar("T")


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
    way: str  # a key of WAYS, or CORRECTED
    budget: str  # images of each class, or "all"
    seed: int
    train_images: int
    judged: int  # on how many validation images each point of its learning curve is measured
    accuracy: float  # as all that follows, on the test split
    nll: float  # mean negative logarithm of the probability of the right class
    ece: float
    brier: float
    gap: float  # of the accuracies on images learnt from, by their true labels, and on the test
    curve_area: float
    distance: float  # that the convolutions travelled
    early_gradient: float  # mean length over the first steps
    early_roughness: float  # mean change of a batch's loss from one of them to the next


MEASURES = Run._fields[Run._fields.index("accuracy") :]


class Pair(NamedTuple):
    """Two arms with one budget, to be compared."""

    budget: str
    way: str
    start: str
    against: str
    against_way: str


class Measured(NamedTuple):
    """One network, and what comparisons take of it."""

    run: Run
    answers: Answers
    curve: list[Point]
    flops: int  # of a training image


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
    """What it took to come to each threshold, and to stay there; empty where it never did, and
    where the threshold is not decisive()."""
    rows: list[Sequence[Any]] = []
    for each in measured:
        for threshold in convergence.THRESHOLDS:
            told = decisive(each.run, threshold)
            at = convergence.reached(each.curve, threshold) if told else None
            cost = ("", "", "") if at is None else (*at, at[1] * each.flops)
            stays = convergence.kept(each.curve, threshold) if told else None
            kept = "" if stays is None else stays[1]
            rows.append((*key(each.run), threshold, int(told), *cost, kept))
    columns = ("start", "way", "budget", "seed", "threshold", "decisive", "step", "images_seen")
    return (*columns, "flops", "images_kept"), rows


def decisive(run: Run, threshold: float) -> bool:
    """Whether no less than _DECISIVE mistakes that show on the curve's images decide a threshold:
    on fewer, a curve comes there by chance."""
    shown = run.judged / (_SHOWN if run.way == CORRECTED else 1)
    return round((1 - threshold) * shown, 6) >= _DECISIVE


def speed(measured: Sequence[Measured]) -> Table:
    """The median cost of each threshold: empty unless more than half of the runs reached it; and
    the fewest and the most images that a run took, between which the true median lies but for 1
    chance in 2^(n-1). The most is empty if a run never came there, the fewest if none did. All are
    empty where the threshold is not decisive()."""
    rows: list[Sequence[Any]] = []
    for arm, of_arm in arms(measured).items():
        for threshold in convergence.THRESHOLDS:
            if not decisive(of_arm[0].run, threshold):
                rows.append((*arm, threshold, 0, len(of_arm), *[""] * 7))
                continue
            found = [convergence.reached(each.curve, threshold) for each in of_arm]
            stays = [convergence.kept(each.curve, threshold) for each in of_arm]
            (steps, images), (_, kept) = map(_medians, (found, stays))
            count = sum(at is not None for at in found)
            took = [math.inf if at is None else at[1] for at in found]
            costs = (steps, images, images * of_arm[0].flops, kept, min(took), max(took))
            shown = ["" if cost == math.inf else round(cost) for cost in costs]
            rows.append((*arm, threshold, 1, len(found), count, *shown))
    columns = ("start", "way", "budget", "threshold", "decisive", "n", "reached")
    costs_of = ("median_steps", "median_images", "median_flops", "median_images_kept")
    return (*columns, *costs_of, "fewest_images", "most_images"), rows


def _medians(found: Iterable[tuple[int, int] | None]) -> tuple[float, float]:
    """The medians of the steps and the images, where a run that ended before it came there is
    longer than any that did."""
    steps, images = zip(*(at or (math.inf, math.inf) for at in found), strict=True)
    return median(steps), median(images)


def arms(measured: Sequence[Measured]) -> dict[tuple[str, str, str], list[Measured]]:
    """The networks of each start, way and budget, by seed."""
    found: dict[tuple[str, str, str], list[Measured]] = {}
    for each in measured:
        found.setdefault((each.run.start, each.run.way, each.run.budget), []).append(each)
    return found


def summaries(measured: Sequence[Measured]) -> Table:
    """Every measure of each arm, with the t interval of its mean over seeds."""
    rows: list[Sequence[Any]] = []
    for arm, of_arm in arms(measured).items():
        for name in MEASURES:
            values = [getattr(each.run, name) for each in of_arm]
            rows.append((*arm, name, len(values), fmean(values), *significance.interval(values)))
    return ("start", "way", "budget", "measure", "n", "mean", "low", "high"), rows


def labels(measured: Sequence[Measured], way: str) -> Table:
    """The mean accuracy of one way of training from each start, against the number of labels."""
    found = arms(measured)
    rows: list[Sequence[Any]] = []
    for size in dict.fromkeys(size for _, each, size in found if each == way):
        of_starts = [found[start, way, size] for start in STARTS]
        images = of_starts[0][0].run.train_images
        means = [fmean(each.run.accuracy for each in of_arm) for of_arm in of_starts]
        rows.append((images, math.log10(images), *means))
    return ("images", "log10_images", *STARTS), rows


def comparisons(measured: Sequence[Measured], study: Study) -> Table:
    """All paired comparisons, with both p corrected for the number of its family: the primary ones,
    those of question three, all others."""
    names = [field.name for field in fields(Comparison)]
    rows: list[Sequence[Any]] = []
    for place, primary, each in compared(measured, study):
        found = asdict(each)
        found |= {name: f"{found[name]:.6g}" for name in names if "p" in name.split("_")}
        rows.append((*place, int(primary), *found.values(), sentence(place, each)))
    return (*Pair._fields, "primary", *names, "sentence"), rows


def images(measured: Sequence[Measured]) -> Table:
    """Of all paired comparisons: how many test images so many more of the seeds read rightly from
    one start than from the other. Their mean and spread give the interval over test images."""
    found = arms(measured)
    rows: list[Sequence[Any]] = []
    for pair in pairs(measured):
        one, other = right(found, pair)
        values, counts = np.unique(one.sum(0) - other.sum(0), return_counts=True)
        rows += [(*pair, *each) for each in zip(values, counts, strict=True)]
    return (*Pair._fields, "more_seeds_right", "images"), rows


def pairs(measured: Sequence[Measured]) -> Iterator[Pair]:
    """All comparisons that can be made: of two starts trained in the same way, and of the ways that
    need a pretrained start with random weights trained in full, where both are of one strength."""
    found = arms(measured)
    for way, size in dict.fromkeys((way, size) for _, way, size in found):
        for start, against in PAIRS:
            same = (against, way, size) in found
            pair = Pair(size, way, start, against, way if same else FULL)
            if (start, way, size) in found and (same or size != "all"):
                yield pair


def right(
    found: Mapping[tuple[str, str, str], Sequence[Measured]], pair: Pair
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which test images the networks of two of arms() read rightly, bool [seeds, images] each, of
    the seeds that both have."""
    one, other = (
        np.array([each.answers.right.numpy() for each in found[start, way, pair.budget]])
        for start, way in ((pair.start, pair.way), (pair.against, pair.against_way))
    )
    seeds = min(len(one), len(other))
    return one[:seeds], other[:seeds]


def compared(measured: Sequence[Measured], study: Study) -> Iterator[tuple[Pair, bool, Comparison]]:
    """(what is compared, whether it is primary, what was found)."""
    primary, of_arms = study.primary, arms(measured)
    families: dict[str, list[tuple[Pair, Comparison]]] = {PRIMARY: [], OTHER: [], CORRECTED: []}
    for pair in pairs(measured):
        if pair.budget not in study.smallest:
            raise InputError(f"params.yaml: the key transfer.smallest.{pair.budget} is missing")
        first = pair[1:] == (primary.way, primary.start, primary.against, primary.way)
        found = significance.compare(*right(of_arms, pair), study.smallest[pair.budget])
        family = PRIMARY if first else CORRECTED if pair.way == CORRECTED else OTHER
        families[family].append((pair, found))
    if not families[PRIMARY]:
        raise InputError(
            f"params.yaml: transfer.primary: no comparison is of {primary.start},"
            f" {primary.against} and {primary.way}"
        )
    for family, members in families.items():
        whole = significance.corrected([each for _, each in members])
        for (pair, _), each in zip(members, whole, strict=True):
            yield pair, family == PRIMARY, each


def sentence(pair: Pair, found: Comparison) -> str:
    """A comparison in words."""
    images = "all images" if pair.budget == "all" else f"{pair.budget} images of each class"
    what = f"with {images} ({pair.way}), starting from {pair.start} instead of {pair.against}"
    if pair.against_way != pair.way:
        what += f" ({pair.against_way})"
    numbers = (
        f"{100 * found.difference:+.2f} points, 95% interval {100 * found.low:+.2f} to"
        f" {100 * found.high:+.2f}, n = {found.n}, corrected p = {found.p_corrected:.3g}"
    )
    little = f", by less than {100 * found.margin:g} points" if found.within_margin else ""
    words = {
        "helps": f"helps{little}",
        "hurts": f"hurts{little}",
        "equivalent": f"makes no difference of {100 * found.margin:g} points or more",
        "undecided": "makes no difference that these runs could decide",
    }
    return f"{what} {words[found.verdict]} ({numbers})"


def digits(ways: Mapping[str, Mapping[str, Sequence[Measured]]]) -> Table:
    """The errors in each digit, of each network of by_way()."""
    rows: list[Sequence[Any]] = []
    for way, by_start in ways.items():
        for start, of_arm in by_start.items():
            for each in of_arm:
                for digit in range(10):
                    wrong = (~each.answers.right)[each.answers.truth == digit]
                    rows.append((start, way, each.run.seed, digit, int(wrong.sum()), len(wrong)))
    return ("start", "way", "seed", "digit", "errors", "images"), rows


def agreement(ways: Mapping[str, Mapping[str, Sequence[Measured]]]) -> Table:
    """The share of test images of which two networks of by_way() say the same."""
    rows: list[Sequence[Any]] = []
    for way, by_start in ways.items():
        said = {
            start: [each.answers.logits.argmax(1) for each in of_arm]
            for start, of_arm in by_start.items()
        }
        for (one, other), (i, j), (a, b) in paired(said):
            rows.append((way, one, other, i, j, measures.mean(a == b)))
    return ("way", *PAIR, "share"), rows


def by_way(measured: Sequence[Measured]) -> dict[str, dict[str, list[Measured]]]:
    """The networks of one budget, by way and start."""
    found: dict[str, dict[str, list[Measured]]] = {}
    for (start, way, _), of_arm in arms(measured).items():
        found.setdefault(way, {})[start] = of_arm
    return found


def paired(
    arms: dict[str, list[T]],
) -> Iterator[tuple[tuple[str, str], tuple[int, int], tuple[T, T]]]:
    """(starts, seeds, networks): of each two starts the pairs with one seed, and of each alone all
    pairs of its seeds."""
    for one, other in combinations(STARTS, 2):
        for seed, pair in enumerate(zip(arms[one], arms[other], strict=True)):
            yield (one, other), (seed, seed), pair
    for start in STARTS:
        for i, j in combinations(range(len(arms[start])), 2):
            yield (start, start), (i, j), (arms[start][i], arms[start][j])


def summarise(measured: Sequence[Measured], study: Study) -> dict[str, Any]:
    """The headline: the primary comparison at each budget, and the answer in a sentence."""
    means = {arm: fmean(each.run.accuracy for each in of) for arm, of in arms(measured).items()}
    primary = {pair.budget: each for pair, first, each in compared(measured, study) if first}
    summary: dict[str, Any] = {"answer": answer(primary, study)}
    for size, each in primary.items():
        summary[size] = {start: means[start, study.primary.way, size] for start in STARTS}
        summary[size] |= {
            "difference": each.difference,
            "low": each.low,
            "high": each.high,
            "p_corrected": each.p_corrected,
            "margin": each.margin,
            "within_margin": int(each.within_margin),
            "verdict": each.verdict,
            "seeds": each.n,
        }
    return summary


def answer(primary: dict[str, Comparison], study: Study) -> str:
    """The primary comparisons in one sentence."""
    said = []
    for verdict, within, words in (
        ("helps", False, "helps"),
        ("helps", True, "helps by less than the difference of interest"),
        ("hurts", False, "hurts"),
        ("hurts", True, "hurts by less than the difference of interest"),
        ("equivalent", True, "makes no difference of interest"),
        ("undecided", False, "makes no difference that was decided"),
    ):
        sizes = [
            f"{'all images' if size == 'all' else size} ({100 * each.difference:+.2f} points"
            f"{f' where {100 * each.margin:g} is of interest' if within else ''})"
            for size, each in primary.items()
            if (each.verdict, each.within_margin) == (verdict, within)
        ]
        if sizes:
            said.append(f"{words} with {', '.join(sizes)}")
    start, against = study.primary.start, study.primary.against
    way = WAYS.get(study.primary.way, study.primary.way)
    return (
        f"Starting from {start} instead of {against} weights, {way}, by images of each class:"
        f" {'; '.join(said)}."
    )
