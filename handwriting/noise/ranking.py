"""The images of an examined set, the likeliest to have a wrong label first."""

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

import numpy as np

from handwriting.core import files
from handwriting.data.dataset import Split
from handwriting.noise.examination import Examination

WRONG = 0.5  # p_wrong from which a label is listed as wrong
SURE = 0.8  # probability from which a wrong label is replaced, not left out
OTHER_LABEL, NO_CLASS, LABEL = "duplicate with another label", "no such character", "label"


@dataclass(frozen=True, slots=True)
class Row:
    """What is known of one image."""

    path: str
    given: str
    suggested: str | None  # the likeliest other class; None: the image could not be read
    p_wrong: float | None
    p_suggested: float | None
    reason: str  # "" where nothing is wrong

    @property
    def likeliest(self) -> str | None:
        """The likeliest class of the image; None: it could not be read, or is of no class."""
        if self.p_wrong is None or self.p_suggested is None or self.reason == NO_CLASS:
            return None
        return self.given if 1 - self.p_wrong >= self.p_suggested else self.suggested

    def __str__(self) -> str:
        likely = f", likely {self.suggested}" if self.reason == LABEL else ""
        return f"{self.path}: {self.given}{likely}: {self.reason}"


def ranked(names: Sequence[str], split: Split, found: Examination) -> list[Row]:
    """Return a row for each image of a split, copies under different labels together."""
    rows = np.arange(len(names))
    of_class = 1 - found.p_outlier
    wrong = 1 - of_class * found.p_true[rows, split.labels]
    others = found.p_true.copy()
    others[rows, split.labels] = -1
    suggested = others.argmax(1)
    p_suggested = of_class * others[rows, suggested]
    of_group = np.zeros(found.copies.max() + 1)
    np.maximum.at(of_group, found.copies, np.where(found.conflicting, wrong, 0))
    key = np.maximum(wrong, of_group[found.copies])
    order = np.lexsort([np.array(names), -wrong, found.copies, -key])
    return [
        Row(
            names[i],
            split.classes[split.labels[i]],
            split.classes[suggested[i]],
            float(wrong[i]),
            float(p_suggested[i]),
            _reason(wrong[i], found.p_outlier[i], bool(found.conflicting[i])),
        )
        for i in order
    ]


def cleaned(rows: Iterable[Row]) -> list[tuple[str, str]]:
    """Return path and label of the images that are worth training on: wrong labels replaced where
    it is known by what, left out where it is not."""
    kept = []
    for row in rows:
        if row.p_wrong is not None and row.p_wrong <= WRONG:
            kept.append((row.path, row.given))
        elif row.p_suggested is not None and row.p_suggested >= SURE:
            kept.append((row.path, str(row.suggested)))
    return sorted(kept)


def write(rows: Iterable[Row], path: Path, scratch: Path, key: str = "path") -> None:
    """Write rows as a table; `key` names the column of their paths."""
    columns = [key, *(each.name for each in fields(Row)[1:])]
    files.write_csv(path, columns, map(astuple, rows), scratch)


def _reason(wrong: float, outlier: float, conflicting: bool) -> str:
    if conflicting:
        return OTHER_LABEL
    if outlier > WRONG:
        return NO_CLASS
    return LABEL if wrong > WRONG else ""
