"""Checkpoints of torch, as Classifier calls them."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from handwriting.characters import protocols, writer_model
from handwriting.core.errors import InputError
from handwriting.data import geometry as features
from handwriting.training import checkpoint, loop
from handwriting.training.checkpoint import Saved


class TorchNetworks:
    """The networks of a checkpoint, which answer by the mean of their probabilities
    (Lakshminarayanan, Pritzel and Blundell 2017, arXiv 1612.01474).

    Raises InputError for a file that is no checkpoint, or whose networks differ in classes or size.
    """

    def __init__(self, networks: Path | Sequence[Saved]) -> None:
        self.saved = checkpoint.load(networks) if isinstance(networks, Path) else networks
        shapes = {(s.classes, s.size, s.ink_size) for s in (x.network.shape for x in self.saved)}
        if len(shapes) > 1:
            name = networks if isinstance(networks, Path) else "the list"
            raise InputError(f"{name}: networks with different classes or image sizes")
        [(self.classes, self.size, self.ink_size)] = shapes
        self.confusable: Sequence[Sequence[str]] = self.saved[0].about.get("confusable", ())

    def logits(
        self,
        pixels: NDArray[np.uint8],
        geometry: NDArray[np.float32],
        writers: Sequence[str | None] | None,
    ) -> NDArray[np.float32]:
        """Return float32 [N, classes]; arguments as of Classifier.logits()."""
        given = torch.from_numpy(features.standardised(geometry))
        given[given.isnan().any(1)] = torch.nan
        by_writer = writer_model.numbered(writers) if writers and any(writers) else None
        found = []
        for saved in self.saved:
            takes = given if saved.network.shape.geometry_channels else None
            logits = loop.logits_of(saved.network, torch.from_numpy(pixels), takes)
            if by_writer is not None and (fitted := protocols.writer_model(saved)):
                logits = fitted.adapted_group(logits, given, by_writer)
                logits = fitted.adapted_sizes(logits, geometry, by_writer)
            found.append(logits)
        return (mean_prediction(found) if len(found) > 1 else found[0]).numpy()


def mean_prediction(logits: Sequence[Tensor]) -> Tensor:
    """Return the log of the mean probabilities of several networks, [N, classes] each."""
    return torch.stack([each.softmax(1) for each in logits]).mean(0).clamp(min=1e-30).log()
