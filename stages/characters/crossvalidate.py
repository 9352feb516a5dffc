"""Measure the recipe of question one: train it on all folds but one, for every fold, in two ways.

With known hands, the held-out images are by writers who are also learnt from, as in the
assignment's own test set; with new hands they are by writers never seen. The recipe was chosen on
another drawing of the folds than `draw`.

reads   data/tensors/<source>/characters/{train,validation}.safetensors,
        data/tensors/<source>/characters-hands.csv
writes  artifacts/<source>/folds/: known-hands.pt, new-hands.pt: a network for each fold; and
        their curves; folds.csv, the fold of every row
params  compute, train.{network,smoothing,recipe,augmentation}, train.epochs.<source>,
        crossvalidate.<source>
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from handwriting.characters import protocols as reader
from handwriting.core import cli as entry
from handwriting.core import files, params
from handwriting.data import dataset, folds
from handwriting.training import runs as arms
from handwriting.training.compute import Compute, is_writer

_DRAWING, _WAY = 1000, 100  # no two networks start alike, of whatever drawing and way


@params.section
class CrossValidation:
    """How the folds are drawn."""

    folds: Annotated[int, Field(ge=2)]
    draw: Annotated[int, Field(ge=0, lt=2**32)]  # the seed of the drawing


def main(scratch: Path, source: str) -> None:
    compute = params.load("compute", Compute)
    compute.launch()
    tensors = Path(f"data/tensors/{source}")
    split = dataset.load_all(tensors / "characters")
    hands = dataset.load_hands(tensors / "characters-hands.csv")
    recipe = params.load(f"crossvalidate.{source}", CrossValidation)
    drawn = folds.draw(split.labels, hands, recipe.folds, recipe.draw)
    plan = reader.plan(source, partial(all_but, tensors, drawn), compute, scratch)
    jobs = []
    for i, way in enumerate(drawn):
        for fold in range(recipe.folds):
            seed = _DRAWING * recipe.draw + _WAY * i + fold
            jobs.append(arms.Job(f"{way}, fold {fold}", seed, reader.fresh(split, seed), plan))
    folder = Path(f"artifacts/{source}/folds")
    trained = arms.train(jobs, compute)  # of both ways side by side, so that no core waits
    for i, way in enumerate(drawn):
        arm = trained[i * recipe.folds : (i + 1) * recipe.folds]
        arms.store(arm, folder / way, scratch)
    if is_writer():
        rows = ((row, *each) for row, each in enumerate(zip(*drawn.values(), strict=True)))
        files.write_csv(folder / "folds.csv", ["row", *drawn], rows, scratch)


def all_but(tensors: Path, drawn: Mapping[str, NDArray[np.int64]], job: arms.Job) -> arms.Data:
    """Everything but the job's fold to learn from, and the fold for the learning curve."""
    split = dataset.load_all(tensors / "characters")
    hands = np.array(dataset.load_hands(tensors / "characters-hands.csv"))
    way, _, fold = job.name.partition(", fold ")
    held_out = np.flatnonzero(drawn[way] == int(fold))
    others = np.flatnonzero(drawn[way] != int(fold))
    return arms.Data(split.rows(others), split.rows(held_out), hands[others].tolist())


if __name__ == "__main__":
    entry.run(main)
