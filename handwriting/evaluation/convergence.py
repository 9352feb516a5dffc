"""How fast and how smoothly a network learnt, from its learning curve and its first steps."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from handwriting.training.live import Point
from handwriting.training.model import Network, Shape

THRESHOLDS = (0.9, 0.95, 0.98, 0.99, 0.995)  # of validation accuracy


def reached(curve: Sequence[Point], threshold: float) -> tuple[int, int] | None:
    """(step, images seen) at which a curve first comes to a threshold, on straight lines between
    its points; None if it never does."""
    for i, point in enumerate(curve):
        if point.accuracy >= threshold:
            before = curve[max(0, i - 1)]
            way = point.accuracy - before.accuracy
            part = (threshold - before.accuracy) / way if way > 0 else 1.0
            return (
                round(before.step + part * (point.step - before.step)),
                round(before.images_seen + part * (point.images_seen - before.images_seen)),
            )
    return None


def kept(curve: Sequence[Point], threshold: float) -> tuple[int, int] | None:
    """The same for the last time that it comes there, from which on it stays: while the rate is
    high, a curve swings by more than the steps between thresholds. None if it ends below."""
    below = [i for i, point in enumerate(curve) if point.accuracy < threshold]
    return reached(curve[below[-1] :] if below else curve, threshold)


def area(curve: Sequence[Point]) -> float:
    """The mean height of a learning curve over the images seen: 1 is all right from the start."""
    seen = [point.images_seen for point in curve]
    return float(np.trapezoid([point.accuracy for point in curve], seen) / seen[-1])


def smoothness(early: Sequence[Mapping[str, str]]) -> tuple[float, float]:
    """Of the rows of the first steps: the mean length of the gradient, and how much the loss of a
    batch changes from one step to the next on average."""
    loss, norm = (
        np.array([float(row[name]) for row in early]) for name in ("loss", "gradient_norm")
    )
    return float(norm.mean()), float(np.abs(np.diff(loss)).mean()) if len(loss) > 1 else 0.0


def flops_per_image(shape: Shape, frozen: bool) -> int:
    """Floating-point operations of the convolutions and the head for one image in training, forward
    and backward; with the body frozen, backward through the head alone. A multiplication and its
    addition count two. (torch's own counter agrees, and takes seconds to import.)
    """
    side, total = shape.size - 2 * shape.margin, 0
    for i, (given, width) in enumerate(pairwise((1, *shape.widths))):
        kernel, stride = (5, shape.stem_stride) if i == 0 else (3, 1)
        side = (side - 1) // stride + 1
        once = 2 * given * width * kernel**2 * side**2
        # Forward, the gradient of the weights, and that of the input but for the image's.
        total += once * (1 if frozen else 2 if i == 0 else 3)
        side //= 2 if i in shape.pooled else 1
    head = 2 * shape.widths[-1] * shape.grid**2 * len(shape.classes)
    return total + head * (2 if frozen else 3)


def travelled(network: Network, base: Network) -> float:
    """How far the convolutions went: the mean over layers of the distance between their directions,
    0 to 2. Batch normalisation follows each, so its length says nothing."""
    distances = [
        (one.weight / one.weight.norm() - other.weight / other.weight.norm()).norm().item()  # type: ignore[operator]
        for one, other in zip(network.body, base.body, strict=True)
    ]
    return float(np.mean(distances))
