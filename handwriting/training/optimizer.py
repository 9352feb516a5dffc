"""Muon for the convolutions, SGD with Nesterov momentum for the head and the biases."""

import math
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor
from torch.optim.sgd import sgd

from handwriting.core import params
from handwriting.training.losses import CrossEntropy, Smoothing
from handwriting.training.model import Network

Share = Annotated[float, Field(ge=0, lt=1)]
_NESTEROV: Any = {"dampening": 0, "nesterov": True, "maximize": False, "foreach": False}


@params.section
class Recipe:
    """How networks are trained: the section `training`."""

    batch_size: PositiveInt  # of all processes together
    warmup: Share  # of the steps: up to the full learning rates, then down
    label_smoothing: Smoothing
    curve_points: Annotated[int, Field(ge=2, le=10_000)]  # validations along the way
    muon_lr: PositiveFloat  # of the convolutions, as a spectral norm
    muon_momentum: Share
    head_lr: PositiveFloat
    bias_lr: PositiveFloat
    sgd_momentum: Share
    weight_decay: Share  # of the head and the biases
    # Of the learning rates, from each layer to the one below it (discriminative fine-tuning: Howard
    # and Ruder 2018); 0 trains the head alone. Methods of fine-tuning set it.
    layer_decay: Annotated[float, Field(ge=0, le=1)] = 1

    @property
    def cross_entropy(self) -> CrossEntropy:
        """The objective of labels used as given."""
        return CrossEntropy(label_smoothing=self.label_smoothing)


@dataclass(frozen=True, slots=True)
class Factors:
    """Shares of the peak learning rates at one step."""

    muon: float
    head: float
    bias: float


class Optimizer:
    """Both optimizers, stepped at a share of their peak learning rates.

    torch.optim's functions, not its classes: those import a compiler, two seconds of each process.
    """

    def __init__(self, network: Network, recipe: Recipe) -> None:
        self.recipe, self.precision = recipe, network.precision
        momentum, decay = recipe.sgd_momentum, recipe.weight_decay
        self.sgd = {**_NESTEROV, "momentum": momentum, "weight_decay": decay}
        depths: dict[Tensor, int] = {}
        for part in (network.body, network.norms):  # one parameter for each layer
            part.requires_grad_(recipe.layer_decay > 0)
            depths |= {p: len(network.body) - i for i, p in enumerate(part.parameters())}
        trained: list[Tensor] = [p for p in network.parameters() if p.requires_grad]
        self.head = head = network.head.weight
        self.kernels = [p for p in trained if p.ndim > 1 and p is not head]
        self.others = [head, *(p for p in trained if p.ndim == 1)]
        self.decay = {p: recipe.layer_decay ** depths.get(p, 0) for p in trained}
        self.momenta = {p: torch.zeros_like(p) for p in self.kernels + self.others}

    def step(self, loss: Tensor, factors: Factors) -> None:
        """Step down the gradient of `loss` at these factors of the learning rates."""
        for parameter in self.momenta:
            parameter.grad = None
        loss.backward()  # type: ignore[no-untyped-call]
        recipe = self.recipe
        with torch.no_grad():
            for p in self.kernels:
                lr = recipe.muon_lr * factors.muon * self.decay[p]
                muon(p, self.momenta[p], lr, recipe.muon_momentum, self.precision)
            head_lr, bias_lr = recipe.head_lr * factors.head, recipe.bias_lr * factors.bias
            for p in self.others:
                peak = head_lr if p is self.head else bias_lr
                tensors: Any = ([p], [p.grad], [self.momenta[p]])
                sgd(*tensors, lr=peak * self.decay[p], **self.sgd)

    def gradient_norm(self) -> Tensor:
        """Return the norm of the last gradient, float32 []."""
        gradients = [p.grad for p in self.momenta if p.grad is not None]
        norm: Tensor = torch.stack(torch._foreach_norm(gradients)).norm()
        return norm


def muon(kernel: Tensor, momentum: Tensor, lr: float, decay: float, precision: torch.dtype) -> None:
    """Update a convolution's weights and their momentum in place (Muon: Jordan et al. 2024,
    kellerjordan.github.io/posts/muon).

    Muon replaces the momentum of a matrix by the nearest semi-orthogonal one. A convolution
    followed by batch normalisation computes the same whatever the norm of its weights: that norm is
    kept, and the step a share of it, as in airbench94_muon
    (github.com/KellerJordan/cifar10-airbench).
    """
    assert kernel.grad is not None  # noqa: S101 - for the type checker
    momentum.mul_(decay).add_(kernel.grad)
    move = kernel.grad.add(momentum, alpha=decay)  # Nesterov's
    kernel.mul_(kernel.norm().reciprocal().mul_(math.sqrt(len(kernel))))
    direction = orthogonal(move.flatten(1).to(precision))
    kernel.add_(direction.view_as(kernel), alpha=-lr)


def orthogonal(matrix: Tensor) -> Tensor:
    """Return roughly the nearest semi-orthogonal matrix [m, n]: all singular values near 1.

    Three steps of Muon's quintic Newton-Schulz iteration, in the precision of `matrix`.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    x = matrix / (matrix.norm() + 1e-7)
    if tall := x.shape[0] > x.shape[1]:
        x = x.T
    for _ in range(3):
        square = x @ x.T
        x = a * x + torch.addmm(square, square, square, beta=b, alpha=c) @ x
    result: Tensor = x.T if tall else x
    return result
