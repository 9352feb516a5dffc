"""Fine-tune one kind of pretrained checkpoint on MNIST, all of it and few labels per class.

Seed i has the body of pretrained network i and a head that only i decides: runs of one seed start
with the same head and see the same images in the same batches, augmented alike. Methods: `full`
trains all weights, `linear_probe` the head on a frozen body (the statistics of its batch
normalisation still follow the new images), and `layerwise_decay`, of a pretrained body, all weights
at learning rates that fall with the distance from the head.

reads   data/tensors/<source>/mnist/{train,validation}.safetensors,
        artifacts/<source>/pretrained/<init>.pt
writes  artifacts/<source>/mnist-<init>.pt (all images, seed 0) and, of all runs,
        artifacts/<source>/runs/mnist/<init>/{networks.pt,curves.csv,first_steps.csv}
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, PositiveInt

from handwriting.core import cli, params
from handwriting.core.errors import InputError, say
from handwriting.data import dataset
from handwriting.training import pretrained, runs
from handwriting.training.checkpoint import Run
from handwriting.training.compute import Compute
from handwriting.training.loop import Plan
from handwriting.training.model import Network
from handwriting.training.optimizer import Recipe
from handwriting.training.pretrained import Digits, FullData, Labels
from handwriting.training.runs import Data, Job

STREAM = "mnist"
FULL, ALL = "full", "all"
# Runs that differ in their seed alone: method, labels of each class, pretrained networks, what
# has their model size and augmentation, epochs, changes of the training section.
Condition = tuple[str, str, list[Network], Digits, float, dict[str, float]]


@params.section
class Settings:
    """The section finetune_mnist."""

    layerwise_decay: Annotated[float, Field(gt=0, lt=1)]  # see optimizer.Recipe.layer_decay


@params.section
class Methods:
    """The section <source>.methods: where linear_probe and layerwise_decay are trained too."""

    labels: list[Annotated[str, Field(pattern=r"^[1-9]\d*$")] | Literal["all"]]
    epochs: PositiveFloat  # with all labels


def main(scratch: Path, source: str, init: str) -> None:
    compute = params.load("compute", Compute)
    training = params.load("training", Recipe)
    settings = params.load("finetune_mnist", Settings)
    digits = params.load(f"{source}.digits", Digits)
    full_data = params.load(f"{source}.full_data", FullData)
    epochs_of = params.load(f"{source}.labels", Labels)
    methods = params.load(f"{source}.methods", Methods)
    full_seeds = params.load(f"{source}.seeds.full_data", PositiveInt)
    seeds_of = params.load(f"{source}.seeds.labels", Labels)
    most = params.load(f"{source}.seeds.methods", PositiveInt)
    if seeds_of.keys() != epochs_of.keys():
        raise InputError(f"{params.PATH}: {source}.labels and {source}.seeds.labels: other keys")
    data = Data(*dataset.load_splits(source, "mnist", "train", "validation"))
    path = pretrained.path(source, init)
    full = pretrained.load(path, full_data.model_size, full_seeds)
    others = pretrained.load(path, digits.model_size, max(most, *seeds_of.values()))
    decays = {"linear_probe": 0.0, "layerwise_decay": settings.layerwise_decay}
    if init == "random":
        del decays["layerwise_decay"]
    changes = {"muon_lr": full_data.muon_lr, "curve_points": full_data.curve_points}
    conditions: list[Condition] = [(FULL, ALL, full, full_data, full_data.epochs, changes)]
    for labels, epochs in ({ALL: methods.epochs} | epochs_of).items():
        count = seeds_of.get(labels, full_seeds)
        if labels != ALL:
            conditions.append((FULL, labels, others[:count], digits, epochs, {}))
        if labels in methods.labels:
            networks = others[: min(count, most)]
            conditions += [
                (name, labels, networks, digits, epochs, {"layer_decay": decay})
                for name, decay in decays.items()
            ]
    jobs: list[Job] = []  # the longest first, so that no core waits
    for method, labels, networks, size, epochs, changes in conditions:
        recipe = params.changed(training, changes, method)
        run = Run(data=STREAM, init=init, method=method, labels=labels)
        plan = Plan(recipe, size.augmentation, epochs, recipe.cross_entropy, STREAM, 0)
        jobs += pretrained.jobs(networks, size.model_size, run, plan, data.train)
    trained = runs.train(jobs, data, compute, scratch)
    folder = Path(f"artifacts/{source}")
    runs.store(trained, folder / f"runs/mnist/{init}", folder / f"mnist-{init}.pt", scratch)
    identities = [(each.saved.run.method, each.saved.run.labels) for each in trained]
    whole = [each for each, of in zip(trained, identities, strict=True) if of == (FULL, ALL)]
    say(runs.counted(whole, "validation images with all labels, all weights trained"))
    say(f"{len(trained) - len(whole)} networks with fewer labels, or by other methods")


if __name__ == "__main__":
    cli.run(main)
