"""Test-time augmentation and ensembles, on the folds of crossvalidate."""

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from handwriting.core import params
from handwriting.data.folds import SEEN, UNSEEN
from handwriting.training.augmentation import Augmentation, Magnitude, augment, draw
from handwriting.training.checkpoint import Saved
from stages.ablation.predictions import Images


@params.section
class Views:
    """How the views differ from the image itself: each to either side, one at a time."""

    rotation: Magnitude  # see Augmentation
    scale: Magnitude
    shear: Magnitude


def views(images: Tensor, magnitudes: Views) -> Iterator[Tensor]:
    """Yield [N, 1, S, S] from 0 to 255: the images as they are, then rotated, scaled, sheared."""
    yield images
    changes = Augmentation(**vars(magnitudes))
    draws = draw(len(images), changes, torch.Generator().manual_seed(0))
    for i, value in enumerate(vars(magnitudes).values()):
        for side in (-1, 1) if value else ():
            affine = torch.zeros_like(draws.affine)
            affine[i] = side
            yield augment(images, changes, draws._replace(affine=affine))


def probabilities(networks: Sequence[Saved], images: Images, magnitudes: Views) -> Tensor:
    """Return out-of-fold probabilities, float32 [views, contexts, N, classes]."""
    pixels, writers = torch.from_numpy(images.split.images), images.writers.tolist()
    each = (images.logits(networks, view, writers) for view in views(pixels, magnitudes))
    return torch.stack([logits.softmax(2) for logits in each])


def table(
    seen: Sequence[Sequence[Saved]],
    unseen: Sequence[Saved],
    images: dict[str, Images],
    magnitudes: Views,
) -> pd.DataFrame:
    """Return the predictions of one network and all, for one view and all, of each protocol.

    `seen` are networks of the folds for seen writers: crossvalidate's, then further ones.
    """
    first, *further = (probabilities(each, images[SEEN], magnitudes) for each in seen)
    other = probabilities(unseen, images[UNSEEN], magnitudes)
    members = {SEEN: [first], UNSEEN: [other], "both": [first, other]}
    members |= {"ensemble": [first, *further]} if further else {}
    rows, tables = np.arange(first.shape[2]), []
    for protocol, each in members.items():
        every = torch.stack(each)  # [networks, views, contexts, N, classes]
        for n, v in product({1, len(each)}, {1, len(first)}):
            logits = every[:n, :v].mean((0, 1)).clamp(min=1e-12).log()
            about = {"protocol": protocol, "networks": n, "views": v}
            tables.append(images.get(protocol, images[SEEN]).table(rows, logits, **about))
    return pd.concat(tables)
