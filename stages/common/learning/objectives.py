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


@dataclass(frozen=True, slots=True)
class Complementary:
    """Labels k, int64 [B], that name a class the image is not of, any other being as likely.

    -log(1 - p_k) is the forward correction of Yu et al. (2018) for this case. The share of answers
    that hit k is a (C - 1)th of the error (Ishida et al. 2017): that gives an accuracy without one
    true label.
    """

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """See Objective. A difference of two logsumexps stays exact where p_k comes near 1."""
        others = logits.scatter(1, targets[:, None], float("-inf"))
        return logits.logsumexp(1) - others.logsumexp(1)

    def accuracy(self, logits: Tensor, targets: Tensor) -> float:
        """See Objective."""
        hit = (logits.argmax(1) == targets).float().mean().item()
        return 1 - (logits.shape[1] - 1) * hit
