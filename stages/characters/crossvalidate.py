"""Cross-validate the recipe of question one: a network for each fold, trained on the others.

With seen writers the held-out images are by writers who are also trained on, as in the assignment's
own test set; with unseen writers they are not. The recipe was chosen with another split seed.

reads   data/tensors/<source>/characters/{train.safetensors,writers.csv}
writes  artifacts/<source>/crossvalidation/: seen-writers.pt, unseen-writers.pt, a network for each
        fold; curves.csv; folds.csv, the fold of each row
"""

from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from handwriting.characters import protocols
from handwriting.characters.protocols import Characters, OfSource
from handwriting.core import cli, params
from handwriting.data import dataset, folds
from handwriting.training import checkpoint, runs
from handwriting.training.checkpoint import Run
from handwriting.training.compute import Compute, is_driver
from handwriting.training.optimizer import Recipe
from handwriting.training.runs import Data, Job


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
    compute.launch()
    tensors = Path(f"data/tensors/{source}/characters")
    split = dataset.load(tensors / "train.safetensors")
    writers = np.array(dataset.load_writers(tensors / "writers.csv"))
    drawn = folds.draw(split.labels, writers.tolist(), design.folds, design.split_seed)
    jobs = []
    for protocol, fold_of in drawn.items():
        stream = f"characters {protocol} {design.split_seed}"
        jobs += [
            Job(
                Run(data="characters", method=protocol, seed=fold),
                protocols.fresh(split, settings.model, stream, fold),
                protocols.plan(training, settings, of_source.epochs, stream, fold),
                np.flatnonzero(fold_of != fold),
                np.flatnonzero(fold_of == fold),
            )
            for fold in range(design.folds)
        ]
    trained = [
        protocols.with_writer_model(each, split.rows(job.train), writers[job.train].tolist())
        for job, each in zip(
            jobs, runs.train(jobs, Data(split, split), compute, scratch), strict=True
        )
        if job.train is not None
    ]
    if is_driver():
        folder = Path(f"artifacts/{source}/crossvalidation")
        for protocol in drawn:
            networks = [each.saved for each in trained if each.saved.run.method == protocol]
            checkpoint.save(networks, folder / f"{protocol}.pt", scratch)
        runs.store_curves(trained, folder / "curves.csv", scratch)
        folds.store(drawn, folder / "folds.csv", scratch)


if __name__ == "__main__":
    cli.run(main)
