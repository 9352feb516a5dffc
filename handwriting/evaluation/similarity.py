"""How alike two networks are inside: linear CKA of their layers."""

import math

import torch
from torch import Tensor

from handwriting.training.model import Network


@torch.inference_mode()
def layers(network: Network, images: Tensor) -> list[Tensor]:
    """The Gram matrices, float64 [N, N], of what each layer says of N images, their diagonals 0."""
    grams: list[Tensor] = []

    def keep(_module: torch.nn.Module, _given: object, output: Tensor) -> None:
        said = output.float().flatten(1).relu()
        grams.append((said @ said.T).double().fill_diagonal_(0))

    hooks = [norm.register_forward_hook(keep) for norm in network.norms]
    try:
        network.eval()(images)
    finally:
        for hook in hooks:
            hook.remove()
    return grams


def cka(one: Tensor, other: Tensor) -> float:
    """Linear centred kernel alignment of two such matrices (Kornblith et al. 2019): up to 1, and 0
    on average of what has nothing in common. With the unbiased estimate of the criterion of Hilbert
    and Schmidt (Song et al. 2012), as Nguyen et al. (2021) have it: of fewer images than a layer
    has numbers, the usual one finds everything alike."""
    return _criterion(one, other) / math.sqrt(_criterion(one, one) * _criterion(other, other))


def _criterion(one: Tensor, other: Tensor) -> float:
    count = len(one)
    sums = one.sum(0), other.sum(0)
    apart = sums[0].sum() * sums[1].sum() / ((count - 1) * (count - 2))
    together = (one * other).sum() + apart - 2 / (count - 2) * (sums[0] @ sums[1])
    return float(together) / (count * (count - 3))
