"""Forward correction: training on labels with a known transition matrix."""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, slots=True)
class ForwardCorrected:
    """The objective of labels drawn from a row of a transition matrix, the row of the true class.

    Forward correction (Patrini et al. 2017, arXiv 1609.03683): -log sum_y p_y T[y, label]; for
    complementary labels that of Yu et al. (2018, arXiv 1711.09535). Where the targets hold a
    distribution over the classes too, its cross-entropy is added.
    """

    matrix: tuple[tuple[float, ...], ...]  # T[true class][given label]; rows add up to 1

    def likelihood(self, targets: Tensor) -> Tensor:
        """Return log T[y, given label] for every class y: float32 [N, C]."""
        logs = torch.tensor(self.matrix, device=targets.device).log()
        return logs.T[given_labels(targets)]

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """See Objective. A difference of two logsumexps stays exact where a p comes near 1."""
        loss = logits.logsumexp(1) - (logits + self.likelihood(targets)).logsumexp(1)
        if targets.ndim == 1:
            return loss
        return loss - (targets[:, 1:] * F.log_softmax(logits, 1)).sum(1)

    def accuracy(self, logits: Tensor, targets: Tensor) -> float:
        """See Objective. An unbiased estimate from the given labels alone: the inverse matrix
        weights each so that the mean over its row is 1 for the true class and 0 for the others
        (Natarajan et al. 2013; for complementary labels Ishida et al. 2017)."""
        weights = torch.tensor(self.matrix, dtype=torch.float64).inverse()
        return weights[given_labels(targets).cpu(), logits.argmax(1).cpu()].mean().item()

    def unsmoothed(self) -> "ForwardCorrected":
        """See Objective. Only the distributions beside the labels are smoothed."""
        return self

    def settings(self) -> dict[str, Any]:
        """See Objective."""
        return {"forward_correction": {"matrix": self.matrix}}


def given_labels(targets: Tensor) -> Tensor:
    """Return int64 [N] of targets that are labels, or begin with them, float32 [N, 1 + C]."""
    return targets if targets.ndim == 1 else targets[:, 0].long()


def with_distributions(targets: Tensor, distributions: Tensor) -> Tensor:
    """Return targets, float32 [N, 1 + C]: the given labels, and distributions [N, C]."""
    return torch.cat([given_labels(targets)[:, None].float(), distributions], dim=1)
