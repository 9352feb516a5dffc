"""The images of an examined set, the likeliest to have a wrong label first."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from handwriting.data.dataset import Split
from handwriting.noise.examination import Examination

WRONG = 0.5  # p_wrong from which a label is listed as wrong
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


def _reason(wrong: float, outlier: float, conflicting: bool) -> str:
    if conflicting:
        return OTHER_LABEL
    if outlier > WRONG:
        return NO_CLASS
    return LABEL if wrong > WRONG else ""
