"""Learn mnistTask3 from labels that name a class the image is not of.

reads   data/tensors/<source>/mnistTask3/{train,validation}.safetensors,
        artifacts/<source>/bases/<start>/
writes  artifacts/<source>/mnistTask3-<start>.pt (seed 0),
        artifacts/<source>/seeds/mnistTask3-<start>/ (all seeds, curves)
params  compute, strength, strengths.<strength>, seeds,
        finetune.recipe, finetune.times.<source>.mnistTask3
"""

from functools import partial
from pathlib import Path

from pydantic import PositiveFloat, PositiveInt

from stages.common import arms, dataset, entry, model, params
from stages.common.compute import Compute
from stages.common.objectives import Complementary
from stages.common.training import Recipe


def main(scratch: Path, source: str, start: str) -> None:
    compute = params.load("compute", Compute)
    compute.launch()
    splits = Path(f"data/tensors/{source}/mnistTask3")
    classes = dataset.load(splits / "train.safetensors").classes
    bases = Path(f"artifacts/{source}/bases/{start}")
    seeds = range(params.load("seeds", PositiveInt))
    strength = params.load(f"strengths.{params.load('strength', str)}", arms.Strength)
    plan = arms.Plan(
        title=f"mnistTask3-{start}",
        data=partial(held_out, splits),
        objective=Complementary(),
        recipe=params.load("finetune.recipe", Recipe),
        augmentation=strength.augmentation,
        epochs=strength.epochs * params.load(f"finetune.times.{source}.mnistTask3", PositiveFloat),
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
