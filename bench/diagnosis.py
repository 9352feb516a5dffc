"""diagnose-labels with the answer known: MNIST's labels, with every kind of noise it tells apart.

python -m bench.diagnosis [--source NAME] [--images N ...] [--seed N]

Takes so many of MNIST's training images (of 60,000, those for validation included) and replaces
their labels. The stage's own networks predict them, and its own diagnosis names the noise.

reads   artifacts/<source>/pretrained/digits.pt, data/tensors/<source>/mnist/
writes  bench/results/diagnosis-<source>.json
"""

import argparse
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from bench import report
from handwriting.core import params
from handwriting.core.errors import InputError
from handwriting.data import dataset
from handwriting.data.dataset import Split
from handwriting.noise import diagnosis
from handwriting.noise.diagnosis import Labels
from handwriting.noise.forward_correction import ForwardCorrected
from handwriting.training import pretrained
from handwriting.training.compute import Compute
from handwriting.training.loop import Plan
from handwriting.training.model import Network
from handwriting.training.optimizer import Recipe
from stages.mnistTask3 import diagnose
from stages.mnistTask3.diagnose import Training

CLASSES = 10
RENAMED = np.array([3, 0, 1, 2, 7, 4, 5, 6, 9, 8])
CASES = {  # a kind of noise, and its share: the names that are correct for it
    "symmetric": {"clean"},
    "symmetric 0.2": {"symmetric noise"},
    "symmetric 0.5": {"symmetric noise"},
    "symmetric 0.8": {"symmetric noise"},
    "random": {"random"},
    "permuted": {"permutation"},
    "permuted 0.5": {"permutation with noise"},
    "flips 0.45": {"pair flips"},
    "complementary": {"uniform complementary"},
    "complementary 0.001": {"uniform complementary", "complementary with some correct"},
    "complementary 0.02": {"complementary with some correct"},
    "complement": {"complement of permuted"},
    "biased": {"biased complementary"},
}


def corrupted(truth: Labels, case: str, rng: np.random.Generator) -> Labels:
    """Return the labels that this noise makes of the true ones."""
    kind, _, number = case.partition(" ")
    share, count = float(number or 0), len(truth)
    some = rng.random(count) < share
    other = (truth + rng.integers(1, CLASSES, count)) % CLASSES
    if kind == "symmetric":
        return np.where(some, other, truth)
    if kind == "complementary":
        return np.where(some, truth, other)
    if kind == "permuted":
        return np.where(some, rng.integers(0, CLASSES, count), RENAMED[truth])
    if kind == "complement":
        return np.asarray((RENAMED[truth] + rng.integers(1, CLASSES, count)) % CLASSES)
    if kind == "flips":
        return np.where(some, (truth + 1) % CLASSES, truth)
    if kind == "random":
        return rng.integers(0, CLASSES, count)
    weights = rng.dirichlet(np.ones(CLASSES - 1), CLASSES)  # biased
    shift = np.array([1 + rng.choice(CLASSES - 1, p=weights[each]) for each in truth])
    return np.asarray((truth + shift) % CLASSES)


def cpu_seconds() -> float:
    """Return those of this process and of its children that have ended."""
    return sum(os.times()[:4])


def diagnosed(split: Split, case: str, seed: int, networks: list[Network], how: Training) -> Any:
    """Return the diagnosis of a split whose labels have this noise, and its cost."""
    labels = corrupted(split.labels, case, np.random.default_rng(seed))
    clean = float((labels == split.labels).mean())
    begun = cpu_seconds()
    with tempfile.TemporaryDirectory() as scratch:
        how = replace(how, scratch=Path(scratch))
        posteriors = diagnose.adapted(replace(split, labels=labels), networks, how)
    found = diagnosis.diagnose(posteriors, labels)
    low, high = (round(each, 5) for each in found.interval)
    return {
        "images": len(labels),
        "noise": case,
        "true_clean_fraction": round(clean, 5),
        "kind": found.kind,
        "clean_fraction": round(found.clean_fraction, 5),
        "low": low,
        "high": high,
        "cpu_seconds": round(cpu_seconds() - begun, 1),
        "interval_covers": low <= round(clean, 5) <= high,
        "named_correctly": found.kind in CASES[case],
    }


def setup(source: str) -> tuple[list[Network], Training]:
    """Return the stage's pretrained networks, and how it trains them, on the CPU."""
    compute = replace(params.load("compute", Compute), device="cpu")
    settings = params.load("diagnose_labels", diagnose.DiagnoseLabels)
    digits = params.load(f"{source}.digits", pretrained.Digits)
    seeds = params.load(f"{source}.seeds", pretrained.Seeds)
    epochs = params.load(f"{source}.diagnose_labels", diagnose.OfSource).epochs
    training = params.load("training", Recipe)
    recipe = params.changed(training, settings.training, "diagnose_labels.training")
    compute.configure_torch()
    path = pretrained.path(source, "digits")
    networks = pretrained.load(path, digits.model_size, seeds.diagnosis)
    plan = Plan(recipe, settings.augmentation, epochs, ForwardCorrected(()), "", 0)
    return networks, Training("mnist", plan, settings.rounds, compute, Path())


def main() -> int:
    """Measure and write; the number of cases named wrongly."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--source", default="sample")
    parser.add_argument("--images", type=int, nargs="+", default=[2000, 60000])
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    folder = Path(f"data/tensors/{given.source}/mnist")
    parts = (dataset.load(folder / f"{name}.safetensors") for name in ("train", "validation"))
    mnist = dataset.join(*parts)
    rows = []
    networks, how = setup(given.source)
    for images, case in tqdm([(n, c) for n in given.images for c in CASES], disable=None):
        rows.append(diagnosed(mnist.rows(slice(images)), case, given.seed, networks, how))
        print(*rows[-1].values(), flush=True)
    report.write(
        f"diagnosis-{given.source}", {"source": given.source, "seed": given.seed, "cases": rows}
    )
    named, covered = (
        sum(row[key] for row in rows) for key in ("named_correctly", "interval_covers")
    )
    print(f"{named} of {len(rows)} named correctly; {covered} intervals cover the true share")
    return len(rows) - int(named)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except InputError as error:
        sys.exit(f"bench.diagnosis: {error}; has `dvc repro` run?")
