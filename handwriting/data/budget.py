"""A label budget: a few images of each class."""

import numpy as np
import torch
from numpy.typing import NDArray

from handwriting.core.errors import InputError
from handwriting.training import loop as training


def choose(labels: NDArray[np.int64], images: int, seed: int) -> NDArray[np.intp]:
    """The rows of the first `images` of each class in an order that `seed` alone decides.

    So a larger budget of the same seed holds the smaller. Raises InputError if a class has fewer.
    """
    order = torch.randperm(len(labels), generator=training.generator(seed, 0, "budget")).numpy()
    chosen = []
    for label in np.unique(labels):
        rows = order[labels[order] == label]
        if len(rows) < images:
            raise InputError(
                f"params.yaml: finetune.budgets: {images} images of each class are asked for,"
                f" and class {label} has {len(rows)}"
            )
        chosen.append(rows[:images])
    return np.sort(np.concatenate(chosen))
