"""Cross-validate the recipe of question one: a network for each fold, trained on the others.

With seen writers the held-out images are by writers who are also trained on, as in the assignment's
own test set; with unseen writers they are not. The recipe was chosen with another split seed.

reads   data/tensors/<source>/characters/{train.safetensors,writers.csv}
writes  artifacts/<source>/crossvalidation/: seen-writers.pt, unseen-writers.pt, a network for each
        fold; curves.csv; folds.csv, the fold of each row; confusable.json, pairs of classes
"""

from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from handwriting.characters import confusable, protocols
from handwriting.characters.protocols import Characters, OfSource
from handwriting.core import cli, files, params
from handwriting.core.errors import say
from handwriting.data import dataset, folds
from handwriting.training import checkpoint, runs
from handwriting.training.checkpoint import Run
from handwriting.training.compute import Compute
from handwriting.training.optimizer import Recipe
from handwriting.training.runs import Data


@params.section
class CrossValidation:
    """The section <source>.crossvalidation."""

    folds: Annotated[int, Field(ge=2)]
    split_seed: Annotated[int, Field(ge=0, lt=2**32)]


def main(scratch: Path, source: str) -> None:
    compute = params.load("compute", Compute)
    training = params.load("training", Recipe)
    settings = params.load("characters", Characters)
    of_source = params.load(f"{source}.characters", OfSource)
    design = params.load(f"{source}.crossvalidation", CrossValidation)
    split, writers = dataset.load_characters(source)
    drawn = folds.draw(split.labels, writers, design.folds, design.split_seed)
    jobs = [
        protocols.job(
            Run(data="characters", method=protocol, seed=fold),
            f"characters {protocol} {design.split_seed}",
            split,
            training,
            settings,
            of_source.epochs,
            np.flatnonzero(fold_of != fold),
            np.flatnonzero(fold_of == fold),
        )
        for protocol, fold_of in drawn.items()
        for fold in range(design.folds)
    ]
    trained = runs.train(jobs, Data(split, split), compute, scratch)
    folder = Path(f"artifacts/{source}/crossvalidation")
    held_out = [rows for each in drawn.values() for rows in protocols.rows_of_folds(each)]
    pairs = confusable.find([each.saved for each in trained], held_out, split)
    files.write_json(folder / "confusable.json", pairs, scratch)
    saved = [confusable.known(each.saved, pairs) for each in trained]
    for protocol in drawn:
        networks = [
            protocols.with_writer_model(each, split, writers, job.train)
            for job, each in zip(jobs, saved, strict=True)
            if each.run.method == protocol
        ]
        checkpoint.save(networks, folder / f"{protocol}.pt", scratch)
    runs.store_curves(trained, folder / "curves.csv", scratch)
    folds.store(drawn, folder / "folds.csv", scratch)
    say(runs.counted(trained, "held-out images"))


if __name__ == "__main__":
    cli.run(main)
