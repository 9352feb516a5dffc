"""Cross-validation: who is held out when."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

from handwriting.core.errors import InputError

KNOWN, NEW = "known-hands", "new-hands"  # do the writers of the held-out images occur in training?


def draw(
    labels: NDArray[np.int64], hands: Sequence[str], folds: int, seed: int
) -> dict[str, NDArray[np.int64]]:
    """For both ways, the fold of each row, int64 [N]: stratified by class, and by writer too.

    Raises InputError for more folds than a class has images, or there are writers.

    The rows that two folds hold of a class differ by one at most; in the second way all images of a
    writer are in one fold, and the classes are as even as that allows.
    """
    nothing = np.zeros(len(labels))
    drawn = {}
    for way, splitter in (
        (KNOWN, StratifiedKFold(folds, shuffle=True, random_state=seed)),
        (NEW, StratifiedGroupKFold(folds, shuffle=True, random_state=seed)),
    ):
        drawn[way] = np.empty(len(labels), np.int64)
        groups = hands if way == NEW else None
        try:
            for fold, (_, held_out) in enumerate(splitter.split(nothing, labels, groups)):
                drawn[way][held_out] = fold
        except ValueError as error:
            raise InputError(f"{folds} folds of {len(labels):,} images, {way}: {error}") from None
    return drawn
