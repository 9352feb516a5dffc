"""Faults of labels with the answer known: what the diagnosis is measured on."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from handwriting.noise.diagnosis import Floats, Labels

Pixels = NDArray[np.uint8]

_SAME = np.eye(10)
_RENAMED = [3, 0, 1, 2, 7, 4, 5, 6, 9, 8]
_NEXT = np.roll(_SAME, 1, axis=1)  # each class is called the next one
_GARBAGE, _COPIED = 0.03, 0.015  # shares of the images
_PARTNERS = {7: 1, 2: 7, 3: 8, 5: 6, 6: 5}  # of asymmetric noise (Patrini et al. 2017)


class Fault(NamedTuple):
    """A kind of label noise."""

    matrix: Callable[[np.random.Generator], Floats]  # T[true class, given label], [10, 10]
    kinds: set[str]  # the names that are right for it


def symmetric(share: float) -> Floats:
    """Return a matrix that spreads a share of each class evenly over the others."""
    return (1 - share) * _SAME + share * (1 - _SAME) / 9


def mapped(**target: int) -> Floats:
    """Return a matrix that calls classes, _0 to _9, something else."""
    return _SAME[[target.get(f"_{i}", i) for i in range(10)]]


def asymmetric(share: float) -> Floats:
    """Return a matrix that calls a share of some classes by the name of a similar one."""
    matrix = _SAME.copy()
    for true, given in _PARTNERS.items():
        matrix[true] = (1 - share) * _SAME[true] + share * _SAME[given]
    return matrix


def uneven(rng: np.random.Generator) -> Floats:
    """Return a matrix with another share of right labels for each class, from 0.5 to 1."""
    shares = rng.permutation(np.linspace(0.5, 1, 10))[:, None]
    return np.asarray(shares * _SAME + (1 - shares) * (1 - _SAME) / 9)


def biased(rng: np.random.Generator) -> Floats:
    """Return a matrix of complementary labels, some more often than others."""
    matrix = np.zeros((10, 10))
    matrix[~_SAME.astype(bool)] = rng.dirichlet(np.ones(9), 10).ravel()
    return matrix


def two_labels(rng: np.random.Generator) -> Floats:
    """Return a matrix of complementary labels, for each class one of two."""
    shifts = np.stack([rng.choice(9, 2, replace=False) + 1 for _ in range(10)])
    given = (np.arange(10)[:, None] + shifts) % 10
    return np.asarray((_SAME[given[:, 0]] + _SAME[given[:, 1]]) / 2)


def _of(matrix: Floats, *kinds: str) -> Fault:
    return Fault(lambda _: matrix, set(kinds))


_PAIRS, _RARE = "pair flips", {"uniform complementary", "complementary with some correct"}
FAULTS = {
    "none": _of(_SAME, "clean"),
    **{f"symmetric {x}": _of(symmetric(x / 100), "symmetric noise") for x in (10, 20, 40, 60, 80)},
    "random": _of(np.full((10, 10), 0.1), "random"),
    "two exchanged": _of(mapped(_3=8, _8=3), "permutation"),
    "one absorbed": _of(mapped(_7=1), "merged classes"),
    "permutation": _of(_SAME[_RENAMED], "permutation"),
    "permutation with fixed points": _of(mapped(_0=4, _4=6, _6=0, _1=7, _7=1), "permutation"),
    "permutation, half random": _of(_SAME[_RENAMED] / 2 + 0.05, "permutation with noise"),
    "uneven": Fault(uneven, {"uneven noise"}),
    "asymmetric 40": _of(asymmetric(0.4), "flips of some classes"),
    "pair flips 45": _of(0.55 * _SAME + 0.45 * _NEXT, _PAIRS),
    "half and half": _of((_SAME + _NEXT) / 2, _PAIRS),
    "pair flips 70": _of(0.3 * _SAME + 0.7 * _NEXT, _PAIRS),
    "complementary": _of((1 - _SAME) / 9, "uniform complementary"),
    "complementary, 0.1% right": Fault(lambda _: symmetric(0.999), _RARE),
    "complementary, 2% right": _of(symmetric(0.98), "complementary with some correct"),
    "complementary, biased": Fault(biased, {"biased complementary"}),
    "complementary, two labels": Fault(two_labels, {"biased complementary"}),
    "complement of a permutation": _of((1 - _SAME[_RENAMED]) / 9, "complement of a permutation"),
}


def draw(matrix: Floats, truth: Labels, rng: np.random.Generator) -> Labels:
    """Return labels drawn from the rows of a matrix."""
    return np.asarray((rng.random((len(truth), 1)) > matrix[truth].cumsum(1)).sum(1)).clip(0, 9)


def with_garbage(
    images: NDArray[np.uint8], labels: Labels, letters: NDArray[np.uint8], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], Labels, NDArray[np.bool_]]:
    """Return images of which 3% are of no digit, under any label, and which they are.

    A fifth each: noise, scribble, letters that look like no digit, digits cut into squares and put
    together otherwise, and negatives.
    """
    images, labels = images.copy(), labels.copy()
    chosen = rng.choice(len(images), round(_GARBAGE * len(images)), replace=False)
    for kind, rows in zip(_KINDS, np.array_split(chosen, len(_KINDS)), strict=True):
        images[rows, 0] = [kind(images[i, 0], letters, rng) for i in rows]
    labels[chosen] = rng.integers(0, 10, len(chosen))
    garbage = np.zeros(len(images), bool)
    garbage[chosen] = True
    return images, labels, garbage


def _noise(image: Pixels, _: Pixels, rng: np.random.Generator) -> Pixels:
    return rng.integers(0, 256, image.shape, np.uint8)


def _scribble(image: Pixels, _: Pixels, rng: np.random.Generator) -> Pixels:
    picture = Image.new("L", image.shape)
    points = [tuple(rng.integers(3, 25, 2).tolist()) for _ in range(rng.integers(5, 9))]
    ImageDraw.Draw(picture).line(points, fill=255, width=2)
    return np.asarray(picture)


def _letter(_: Pixels, letters: Pixels, rng: np.random.Generator) -> Pixels:
    return np.asarray(letters[rng.integers(len(letters)), 0])


def _squares(image: Pixels, _: Pixels, rng: np.random.Generator) -> Pixels:
    parts = image.reshape(4, 7, 4, 7).swapaxes(1, 2).reshape(16, 7, 7)[rng.permutation(16)]
    return np.asarray(parts.reshape(4, 4, 7, 7).swapaxes(1, 2).reshape(28, 28))


def _negative(image: Pixels, _: Pixels, __: np.random.Generator) -> Pixels:
    return 255 - image


_KINDS = (_noise, _scribble, _letter, _squares, _negative)


def with_copies(
    images: NDArray[np.uint8], labels: Labels, rng: np.random.Generator
) -> tuple[NDArray[np.uint8], Labels, NDArray[np.bool_]]:
    """Return images of which 1.5% occur once more under another label, and which these pairs are.

    The last ones make room for the copies.
    """
    count = round(_COPIED * len(images))
    chosen = rng.choice(len(images) - count, count, replace=False)
    images, labels = images.copy(), labels.copy()
    images[-count:] = images[chosen]
    labels[-count:] = (labels[chosen] + rng.integers(1, 10, count)) % 10
    pairs = np.zeros(len(images), bool)
    pairs[chosen] = pairs[-count:] = True
    return images, labels, pairs
