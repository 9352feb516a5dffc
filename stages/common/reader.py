"""The network of question one and its training, as params.yaml describes them."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveFloat

from stages.common.core import params
from stages.common.core.errors import InputError
from stages.common.dataset import Split
from stages.common.learning import arms, model
from stages.common.learning.arms import Count
from stages.common.learning.augmentation import Augmentation
from stages.common.learning.compute import Compute
from stages.common.learning.model import Network, Shape
from stages.common.learning.objectives import Clean, Smoothing
from stages.common.learning.training import Recipe


@params.section
class Architecture:
    """See Shape in stages/common/learning/model.py."""

    margin: NonNegativeInt
    widths: Annotated[tuple[Count, ...], Field(min_length=1)]
    stem_stride: Literal[1, 2]
    pooled: tuple[NonNegativeInt, ...]
    grid: Count
    place: NonNegativeInt
    temperature: PositiveFloat


def fresh(split: Split, seed: int) -> Network:
    """A network with random weights for the images of a split."""
    architecture = params.load("train.network", Architecture)
    shape = Shape(
        classes=split.classes,
        size=split.images.shape[-1],
        box=split.box,
        margin=architecture.margin,
        widths=architecture.widths,
        stem_stride=architecture.stem_stride,
        pooled=architecture.pooled,
        grid=architecture.grid,
        place=architecture.place,
        temperature=architecture.temperature,
    )
    try:
        return model.fresh(shape, seed)
    except InputError as error:
        raise InputError(f"{params.PATH}: train.network: {error}") from None


def plan(
    source: str, data: Callable[[arms.Job], arms.Data], compute: Compute, scratch: Path
) -> arms.Plan:
    """How it is trained."""
    return arms.Plan(
        title="characters",
        data=data,
        objective=Clean(params.load("train.smoothing", Smoothing)),
        recipe=params.load("train.recipe", Recipe),
        augmentation=params.load("train.augmentation", Augmentation),
        epochs=params.load(f"train.epochs.{source}", PositiveFloat),
        compute=compute,
        scratch=scratch,
    )
