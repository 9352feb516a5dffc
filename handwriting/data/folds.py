"""Folds of cross-validation, by image and by writer."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from handwriting.core import files
from handwriting.core.errors import InputError

SEEN, UNSEEN = PROTOCOLS = ("seen-writers", "unseen-writers")  # writers of the held-out images


def draw(
    labels: NDArray[np.int64], writers: Sequence[str], folds: int, split_seed: int
) -> dict[str, NDArray[np.int64]]:
    """Return the fold of each row for both protocols, int64 [N], stratified by class.

    With unseen writers all images of a writer are in one fold. Raises InputError for more folds
    than a class has images, or there are writers.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    drawn = {}
    for protocol, splitter, groups in (
        (SEEN, StratifiedKFold(folds, shuffle=True, random_state=split_seed), None),
        (UNSEEN, StratifiedGroupKFold(folds, shuffle=True, random_state=split_seed), writers),
    ):
        fold_of = drawn[protocol] = np.empty(len(labels), np.int64)
        try:
            for fold, (_, held_out) in enumerate(splitter.split(labels, labels, groups)):
                fold_of[held_out] = fold
        except ValueError as error:
            wanted = f"{folds} folds of {len(labels):,} images, {protocol}"
            raise InputError(f"{wanted}: {error}") from None
    return drawn


def store(drawn: dict[str, NDArray[np.int64]], path: Path, scratch: Path) -> None:
    """Write the fold of each row, a column for each protocol."""
    rows = ((row, *each) for row, each in enumerate(zip(*drawn.values(), strict=True)))
    files.write_csv(path, ["row", *drawn], rows, scratch)


def load(path: Path) -> dict[str, NDArray[np.int64]]:
    """Return the fold of each row for each protocol, int64 [N]. Raises InputError."""
    rows = files.read_csv(path)
    return {each: np.array([int(row[each]) for row in rows], np.int64) for each in PROTOCOLS}
