"""The pseudo-labels that a network learnt from, kept so that their rightness can be looked up."""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from handwriting.core import files
from handwriting.core.errors import InputError

NONE = -1  # of an image that the network was not sure enough of

Labels = NDArray[np.int8]  # classes, or NONE: [N], of an arm [seeds, rounds of self-training, N]


def of_answers(answers: Tensor) -> Labels:
    """int8 [N]: the likeliest class of distributions, float32 [N, C]; NONE for a row of zeros."""
    sure, said = answers.max(1)
    said[sure == 0] = NONE
    return np.asarray(said.cpu().numpy(), np.int8)


def store(labels: Labels, path: Path, scratch: Path) -> None:
    """Write the pseudo-labels of an arm; equal labels give equal bytes."""
    buffer = io.BytesIO()
    np.save(buffer, labels, allow_pickle=False)
    files.write_bytes(path, buffer.getvalue(), scratch)


def load(path: Path) -> Labels:
    """Read them. Raises InputError naming the file if it is missing or holds none."""
    try:
        labels = np.load(path, allow_pickle=False)
        if labels.dtype != np.int8 or labels.ndim != 3:
            raise ValueError(f"it holds {labels.dtype} {labels.shape}")
    except (OSError, EOFError, ValueError) as error:
        raise InputError(f"{path}: not a file of pseudo-labels: {error}") from None
    return np.asarray(labels)
