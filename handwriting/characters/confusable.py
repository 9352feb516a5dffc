"""Confusable classes: pairs of which the networks of cross-validation often take one for the other.

Nobody tells such a 0 and O apart without context, which a single image does not have.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from handwriting.data.dataset import Split
from handwriting.training import loop, runs
from handwriting.training.checkpoint import Saved
from handwriting.training.runs import Rows

# Of all held-out images of both classes. On trainPart1 a twentieth finds the two cases of C, K, O,
# P, S, U, V, W, X and Z, and what looks like a 0, 1, 9 or f.
_SHARE = 0.05
_COUNT = 5  # mistakes at least: in a small set chance makes fewer

Pairs = Sequence[Sequence[str]]


def known(saved: Saved, found: Pairs) -> Saved:
    """Return a network that knows pairs of confusable classes."""
    return replace(saved, about=saved.about | {"confusable": found})


def find(networks: Sequence[Saved], held_out: Sequence[Rows], split: Split) -> Pairs:
    """Return the pairs of confusable classes, of the rows of a split held out of each network."""
    counts = np.zeros((len(split.classes),) * 2, np.int64)
    for saved, rows in zip(networks, held_out, strict=True):
        part, network = split.rows(rows), saved.network
        geometry = runs.standardised(part) if network.shape.geometry_channels else None
        logits = loop.logits_of(network, torch.from_numpy(part.images), geometry)
        np.add.at(counts, (part.labels, logits.argmax(1).numpy()), 1)
    return pairs(split.classes, counts)


def pairs(classes: Sequence[str], counts: NDArray[np.int64]) -> Pairs:
    """Return the pairs of confusable classes, in the order of `classes`.

    `counts`, int64 [C, C], say how often images of a class, a row, are predicted as each class.
    """
    images = counts.sum(1)
    times, of = counts + counts.T, images[:, None] + images
    found = np.triu((times >= _COUNT) & (times >= _SHARE * of), 1)
    return [[classes[one], classes[other]] for one, other in np.argwhere(found)]
