"""Train on MNIST, all of it and a few images of each class, from one kind of base network.

Seed i carries the body of base network i and a head that only i decides: arms with one seed start
with the same head and see the same images in the same batches, moved the same way. Besides the
whole network (full), the head alone is trained on a frozen body (probe; the statistics of its
batch normalisation follow the new images, the weights do not), and, of a pretrained network, the
layers at rates that fall with their distance from the head (discriminative).

reads   data/tensors/<source>/mnist/{train,validation}.safetensors,
        artifacts/<source>/bases/<start>.pt
writes  artifacts/<source>/mnist-<start>.pt (all images, seed 0),
        artifacts/<source>/seeds/mnist-<start>.pt (all images, all seeds),
        artifacts/<source>/budgets/<start>.pt (few images, and all in the other ways), and their
        curves;
        artifacts/<source>/budgets/<start>-early.csv: the first steps of each
params  compute, digits.<source>, strengths, finetune.{smoothing,recipe,ways},
        finetune.{full,budgets}.<source>
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from handwriting.core import cli as entry
from handwriting.core import params
from handwriting.core.errors import InputError
from handwriting.data import alphabet, budget
from handwriting.training import model, pretrained
from handwriting.training import runs as arms
from handwriting.training.compute import Compute
from handwriting.training.loop import Recipe
from handwriting.training.losses import Clean, Smoothing


@params.section
class Full:
    """Training on all images."""

    seeds: PositiveInt
    times: PositiveFloat  # the strength's epochs: a small set is passed over more often
    convolutions: PositiveFloat  # their rate (see Rates), in place of the recipe's
    curve_points: Annotated[int, Field(ge=2)]


@params.section
class Budget:
    """Training on a few images of each class."""

    images: PositiveInt  # of each class
    seeds: PositiveInt
    epochs: PositiveFloat


Budgets = Annotated[list[Budget], Field(min_length=1)]


@params.section
class Ways:
    """How else than in full."""

    budgets: list[PositiveInt | Literal["all"]]  # the budgets at which to
    seeds: PositiveInt  # at most: a budget may have fewer
    discriminative: Annotated[float, Field(gt=0, lt=1)]  # see Rates.layer_decay


def main(scratch: Path, source: str, start: str) -> None:
    compute = params.load("compute", Compute)
    compute.launch()
    common = plan(source, start, compute, scratch)
    whole = on_all(common, source, start)
    less = on_all_otherwise(common, source, start) + on_few(common, source, start)
    trained = arms.train(whole + less, compute)  # the longest first, so that no core waits
    arm, others = trained[: len(whole)], trained[len(whole) :]
    arms.store_shipped(arm, source, common.title, scratch)
    path = Path(f"artifacts/{source}/budgets/{start}")
    arms.store(others, path, scratch)
    arms.store_early(trained, path, scratch)


def plan(source: str, start: str, compute: Compute, scratch: Path) -> arms.Plan:
    """What all trainings of an arm have in common."""
    return arms.Plan(
        title=f"mnist-{start}",
        data=partial(arms.held_out, splits(source)),
        objective=Clean(params.load("finetune.smoothing", Smoothing)),
        recipe=params.load("finetune.recipe", Recipe),
        augmentation=pretrained.strength(source, "usual").augmentation,
        epochs=0,
        compute=compute,
        scratch=scratch,
    )


def splits(source: str) -> Path:
    """The folder of MNIST's tensors."""
    return Path(f"data/tensors/{source}/mnist")


def on_all(plan: arms.Plan, source: str, start: str) -> list[arms.Job]:
    """The jobs with all training images."""
    how = params.load(f"finetune.full.{source}", Full)
    strength = pretrained.strength(source, "full")
    rates = replace(plan.recipe.rates, convolutions=how.convolutions)
    plan = replace(
        plan,
        recipe=replace(plan.recipe, rates=rates, curve_points=how.curve_points),
        augmentation=strength.augmentation,
        epochs=strength.epochs * how.times,
    )
    bases = pretrained.load(source, start, "full", how.seeds)
    return jobs(bases, plan, "full all")


def on_all_otherwise(plan: arms.Plan, source: str, start: str) -> list[arms.Job]:
    """The jobs with all training images in the other ways, at the usual strength."""
    how, ways = params.load(f"finetune.full.{source}", Full), params.load("finetune.ways", Ways)
    if "all" not in ways.budgets:
        return []
    bases = pretrained.load(source, start, "usual", min(how.seeds, ways.seeds))
    epochs = pretrained.strength(source, "usual").epochs * how.times
    return otherwise(bases, replace(plan, epochs=epochs), ways, "all", start)


def on_few(plan: arms.Plan, source: str, start: str) -> list[arms.Job]:
    """The jobs with a few images of each class, in all ways."""
    found, ways = [], params.load("finetune.ways", Ways)
    name = f"finetune.budgets.{source}"
    budgets = params.load(name, Budgets)
    if len({each.images for each in budgets}) < len(budgets):
        raise InputError(f"{params.PATH}: {name}: some number of images is there twice")
    for each in budgets:
        data = partial(few, splits(source), each.images)
        cut = replace(plan, data=data, epochs=each.epochs)
        bases = pretrained.load(source, start, "usual", each.seeds)
        found += jobs(bases, cut, f"full {each.images}")
        if each.images in ways.budgets:
            found += otherwise(bases, cut, ways, each.images, start)
    return found


def otherwise(
    bases: Sequence[model.Network],
    plan: arms.Plan,
    ways: Ways,
    size: int | Literal["all"],
    start: str,
) -> list[arms.Job]:
    """The jobs of a budget in the other ways."""
    decays = {"probe": 0.0} | ({"discriminative": ways.discriminative} if start != "random" else {})
    found = []
    for way, decay in decays.items():
        rates = replace(plan.recipe.rates, layer_decay=decay)
        other = replace(plan, recipe=replace(plan.recipe, rates=rates))
        found += jobs(bases[: ways.seeds], other, f"{way} {size}")
    return found


def jobs(bases: Sequence[model.Network], plan: arms.Plan, name: str) -> list[arms.Job]:
    """A job for each base network, whose place is its seed."""
    classes = alphabet.DIGITS
    return [
        arms.Job(f"{name} {seed}", seed, model.transplant(base, classes, seed), plan)
        for seed, base in enumerate(bases)
    ]


def few(folder: Path, images: int, job: arms.Job) -> arms.Data:
    """The images of a budget, and the validation split."""
    whole = arms.held_out(folder, job)
    chosen = budget.choose(whole.train.labels, images, job.seed)
    return arms.Data(whole.train.rows(chosen), whole.validation)


if __name__ == "__main__":
    entry.run(main)
