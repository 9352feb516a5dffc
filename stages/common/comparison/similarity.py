"""How alike two networks are inside: linear CKA of their layers."""

import torch
from torch import Tensor

from stages.common.learning.model import Network


@torch.inference_mode()
def layers(network: Network, images: Tensor) -> list[Tensor]:
    """The centred Gram matrices, float32 [N, N], of what each layer says of N images."""
    grams: list[Tensor] = []

    def keep(_module: torch.nn.Module, _given: object, output: Tensor) -> None:
        said = output.float().flatten(1).relu()
        said = said - said.mean(0)
        grams.append(said @ said.T)

    hooks = [norm.register_forward_hook(keep) for norm in network.norms]
    try:
        network.eval()(images)
    finally:
        for hook in hooks:
            hook.remove()
    return grams


def cka(one: Tensor, other: Tensor) -> float:
    """Linear centred kernel alignment of two Gram matrices, 0 to 1 (Kornblith et al. 2019)."""
    return float((one * other).sum() / (one.norm() * other.norm()))
