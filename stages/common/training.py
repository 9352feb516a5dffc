"""The only training loop of the project: uint8 images in memory, Muon, one linear schedule."""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from tqdm import tqdm

from stages.common import params
from stages.common.augmentation import Augmentation, augment
from stages.common.errors import InputError
from stages.common.model import Network
from stages.common.objectives import Objective

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]

_EVALUATION_BATCH = 1000


@params.section
class Recipe:
    """How a network is trained."""

    batch_size: Annotated[int, Field(gt=0)]
    learning_rate: Positive  # of the convolutions, which Muon steps by this much in spectral norm
    momentum: Share  # of Muon
    head_learning_rate: Positive  # of the head's weights, by SGD
    bias_learning_rate: Positive  # of every bias, by SGD
    head_momentum: Share
    weight_decay: Share  # of what SGD trains
    warmup: Share  # of the steps, from 0 up to the full rate; then linearly down to 0
    augmentation: Augmentation
    curve_points: Annotated[int, Field(ge=2)]  # validations along the way


@dataclass(frozen=True, slots=True)
class Labelled:
    """Images with their targets, on the device of the network."""

    images: Tensor  # uint8 [N, 1, S, S]
    targets: Tensor  # [N, ...], whatever the loss takes


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a learning curve, over all validation images."""

    step: int
    images_seen: int
    loss: float
    accuracy: float


def fit(
    network: Network,
    train: Labelled,
    validation: Labelled,
    recipe: Recipe,
    epochs: float,
    objective: Objective,
    seed: int,
    title: str,
) -> list[Point]:
    """Train `network` in place for `epochs` passes (0.6 is fine, 0 is none); its learning curve.

    Order and augmentation of step t are a function of (seed, t) alone. Raises InputError if the
    loss stops being a number.
    """
    steps = math.ceil(epochs * len(train.images) / recipe.batch_size)
    optimizer = Optimizer(network, recipe)
    watched = curve_steps(steps, recipe.curve_points)
    curve = [Point(0, 0, *validate(network, validation, objective))]
    batches = batch_indices(len(train.images), recipe.batch_size, steps, seed)
    for step, indices in enumerate(tqdm(batches, title, steps, unit="step", disable=None), 1):
        network.train()
        images = train.images[indices]
        if not recipe.augmentation.off:
            images = augment(images, recipe.augmentation, generator(seed, step, "augment"))
        value = objective.loss(network(images), train.targets[indices]).mean()
        optimizer.step(value, rate(step, steps, recipe.warmup))
        if step in watched:
            if not math.isfinite(value.item()):
                raise InputError(
                    f"{title}: the loss is {value.item()} at step {step}: lower the rates"
                )
            curve.append(
                Point(step, step * len(indices), *validate(network, validation, objective))
            )
    return curve


def batch_indices(count: int, batch_size: int, steps: int, seed: int) -> Iterator[Tensor]:
    """`steps` batches from an endless row of permutations: every image is seen equally often."""
    size = min(batch_size, count)
    row = torch.empty(0, dtype=torch.int64)
    epoch = 0
    for _ in range(steps):
        while len(row) < size:
            row = torch.cat([row, torch.randperm(count, generator=generator(seed, epoch, "order"))])
            epoch += 1
        batch, row = row[:size], row[size:]
        yield batch


def generator(seed: int, index: int, purpose: str) -> torch.Generator:
    """A CPU generator of its own for each (seed, index, purpose)."""
    digest = hashlib.sha256(f"{seed}/{index}/{purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little"))


def rate(step: int, steps: int, warmup: float) -> float:
    """The share of the full learning rate at `step` of `steps`: a triangle that ends near 0."""
    rising = step / max(1.0, warmup * steps)
    falling = (steps - step + 1) / max(1.0, (1 - warmup) * steps)
    return min(1.0, rising, falling)


def curve_steps(steps: int, points: int) -> set[int]:
    """The steps after which to validate: denser early on, when most happens; the last included."""
    return {max(1, round(steps * (i / (points - 1)) ** 2)) for i in range(1, points)}


@torch.inference_mode()
def logits_of(network: Network, images: Tensor) -> Tensor:
    """float32 [N, classes] of uint8 [N, 1, S, S], in eval mode, a batch at a time."""
    network.eval()
    return torch.cat([network(batch) for batch in torch.split(images, _EVALUATION_BATCH)])


def validate(network: Network, split: Labelled, objective: Objective) -> tuple[float, float]:
    """(mean loss, accuracy) on a split."""
    logits = logits_of(network, split.images)
    loss = objective.loss(logits, split.targets).mean().item()
    return loss, objective.accuracy(logits, split.targets)


class Optimizer:
    """Muon for the convolutions, SGD with Nesterov momentum for the head and the biases.

    Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon) replaces the momentum of a matrix
    by the nearest semi-orthogonal one. A convolution followed by batch normalisation computes the
    same whatever the norm of its weights, so that norm is fixed, and the step a share of it.
    """

    def __init__(self, network: Network, recipe: Recipe) -> None:
        self.recipe = recipe
        trainable = {name: p for name, p in network.named_parameters() if p.requires_grad}
        self.kernels = [p for p in trainable.values() if p.ndim == 4]
        self.weights = [p for p in trainable.values() if p.ndim == 2]
        self.biases = [p for p in trainable.values() if p.ndim == 1]
        self.parameters: list[Tensor] = [*self.kernels, *self.weights, *self.biases]
        self.momenta = [torch.zeros_like(p) for p in self.parameters]

    def step(self, loss: Tensor, rate: float) -> None:
        """One step down the gradient of `loss`, at the share `rate` of the learning rates."""
        recipe, count = self.recipe, len(self.kernels)
        gradients = list(torch.autograd.grad(loss, self.parameters))
        with torch.no_grad():
            if self.kernels:
                self._muon(gradients[:count], recipe.learning_rate * rate)
            rest, momenta = self.parameters[count:], self.momenta[count:]
            gradients = list(torch._foreach_add(gradients[count:], rest, alpha=recipe.weight_decay))
            torch._foreach_mul_(momenta, recipe.head_momentum)
            torch._foreach_add_(momenta, gradients)
            torch._foreach_add_(gradients, momenta, alpha=recipe.head_momentum)
            weights = len(self.weights)
            for part, full in (
                (slice(weights), recipe.head_learning_rate),
                (slice(weights, None), recipe.bias_learning_rate),
            ):
                torch._foreach_add_(rest[part], gradients[part], alpha=-full * rate)

    def _muon(self, gradients: list[Tensor], step: float) -> None:
        momenta = self.momenta[: len(self.kernels)]
        torch._foreach_mul_(momenta, self.recipe.momentum)
        torch._foreach_add_(momenta, gradients)
        torch._foreach_add_(gradients, momenta, alpha=self.recipe.momentum)
        for kernel, gradient in zip(self.kernels, gradients, strict=True):
            kernel.mul_(math.sqrt(len(kernel)) / kernel.norm())
            kernel.add_(orthogonal(gradient.flatten(1)).view_as(kernel), alpha=-step)


def orthogonal(matrix: Tensor) -> Tensor:
    """The semi-orthogonal matrix nearest to `matrix` [m, n], roughly: all singular values near 1.

    Three steps of Muon's quintic Newton-Schulz iteration, in bfloat16 as it was published.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    x = (matrix / (matrix.norm() + 1e-7)).bfloat16()
    if transposed := x.shape[0] > x.shape[1]:
        x = x.T
    for _ in range(3):
        square = x @ x.T
        x = a * x + torch.addmm(square, square, square, beta=b, alpha=c) @ x
    result: Tensor = x.T if transposed else x
    return result.to(matrix.dtype)
