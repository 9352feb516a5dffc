"""diagnose-labels with the answer known: MNIST's labels, with every kind of noise it tells apart.

python -m bench.diagnosis [--source NAME] [--images N ...] [--seed N]

Takes so many of MNIST's training images (of 60,000, those for validation included), replaces their
labels and runs the stage on them. The exit status is the number of cases named wrongly.

reads   artifacts/<source>/pretrained/digits.pt, data/tensors/<source>/mnist/, params.yaml
writes  bench/results/diagnosis-<source>.json
"""

import tempfile
from contextlib import chdir
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from bench import report
from handwriting.core import files, params
from handwriting.data import dataset
from handwriting.noise.diagnosis import Labels
from stages.mnistTask3 import diagnose
from tools import program

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


def diagnosed(split: dataset.Split, case: str, source: str, seed: int) -> dict[str, Any]:
    """Return the stage's diagnosis of a split whose labels have this noise, and its cost."""
    labels = corrupted(split.labels, case, np.random.default_rng(seed))
    clean = round(float((labels == split.labels).mean()), 5)
    data, pretrained = Path(f"data/tensors/{source}/mnist"), Path(f"artifacts/{source}/pretrained")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path in (params.PATH, pretrained):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).symlink_to(path.absolute())
        dataset.store(replace(split, labels=labels), folder / data / "train.safetensors", folder)
        with chdir(folder):
            spent = report.cost(partial(diagnose.main, folder, source, "mnist"))["cpu_seconds"]
        found = files.read_json(folder / f"artifacts/{source}/label_noise/mnist.json")
    return {
        "images": len(labels),
        "noise": case,
        "true_clean_fraction": clean,
        **{name: found[name] for name in ("kind", "clean_fraction", "low", "high")},
        "cpu_seconds": round(spent, 1),
        "interval_covers": found["low"] <= clean <= found["high"],
        "named_correctly": found["kind"] in CASES[case],
    }


def main(source: str = "sample", images: tuple[int, ...] = (2000, 60000), seed: int = 0) -> int:
    """Measure and write."""
    folder = Path(f"data/tensors/{source}/mnist")
    parts = (dataset.load(folder / f"{name}.safetensors") for name in ("train", "validation"))
    mnist, rows = dataset.join(*parts), []
    for count, case in tqdm([(n, c) for n in images for c in CASES], disable=None):
        rows.append(diagnosed(mnist.rows(slice(count)), case, source, seed))
        print(*rows[-1].values(), flush=True)
    report.write(f"diagnosis-{source}", {"source": source, "seed": seed, "cases": rows})
    named, covered = (sum(row[k] for row in rows) for k in ("named_correctly", "interval_covers"))
    print(f"{named} of {len(rows)} named correctly; {covered} intervals cover the true share")
    return len(rows) - int(named)


if __name__ == "__main__":
    program.run(main, "; has `dvc repro` run?")
