"""Question one's network: its settings, its training, and predictions by networks that were not
trained on an image."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from torch import Tensor

from handwriting.characters.writer_model import WriterModel, numbered
from handwriting.core import params
from handwriting.core.errors import InputError
from handwriting.data.dataset import Split
from handwriting.training import model, runs
from handwriting.training.augmentation import Augmentation
from handwriting.training.checkpoint import Saved
from handwriting.training.loop import Plan, logits_of
from handwriting.training.losses import CrossEntropy
from handwriting.training.model import Network, Shape
from handwriting.training.optimizer import Recipe
from handwriting.training.runs import Rows, Trained

WRITER_MODEL = "writer_model"  # its name among a checkpoint's extra state


@params.section
class Architecture:
    """The section characters.model; see model.Shape."""

    crop_border: NonNegativeInt
    widths: Annotated[tuple[PositiveInt, ...], Field(min_length=1)]
    stem_stride: Literal[1, 2]
    pool_after: tuple[NonNegativeInt, ...]
    head_pool: PositiveInt
    geometry_channels: NonNegativeInt
    temperature: PositiveFloat


@params.section
class Characters:
    """The section characters."""

    model: Architecture
    training: dict[str, Any]  # what differs from the section training
    augmentation: Augmentation


@params.section
class OfSource:
    """The section <source>.characters."""

    epochs: PositiveFloat


def plan(training: Recipe, settings: Characters, epochs: float, stream: str, seed: int) -> Plan:
    """Return how a network of question one is trained."""
    recipe = params.changed(training, settings.training, "characters.training")
    objective = CrossEntropy(label_smoothing=recipe.label_smoothing)
    return Plan(recipe, settings.augmentation, epochs, objective, stream, seed)


def fresh(split: Split, architecture: Architecture, stream: str, seed: int) -> Network:
    """Return a network with random weights for the images of a split."""
    size = split.images.shape[-1]
    shape = Shape(classes=split.classes, size=size, ink_size=split.ink_size, **vars(architecture))
    try:
        return model.fresh(shape, stream, seed)
    except InputError as error:
        raise InputError(f"{params.PATH}: characters.model: {error}") from None


def with_writer_model(trained: Trained, split: Split, writers: Sequence[str]) -> Trained:
    """Return a trained network with the writer model of the images that it was trained on."""
    if not trained.saved.network.shape.geometry_channels:
        return trained
    fitted = WriterModel(split.classes)
    labels = torch.from_numpy(split.labels)
    fitted.fit(runs.standardised(split), labels, numbered(writers))
    saved = replace(trained.saved, extra={WRITER_MODEL: fitted.state_dict()})
    return replace(trained, saved=saved)


def writer_model(saved: Saved) -> WriterModel | None:
    """Return the writer model of a network, if it has one."""
    if WRITER_MODEL not in saved.extra:
        return None
    fitted = WriterModel(saved.network.shape.classes)
    fitted.load_state_dict(saved.extra[WRITER_MODEL])
    return fitted


def rows_of_folds(fold_of: NDArray[np.int64]) -> list[Rows]:
    """Return the held-out rows of each fold."""
    return [np.flatnonzero(fold_of == fold) for fold in range(fold_of.max() + 1)]


def out_of_fold_logits(
    networks: Sequence[Saved], split: Split, fold_of: NDArray[np.int64], images: Tensor
) -> Tensor:
    """Return logits, float32 [N, classes], of images [N, 1, S, S] of a split's rows: each by the
    network of its fold, which was not trained on it."""
    logits = torch.empty(len(split.labels), len(split.classes))
    geometry = runs.standardised(split)
    for rows, saved in zip(rows_of_folds(fold_of), networks, strict=True):
        takes = geometry[rows] if saved.network.shape.geometry_channels else None
        logits[rows] = logits_of(saved.network, images[rows], takes)
    return logits


def adapted_logits(
    networks: Sequence[Saved],
    split: Split,
    fold_of: NDArray[np.int64],
    logits: Tensor,
    context: Tensor,
) -> Tensor:
    """Return out-of-fold logits, float32 [N, classes], adapted to the writer.

    `context` has the rows of other images by the writer, int64 [N, M], -1 for none. Their classes
    are known from `logits`, by networks that were not trained on them; a network for seen writers
    may have been trained on the image itself.
    """
    adapted = logits.clone()
    geometry = runs.standardised(split)
    for rows, saved in zip(rows_of_folds(fold_of), networks, strict=True):
        if fitted := writer_model(saved):
            evidence = fitted.evidence(logits, geometry)
            evidence = torch.cat([evidence, torch.zeros_like(evidence[:1])])  # -1: no image
            known = torch.stack([evidence[each].sum(0) for each in context[rows]])
            adapted[rows] = fitted.adapted(logits[rows], geometry[rows], known)
    return adapted
