"""A diagnosis in words: its kind, and which classes it concerns."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from handwriting.noise.diagnosis import Diagnosis, Floats

_SENTENCES = {
    "clean": "The labels are clean",
    "random": "The labels say nothing about the images",
    "symmetric noise": "Some labels are wrong, any other class being as likely",
    "uneven noise": "Some labels are wrong, of some classes more than of others",
    "uniform complementary": "The labels name a class that the image is not of, any as likely",
    "complementary with some correct": "Most labels name a class that the image is not of, any as"
    " likely",
    "biased complementary": "The labels name a class that the image is not of, some more often",
    "permutation": "Classes have changed names",
    "permutation with noise": "Classes have changed names, and some labels are wrong",
    "merged classes": "Classes are filed under others",
    "merged classes with noise": "Classes are filed under others, and some labels are wrong",
    "complement of a permutation": "The labels name a class that the image is not of, but under"
    " changed names",
    "pair flips": "Some labels are wrong, always by the same other class",
    "flips of some classes": "Some labels of some classes are wrong, mostly by one other class",
    "general": "Labels are wrong in no simple way",
}
_SPOTLESS, _SPOTTED = 0.999, "Few labels are wrong, and no pattern shows"
_SHARE, _ABOVE = 0.02, 3  # of a class, and times the median of its other wrong labels: to be named
_SHOWN = 10  # findings in the sentence


def sentence(found: Diagnosis, classes: Sequence[str], listed: int = 0) -> str:
    """Return the diagnosis in one line, of a clean set with the number of images listed."""
    low, high = found.interval
    spotted = found.kind == "clean" and found.clean_fraction < _SPOTLESS
    said = _SPOTTED if spotted else _SENTENCES[found.kind]
    if found.kind == "clean" and listed and not spotted:
        said += f" but for {listed:,} image{'s' * (listed > 1)}"
    named = concerned(found, classes)
    more = f" and {len(named) - _SHOWN} more" if len(named) > _SHOWN else ""
    which = f" ({'; '.join(named[:_SHOWN])}{more})" if named else ""
    interval = f"95% interval {low:.2%} to {high:.2%}"
    return f"{said}{which}: {found.clean_fraction:.2%} are correct ({interval})"


def concerned(found: Diagnosis, classes: Sequence[str]) -> list[str]:
    """Return what happened to which class, the most concerned first."""
    if found.kind.startswith(("permutation", "merged")):
        return [*renamed(found.matrix, classes)]
    if found.kind == "uneven noise":
        shares = found.matrix.diagonal()
        worst = [i for i in shares.argsort(kind="stable") if shares[i] < 1 - _SHARE]
        return [f"of {classes[i]} {shares[i]:.0%} are right" for i in worst]
    if "flips" in found.kind or found.kind == "general":
        return [*flipped(found.matrix, classes)]
    return []


def renamed(matrix: Floats, classes: Sequence[str]) -> Iterator[str]:
    """Yield which classes are exchanged, renamed in a circle, or filed under another."""
    target = matrix.argmax(1).tolist()
    rest = {i for i, given in enumerate(target) if given != i}
    for first in sorted(rest):
        circle = [first]
        while target[circle[-1]] in rest - {*circle}:
            circle.append(target[circle[-1]])
        if first not in rest or target[circle[-1]] != first:
            continue
        rest -= {*circle}
        names = [classes[i] for i in circle]
        if len(names) == 2:
            yield f"{names[0]} and {names[1]} are exchanged"
        else:
            yield "renamed in a circle: " + " is called ".join([*names, names[0]])
    for first in sorted(rest):
        yield f"{classes[first]} is filed under {classes[target[first]]}"


def flipped(matrix: Floats, classes: Sequence[str]) -> Iterator[str]:
    """Yield which share of a class is called what, the largest first."""
    beside = matrix * (1 - np.eye(len(matrix)))
    usual = np.array([_usual(row) for row in beside])
    rows, columns = np.nonzero((beside > _SHARE) & (beside > _ABOVE * usual))
    order = np.argsort(-beside[rows, columns], kind="stable")
    for i, j in zip(rows[order], columns[order], strict=True):
        yield f"{beside[i, j]:.0%} of {classes[i]} are called {classes[j]}"


def _usual(row: Floats) -> Floats:
    """Return for each label of a class the median of its other wrong labels, 0 without any: [C]."""
    if len(row) < 4:
        return np.zeros_like(row)
    own = int(row.argmin())  # the diagonal, or as rare
    return np.array([np.median(np.delete(row, [i, own])) for i in range(len(row))])


def summary(found: Diagnosis, classes: Sequence[str], listed: int = 0) -> dict[str, Any]:
    """Return the diagnosis as JSON has it; `listed` as of sentence()."""
    low, high = found.interval
    return {
        "kind": found.kind,
        "sentence": sentence(found, classes, listed),
        "concerned": concerned(found, classes),
        "clean_fraction": found.clean_fraction,
        "low": low,
        "high": high,
        "bic": found.bic,
        "classes": list(classes),
        "matrix": found.matrix.tolist(),
        "estimated": found.estimated.tolist(),
    }
