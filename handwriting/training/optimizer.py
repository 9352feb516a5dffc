"""Muon for the convolutions, SGD with Nesterov momentum for the head and the biases."""

import math
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from handwriting.core import params
from handwriting.training.model import Network

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]


@params.section
class Rates:
    """The full learning rates, which the schedule scales, and what goes with them."""

    convolutions: Positive  # Muon's step, as a spectral norm
    momentum: Share  # of Muon
    head: Positive  # of the head's weights
    biases: Positive  # of every bias
    head_momentum: Share  # of the head and the biases
    weight_decay: Share  # of the head and the biases
    layer_decay: Annotated[float, Field(ge=0, le=1)]  # of the rates, from each layer to the one
    # below it (discriminative fine-tuning: Howard and Ruder 2018); 0: only the head learns


class Optimizer:
    """Muon (Jordan et al. 2024, kellerjordan.github.io/posts/muon) replaces the momentum of a
    matrix by the nearest semi-orthogonal one. A convolution followed by batch normalisation
    computes the same whatever the norm of its weights, so that norm is kept, and the step a share
    of it, as in airbench94_muon (github.com/KellerJordan/cifar10-airbench).
    """

    def __init__(self, network: Network, rates: Rates) -> None:
        self.rates = rates
        self.precision = network.precision
        frozen = rates.layer_decay == 0
        network.body.requires_grad_(not frozen)
        network.norms.requires_grad_(not frozen)
        trained: list[Tensor] = [p for p in network.parameters() if p.requires_grad]
        head = network.head.weight
        # What batch normalisation follows: the convolutions, and the layer of the place numbers.
        self.kernels = [p for p in trained if p.ndim > 1 and p is not head]
        self.weights = [p for p in trained if p is head]
        self.biases = [p for p in trained if p.ndim == 1]
        self.parameters = self.kernels + self.weights + self.biases
        self.momenta = [torch.zeros_like(p) for p in self.parameters]
        depths: dict[Tensor, int] = {}
        for part in (network.body, network.norms):  # a parameter each for every layer
            depths |= {p: len(network.body) - i for i, p in enumerate(part.parameters())}
        self.shares = [rates.layer_decay ** depths.get(p, 0) for p in self.parameters]

    def step(self, loss: Tensor, share: float) -> None:
        """One step down the gradient of `loss`, at this share of the full rates."""
        for parameter in self.parameters:
            parameter.grad = None
        loss.backward()  # type: ignore[no-untyped-call]
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        rates, first, second = self.rates, len(self.kernels), len(self.kernels + self.weights)
        with torch.no_grad():
            if self.kernels:
                self._spin(gradients[:first], rates.convolutions * share)
            self._slide(slice(first, second), gradients, rates.head * share)
            self._slide(slice(second, None), gradients, rates.biases * share)

    def gradient_norm(self) -> Tensor:
        """The length of the gradient that the last step came from, float32 []."""
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        norm: Tensor = torch.stack(torch._foreach_norm(gradients)).norm()
        return norm

    def _spin(self, gradients: list[Tensor], step: float) -> None:
        moves = _nesterov(self.momenta[: len(gradients)], gradients, self.rates.momentum)
        scales = torch._foreach_reciprocal(torch._foreach_norm(self.kernels))
        torch._foreach_mul_(scales, [math.sqrt(len(kernel)) for kernel in self.kernels])
        torch._foreach_mul_(self.kernels, scales)
        for kernel, move, share in zip(self.kernels, moves, self.shares, strict=False):
            direction = orthogonal(move.flatten(1).to(self.precision))
            kernel.add_(direction.view_as(kernel), alpha=-step * share)

    def _slide(self, part: slice, gradients: list[Tensor], step: float) -> None:
        weights, decay = self.parameters[part], self.rates.weight_decay
        decayed = list(torch._foreach_add(gradients[part], weights, alpha=decay))
        moves = _nesterov(self.momenta[part], decayed, self.rates.head_momentum)
        if self.rates.layer_decay != 1:
            torch._foreach_mul_(moves, self.shares[part])
        torch._foreach_add_(weights, moves, alpha=-step)


def _nesterov(momenta: list[Tensor], gradients: list[Tensor], momentum: float) -> list[Tensor]:
    """Update the momenta in place; the gradients looked at from where momentum will lead."""
    torch._foreach_mul_(momenta, momentum)
    torch._foreach_add_(momenta, gradients)
    return list(torch._foreach_add(gradients, momenta, alpha=momentum))


def orthogonal(matrix: Tensor) -> Tensor:
    """The semi-orthogonal matrix nearest to `matrix` [m, n], roughly: all singular values near 1.

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
