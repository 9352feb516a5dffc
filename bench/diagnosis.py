"""Labels with faults that are known, examined: named, ranked and cleaned, beside cleanlab.

python -m bench.diagnosis [--source NAME] [--images N ...] [--seeds N] [--trained N]

Takes so many of MNIST's training images (of 60,000, those for validation included), gives them
faulty labels, and examines them as diagnose-labels does. cleanlab has the probabilities of a CNN
like that of its own tutorial, cross-validated as it says, and once those of our networks. For so
many seeds (`trained`) a network is trained on the given labels, on what cleanlab's issues leave,
and on our cleaned labels. Probabilities of 0.5 decide. The exit status is the number of cases
named wrongly.

reads   artifacts/<source>/pretrained/digits.pt, data/tensors/<source>/{mnist,characters28}/,
        params.yaml
writes  bench/results/diagnosis-<source>.json
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from tqdm import tqdm

from bench import cleanlab_recipe, report
from bench.label_noise import FAULTS, draw, with_copies, with_garbage
from handwriting.core import params
from handwriting.data import dataset
from handwriting.data.alphabet import CHARACTERS
from handwriting.data.dataset import Split
from handwriting.noise import examination, ranking
from handwriting.noise.diagnosis import Floats, Labels
from handwriting.noise.examination import Examination
from handwriting.noise.ranking import WRONG
from handwriting.training import loop, pretrained
from handwriting.training.loop import Labelled
from handwriting.training.losses import CrossEntropy
from handwriting.training.model import Network
from handwriting.training.resume import Progress
from tools import program

_CASES = [*FAULTS, "garbage", "copies"]
_UNLIKE_DIGITS = "AEFHKMNPRWXadefhkmrwx"


class Case(NamedTuple):
    """Images with labels whose faults are known."""

    split: Split
    truth: Labels
    wrong: NDArray[np.bool_]
    listed: NDArray[np.bool_]  # which must be among the first 5%
    matrix: Floats
    kinds: set[str]


def case_of(name: str, split: Split, letters: NDArray[np.uint8], seed: int) -> Case:
    """Return a split with this fault of its labels."""
    rng, none = np.random.default_rng([seed, len(split.labels)]), np.zeros(len(split.labels), bool)
    if name in FAULTS:
        matrix = FAULTS[name].matrix(rng)
        labels = draw(matrix, split.labels, rng)
        faulty = Split(split.images, labels, split.geometry, split.classes, split.ink_size)
        return Case(faulty, split.labels, labels != split.labels, none, matrix, FAULTS[name].kinds)
    if name == "garbage":
        images, labels, listed = with_garbage(split.images, split.labels, letters, rng)
        truth, wrong = np.where(listed, -1, split.labels), listed
    else:
        images, labels, listed = with_copies(split.images, split.labels, rng)
        truth, wrong = split.labels.copy(), none.copy()
        pairs = {image.tobytes(): i for i, image in enumerate(split.images)}
        truth[:] = [split.labels[pairs[image.tobytes()]] for image in images]
        wrong = labels != truth
    faulty = Split(images, labels, split.geometry, split.classes, split.ink_size)
    return Case(faulty, truth, wrong, listed, np.eye(10), {"clean"})


def scores(
    case: Case, p_wrong: Floats, suggested: Labels, flagged: NDArray[np.bool_]
) -> dict[str, Any]:
    """Return how well wrong labels are told from right ones, and replaced."""
    wrong, found = case.wrong, flagged & case.wrong
    known = wrong & (case.truth >= 0)
    both = 0 < wrong.sum() < len(wrong)
    right = suggested == case.truth
    return {
        "auroc": round(float(roc_auc_score(wrong, p_wrong)), 5) if both else None,
        "precision": round(float(found.sum() / flagged.sum()), 4) if flagged.any() else None,
        "recall": round(float(found.sum() / wrong.sum()), 4) if wrong.any() else None,
        "suggestions": round(float(right[known].mean()), 4) if known.any() else None,
    }


def ours(case: Case, found: Examination) -> tuple[dict[str, Any], Labels]:
    """Return the scores of an examination, and the cleaned labels, -1 for an image left out."""
    classes, count = case.split.classes, len(case.wrong)
    ranked = ranking.ranked([str(i) for i in range(count)], case.split, found)
    order = [int(each.path) for each in ranked]
    p_wrong, suggested, cleaned = np.empty(count), np.empty(count, int), np.full(count, -1)
    p_wrong[order] = [each.p_wrong for each in ranked]
    suggested[order] = [classes.index(str(each.suggested)) for each in ranked]
    for path, label in ranking.cleaned(ranked):
        cleaned[int(path)] = classes.index(label)
    row = scores(case, p_wrong, suggested, p_wrong > WRONG)
    if case.listed.any():
        first = order[: count // 20]
        row["listed_in_first_5%"] = round(float(case.listed[first].sum() / case.listed.sum()), 4)
    return row, cleaned


def named(case: Case, found: Examination) -> dict[str, Any]:
    """Return how right the diagnosis is, and the error of a matrix counted from the true labels."""
    diagnosis, right = found.diagnosis, float((~case.wrong).mean())
    counts = np.zeros_like(case.matrix)
    seen = case.truth >= 0
    np.add.at(counts, (case.truth[seen], case.split.labels[seen]), 1)
    counted = counts / counts.sum(1, keepdims=True).clip(1)
    if case.listed.any():  # of the images that are evidence
        right = 1.0
    low, high = diagnosis.interval
    return {
        "kind": diagnosis.kind,
        "named_correctly": diagnosis.kind in case.kinds,
        "matrix_error": round(float(np.abs(diagnosis.matrix - case.matrix).mean()), 5),
        "matrix_error_counted": round(float(np.abs(counted - case.matrix).mean()), 5),
        "true_share": round(right, 5),
        "share": round(diagnosis.clean_fraction, 5),
        "low": round(low, 5),
        "high": round(high, 5),
        "interval_covers": low <= right <= high,
    }


def accuracy(split: Split, labels: Labels, test: Split) -> float | None:
    """Return the test accuracy after training on the images with labels that are not negative."""
    kept = labels >= 0
    if len(np.unique(labels[kept])) < 2:
        return None
    network = examination.fresh_network(split)
    with TemporaryDirectory() as scratch:
        plan = replace(
            examination.usual_effort(len(labels), Path(scratch)).plan,
            epochs=10 * (2000 / len(labels)) ** 0.5,
            objective=CrossEntropy(label_smoothing=0.1),
            stream="bench",
        )
        seen = Labelled(torch.from_numpy(split.images[kept]), torch.from_numpy(labels[kept]))
        loop.fit(network, seen, None, plan, Progress("bench", "", Path(scratch)))
    logits = loop.logits_of(network, torch.from_numpy(test.images))
    return round(float((logits.argmax(1).numpy() == test.labels).mean()), 4)


def measured(name: str, case: Case, networks: list[Network], test: Split | None) -> dict[str, Any]:
    """Return the row of a case; with a test split, also what is learned from the labels."""
    split, row = case.split, dict[str, Any]()

    def timed(work: Callable[[], Any]) -> tuple[Any, float]:
        kept: list[Any] = []
        spent = report.cost(lambda: kept.append(work()))["cpu_seconds"]
        return kept[0], round(spent, 1)

    with TemporaryDirectory() as scratch:
        effort = examination.usual_effort(len(split.labels), Path(scratch))
        prior = examination.posteriors_of(networks, split.images, effort.compute)
        found, cpu = timed(partial(examination.examine, split, networks, prior, effort))
    scored, cleaned = ours(case, found)
    row |= named(case, found) | {"ours": scored | {"cpu_seconds": cpu}}
    probabilities, cpu = timed(partial(cleanlab_recipe.probabilities, split))
    for whose, shares in (("cleanlab", probabilities), ("cleanlab_ours", found.posteriors)):
        row[whose], issues = cleanlab_recipe.judged(case, shares, scores)
        if whose == "cleanlab":
            row[whose]["cpu_seconds"], kept = cpu, np.where(issues, -1, split.labels)
    if test:
        sets = {"given": split.labels, "cleanlab": kept, "ours": cleaned}
        row["accuracy"] = {who: accuracy(split, labels, test) for who, labels in sets.items()}
    return {"images": len(split.labels), "fault": name} | row


def main(
    source: str = "sample",
    images: tuple[int, ...] = (2000, 6000),
    seeds: int = 3,
    trained: int = 1,
) -> int:
    """Measure and write."""
    folder, rows = Path(f"data/tensors/{source}"), list[dict[str, Any]]()
    names = ("train", "validation", "test")
    *parts, test = (dataset.load(folder / f"mnist/{name}.safetensors") for name in names)
    mnist = dataset.join(*parts)
    characters = dataset.load(folder / "characters28/train.safetensors")
    unlike = np.isin(characters.labels, [CHARACTERS.index(each) for each in _UNLIKE_DIGITS])
    size = params.load(f"{source}.digits.model_size", str)
    count = params.load(f"{source}.seeds.diagnosis", int)
    networks = pretrained.load(pretrained.path(source, "digits"), size, count)
    order = np.random.default_rng(0).permutation(len(mnist.labels))
    cases = [(n, s, name) for s in range(seeds) for n in images for name in _CASES]
    for count, seed, name in tqdm(cases, disable=None):
        case = case_of(name, mnist.rows(order[:count]), characters.images[unlike], seed)
        row = measured(name, case, networks, test if seed < trained else None)
        rows.append({"seed": seed} | row)
        print(rows[-1], flush=True)
        report.write(f"diagnosis-{source}", {"source": source, "cases": rows})
    right, covered = (sum(row[k] for row in rows) for k in ("named_correctly", "interval_covers"))
    print(f"{right} of {len(rows)} named correctly; {covered} intervals cover the true share")
    return len(rows) - int(right)


if __name__ == "__main__":
    program.run(main, "; has `dvc repro` run?")
