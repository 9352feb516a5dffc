"""The pretrained checkpoints that fine-tuning starts from."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from handwriting.core import params
from handwriting.core.errors import InputError
from handwriting.training import checkpoint
from handwriting.training.augmentation import Augmentation
from handwriting.training.model import Network

Labels = dict[Annotated[str, Field(pattern=r"^[1-9]\d*$")], PositiveInt]


@params.section
class Digits:
    """The section <source>.digits: digit networks, those of full_data apart."""

    model_size: str
    epochs: PositiveFloat  # passes over all of MNIST
    augmentation: Augmentation


@params.section
class FullData:
    """The section <source>.full_data: networks that learn from all of MNIST or mnistTask3."""

    model_size: str
    epochs: PositiveFloat
    muon_lr: PositiveFloat  # in place of the training section's
    curve_points: Annotated[int, Field(ge=2)]  # the same
    augmentation: Augmentation


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


def load(path: Path, model_size: str, seeds: int) -> list[Network]:
    """Return the first `seeds` networks of a model size in a pretrained checkpoint.

    Raises InputError if there are fewer.
    """
    networks = [
        each.network for each in checkpoint.load(path) if each.about["model_size"] == model_size
    ]
    if len(networks) < seeds:
        raise InputError(
            f"{path}: {len(networks)} networks of model size {model_size}, and {seeds} seeds"
        )
    return networks[:seeds]


def path(source: str, init: str) -> Path:
    """Return where the checkpoint of an init is."""
    return Path(f"artifacts/{source}/pretrained/{init}.pt")
