"""Representation similarity of two networks: linear CKA of their layers."""

import math

import torch
from torch import Tensor

from handwriting.training.model import Network


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
