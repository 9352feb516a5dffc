"""The network of question one: its training, as params.yaml describes it, and what networks that
take turns in not seeing an image say of it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveFloat

from handwriting.core import params
from handwriting.core.errors import InputError
from handwriting.data.dataset import Split
from handwriting.training import model
from handwriting.training import runs as arms
from handwriting.training.augmentation import Augmentation
from handwriting.training.compute import Compute
from handwriting.training.loop import Recipe, logits_of
from handwriting.training.losses import Clean, Smoothing
from handwriting.training.model import Network, Shape
from handwriting.training.runs import Count


@params.section
class Architecture:
    """See Shape in handwriting/training/model.py."""

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


def unseen(
    networks: Sequence[Network], split: Split, fold_of: NDArray[np.int64], images: torch.Tensor
) -> torch.Tensor:
    """float32 [N, classes]: what is said of each of a split's images, [N, 1, S, S], by the network
    of its fold, which has not learnt from it."""
    logits = torch.empty(len(split.labels), len(split.classes))
    place = arms.placed(split)
    for fold, network in zip(range(fold_of.max() + 1), networks, strict=True):
        rows = torch.from_numpy(np.flatnonzero(fold_of == fold))
        takes = place[rows] if network.shape.place else None
        logits[rows] = logits_of(network, images[rows], takes)
    return logits


def beside(
    networks: Sequence[Network],
    split: Split,
    fold_of: NDArray[np.int64],
    logits: torch.Tensor,
    others: torch.Tensor,
) -> torch.Tensor:
    """The same, float32 [N, classes], where each image is read beside others by its writer: those
    whose rows are in its row of an int64 [N, M], of which -1 is none. What these are, `logits`
    tell, said by networks that have not learnt from them; of a hand that is not new, they may have
    learnt from the image itself."""
    read = logits.clone()
    place = arms.placed(split)
    for fold, network in zip(range(fold_of.max() + 1), networks, strict=True):
        rows = torch.from_numpy(np.flatnonzero(fold_of == fold))
        if network.shape.place:
            told = network.hand.told(logits, place)
            told = torch.cat([told, torch.zeros_like(told[:1])])  # the last row: of no image
            known = torch.stack([told[each].sum(0) for each in others[rows]])
            read[rows] = network.hand.read(logits[rows], place[rows], known)
    return read
