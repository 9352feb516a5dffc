"""Question three with the answer known: MNIST's labels, spoiled in all ways that audit tells apart.

python -m bench.diagnosis [--source NAME] [--images N ...] [--seed N]

Of so many of MNIST's training images (there are 60,000, those for validation included), whose
labels are spoiled here, the stage's own networks say what they are, and its own diagnosis what is
wrong with the labels.

reads   artifacts/<source>/bases/digits.pt, data/tensors/<source>/mnist/
writes  bench/results/diagnosis-<source>.json
"""

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import PositiveInt
from tqdm import tqdm

from handwriting.core import params
from handwriting.core.errors import InputError
from handwriting.data import dataset
from handwriting.data.dataset import Split
from handwriting.noise import diagnosis as corruption
from handwriting.noise.diagnosis import Labels
from handwriting.training import pretrained
from handwriting.training.compute import Compute
from handwriting.training.model import Network
from stages.mnistTask3 import diagnose as audit

RESULTS = Path("bench/results")
CLASSES = 10
RENAMED = np.array([3, 0, 1, 2, 7, 4, 5, 6, 9, 8])
CASES = {  # a fault, and its share: the names that are right for it
    "symmetric": {"clean"},
    "symmetric 0.2": {"symmetric noise"},
    "symmetric 0.5": {"symmetric noise"},
    "symmetric 0.8": {"symmetric noise"},
    "random": {"random"},
    "permuted": {"permutation"},
    "permuted 0.5": {"permutation with noise"},
    "flips 0.45": {"pair flips"},
    "complementary": {"uniform complementary"},
    "complementary 0.001": {"uniform complementary", "complementary with some right"},
    "complementary 0.02": {"complementary with some right"},
    "complement": {"complement of permuted"},
    "biased": {"biased complementary"},
}


def corrupted(truth: Labels, how: str, rng: np.random.Generator) -> Labels:
    """The labels that such a fault makes of the truth."""
    kind, _, number = how.partition(" ")
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
        return (RENAMED[truth] + rng.integers(1, CLASSES, count)) % CLASSES
    if kind == "flips":
        return np.where(some, (truth + 1) % CLASSES, truth)
    if kind == "random":
        return rng.integers(0, CLASSES, count)
    weights = rng.dirichlet(np.ones(CLASSES - 1), CLASSES)  # biased
    shift: Labels = np.array([1 + rng.choice(CLASSES - 1, p=weights[each]) for each in truth])
    biased: Labels = (truth + shift) % CLASSES
    return biased


def diagnosed(source: str, split: Split, bases: list[Network], compute: Compute) -> dict[str, Any]:
    """What the audit says of a split, and what it cost."""
    begun, children = time.process_time(), os.times()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spoiled" / "train.safetensors"
        dataset.store(split, path, Path(folder))
        plan = audit.plan(source, path, compute, Path(folder))
        found = corruption.diagnose(audit.adapted(split, bases, plan), split.labels)
    after = os.times()
    spent = time.process_time() - begun
    spent += sum(after[2:4]) - sum(children[2:4])  # of the processes that trained
    return {
        "family": found.family,
        "right": round(found.right, 5),
        "right_interval": [round(each, 5) for each in found.interval],
        "cpu_seconds": round(spent, 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--source", default=params.load("source", str))
    parser.add_argument("--images", type=int, nargs="+", default=[2000, 60000])
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    compute = replace(params.load("compute", Compute), device="cpu")
    count = params.load("audit.bases", PositiveInt)
    bases = pretrained.load(given.source, "digits", "usual", count)
    mnist = dataset.load_all(Path(f"data/tensors/{given.source}/mnist"))
    rows = []
    for images, case in tqdm([(n, c) for n in given.images for c in CASES], disable=None):
        split = mnist.rows(slice(images))
        labels = corrupted(split.labels, case, np.random.default_rng(given.seed))
        row = {
            "images": len(labels),
            "fault": case,
            "truly_right": round(float((labels == split.labels).mean()), 5),
            **diagnosed(given.source, replace(split, labels=labels), bases, compute),
        }
        low, high = row["right_interval"]
        row["interval_holds"] = low <= row["truly_right"] <= high
        rows.append(row | {"named_rightly": row["family"] in CASES[case]})
        print(*rows[-1].values(), flush=True)
    RESULTS.mkdir(parents=True, exist_ok=True)
    content = json.dumps({"source": given.source, "seed": given.seed, "cases": rows}, indent=2)
    (RESULTS / f"diagnosis-{given.source}.json").write_text(content + "\n")
    wrong = sum(not row["named_rightly"] for row in rows)
    held = sum(row["interval_holds"] for row in rows)
    print(f"{len(rows) - wrong} of {len(rows)} named rightly; {held} intervals hold the truth")
    return wrong


if __name__ == "__main__":
    try:
        sys.exit(main())
    except InputError as error:
        sys.exit(f"bench.diagnosis: {error}; has `dvc repro` run?")
