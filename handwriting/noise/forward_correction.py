"""Learning from labels that are wrong in a known way, and from what was learnt that way."""

from dataclasses import dataclass
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from handwriting.core import params
from handwriting.training import loop as training
from handwriting.training.augmentation import Augmentation, augment, draw
from handwriting.training.losses import Smoothing
from handwriting.training.model import Network

Share = Annotated[float, Field(gt=0, lt=1)]
_BATCH = 1000  # images answered at a time


@params.section
class SelfTraining:
    """How a network labels the images that it goes on to learn from."""

    views: Annotated[int, Field(ge=1)]  # of each image, the plain one included
    temperature: Annotated[float, Field(gt=0, le=1)]  # under 1 sharpens the answers
    confidence: Share  # answers below it are not learnt from
    smoothing: Smoothing  # the share of what is learnt from an answer that goes to all classes
    augmentation: Augmentation  # of the other views


@dataclass(frozen=True, slots=True)
class Corrected:
    """Labels that are drawn from a row of a transition matrix, the row of the true class.

    The forward correction of Patrini et al. (2017, arXiv 1609.03683), -log sum_y p_y T[y, label];
    for labels that name a class which the image is not of, that of Yu et al. (2018). To it comes
    the cross-entropy to a distribution over the classes, where the targets hold one.
    """

    matrix: tuple[tuple[float, ...], ...]  # T[true class][given label]; rows add up to 1

    def likelihood(self, targets: Tensor) -> Tensor:
        """log T[y, given label] for every class y: float32 [N, C]."""
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
        weighs each so that the mean over its row is 1 for the true class and 0 for the others
        (Natarajan et al. 2013; for complementary labels, Ishida et al. 2017)."""
        weights = torch.tensor(self.matrix, dtype=torch.float64).inverse()
        return weights[given_labels(targets).cpu(), logits.argmax(1).cpu()].mean().item()


def given_labels(targets: Tensor) -> Tensor:
    """int64 [N] of targets that are labels, int64 [N], or begin with them, float32 [N, 1 + C]."""
    return targets if targets.ndim == 1 else targets[:, 0].long()


def with_answers(targets: Tensor, answers: Tensor) -> Tensor:
    """Targets, float32 [N, 1 + C]: the given labels of other targets, and distributions [N, C]."""
    return torch.cat([given_labels(targets)[:, None].float(), answers], dim=1)


def self_labels(
    network: Network,
    images: Tensor,
    targets: Tensor,
    objective: Corrected,
    how: SelfTraining,
    seed: int,
) -> Tensor:
    """What a network says of uint8 images [N, 1, S, S] whose given labels are known: a distribution
    over the classes for each, float32 [N, C], or zeros where it is not sure enough.

    The mean over several views of an image, times the likelihood of its given label, sharpened
    (Berthelot et al. 2019), kept where the largest is large (Sohn et al. 2020), and smoothed: a
    network that goes on to learn from its own mistakes is less sure of them the next time (Lukasik
    et al. 2020, arXiv 2003.02819).
    """
    network.eval()
    found = []
    for i in range(0, len(images), _BATCH):
        some, given = images[i : i + _BATCH], targets[i : i + _BATCH]
        views = [some.float()]
        for view in range(1, how.views):
            generator = training.generator(seed, i, f"view {view}")
            draws = draw(len(some), how.augmentation, generator)
            views.append(augment(some, how.augmentation, draws))
        with torch.inference_mode():
            answer = torch.stack([network(view).softmax(1) for view in views]).mean(0)
        answer = answer * objective.likelihood(given).exp()
        answer = answer / answer.sum(1, keepdim=True)
        sure = answer.amax(1, keepdim=True) > how.confidence
        sharp = answer ** (1 / how.temperature)
        sharp = sharp / sharp.sum(1, keepdim=True)
        smooth = sharp * (1 - how.smoothing) + how.smoothing / sharp.shape[1]
        found.append(torch.where(sure, smooth, 0.0))
    return torch.cat(found)
