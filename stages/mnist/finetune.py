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

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, PositiveFloat

from handwriting.core import cli, params
from handwriting.core.errors import InputError
from handwriting.data import alphabet, dataset
from handwriting.training import model, pretrained, runs
from handwriting.training.checkpoint import Run
from handwriting.training.compute import Compute
from handwriting.training.loop import Plan
from handwriting.training.losses import CrossEntropy
from handwriting.training.model import Network
from handwriting.training.optimizer import Recipe
from handwriting.training.pretrained import Digits, FullData, Labels
from handwriting.training.runs import Data, Job

STREAM = "mnist"
ALL = "all"


@params.section
class Settings:
    """The section finetune_mnist."""

    layerwise_decay: Annotated[float, Field(gt=0, lt=1)]  # see optimizer.Recipe.layer_decay


@params.section
class Methods:
    """The section <source>.methods: where linear_probe and layerwise_decay are trained too."""

    labels: list[Annotated[str, Field(pattern=r"^[1-9]\d*$")] | Literal["all"]]
    epochs: PositiveFloat  # with all labels


class Seeds(NamedTuple):
    """How many networks there are of each kind."""

    full_data: int
    labels: Labels  # at each number of labels per class
    methods: int  # at most, of linear_probe and layerwise_decay


@dataclass(frozen=True, slots=True)
class Study:
    """All settings of an init's runs."""

    init: str
    training: Recipe
    digits: Digits
    full_data: FullData
    labels: Labels  # epochs at each number of labels per class
    methods: Methods
    seeds: Seeds
    layerwise_decay: float
    data: Data
    full_size: list[Network]  # pretrained networks of full_data's model size,
    default_size: list[Network]  # and of the others'


def main(scratch: Path, source: str, init: str) -> None:
    compute = params.load("compute", Compute)
    training = params.load("training", Recipe)
    settings = params.load("finetune_mnist", Settings)
    digits = params.load(f"{source}.digits", Digits)
    full_data = params.load(f"{source}.full_data", FullData)
    labels = params.load(f"{source}.labels", Labels)
    methods = params.load(f"{source}.methods", Methods)
    seeds = Seeds(
        params.load(f"{source}.seeds.full_data", int),
        params.load(f"{source}.seeds.labels", Labels),
        params.load(f"{source}.seeds.methods", int),
    )
    compute.launch()
    tensors, path = Path(f"data/tensors/{source}/mnist"), pretrained.path(source, init)
    train, validation = (
        dataset.load(tensors / f"{name}.safetensors") for name in ("train", "validation")
    )
    if seeds.labels.keys() != labels.keys():
        raise InputError(f"{params.PATH}: {source}.labels and {source}.seeds.labels: other keys")
    full_size = pretrained.load(path, full_data.model_size, seeds.full_data)
    default_size = pretrained.load(
        path, digits.model_size, max(seeds.methods, *seeds.labels.values())
    )
    study = Study(
        *(init, training, digits, full_data, labels, methods, seeds, settings.layerwise_decay),
        *(Data(train, validation), full_size, default_size),
    )
    jobs = all_jobs(study)  # the longest first, so that no core waits
    trained = runs.train(jobs, study.data, compute, scratch)
    folder = Path(f"artifacts/{source}")
    runs.store(trained, folder / f"runs/mnist/{init}", folder / f"mnist-{init}.pt", scratch)


def all_jobs(study: Study) -> list[Job]:
    """Return the jobs of all methods, at all numbers of labels."""
    jobs = with_all_labels(study)
    if ALL in study.methods.labels:
        count = min(study.seeds.full_data, study.seeds.methods)
        jobs += otherwise(study, ALL, study.methods.epochs, count)
    for labels, epochs in study.labels.items():
        count = study.seeds.labels[labels]
        jobs += jobs_of(study, "full", labels, epochs, count)
        if labels in study.methods.labels:
            jobs += otherwise(study, labels, epochs, min(count, study.seeds.methods))
    return jobs


def with_all_labels(study: Study) -> list[Job]:
    """Return the jobs of full fine-tuning on all images."""
    how = study.full_data
    changes = {"muon_lr": how.muon_lr, "curve_points": how.curve_points}
    recipe = params.changed(study.training, changes, "full_data")
    networks = study.full_size[: study.seeds.full_data]
    return [
        Job(
            Run(data=STREAM, init=study.init, seed=seed),
            model.transplant(network, alphabet.DIGITS, seed),
            Plan(recipe, how.augmentation, how.epochs, loss(recipe), STREAM, seed),
            about={"model_size": how.model_size},
        )
        for seed, network in enumerate(networks)
    ]


def otherwise(study: Study, labels: str, epochs: float, count: int) -> list[Job]:
    """Return the jobs of the other methods."""
    jobs = jobs_of(study, "linear_probe", labels, epochs, count, layer_decay=0.0)
    if study.init != "random":
        decay = study.layerwise_decay
        jobs += jobs_of(study, "layerwise_decay", labels, epochs, count, layer_decay=decay)
    return jobs


def jobs_of(
    study: Study, method: str, labels: str, epochs: float, count: int, **changes: float
) -> list[Job]:
    """Return the jobs of a method at a number of labels, one for each seed."""
    recipe = params.changed(study.training, changes, method)
    train = study.data.train.labels
    return [
        Job(
            Run(data=STREAM, init=study.init, method=method, labels=labels, seed=seed),
            model.transplant(network, alphabet.DIGITS, seed),
            Plan(recipe, study.digits.augmentation, epochs, loss(recipe), STREAM, seed),
            None if labels == ALL else dataset.per_class(train, int(labels), seed),
            about={"model_size": study.digits.model_size},
        )
        for seed, network in enumerate(study.default_size[:count])
    ]


def loss(recipe: Recipe) -> CrossEntropy:
    """Return the objective of a recipe."""
    return CrossEntropy(label_smoothing=recipe.label_smoothing)


if __name__ == "__main__":
    cli.run(main)
