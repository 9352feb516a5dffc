"""Predictions for held-out images, as a table."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from handwriting.characters import protocols
from handwriting.characters.writer_model import context_rows
from handwriting.classifier import out_of_fold_logits
from handwriting.data.dataset import Split
from handwriting.training.checkpoint import Saved
from handwriting.training.runs import Rows


class Images(NamedTuple):
    """Images, their writers, and the fold that holds each out."""

    split: Split
    writers: NDArray[np.str_]  # [N]
    fold_of: NDArray[np.int64]  # [N]

    def others(self, fold: int) -> Rows:
        """Return the rows that a fold does not hold out."""
        return np.flatnonzero(self.fold_of != fold)

    def fitted(self, saved: Saved) -> Saved:
        """Return a network, whose seed is its fold, with the writer model of the other folds."""
        rows = self.others(saved.run.seed)
        return protocols.with_writer_model(saved, self.split, self.writers.tolist(), rows)

    def logits(self, networks: Sequence[Saved], pixels: Tensor, groups: Sequence[str]) -> Tensor:
        """Return out-of-fold logits for pixels [N, 1, S, S], float32 [2, N, classes]: of each image
        alone, and adapted to its writer by the others of its group."""
        logits = out_of_fold_logits(networks, self.split, self.fold_of, pixels.numpy())
        single = torch.from_numpy(logits)
        context = context_rows(groups)
        adapted = protocols.adapted_logits(networks, self.split, self.fold_of, single, context)
        return torch.stack([single, adapted])

    def table(self, rows: Rows, logits: Tensor, **about: Any) -> pd.DataFrame:
        """Return the predictions of such logits, with the rows' numbers, and `about` a network."""
        truth, classes = torch.from_numpy(self.split.labels), np.array(self.split.classes)
        images = {"row": rows, "fold": self.fold_of, "actual": classes[truth]}
        tables = []
        for context, each in zip(("single", "adapted"), logits, strict=True):
            loss = F.cross_entropy(each, truth, reduction="none").double().numpy()
            predicted = {"predicted": classes[each.argmax(1)], "loss": loss}
            tables.append(pd.DataFrame({**about, "context": context, **images, **predicted}))
        return pd.concat(tables)
