"""How fast and how smoothly a network learns, how far it moves, and how alike two networks are.

A curve is a DataFrame with the columns step, images_seen and accuracy, a row for each point.
"""

import math
from itertools import pairwise

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from handwriting.training.model import Network, Shape

THRESHOLDS = (0.9, 0.95, 0.98, 0.99, 0.995)  # of validation accuracy
NEVER = (math.nan, math.nan)


def reached(curve: pd.DataFrame, threshold: float) -> tuple[float, float]:
    """Return step and images seen at which a curve first reaches a threshold, or NEVER.

    Points are joined by straight lines.
    """
    above = np.flatnonzero(curve["accuracy"] >= threshold)
    if not len(above):
        return NEVER
    points = curve[["step", "images_seen", "accuracy"]].to_numpy(float)
    before, point = points[max(0, above[0] - 1)], points[above[0]]
    rise = point[2] - before[2]
    part = (threshold - before[2]) / rise if rise > 0 else 1.0
    step, images = before[:2] + part * (point[:2] - before[:2])
    return round(step), round(images)


def kept(curve: pd.DataFrame, threshold: float) -> tuple[float, float]:
    """Return the same for the last time that a curve reaches a threshold and stays above it.

    While the learning rate is high, a curve swings by more than the steps between thresholds.
    """
    below = np.flatnonzero(curve["accuracy"] < threshold)
    return reached(curve[below[-1] :] if len(below) else curve, threshold)


def area(curve: pd.DataFrame) -> float:
    """Return the mean height of a learning curve over the images seen, 1 at most."""
    seen = curve["images_seen"].to_numpy()
    return float(np.trapezoid(curve["accuracy"], seen) / seen[-1])


def smoothness(first_steps: pd.DataFrame) -> tuple[float, float]:
    """Return the mean gradient norm of the first steps, and the mean change of a batch's loss from
    one step to the next."""
    changes = first_steps["loss"].diff().abs()[1:]
    return float(first_steps["gradient_norm"].mean()), float(changes.sum() / max(1, len(changes)))


def flops_per_image(shape: Shape, frozen: bool) -> int:
    """Return the floating-point operations of the convolutions and the head for a training image.

    Forward and backward; with a frozen body, backward through the head alone. A multiplication and
    its addition count two. torch's own counter agrees, and takes seconds to import.
    """
    side, total = shape.size - 2 * shape.crop_border, 0
    for i, (channels, width) in enumerate(pairwise((1, *shape.widths))):
        kernel, stride = (5, shape.stem_stride) if i == 0 else (3, 1)
        side = (side - 1) // stride + 1
        forward = 2 * channels * width * kernel**2 * side**2
        # Forward, the gradient of the weights, and that of the input but for the image's.
        total += forward * (1 if frozen else 2 if i == 0 else 3)
        side //= 2 if i in shape.pool_after else 1
    head = 2 * shape.widths[-1] * shape.head_pool**2 * len(shape.classes)
    return total + head * (2 if frozen else 3)


def distance(network: Network, init: Network) -> float:
    """Return how far training moved the convolutions: the mean over layers of the distance between
    the directions of their weights, 0 to 2. Batch normalisation makes the lengths irrelevant."""
    pairs = zip(network.body.parameters(), init.body.parameters(), strict=True)
    return float(np.mean([(a / a.norm() - b / b.norm()).norm().item() for a, b in pairs]))


@torch.inference_mode()
def layers(network: Network, images: Tensor) -> list[Tensor]:
    """Return the Gram matrix of each layer's output for N images: float64 [N, N], diagonal 0."""
    grams: list[Tensor] = []

    def keep(_module: torch.nn.Module, _inputs: object, output: Tensor) -> None:
        features = output.float().flatten(1).relu()
        grams.append((features @ features.T).double().fill_diagonal_(0))

    hooks = [norm.register_forward_hook(keep) for norm in network.norms]
    network.eval()(images)
    for hook in hooks:
        hook.remove()
    return grams


def cka(one: Tensor, other: Tensor) -> float:
    """Return the linear centred kernel alignment of two such matrices (Kornblith et al. 2019).

    It is 1 at most, and 0 on average of unrelated layers. It uses the unbiased estimate of the
    Hilbert-Schmidt independence criterion (Song et al. 2012), as Nguyen et al. (2021) do: with
    fewer images than a layer has features, the usual estimate finds everything alike.
    """
    return _criterion(one, other) / math.sqrt(_criterion(one, one) * _criterion(other, other))


def _criterion(one: Tensor, other: Tensor) -> float:
    count, (a, b) = len(one), (one.sum(0), other.sum(0))
    product = (one * other).sum() + a.sum() * b.sum() / ((count - 1) * (count - 2))
    return float(product - 2 / (count - 2) * (a @ b)) / (count * (count - 3))
