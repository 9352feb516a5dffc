"""Train the networks that fine-tuning starts from, on trainPart1 and nothing else.

`characters` learns all 62 classes, `digits` the images of 0 to 9 alone, and `random` nothing: it is
the weights that the others start from, so that the arms of every comparison are one program. All
images are learnt from: nothing is chosen by these networks, so nothing is held out.

reads   data/tensors/<source>/bases/{train,validation}.safetensors, which are framed as MNIST is
writes  artifacts/<source>/bases/{random,digits,characters}.pt, a network for each seed and each
        strength that is used
params  compute, digits.<source>, strengths, network,
        pretrain.{smoothing,recipe,augmentation}, pretrain.epochs.<source>
"""

from functools import partial
from pathlib import Path

from pydantic import NonNegativeFloat, NonNegativeInt

from handwriting.core import cli as entry
from handwriting.core import params
from handwriting.core.errors import InputError
from handwriting.data import alphabet, dataset
from handwriting.training import model
from handwriting.training import runs as arms
from handwriting.training.augmentation import Augmentation
from handwriting.training.compute import Compute
from handwriting.training.loop import Recipe
from handwriting.training.losses import Clean, Smoothing
from handwriting.training.pretrained import Uses

_APART = 1 << 20  # from fine-tuning's seeds: batches and changes of its own
STARTS = {"random": alphabet.DIGITS, "digits": alphabet.DIGITS, "characters": alphabet.CHARACTERS}


@params.section
class Epochs:
    """How often the images are passed over, for each start."""

    random: NonNegativeFloat
    digits: NonNegativeFloat
    characters: NonNegativeFloat


def main(scratch: Path, source: str) -> None:
    compute = params.load("compute", Compute)
    compute.launch()
    splits = Path(f"data/tensors/{source}/bases")
    margin = params.load("network.margin", NonNegativeInt)
    split = dataset.load(splits / "train.safetensors")
    epochs = params.load(f"pretrain.epochs.{source}", Epochs)
    counts = wanted(params.load(f"digits.{source}", Uses))
    for start, classes in STARTS.items():
        plan = arms.Plan(
            title=start,
            data=partial(everything, splits),
            objective=Clean(params.load("pretrain.smoothing", Smoothing)),
            recipe=params.load("pretrain.recipe", Recipe),
            augmentation=params.load("pretrain.augmentation", Augmentation),
            epochs=getattr(epochs, start),
            compute=compute,
            scratch=scratch,
        )
        jobs = []
        for name, count in counts.items():
            strength = params.load(f"strengths.{name}", arms.Strength)
            shape = arms.shape_of(strength, margin, split.images.shape[-1], split.box, classes)
            try:
                networks = [model.fresh(shape, seed) for seed in range(count)]
            except InputError as error:
                raise InputError(f"{params.PATH}: network, strengths.{name}: {error}") from None
            jobs += [
                arms.Job(f"{name} {seed}", _APART + seed, network, plan)
                for seed, network in enumerate(networks)
            ]
        arm = arms.train(jobs, compute)
        arms.store(arm, Path(f"artifacts/{source}/bases/{start}"), scratch)


def wanted(uses: Uses) -> dict[str, int]:
    """How many bases of each strength there must be."""
    counts: dict[str, int] = {}
    for use in (uses.full, uses.usual):  # the longest trainings first: no core waits in the end
        counts[use.strength] = max(use.bases, counts.get(use.strength, 0))
    return counts


def everything(splits: Path, job: arms.Job) -> arms.Data:
    """All images of the classes that the network knows."""
    return arms.Data(dataset.load_all(splits).of_classes(job.network.shape.classes), None)


if __name__ == "__main__":
    entry.run(main)
