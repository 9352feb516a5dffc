"""Self-training: pseudo-labels that a network goes on to be trained on."""

import io
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, PositiveInt
from torch import Tensor

from handwriting.core import files, params
from handwriting.core.errors import InputError
from handwriting.noise.forward_correction import ForwardCorrected
from handwriting.training import loop
from handwriting.training.augmentation import Augmentation, augment, draw
from handwriting.training.losses import Smoothing
from handwriting.training.model import Network

NONE = -1  # of an image that the network was not confident enough of
_BATCH = 1000  # images predicted at a time

PseudoLabels = NDArray[np.int8]  # classes, or NONE: [N], of a stage [seeds, rounds of it, N]


@params.section
class SelfTraining:
    """How a network labels the images that it goes on to be trained on."""

    views: PositiveInt  # of each image, the plain one included
    temperature: Annotated[float, Field(gt=0, le=1)]  # under 1 sharpens the predictions
    confidence: Annotated[float, Field(gt=0, lt=1)]  # predictions below it are not used
    label_smoothing: Smoothing
    augmentation: Augmentation  # of the other views


def distributions(
    network: Network,
    images: Tensor,
    targets: Tensor,
    objective: ForwardCorrected,
    how: SelfTraining,
    stream: str,
    seed: int,
) -> Tensor:
    """Return pseudo-labels of uint8 images [N, 1, S, S] whose given labels are known: a
    distribution over the classes for each, float32 [N, C], zeros below the confidence.

    The mean over several views of an image, times the likelihood of its given label, sharpened
    (Berthelot et al. 2019, arXiv 1905.02249), kept where the largest is large (Sohn et al. 2020,
    arXiv 2001.07685), and smoothed: a network trained on its own mistakes is less sure of them the
    next time (Lukasik et al. 2020, arXiv 2003.02819).
    """
    network.eval()
    found = []
    for i in range(0, len(images), _BATCH):
        some, given = images[i : i + _BATCH], targets[i : i + _BATCH]
        views = [some.float()]
        for view in range(1, how.views):
            random = loop.generator(f"view {view} of {stream}", seed, i)
            views.append(augment(some, how.augmentation, draw(len(some), how.augmentation, random)))
        with torch.inference_mode():
            mean = torch.stack([network(view).softmax(1) for view in views]).mean(0)
        posterior = mean * objective.likelihood(given).exp()
        posterior = posterior / posterior.sum(1, keepdim=True)
        sure = posterior.amax(1, keepdim=True) > how.confidence
        sharp = posterior ** (1 / how.temperature)
        sharp = sharp / sharp.sum(1, keepdim=True)
        smooth = sharp * (1 - how.label_smoothing) + how.label_smoothing / sharp.shape[1]
        found.append(torch.where(sure, smooth, 0.0))
    return torch.cat(found)


def labels_of(distributions: Tensor) -> PseudoLabels:
    """Return the likeliest class of distributions, int8 [N]; NONE for a row of zeros."""
    sure, labels = distributions.max(1)
    labels[sure == 0] = NONE
    return np.asarray(labels.cpu().numpy(), np.int8)


def store(labels: PseudoLabels, path: Path, scratch: Path) -> None:
    """Write the pseudo-labels of a stage; equal labels give equal bytes."""
    buffer = io.BytesIO()
    np.save(buffer, labels, allow_pickle=False)
    files.write_bytes(path, buffer.getvalue(), scratch)


def load(path: Path) -> PseudoLabels:
    """Read them. Raises InputError naming the file if it is missing or holds none."""
    try:
        labels = np.load(path, allow_pickle=False)
        if labels.dtype != np.int8 or labels.ndim != 3:
            raise ValueError(f"it holds {labels.dtype} {labels.shape}")
    except (OSError, EOFError, ValueError) as error:
        raise InputError(f"{path}: not a file of pseudo-labels: {error}") from None
    return np.asarray(labels)
