"""Measure the recipe of question one: a learning-rate range test, further views and networks.

In the range test (after Smith 2017, arXiv 1506.01186) one learning rate grows at every step by the
same factor. The loss falls fastest where the rate is good, and rises where it is too high.

reads   data/tensors/<source>/characters/{train.safetensors,writers.csv},
        artifacts/<source>/crossvalidation/
writes  metrics/ablation/<source>/learning_rate.csv,
        artifacts/<source>/ablation/tta.csv: predictions of test-time augmentation and ensembles
"""

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
from pydantic import Field, NonNegativeInt, PositiveFloat
from torch import Tensor

from handwriting.characters import protocols
from handwriting.characters.protocols import Characters, OfSource
from handwriting.core import cli, files, params
from handwriting.data import dataset, folds
from handwriting.data.dataset import Split
from handwriting.training import checkpoint, runs
from handwriting.training.checkpoint import Run
from handwriting.training.compute import Compute, is_driver
from handwriting.training.optimizer import Factors, Recipe
from handwriting.training.runs import Data, Job, Rows
from stages.ablation import tta
from stages.ablation.predictions import Images

_KINDS = ("muon", "head")  # of the learning rates that are swept; see Factors


@params.section
class RangeTest:
    """The range that a learning rate grows through."""

    low: PositiveFloat
    high: PositiveFloat
    steps: Annotated[int, Field(ge=2)]


def main(scratch: Path, source: str) -> None:
    compute = params.load("compute", Compute)
    training = params.load("training", Recipe)
    settings = params.load("characters", Characters)
    of_source = params.load(f"{source}.characters", OfSource)
    ensemble = params.load(f"{source}.ablation.ensemble", NonNegativeInt)
    test = params.load("ablation.learning_rate", RangeTest)
    magnitudes = params.load("ablation.tta", tta.Views)
    compute.launch()
    tensors, folder = Path(f"data/tensors/{source}/characters"), Path(f"artifacts/{source}")
    split = dataset.load(tensors / "train.safetensors")
    writers = np.array(dataset.load_writers(tensors / "writers.csv"))
    drawn = folds.load(folder / "crossvalidation/folds.csv")
    images = {name: Images(split, writers, fold_of) for name, fold_of in drawn.items()}

    def job(method: str, seed: int, stream: str, train: Rows | None = None) -> Job:
        network = protocols.fresh(split, settings.model, stream, seed)
        plan = protocols.plan(training, settings, of_source.epochs, stream, seed)
        return Job(Run(data="characters", method=method, seed=seed), network, plan, train)

    sweeps = [sweep(job(f"{kind}_lr", 0, "range test"), kind, test, split) for kind in _KINDS]
    seen = images[folds.SEEN]
    further = [
        job(f"ensemble {member}", fold, f"ensemble {member}", seen.others(fold))
        for member in range(1, ensemble + 1)
        for fold in range(seen.fold_of.max() + 1)
    ]
    trained = runs.train([*sweeps, *further], Data(split), compute, scratch)
    if is_driver():
        table = losses(test, [each.first_steps[:, 0] for each in trained[: len(sweeps)]])
        files.write_frame(Path(f"metrics/ablation/{source}/learning_rate.csv"), table, scratch)
        saved = [seen.fitted(each) for each in trained[len(sweeps) :]]
        first, other = (checkpoint.load(folder / f"crossvalidation/{each}.pt") for each in images)
        members = [first, *(saved[i : i + len(first)] for i in range(0, len(saved), len(first)))]
        table = tta.table(members, other, images, magnitudes)
        files.write_frame(folder / "ablation/tta.csv", table, scratch)


def sweep(job: Job, kind: str, test: RangeTest, split: Split) -> Job:
    """Return a training in which one learning rate grows and the others stay at their peak."""
    recipe, images = job.plan.recipe, len(split.labels)
    plan = replace(
        job.plan,
        epochs=(test.steps - 0.5) * min(recipe.batch_size, images) / images,  # rounded up
        schedule=partial(factors, kind, test, getattr(recipe, f"{kind}_lr")),
        recorded=test.steps,
        strict=False,
    )
    return replace(job, plan=plan, about={"range_test": asdict(test)})


def factors(kind: str, test: RangeTest, peak: float, _: float, step: int, steps: int) -> Factors:
    """Return the factors of the learning rates at a step of a range test."""
    rate = np.geomspace(test.low, test.high, steps)[step - 1]
    return replace(Factors(muon=1, head=1, bias=1), **{kind: rate / peak})


def losses(test: RangeTest, sweeps: Sequence[Tensor]) -> pd.DataFrame:
    """Return each sweep's loss at each step until it is not finite, and its moving mean."""
    table = pd.DataFrame({"step": range(1, test.steps + 1)})
    table["learning_rate"] = np.geomspace(test.low, test.high, test.steps)
    table["log10_learning_rate"] = np.log10(table.learning_rate)
    for kind, each in zip(_KINDS, sweeps, strict=True):
        loss = pd.Series(each.double().numpy())
        table[f"{kind}_lr"] = loss = loss.where(np.isfinite(loss).cumprod() > 0)
        table[f"{kind}_lr_smoothed"] = loss.ewm(alpha=0.1).mean().where(loss.notna())
    return table


if __name__ == "__main__":
    cli.run(main)
