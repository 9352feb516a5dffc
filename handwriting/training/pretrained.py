"""The pretrained checkpoints that fine-tuning starts from."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from handwriting.core import params
from handwriting.core.errors import InputError
from handwriting.data import alphabet, dataset
from handwriting.data.dataset import Split
from handwriting.training import checkpoint, model
from handwriting.training.augmentation import Augmentation
from handwriting.training.checkpoint import Run
from handwriting.training.loop import Plan
from handwriting.training.model import Network
from handwriting.training.runs import Job

Labels = dict[Annotated[str, Field(pattern=r"^[1-9]\d*$")], PositiveInt]


@params.section
class Digits:
    """The section <source>.digits: digit networks, those of full_data apart."""

    model_size: str
    epochs: PositiveFloat  # passes over all of MNIST
    augmentation: Augmentation


@params.section
class FullData(Digits):
    """The section <source>.full_data: networks that learn from all of MNIST or mnistTask3."""

    muon_lr: PositiveFloat  # in place of the training section's
    curve_points: Annotated[int, Field(ge=2)]  # the same


@params.section
class Seeds:
    """The section <source>.seeds: networks of each kind. Seed i starts from checkpoint i."""

    full_data: PositiveInt
    labels: Labels  # at each number of labels per class
    methods: PositiveInt  # at most, of linear_probe and layerwise_decay
    mnistTask3: PositiveInt  # noqa: N815 - the data set's name
    naive: PositiveInt
    diagnosis: PositiveInt


@params.section
class ModelSize:
    """An entry of the section model_sizes; see model.Shape."""

    widths: Annotated[tuple[PositiveInt, ...], Field(min_length=1)]
    stem_stride: Annotated[int, Field(ge=1, le=2)]
    pool_after: tuple[NonNegativeInt, ...]
    head_pool: PositiveInt


@params.section
class Pretrain:
    """The section pretrain."""

    training: dict[str, Any]  # what differs from the section training
    augmentation: Augmentation
    crop_border: NonNegativeInt  # see model.Shape


@params.section
class Doubtful:
    """The section <source>.doubtful."""

    model_size: str
    pretrain: PositiveFloat  # epochs on the characters
    epochs: PositiveFloat  # on the doubtful images
    seeds: PositiveInt


def fresh(
    run: Run,
    split: Split,
    size: str,
    sizes: Mapping[str, ModelSize],
    settings: Pretrain,
    plan: Plan,
) -> Job:
    """Return how a network is trained from random weights on a split.

    Raises InputError for an unknown model size.
    """
    if size not in sizes:
        raise InputError(f"{params.PATH}: model_sizes: there is no {size}")
    shape = vars(sizes[size]) | {"crop_border": settings.crop_border, "geometry_channels": 0}
    section = f"model_sizes.{size}"
    network = model.fresh_for(split, section, plan.stream, plan.seed, **shape, temperature=1.0)
    return Job(run, network, plan, about={"model_size": size})


def load(path: Path, model_size: str, seeds: int) -> list[Network]:
    """Return the first `seeds` networks of a model size in a pretrained checkpoint.

    Raises InputError if there are fewer.
    """
    saved = checkpoint.load(path)
    networks = [each.network for each in saved if each.about["model_size"] == model_size]
    if len(networks) < seeds:
        found = f"{len(networks)} networks of model size {model_size}"
        raise InputError(f"{path}: {found}, and {seeds} seeds")
    return networks[:seeds]


def jobs(
    networks: Iterable[Network], model_size: str, run: Run, plan: Plan, data: Split
) -> list[Job]:
    """Return how the bodies of networks are fine-tuned, each with a fresh head and of a seed of its
    own, on as many images of each class as the run names."""
    return [
        Job(
            replace(run, seed=seed),
            model.transplant(network, alphabet.DIGITS, seed),
            replace(plan, seed=seed),
            None if run.labels == "all" else dataset.per_class(data.labels, int(run.labels), seed),
            calibrate=True,
            about={"model_size": model_size},
        )
        for seed, network in enumerate(networks)
    ]


def path(source: str, init: str) -> Path:
    """Return where the checkpoint of an init is."""
    return Path(f"artifacts/{source}/pretrained/{init}.pt")
