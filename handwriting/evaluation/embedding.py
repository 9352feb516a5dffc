"""A map of what a network sees: its features, many numbers an image, laid out on a plane."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

_PERPLEXITY = 20  # neighbours that an image is laid beside


def seen_by(layer: nn.Module, answer: Callable[[], Tensor]) -> tuple[Tensor, Tensor]:
    """What a layer sees while `answer` runs the network that it is of, float32 [N, features]; and
    the answer."""
    seen: list[Tensor] = []

    def keep(_: nn.Module, given: tuple[Tensor, ...]) -> None:
        seen.append(given[0])

    hook = layer.register_forward_pre_hook(keep)
    try:
        answered = answer()
    finally:
        hook.remove()
    return torch.cat(seen), answered


def plane(features: Tensor) -> NDArray[np.float32]:
    """float32 [N, 2] of [N, features], N > 2: neighbours there are neighbours here.

    t-SNE (van der Maaten and Hinton 2008, jmlr.org/papers/v9) from a start by principal components.
    Distances between far groups mean nothing. One thread and a seed: the same map every time.
    """
    perplexity = min(_PERPLEXITY, (len(features) - 1) / 3)
    method = TSNE(2, perplexity=perplexity, init="pca", random_state=0, n_jobs=1)
    with threadpool_limits(1):
        return np.asarray(method.fit_transform(features.numpy()), np.float32)
