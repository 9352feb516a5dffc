"""A map of a network's features, laid out on a plane."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

_PERPLEXITY = 20  # neighbours of an image


def inputs_of(layer: nn.Module, predict: Callable[[], Tensor]) -> tuple[Tensor, Tensor]:
    """Return the inputs of a layer while `predict` runs, float32 [N, features], and its result."""
    inputs: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    try:
        predicted = predict()
    finally:
        hook.remove()
    return torch.cat(inputs), predicted


def plane(features: Tensor) -> NDArray[np.float32]:
    """Return positions, float32 [N, 2], in which neighbours of [N, features], N > 2, stay close.

    t-SNE (van der Maaten and Hinton 2008, jmlr.org/papers/v9), initialised by principal components.
    Distances between far groups mean nothing. One thread and a fixed seed make it repeatable.
    """
    perplexity = min(_PERPLEXITY, (len(features) - 1) / 3)
    method = TSNE(2, perplexity=perplexity, init="pca", random_state=0, n_jobs=1)
    with threadpool_limits(1):
        return np.asarray(method.fit_transform(features.numpy()), np.float32)
