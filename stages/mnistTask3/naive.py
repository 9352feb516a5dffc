"""Question three's trap: train on mnistTask3 from random weights, taking its labels at their word.

reads   data/tensors/<source>/mnistTask3/{train,validation}.safetensors,
        artifacts/<source>/bases/random.pt
writes  artifacts/<source>/mnistTask3-naive.pt (seed 0),
        artifacts/<source>/seeds/mnistTask3-naive.pt (all seeds) and their curves
params  compute, digits.<source>, strengths, naive
"""

from functools import partial
from pathlib import Path

from pydantic import PositiveFloat, PositiveInt

from handwriting.core import cli as entry
from handwriting.core import params
from handwriting.data import dataset
from handwriting.training import model, pretrained
from handwriting.training import runs as arms
from handwriting.training.compute import Compute
from handwriting.training.loop import Recipe
from handwriting.training.losses import Clean, Smoothing


def main(scratch: Path, source: str) -> None:
    compute = params.load("compute", Compute)
    compute.launch()
    splits = Path(f"data/tensors/{source}/mnistTask3")
    classes = dataset.load(splits / "train.safetensors").classes
    plan = arms.Plan(
        title="mnistTask3-naive",
        data=partial(arms.held_out, splits),
        objective=Clean(params.load("naive.smoothing", Smoothing)),
        recipe=params.load("naive.recipe", Recipe),
        augmentation=pretrained.strength(source, "usual").augmentation,
        epochs=params.load("naive.epochs", PositiveFloat),
        compute=compute,
        scratch=scratch,
    )
    bases = pretrained.load(source, "random", "usual", params.load("naive.seeds", PositiveInt))
    jobs = arms.of_seeds(
        (model.transplant(base, classes, seed) for seed, base in enumerate(bases)), plan
    )
    arms.store_shipped(arms.train(jobs, compute), source, plan.title, scratch)


if __name__ == "__main__":
    entry.run(main)
