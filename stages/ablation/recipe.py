"""Measure the recipe of question one: a learning-rate range test, further views and networks.

In the range test (after Smith 2017, arXiv 1506.01186) one learning rate grows at every step by the
same factor. The loss falls fastest where the rate is good, and rises where it is too high.

reads   data/tensors/<source>/characters/{train.safetensors,writers.csv},
        artifacts/<source>/crossvalidation/
writes  metrics/ablation/<source>/learning_rate.csv,
        artifacts/<source>/ablation/tta.csv: predictions of test-time augmentation and ensembles
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import torch
from pydantic import Field, NonNegativeInt, PositiveFloat
from torch import Tensor

from handwriting.characters import protocols
from handwriting.characters.protocols import Characters, OfSource
from handwriting.core import cli, files, params
from handwriting.data import dataset, folds
from handwriting.data.dataset import Split
from handwriting.training import checkpoint, runs
from handwriting.training.augmentation import Augmentation, Magnitude, augment, draw
from handwriting.training.checkpoint import Run, Saved
from handwriting.training.compute import Compute
from handwriting.training.optimizer import Factors, Recipe
from handwriting.training.runs import Data, Job, Rows
from stages.ablation.predictions import Images

_KINDS = ("muon", "head")  # of the learning rates that are swept; see Factors


@params.section
class RangeTest:
    """The range that a learning rate grows through."""

    low: PositiveFloat
    high: PositiveFloat
    steps: Annotated[int, Field(ge=2)]


@params.section
class Views:
    """How the views differ from the image itself: each to either side, one at a time."""

    rotation: Magnitude  # see Augmentation
    scale: Magnitude
    shear: Magnitude


def main(scratch: Path, source: str) -> None:
    compute = params.load("compute", Compute)
    training = params.load("training", Recipe)
    settings = params.load("characters", Characters)
    of_source = params.load(f"{source}.characters", OfSource)
    ensemble = params.load(f"{source}.ablation.ensemble", NonNegativeInt)
    test = params.load("ablation.learning_rate", RangeTest)
    magnitudes = params.load("ablation.tta", Views)
    folder, (split, writers) = Path(f"artifacts/{source}"), dataset.load_characters(source)
    drawn = folds.load(folder / "crossvalidation/folds.csv")
    images = {name: Images(split, np.array(writers), fold_of) for name, fold_of in drawn.items()}

    def job(method: str, seed: int, stream: str, train: Rows | None = None) -> Job:
        run = Run(data="characters", method=method, seed=seed)
        return protocols.job(run, stream, split, training, settings, of_source.epochs, train)

    sweeps = [sweep(job(f"{kind}_lr", 0, "range test"), kind, test, split) for kind in _KINDS]
    seen = images[folds.SEEN]
    further = [
        job(f"ensemble {member}", fold, f"ensemble {member}", seen.others(fold))
        for member in range(1, ensemble + 1)
        for fold in range(seen.fold_of.max() + 1)
    ]
    trained = runs.train([*sweeps, *further], Data(split), compute, scratch)
    table = losses(test, [each.first_steps[:, 0] for each in trained[: len(sweeps)]])
    files.write_frame(Path(f"metrics/ablation/{source}/learning_rate.csv"), table, scratch)
    saved = [seen.fitted(each.saved) for each in trained[len(sweeps) :]]
    first, other = (checkpoint.load(folder / f"crossvalidation/{each}.pt") for each in images)
    members = [first, *(saved[i : i + len(first)] for i in range(0, len(saved), len(first)))]
    table = views_table(members, other, images, magnitudes)
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


def views(images: Tensor, magnitudes: Views) -> Iterator[Tensor]:
    """Yield [N, 1, S, S] from 0 to 255: the images as they are, then rotated, scaled, sheared."""
    yield images
    changes = Augmentation(**vars(magnitudes))
    draws = draw(len(images), changes, torch.Generator().manual_seed(0))
    for i, value in enumerate(vars(magnitudes).values()):
        for side in (-1, 1) if value else ():
            affine = torch.zeros_like(draws.affine)
            affine[i] = side
            yield augment(images, changes, draws._replace(affine=affine))


def probabilities(networks: Sequence[Saved], images: Images, magnitudes: Views) -> Tensor:
    """Return out-of-fold probabilities, float32 [views, contexts, N, classes]."""
    pixels, writers = torch.from_numpy(images.split.images), images.writers.tolist()
    each = (images.logits(networks, view, writers) for view in views(pixels, magnitudes))
    return torch.stack([logits.softmax(2) for logits in each])


def views_table(
    seen: Sequence[Sequence[Saved]],
    unseen: Sequence[Saved],
    images: dict[str, Images],
    magnitudes: Views,
) -> pd.DataFrame:
    """Return the predictions of one network and all, for one view and all, of each protocol.

    `seen` are networks of the folds for seen writers: crossvalidate's, then further ones.
    """
    first, *further = (probabilities(each, images[folds.SEEN], magnitudes) for each in seen)
    other = probabilities(unseen, images[folds.UNSEEN], magnitudes)
    members = {folds.SEEN: [first], folds.UNSEEN: [other], "both": [first, other]}
    members |= {"ensemble": [first, *further]} if further else {}
    rows, tables = np.arange(first.shape[2]), []
    for protocol, each in members.items():
        every = torch.stack(each)  # [networks, views, contexts, N, classes]
        for n, v in product({1, len(each)}, {1, len(first)}):
            logits = every[:n, :v].mean((0, 1)).clamp(min=1e-12).log()
            about = {"protocol": protocol, "networks": n, "views": v}
            tables.append(images.get(protocol, images[folds.SEEN]).table(rows, logits, **about))
    return pd.concat(tables)


if __name__ == "__main__":
    cli.run(main)
