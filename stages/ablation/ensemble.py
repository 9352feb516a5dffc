"""Train further networks of question one on the folds of crossvalidate: for an ensemble of them.

reads   data/tensors/<source>/characters/, data/tensors/<source>/characters-hands.csv,
        artifacts/<source>/folds/folds.csv
writes  ablation/artifacts/<source>/members/<n>.pt: a network for each fold, writers known
params  compute, train.{network,smoothing,recipe,augmentation}, train.epochs.<source>,
        ablation.members.<source>
"""

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeInt

from handwriting.characters import protocols as reader
from handwriting.core import cli as entry
from handwriting.core import files, params
from handwriting.data import dataset, folds
from handwriting.training import runs as arms
from handwriting.training.compute import Compute

_APART = 100  # the seeds of two members of a fold: far from those of other folds


def main(scratch: Path, source: str) -> None:
    compute = params.load("compute", Compute)
    compute.launch()
    tensors = Path(f"data/tensors/{source}")
    split = dataset.load_all(tensors / "characters")
    rows = files.read_csv(Path(f"artifacts/{source}/folds/folds.csv"))
    fold_of = np.array([int(row[folds.KNOWN]) for row in rows], np.int64)
    members = params.load(f"ablation.members.{source}", NonNegativeInt)
    count = int(fold_of.max()) + 1
    plan = reader.plan(source, partial(all_but, tensors, fold_of), compute, scratch)
    seeds = [_APART * member + fold for member in range(1, members + 1) for fold in range(count)]
    jobs = [arms.Job(f"member {n}", n, reader.fresh(split, n), plan) for n in seeds]
    trained = arms.train(jobs, compute) if jobs else []
    Path(f"ablation/artifacts/{source}/members").mkdir(parents=True, exist_ok=True)
    for i in range(members):  # crossvalidate's own is 0
        path = Path(f"ablation/artifacts/{source}/members/{i + 1}")
        arms.store(trained[i * count : (i + 1) * count], path, scratch)


def all_but(tensors: Path, fold_of: NDArray[np.int64], job: arms.Job) -> arms.Data:
    """Everything but the fold that the job's seed tells, and the fold for the learning curve."""
    split = dataset.load_all(tensors / "characters")
    hands = np.array(dataset.load_hands(tensors / "characters-hands.csv"))
    held_out = np.flatnonzero(fold_of == job.seed % _APART)
    others = np.flatnonzero(fold_of != job.seed % _APART)
    return arms.Data(split.rows(others), split.rows(held_out), hands[others].tolist())


if __name__ == "__main__":
    entry.run(main)
