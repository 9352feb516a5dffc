"""What a label means: the loss it gives, and the accuracy that can be estimated from it."""

from dataclasses import dataclass
from typing import Annotated, Protocol

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

Smoothing = Annotated[float, Field(ge=0, lt=1)]  # the share of a label that goes to all classes


class Objective(Protocol):
    """How logits float32 [B, C] are judged by targets [B, ...]."""

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The losses, float32 [B]."""
        ...

    def accuracy(self, logits: Tensor, targets: Tensor) -> float:
        """The share of right answers, as far as the targets tell."""
        ...


@dataclass(frozen=True, slots=True)
class Clean:
    """Labels int64 [B] that name the class: cross-entropy, smoothed (Szegedy et al. 2016)."""

    smoothing: Smoothing

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """See Objective."""
        return F.cross_entropy(logits, targets, reduction="none", label_smoothing=self.smoothing)

    def accuracy(self, logits: Tensor, targets: Tensor) -> float:
        """See Objective."""
        return (logits.argmax(1) == targets).float().mean().item()
