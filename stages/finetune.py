"""Train on one digit set, from one kind of base network, one network for each seed.

Seed i carries the body of base network i and a head that only i decides: arms with one seed start
with the same head and see the same batches, moved the same way. The labels are taken at their word:
on mnistTask3, whose labels are wrong, that is the trap, and it is called naive.

reads   data/tensors/<source>/<dataset>/{train,validation}.safetensors,
        artifacts/<source>/bases/<start>/
writes  artifacts/<source>/<dataset>-<start>.pt (seed 0),
        artifacts/<source>/seeds/<dataset>-<start>/ (all seeds, curves); of mnistTask3, <start> is
        naive in these names
params  compute, strength, strengths.<strength>, seeds,
        finetune.{smoothing,recipe}, finetune.times.<source>.<dataset>
"""

from functools import partial
from pathlib import Path

from pydantic import PositiveFloat, PositiveInt

from stages.common import arms, dataset, entry, model, params
from stages.common.compute import Compute
from stages.common.objectives import Clean
from stages.common.training import Recipe


def main(scratch: Path, source: str, name: str, start: str) -> None:
    compute = params.load("compute", Compute)
    compute.launch()
    splits = Path(f"data/tensors/{source}/{name}")
    classes = dataset.load(splits / "train.safetensors").classes
    bases = Path(f"artifacts/{source}/bases/{start}")
    seeds = range(params.load("seeds", PositiveInt))
    strength = params.load(f"strengths.{params.load('strength', str)}", arms.Strength)
    plan = arms.Plan(
        title=f"{name}-{'naive' if name == 'mnistTask3' else start}",
        data=partial(held_out, splits),
        objective=Clean(params.load("finetune.smoothing", float)),
        recipe=params.load("finetune.recipe", Recipe),
        augmentation=strength.augmentation,
        epochs=strength.epochs * params.load(f"finetune.times.{source}.{name}", PositiveFloat),
        compute=compute,
        scratch=scratch,
    )
    jobs = arms.of_seeds(
        model.transplant(model.load(bases / f"{seed}.pt")[0], classes, seed) for seed in seeds
    )
    arms.store_shipped(arms.train(jobs, plan), source, plan.title, scratch)


def held_out(splits: Path, _: arms.Job) -> arms.Data:
    """The train split, and the validation split for the learning curve."""
    return arms.Data(
        dataset.load(splits / "train.safetensors"), dataset.load(splits / "validation.safetensors")
    )


if __name__ == "__main__":
    entry.run(main)
