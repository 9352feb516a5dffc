"""Images ranked by how likely their label is wrong, where the noise is known."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from handwriting.noise.diagnosis import Floats, Labels


def ranked(
    posteriors: Floats, labels: Labels, matrix: Floats, classes: Sequence[str]
) -> pd.DataFrame:
    """Return row, given and suggested class, and the probabilities that the label is wrong and that
    the suggestion is right, the likeliest wrong labels first.

    `posteriors` are [N, C], of networks that have not seen the labels, int64 [N]; `matrix` is
    T[true class, given label], [C, C].
    """
    joint = posteriors * matrix.T[labels]
    joint /= joint.sum(1, keepdims=True)
    rows, suggested = np.arange(len(labels)), joint.argmax(1)
    table = {
        "row": rows,
        "given": [classes[i] for i in labels],
        "suggested": [classes[i] for i in suggested],
        "p_wrong": 1 - joint[rows, labels],
        "p_suggested": joint[rows, suggested],
    }
    return pd.DataFrame(table).sort_values("p_wrong", ascending=False, kind="stable")
