"""A learning-rate range test of question one's recipe (after Smith 2017, arXiv 1506.01186).

Two short trainings: in each, one of the two rates that matter grows at every step by the same
factor, from far too low to far too high, while everything else is the recipe's. The loss falls
fastest where the rate is good, and rises where it is too high.

reads   data/tensors/<source>/characters/
writes  metrics/<source>/rates.csv
params  compute, train.{network,smoothing,recipe,augmentation}, ablation.rates
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import torch
from pydantic import Field

from handwriting.characters import protocols as reader
from handwriting.core import cli as entry
from handwriting.core import files, params
from handwriting.data import dataset
from handwriting.training import engine as parallel
from handwriting.training import loop as training
from handwriting.training import runs as arms
from handwriting.training.augmentation import Augmentation
from handwriting.training.compute import Compute
from handwriting.training.loop import Recipe
from handwriting.training.losses import Clean, Smoothing
from handwriting.training.optimizer import Optimizer

_GROUPS = ("convolutions", "head")  # of the rates in train.recipe
_SEED = 0
_MEMORY = 0.9  # of the smoothed loss: the mean over about ten steps


@params.section
class RangeTest:
    """What the rates go through."""

    low: Annotated[float, Field(gt=0)]
    high: Annotated[float, Field(gt=0)]
    steps: Annotated[int, Field(ge=2)]


@dataclass(frozen=True, slots=True)
class Sweep:
    """A training whose rates a range test goes through."""

    tensors: Path
    objective: Clean
    recipe: Recipe
    augmentation: Augmentation
    compute: Compute
    test: RangeTest


def main(scratch: Path, source: str) -> None:
    sweep = Sweep(
        tensors=Path(f"data/tensors/{source}"),
        objective=Clean(params.load("train.smoothing", Smoothing)),
        recipe=params.load("train.recipe", Recipe),
        augmentation=params.load("train.augmentation", Augmentation),
        compute=params.load("compute", Compute),
        test=params.load("ablation.rates", RangeTest),
    )
    sweeps = parallel.run(partial(run, sweep), _GROUPS, sweep.compute)
    path = Path(f"metrics/{source}/rates.csv")
    smoothed = [f"{group}_smoothed" for group in _GROUPS]
    files.write_csv(
        path, ("step", "rate", "log10_rate", *_GROUPS, *smoothed), rows(sweeps), scratch
    )
    lengths = ", ".join(f"{len(s)} of {g}" for s, g in zip(sweeps, _GROUPS, strict=True))
    print(f"{path}: steps with a finite loss: {lengths}")


class Step(NamedTuple):
    """A step of a sweep."""

    rate: float
    loss: float
    smoothed: float


def rows(sweeps: Sequence[Sequence[Step]]) -> Iterator[list[Any]]:
    """One row a step: the rate, which all sweeps share, and of each sweep its losses, none after
    its end."""
    for number, steps in enumerate(zip_longest(*sweeps), 1):
        rate = next(step.rate for step in steps if step)
        losses = [step.loss if step else "" for step in steps]
        smoothed = [step.smoothed if step else "" for step in steps]
        yield [number, rate, math.log10(rate), *losses, *smoothed]


def run(sweep: Sweep, group: str) -> list[Step]:
    """The steps of one rate's sweep, which ends where the loss is no number any more."""
    smoothed, steps = 0.0, []
    for number, (rate, loss) in enumerate(losses(sweep, group), 1):
        if not math.isfinite(loss):
            break
        smoothed = _MEMORY * smoothed + (1 - _MEMORY) * loss
        steps.append(Step(rate, loss, smoothed / (1 - _MEMORY**number)))
    return steps


def losses(sweep: Sweep, group: str) -> Iterator[tuple[float, float]]:
    """(rate, mean loss of the batch before it is learnt from) at each step, on all images."""
    split = dataset.load_all(sweep.tensors / "characters")
    network = reader.fresh(split, _SEED)
    arms.place_on_device(network, sweep.compute)
    train = arms.labelled(split, network, sweep.compute)
    optimizer, test = Optimizer(network, sweep.recipe.rates), sweep.test
    size = sweep.recipe.batch_size
    batches = training.batch_indices(len(train.images), size, test.steps, _SEED)
    network.train()
    for step, batch in enumerate(batches):
        rate = test.low * (test.high / test.low) ** (step / (test.steps - 1))
        optimizer.rates = replace(sweep.recipe.rates, **{group: rate})
        images, targets, place, share = training.examples(
            train, batch, sweep.augmentation, _SEED, step
        )
        logits = network(images, place)
        own, other = (sweep.objective.loss(logits, each) for each in (targets, targets.flip(0)))
        loss = torch.lerp(other, own, share).mean()
        yield rate, loss.item()
        optimizer.step(loss, 1)


if __name__ == "__main__":
    entry.run(main)
