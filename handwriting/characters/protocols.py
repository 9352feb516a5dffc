"""Question one's network: its settings, its training, and predictions adapted to the writer."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import NonNegativeInt, PositiveFloat
from torch import Tensor

from handwriting.characters.writer_model import WriterModel, numbered
from handwriting.core import params
from handwriting.data.dataset import Split
from handwriting.training import model, runs
from handwriting.training.augmentation import Augmentation
from handwriting.training.checkpoint import Run, Saved
from handwriting.training.loop import Plan
from handwriting.training.optimizer import Recipe
from handwriting.training.pretrained import ModelSize
from handwriting.training.runs import Job, Rows

WRITER_MODEL = "writer_model"  # its name among a checkpoint's extra state


@params.section
class Architecture(ModelSize):
    """The section characters.model; see model.Shape."""

    stem_stride: Literal[1, 2]
    crop_border: NonNegativeInt
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


def job(
    run: Run,
    stream: str,
    split: Split,
    training: Recipe,
    settings: Characters,
    epochs: float,
    train: Rows | None = None,
    validation: Rows | None = None,
) -> Job:
    """Return how a network of question one is trained from random weights on rows of a split."""
    network = model.fresh_for(split, "characters.model", stream, run.seed, **vars(settings.model))
    recipe = params.changed(training, settings.training, "characters.training")
    plan = Plan(recipe, settings.augmentation, epochs, recipe.cross_entropy, stream, run.seed)
    return Job(run, network, plan, train, validation)


def with_writer_model(
    saved: Saved, split: Split, writers: Sequence[str], train: Rows | None = None
) -> Saved:
    """Return a network with the writer model of the rows that it was trained on; None: all.

    Without one if it takes no geometry, or that of all its images is unknown.
    """
    rows = np.arange(len(writers)) if train is None else train
    rows = rows[np.isfinite(split.geometry[rows]).all(axis=1)]
    if not (saved.network.shape.geometry_channels and len(rows)):
        return saved
    fitted, images = WriterModel(split.classes), split.rows(rows)
    numbers = numbered([writers[row] for row in rows])
    fitted.fit(runs.standardised(images), torch.from_numpy(images.labels), numbers)
    return replace(saved, extra={WRITER_MODEL: fitted.state_dict()})


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
