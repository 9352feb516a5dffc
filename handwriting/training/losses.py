"""Training objectives: the loss of labels, and the accuracy that can be estimated from them."""

from typing import Annotated, Any, Protocol

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from handwriting.core import params

Smoothing = Annotated[float, Field(ge=0, lt=1)]  # share of a label that goes to all classes


class Objective(Protocol):
    """Judges logits float32 [B, C] by targets [B, ...]."""

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the losses, float32 [B]."""
        ...

    def accuracy(self, logits: Tensor, targets: Tensor) -> float:
        """Return the share of correct predictions, as far as the targets tell."""
        ...

    def unsmoothed(self) -> "Objective":
        """Return the likelihood of the labels alone."""
        ...

    def settings(self) -> dict[str, Any]:
        """Return what a checkpoint says of it."""
        ...


@params.section
class CrossEntropy:
    """Cross-entropy of labels int64 [B], smoothed (Szegedy et al. 2016, arXiv 1512.00567)."""

    label_smoothing: Smoothing

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """See Objective."""
        smoothing = self.label_smoothing
        return F.cross_entropy(logits, targets, reduction="none", label_smoothing=smoothing)

    def accuracy(self, logits: Tensor, targets: Tensor) -> float:
        """See Objective."""
        return (logits.argmax(1) == targets).float().mean().item()

    def unsmoothed(self) -> "CrossEntropy":
        """See Objective."""
        return CrossEntropy(label_smoothing=0.0)

    def settings(self) -> dict[str, Any]:
        """See Objective."""
        return {"cross_entropy": {"label_smoothing": self.label_smoothing}}
