"""Question two: what pretraining does for MNIST, measured on its test split, with its uncertainty.

Every network that finetune has made is measured, and beside them, in the same ways, question
three's that correct has made; arms are compared by the differences between networks of one seed,
which saw the same images in the same order.

reads   artifacts/<source>/{seeds/mnist-,seeds/mnistTask3-,budgets/}<start>.pt and their curves,
        artifacts/<source>/{seeds/mnistTask3-,budgets/}<start>-early.csv,
        artifacts/<source>/bases/<start>.pt, artifacts/<source>/matched.csv,
        data/tensors/<source>/mnist/{train,test}.safetensors,
        data/tensors/<source>/mnistTask3/train.safetensors
writes  metrics/<source>/transfer.json, metrics/<source>/transfer/*.csv
params  compute, digits.<source>, strengths, transfer
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from handwriting.classifier import Classifier
from handwriting.core import cli as entry
from handwriting.core import files, params
from handwriting.data import budget, dataset
from handwriting.data.dataset import Split
from handwriting.evaluation import convergence, similarity, study
from handwriting.evaluation import metrics as measures
from handwriting.evaluation.metrics import Answers
from handwriting.evaluation.study import CORRECTED, FULL, STARTS, Measured, Run, Study, Table
from handwriting.training import engine as parallel
from handwriting.training import pretrained
from handwriting.training.compute import Compute
from handwriting.training.live import Point

USES: dict[str, pretrained.UseName] = {
    "budgets/": "usual",
    "seeds/mnist-": "full",
    "seeds/mnistTask3-": "full",
}
WHOLE = {"seeds/mnist-": FULL, "seeds/mnistTask3-": CORRECTED}
CURVES = [f"{data}-{start}" for data in ("mnist", "mnistTask3") for start in STARTS]
CURVES += ["mnistTask3-naive"]
_COMPARED = 10_000  # training images, at most, of which the generalisation gap is taken
_ALIKE = 500  # test images on which layers are compared


def main(scratch: Path, source: str) -> None:
    compute = replace(params.load("compute", Compute), device="cpu")
    declared = params.load("transfer", Study)
    jobs = [(start, kind) for kind in USES for start in STARTS]
    found = parallel.run(partial(measure, source), jobs, compute)
    everything = [each for arm in found for each in arm]
    by_way = study.by_way([each for each in everything if each.run.budget == "all"])
    whole = {way: by_way[way] for way in WHOLE.values()}
    tables: dict[str, Table] = {
        "comparisons": study.comparisons(everything, declared),
        "runs": (Run._fields, [each.run for each in everything]),
        "curves": study.curves(everything),
        "thresholds": study.thresholds(everything),
        "speed": study.speed(everything),
        "measures": study.summaries(everything),
        "labels": study.labels(everything, declared.primary.way),
        "images": study.images(everything),
        "digits": study.digits(whole),
        "agreement": study.agreement(whole),
        "cka": layers(source),
    }
    for name, (columns, rows) in tables.items():
        path = Path(f"metrics/{source}/transfer/{name}.csv")
        files.write_csv(path, columns, rows, scratch)
    for name in CURVES:
        curves = files.read_csv(Path(f"artifacts/{source}/seeds/{name}-curves.csv"))
        path = Path(f"metrics/{source}/transfer/{name}-mean.csv")
        files.write_csv(path, Point._fields, measures.mean_curve(curves), scratch)
    summary = study.summarise(everything, declared)
    files.write_json(Path(f"metrics/{source}/transfer.json"), summary, scratch)
    print(f"{source} transfer: {summary['answer']}")


def measure(source: str, job: tuple[str, str]) -> list[Measured]:
    """All networks of one start, with all images or with few."""
    start, kind = job
    path = Path(f"artifacts/{source}/{kind}{start}")
    given = kind != "seeds/mnistTask3-"  # whether the labels that were learnt from are the truth
    train, tensors = learnt_from(source, given), Path(f"data/tensors/{source}")
    test = dataset.load(tensors / "mnist/test.safetensors")
    truth = torch.from_numpy(test.labels)
    points = grouped(files.read_csv(path.with_name(f"{path.name}-curves.csv")))
    whole = path if not given else Path(f"artifacts/{source}/budgets/{start}")
    first = grouped(files.read_csv(whole.with_name(f"{whole.name}-early.csv")))
    classifiers = Classifier.all_of(path.with_suffix(".pt"))
    seeds = {int(each.about["seed"]) for each in classifiers}
    bases = pretrained.load(source, start, USES[kind], max(seeds) + 1)
    measured = []
    for classifier in tqdm(classifiers, path.name, unit="network", disable=None):
        name, seed = classifier.about["name"], classifier.about["seed"]
        way, images = name.split()[:2] if given else (CORRECTED, "all")
        answers = Answers(classifier.logits(test.images), truth)
        curve = [curve_point(row) for row in points[name]]
        accuracy = measures.mean(answers.right)
        learnt = seen(train, images, seed)
        fit = Answers(classifier.logits(learnt.images), torch.from_numpy(learnt.labels))
        count = len(train.labels) if images == "all" else len(learnt.labels)
        run = Run(
            *(start, way, images, seed, count, classifier.about["judged"]),
            *(accuracy, measures.nll(answers)),
            *(measures.calibration_error(answers), measures.brier(answers)),
            *(measures.mean(fit.right) - accuracy, convergence.area(curve)),
            convergence.travelled(classifier.network, bases[seed]),
            *convergence.smoothness(first[name]),
        )
        flops = convergence.flops_per_image(classifier.network.shape, way == "probe")
        measured.append(Measured(run, answers, curve, flops))
    return measured


def learnt_from(source: str, given: bool) -> Split:
    """The training images with their true labels, which are not those given in mnistTask3."""
    tensors = Path(f"data/tensors/{source}")
    if given:
        return dataset.load(tensors / "mnist/train.safetensors")
    train = dataset.load(tensors / "mnistTask3/train.safetensors")
    rows = files.read_csv(Path(f"artifacts/{source}/matched.csv"))[: len(train.labels)]
    return replace(train, labels=np.array([int(row["label"]) for row in rows]))


def curve_point(row: dict[str, str]) -> Point:
    """A row of a learning curve."""
    step, images, loss, accuracy = (row[name] for name in Point._fields)
    return Point(int(step), int(images), float(loss), float(accuracy))


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


def layers(source: str) -> Table:
    """Linear CKA between networks that learnt from all images, layer by layer."""
    test = dataset.load(Path(f"data/tensors/{source}/mnist/test.safetensors"))
    images = torch.from_numpy(test.images[:_ALIKE])
    rows: list[Sequence[Any]] = []
    for kind, way in WHOLE.items():
        grams = {
            start: [
                similarity.layers(each.network, images)
                for each in Classifier.all_of(f"artifacts/{source}/{kind}{start}.pt")
            ]
            for start in STARTS
        }
        for starts, seeds, (one, other) in study.paired(grams):
            for layer, (a, b) in enumerate(zip(one, other, strict=True), 1):
                rows.append((way, *starts, *seeds, layer, similarity.cka(a, b)))
    return ("way", *study.PAIR, "layer", "cka"), rows


if __name__ == "__main__":
    entry.run(main)
