"""The comparison of inits: what each network measures, what each arm does, how the arms compare.

An arm is all runs of one init, method and number of labels. Two arms are paired by their seeds.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import combinations, product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pydantic import PositiveFloat
from torch import Tensor

from handwriting.core import params
from handwriting.core.errors import InputError
from handwriting.data import dataset
from handwriting.data.dataset import Split
from handwriting.evaluation import convergence, metrics, significance
from handwriting.evaluation.metrics import Predictions
from handwriting.training import checkpoint, loop, pretrained
from handwriting.training.checkpoint import Run, Saved
from handwriting.training.compute import Compute
from handwriting.training.model import Network

ONE_CORE = Compute(device="cpu", precision="float32", threads=1, processes=1)
INITS = ("random", "digits", "characters")
FULL, CORRECTED = "full", "forward_correction"
METHODS = {
    FULL: "full fine-tuning",
    "linear_probe": "linear probing",
    "layerwise_decay": "layer-wise learning-rate decay",
    CORRECTED: "forward correction",
}
RUN = Run.columns()[1:]  # all but data
ARM = RUN[:-1]
PAIR = ["labels", "method", "init", "against", "against_method"]  # of two arms
COSTS = ["step", "images_seen", "flops", "images_kept"]  # of a threshold
_MEDIANS = dict(zip(("steps", "images", "flops", "images_kept"), COSTS, strict=True))
BOUNDS: defaultdict[str, tuple[float, float]] = defaultdict(lambda: (0, math.inf), gap=(-1, 1))
BOUNDS |= dict.fromkeys(("accuracy", "ece", "curve_area"), (0, 1))
BOUNDS |= dict.fromkeys(("brier", "distance"), (0, 2))
_COMPARED = (("characters", "random"), ("digits", "random"), ("characters", "digits"))
_GAP_IMAGES = 10_000  # training images, at most, of which the gap is taken
_CKA_IMAGES = 500  # test images for which layers are compared
_DECISIVE = 5  # mistakes that decide a threshold: with fewer, a curve reaches it by chance
_VISIBLE = 9  # one of so many mistakes contradicts a complementary label
_VERDICTS = {
    "helps": "{one} beats {other}",
    "hurts": "{one} is worse than {other}",
    "equivalent": "no difference of interest",
    "undecided": "inconclusive",
}
Correct = NDArray[np.bool_]


@params.section
class Primary:
    """The comparison that the answer rests on, chosen beforehand, at each number of labels."""

    init: str
    against: str
    method: str


@params.section
class Declared:
    """The section compare_inits."""

    primary: Primary
    smallest_effect: dict[str, PositiveFloat]  # at each number of labels


class Job(NamedTuple):
    """A network to be measured."""

    saved: Saved
    init: Network
    curve: pd.DataFrame
    first_steps: pd.DataFrame


class Measured(NamedTuple):
    """A network, measured."""

    row: dict[str, Any]  # of the table of runs
    curve: pd.DataFrame
    flops: int  # of a training image
    predictions: Predictions  # for the test split
    grams: list[Tensor]  # of the layers, for methods that train all weights on all labels


def read(path: Path) -> pd.DataFrame:
    """Return a table of runs as training.runs writes it."""
    return pd.read_csv(path, dtype={"labels": str}, float_precision="round_trip")


def jobs(artifacts: Path, data: str) -> Iterator[Job]:
    """Yield a job for each run of each init on a data set."""
    before = cache(pretrained.load)
    for init in INITS:
        folder, path = artifacts / f"runs/{data}/{init}", artifacts / f"pretrained/{init}.pt"
        tables = [
            read(folder / f"{name}.csv").groupby(Run.columns())
            for name in ("curves", "first_steps")
        ]
        networks = checkpoint.load(folder / "networks.pt")
        networks.sort(key=lambda each: float(each.run.labels.replace("all", "inf")))
        for saved in networks:
            curve, first_steps = (table.get_group(saved.run.values()) for table in tables)
            init_of = before(path, saved.about["model_size"], saved.run.seed + 1)[-1]
            yield Job(saved, init_of, curve, first_steps)


def measure(job: Job, train: Split, test: Split) -> Measured:
    """Measure a network; the labels of `train` are the true ones."""
    run, network = job.saved.run, job.saved.network
    few, predictions = run.labels != "all", predict(job.saved, test)
    rows = dataset.per_class(train.labels, int(run.labels), run.seed) if few else slice(_GAP_IMAGES)
    fit = predict(job.saved, train.rows(rows))
    gradient, roughness = convergence.smoothness(job.first_steps)
    row = dict(zip(RUN, run.values()[1:], strict=True)) | {
        "train_images": len(fit.truth) if few else len(train.labels),
        "curve_images": job.saved.about["curve_images"],
        "accuracy": predictions.accuracy,
        "nll": metrics.nll(predictions),
        "ece": metrics.calibration_error(predictions),
        "brier": metrics.brier(predictions),
        "gap": fit.accuracy - predictions.accuracy,
        "curve_area": convergence.area(job.curve),
        "distance": convergence.distance(network, job.init),
        "first_steps_gradient": gradient,
        "first_steps_roughness": roughness,
    }
    flops = convergence.flops_per_image(network.shape, run.method == "linear_probe")
    compared = not few and run.method in (FULL, CORRECTED)
    images = torch.from_numpy(test.images[:_CKA_IMAGES])
    grams = convergence.layers(network, images) if compared else []
    return Measured(row, job.curve, flops, predictions, grams)


def predict(saved: Saved, split: Split) -> Predictions:
    """Return the predictions of a digit network for a split."""
    images, labels = torch.from_numpy(split.images), torch.from_numpy(split.labels)
    return Predictions(loop.logits_of(saved.network, images), labels)


def tables(measured: Sequence[Measured], declared: Declared) -> dict[str, pd.DataFrame]:
    """Return the tables of a study by their names."""
    whole = [each for each in measured if each.grams]
    runs, costs = pd.DataFrame([each.row for each in measured]), thresholds(measured)
    return {
        "comparisons": comparisons(measured, declared),
        "runs": runs,
        "curves": pd.concat([each.curve for each in measured]).drop(columns="data"),
        "thresholds": costs,
        "speed": speed(costs),
        "measures": summaries(runs),
        "images": images(measured),
        "digits": digits(whole),
        **similarities(whole),
    }


def thresholds(measured: Iterable[Measured]) -> pd.DataFrame:
    """Return what each run took to reach each threshold, and to stay above it.

    Empty where it never did, or where its curve has too few images to decide.
    """
    rows = []
    for (row, curve, flops, *_), threshold in product(measured, convergence.THRESHOLDS):
        visible = row["curve_images"] / (_VISIBLE if row["method"] == CORRECTED else 1)
        decisive = round((1 - threshold) * visible, 6) >= _DECISIVE
        points = curve if decisive else curve[:0]
        step, seen = convergence.reached(points, threshold)
        costs = (step, seen, seen * flops, convergence.kept(points, threshold)[1])
        rows.append((*(row[name] for name in RUN), threshold, int(decisive), *costs))
    frame = pd.DataFrame(rows, columns=[*RUN, "threshold", "decisive", *COSTS])
    return frame.astype(dict.fromkeys(COSTS, "Int64"))


def speed(costs: pd.DataFrame) -> pd.DataFrame:
    """Return the median cost of each threshold over the runs of an arm, and the extremes.

    A run that never reached it counts as longest, and a cost that is not finite is empty. The true
    median lies between the fewest and the most images but for 1 chance in 2^(n-1).
    """
    costs = costs.astype(dict.fromkeys(COSTS, float)).fillna(dict.fromkeys(COSTS, math.inf))
    arms = costs.groupby([*ARM, "threshold", "decisive"], sort=False)
    found = arms.agg(
        n=("step", "size"),
        reached=("step", lambda steps: np.isfinite(steps).sum()),
        **{f"median_{name}": (cost, "median") for name, cost in _MEDIANS.items()},
        fewest_images=("images_seen", "min"),
        most_images=("images_seen", "max"),
    )
    found = found.replace(math.inf, math.nan).round().astype("Int64").reset_index()
    return found.assign(reached=found["reached"].where(found["decisive"] == 1))


def summaries(runs: pd.DataFrame) -> pd.DataFrame:
    """Return every measure of each arm, with the t interval of its mean over seeds."""
    rows = [
        (*arm, name, len(values), values.mean(), *significance.interval(values, BOUNDS[str(name)]))
        for arm, of_arm in runs.groupby(ARM, sort=False)
        for name, values in of_arm.loc[:, "accuracy":].items()
    ]
    return pd.DataFrame(rows, columns=[*ARM, "measure", "n", "mean", "low", "high"])


def by_labels(runs: pd.DataFrame, method: str) -> pd.DataFrame:
    """Return the mean accuracy of a method from each init, against the number of labels."""
    runs = runs[runs["method"] == method].rename(columns={"train_images": "images"})
    means = runs.pivot_table("accuracy", "images", "init")[[*INITS]].reset_index()
    means.insert(1, "log10_images", np.log10(means["images"]))
    return means


def comparisons(measured: Iterable[Measured], declared: Declared) -> pd.DataFrame:
    """Return all paired comparisons, p values corrected among the primary ones and among all
    others. Raises InputError for a number of labels without a smallest effect."""
    rows, chosen, effects = [], declared.primary, declared.smallest_effect
    for pair, arms in pairs(measured).items():
        if pair[0] not in effects:
            key = f"compare_inits.smallest_effect.{pair[0]}"
            raise InputError(f"params.yaml: the key {key} is missing")
        primary = pair[1:] == (chosen.method, chosen.init, chosen.against, chosen.method)
        row = {**dict(zip(PAIR, pair, strict=True)), "primary": int(primary)}
        rows.append(row | significance.compare(*arms, effects[pair[0]]))
    found = significance.with_verdicts(pd.DataFrame(rows), "primary")
    sentences = [conclusion(found[i : i + 1]) for i in range(len(found))]
    exact = {name: found[name].map("{:.6g}".format) for name in significance.P}
    return found.assign(**exact, sentence=sentences)


def images(measured: Iterable[Measured]) -> pd.DataFrame:
    """Return of each comparison how many test images so many more seeds of one arm than of the
    other classify correctly. Their mean and spread give the interval over test images."""
    rows = [
        (*pair, *row)
        for pair, (one, other) in pairs(measured).items()
        for row in np.column_stack(np.unique(one.sum(0) - other.sum(0), return_counts=True))
    ]
    return pd.DataFrame(rows, columns=[*PAIR, "more_seeds_correct", "images"])


def pairs(measured: Iterable[Measured]) -> dict[tuple[str, ...], tuple[Correct, Correct]]:
    """Return of each comparison, PAIR, which test images both arms classify correctly, bool [seeds,
    images], for the seeds that both have.

    Compared are two inits with one method, and a method that needs a pretrained checkpoint with
    training from scratch, where both are of one model size.
    """
    arms: dict[tuple[str, str, str], dict[int, Correct]] = {}
    for row, *_, predictions, _ in measured:
        arm = arms.setdefault((row["init"], row["method"], row["labels"]), {})
        arm[row["seed"]] = predictions.correct.numpy()
    found: dict[tuple[str, ...], tuple[Correct, Correct]] = {}
    methods = dict.fromkeys(arm[1:] for arm in arms)
    for (method, labels), (init, against) in product(methods, _COMPARED):
        same = (against, method, labels) in arms
        if (init, method, labels) in arms and (same or labels != "all"):
            other = method if same else FULL
            one, two = arms[init, method, labels], arms[against, other, labels]
            seeds = sorted(one.keys() & two.keys())
            correct = [np.array([arm[seed] for seed in seeds]) for arm in (one, two)]
            found[labels, method, init, against, other] = correct[0], correct[1]
    return found


def headline(runs: pd.DataFrame, found: pd.DataFrame) -> dict[str, Any]:
    """Return the answer in words, and the primary comparison at each number of labels.

    Raises InputError if there is none.
    """
    primary = found[found["primary"] == 1].astype({"p_corrected": float})
    if primary.empty:
        raise InputError("params.yaml: compare_inits.primary: no comparison is of these")
    runs = runs[runs["method"] == primary["method"].iloc[0]]
    numbers = primary.set_index("labels").join(runs.pivot_table("accuracy", "labels", "init"))
    columns = [*INITS, "difference", "low", "high", "p_corrected", "margin", "within_margin"]
    table = numbers.rename(columns={"n": "seeds"})[[*columns, "verdict", "seeds"]]
    return {"answer": conclusion(primary), **{str(i): dict(row) for i, row in table.iterrows()}}


def conclusion(rows: pd.DataFrame) -> str:
    """Return comparisons of the same inits and methods in words, by verdict."""
    first, sentences = rows.iloc[0], []
    one = arm_name(first["init"], first["method"])
    other = arm_name(first["against"], first["against_method"])
    for (verdict, within), of_verdict in rows.groupby(["verdict", "within_margin"], sort=False):
        words = _VERDICTS[str(verdict)].format(one=one, other=other)
        if within and verdict != "equivalent":
            words += " by less than the smallest effect of interest"
        sentences.append(f"{words} {', '.join(of_verdict.apply(place, axis=1))}.")
    sentences.sort(key=lambda each: one not in each)
    if one not in sentences[0]:
        sentences[0] = f"{one} against {other}: {sentences[0]}"
    return " ".join(each[0].upper() + each[1:] for each in sentences)


def arm_name(init: str, method: str) -> str:
    """Return an arm in words."""
    if (init, method) == ("random", FULL):
        return "training from scratch"
    origin = "random weights" if init == "random" else f"the {init} checkpoint"
    return f"{METHODS[method]} from {origin}"


def place(row: "pd.Series[Any]") -> str:
    """Return a number of labels and the difference there in words."""
    labels = row["labels"]
    where = "with all labels" if labels == "all" else f"at {int(labels):,} labels per class"
    return f"{where} ({100 * row['difference']:+.2f} points)"


def digits(whole: Iterable[Measured]) -> pd.DataFrame:
    """Return the errors of each run in each digit."""
    errors = pd.concat(
        pd.DataFrame({**row, "digit": predictions.truth, "wrong": ~predictions.correct})
        for row, *_, predictions, _ in whole
    )
    by_digit = errors.groupby(["method", "init", "seed", "digit"])["wrong"]
    return by_digit.agg(errors="sum", images="size").reset_index()


def similarities(whole: Iterable[Measured]) -> dict[str, pd.DataFrame]:
    """Return the share of test images for which two networks predict the same class, and the linear
    CKA of their layers.

    The pairs are the runs of two inits that share a seed, and all runs of one init.
    """
    shares, layers = [], []
    ordered = sorted(whole, key=lambda each: (INITS.index(each.row["init"]), each.row["seed"]))
    for one, other in combinations(ordered, 2):
        a, b = one.row, other.row
        if a["init"] == b["init"] or a["seed"] == b["seed"]:
            pair = (a["method"], a["init"], b["init"], a["seed"], b["seed"])
            same = one.predictions.predicted == other.predictions.predicted
            shares.append((*pair, metrics.share(same)))
            grams = zip(one.grams, other.grams, strict=True)
            layers += [(*pair, i, convergence.cka(*each)) for i, each in enumerate(grams, 1)]
    names = ["method", "first", "second", "first_seed", "second_seed"]
    cka = pd.DataFrame(layers, columns=[*names, "layer", "cka"])
    return {"agreement": pd.DataFrame(shares, columns=[*names, "share"]), "cka": cka}
