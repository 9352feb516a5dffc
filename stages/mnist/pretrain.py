"""Train the checkpoints that fine-tuning starts from, on characters and nothing else.

`characters` learns all classes, `digits` the images of 0 to 9, and `random` nothing: it holds
the weights that the others start from, so that all runs of a comparison are one program. Nothing is
chosen by these networks, so nothing is held out.

reads   data/tensors/<source>/characters28/train.safetensors, framed as MNIST is
writes  artifacts/<source>/pretrained/{random,digits,characters}.pt: a network for each seed and
        each model size in use
"""

from dataclasses import replace
from pathlib import Path

from pydantic import PositiveFloat

from handwriting.core import cli, params
from handwriting.core.errors import say
from handwriting.data import alphabet, dataset
from handwriting.training import checkpoint, pretrained, runs
from handwriting.training.checkpoint import Run
from handwriting.training.compute import Compute
from handwriting.training.loop import Plan
from handwriting.training.optimizer import Recipe
from handwriting.training.pretrained import ModelSize, Pretrain, Seeds
from handwriting.training.runs import Data

STREAM = "characters28"


@params.section
class Epochs:
    """The section <source>.pretrain: epochs of each checkpoint."""

    digits: PositiveFloat
    characters: PositiveFloat


def main(scratch: Path, source: str) -> None:
    compute = params.load("compute", Compute)
    training = params.load("training", Recipe)
    sizes = params.load("model_sizes", dict[str, ModelSize])
    settings = params.load("pretrain", Pretrain)
    epochs = vars(params.load(f"{source}.pretrain", Epochs)) | {"random": 0.0}
    default_size = params.load(f"{source}.digits.model_size", str)
    full_size = params.load(f"{source}.full_data.model_size", str)
    seeds = params.load(f"{source}.seeds", Seeds)
    recipe = params.changed(training, settings.training, "pretrain.training")
    plan = Plan(recipe, settings.augmentation, 0, recipe.cross_entropy, STREAM, 0)
    [split] = dataset.load_splits(source, "characters28", "train")
    counts = checkpoints(seeds, default_size, full_size)
    digits = split.of_classes(alphabet.DIGITS)
    for init, part in {"random": digits, "digits": digits, "characters": split}.items():
        jobs = [
            pretrained.fresh(
                Run(data=STREAM, init=init, seed=seed),
                part,
                name,
                sizes,
                settings,
                replace(plan, epochs=epochs[init], seed=seed),
            )
            for name, count in counts.items()
            for seed in range(count)
        ]
        trained = runs.train(jobs, Data(part), compute, scratch)
        networks = [each.saved for each in trained]
        checkpoint.save(networks, pretrained.path(source, init), scratch)
        size = f"{epochs[init]:g} epochs of {len(part.labels):,} images"
        say(f"{init}: {len(networks)} networks, {size}")


def checkpoints(seeds: Seeds, default_size: str, full_size: str) -> dict[str, int]:
    """Return how many checkpoints of each model size there must be, the largest size first."""
    counts = {full_size: max(seeds.full_data, seeds.mnistTask3)}
    default = max(seeds.naive, seeds.diagnosis, seeds.methods, *seeds.labels.values())
    counts[default_size] = max(default, counts.get(default_size, 0))
    return counts


if __name__ == "__main__":
    cli.run(main)
