"""Diagnosis of label noise: the transition matrix, and the simplest kind that explains the labels.

Every image has a posterior over its true class from a network, and a label that is drawn from the
row of a matrix T[true class, given label]. The matrix of greatest likelihood comes from expectation
maximisation (Dawid and Skene 1979), as it is or tied to the form of a kind; the kind is chosen
by the Bayesian information criterion (Schwarz 1978).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, linear_sum_assignment, minimize_scalar

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

_ITERATIONS = 60  # of EM; the sums stop moving long before
_FLOOR = 1e-6  # of a matrix's entries: what is taken for impossible must not be so for good
_CLOSE = 1e-7  # how near to the likeliest share to come
_HALF_CHI = 1.92  # half of chi-squared's 95% point with one degree of freedom
_SURE_MISTAKES = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2)  # parts of what a network doubts in all
_FEW = 3  # of these, that the choice of a kind allows for; the interval of the clean fraction: all


@dataclass(frozen=True, slots=True)
class Fit:
    """The best matrix of a form."""

    matrix: Floats  # [C, C], rows add up to 1
    log_likelihood: float


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A kind of label noise, its matrix and the evidence for it."""

    kind: str
    matrix: Floats  # [C, C] of the kind, the clean fraction on its diagonal
    estimated: Floats  # [C, C] of no particular kind
    clean_fraction: float  # share of labels that name the true class
    interval: tuple[float, float]  # of that, 95%, by profile likelihood
    bic: dict[str, float]  # of every kind, the chosen one's being 0
    sentence: str


Form = Callable[[Floats], Floats]  # expected counts [C, C] -> the matrix of a kind


def diagnose(posteriors: Floats, labels: Labels) -> Diagnosis:
    """Return the kind and matrix of the noise in labels, int64 [N], given posteriors [N, C].

    The posteriors must come from a network that has not seen these labels.
    """
    temperings = _temperings(posteriors)
    tempered = [(each, fit(each, labels, general)) for each in temperings]
    likeliest_ones, free = max(tempered, key=lambda pair: pair[1].log_likelihood)
    doubt = max(float(1 - each.max(1).mean()) for each in (posteriors, likeliest_ones))
    among = [likeliest_ones, *_sure_mistakes(likeliest_ones, doubt)[:_FEW]]
    known, tied = exact(free.matrix), forms(free.matrix)
    fits = {name: likeliest(among, labels, matrix) for name, (_, matrix) in known.items()}
    fits |= {name: fit(likeliest_ones, labels, form) for name, (_, form) in tied.items()}
    bic = {
        name: -2 * fits[name].log_likelihood + size * np.log(len(labels))
        for name, (size, _) in (known | tied).items()
    }
    best = min(bic, key=lambda name: bic[name])
    clean, interval = clean_fraction(temperings, doubt, labels, fits[best].matrix)
    kind = _named(best, clean, len(free.matrix))
    return Diagnosis(
        kind=kind,
        matrix=_floored(_with_diagonal(fits[best].matrix, clean)),
        estimated=free.matrix,
        clean_fraction=clean,
        interval=interval,
        bic={name: float(value - bic[best]) for name, value in bic.items()},
        sentence=_sentence(kind, clean, interval),
    )


def fit(posteriors: Floats, labels: Labels, form: Form) -> Fit:
    """Return the maximum-likelihood matrix of a form."""
    classes = posteriors.shape[1]
    matrix = np.full((classes, classes), 1 / classes)
    for _ in range(_ITERATIONS):
        joint = posteriors * matrix.T[labels]
        joint /= joint.sum(1, keepdims=True)
        counts = np.stack([joint[labels == label].sum(0) for label in range(classes)], axis=1)
        matrix = _floored(form(counts))
    return Fit(matrix, _log_likelihood(posteriors, labels, matrix))


def _floored(matrix: Floats) -> Floats:
    raised = matrix.clip(_FLOOR)
    return np.asarray(raised / raised.sum(1, keepdims=True))


def _log_likelihood(posteriors: Floats, labels: Labels, matrix: Floats) -> float:
    return float(np.log((posteriors * matrix.T[labels]).sum(1)).sum())


def _temperings(posteriors: Floats) -> list[Floats]:
    """The posteriors surer of themselves, as they are, and less sure: a network is seldom as sure
    as it is right of images that are not of its own kind. Which it is, the labels tell."""
    logs = np.log(posteriors.clip(1e-12))
    powers = (np.exp(logs / temperature) for temperature in (0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8))
    return [np.asarray(each / each.sum(1, keepdims=True)) for each in powers]


def _sure_mistakes(posteriors: Floats, doubt: float) -> list[Floats]:
    """What is known if the network misreads some images while it is sure of them, as any class:
    so many as are a part of the doubt that it has in all, on average."""
    shares = [each * doubt for each in _SURE_MISTAKES]
    return [(1 - each) * posteriors + each / posteriors.shape[1] for each in shares]


def exact(estimated: Floats) -> dict[str, tuple[int, Floats]]:
    """The kinds that leave nothing to estimate but an arrangement: how many numbers each has to be
    given, and its matrix. An arrangement counts as so many as it has free choices."""
    classes, same = len(estimated), np.eye(len(estimated))
    return {
        "clean": (0, same),
        "random": (0, np.full_like(same, 1 / classes)),
        "uniform complementary": (0, (1 - same) / (classes - 1)),
        "permutation": (classes, _assignment(estimated).astype(float)),
    }


def likeliest(among: Sequence[Floats], labels: Labels, matrix: Floats) -> Fit:
    """A matrix as it is, with those of the posteriors that make the labels likeliest. Their
    mistakes, which may be of any class, have no number here that could take them; the one of a tied
    form does: what it makes of such posteriors it makes of the others too. So a little noise, less
    than a network may be sure of its mistakes, is not told from none."""
    floored = _floored(matrix)
    return Fit(floored, max(_log_likelihood(each, labels, floored) for each in among))


def forms(estimated: Floats) -> dict[str, tuple[int, Form]]:
    """The same of the other kinds, with the arrangement that the free estimate suggests."""
    classes, same = len(estimated), np.eye(len(estimated), dtype=bool)
    return {
        "symmetric": (1, _tied(same)),
        "permuted": (1 + classes, _tied(_assignment(estimated))),
        "complement of permuted": (1 + classes, _tied(_assignment(-estimated))),
        "pair flips": (2 + classes, _tied(same, _assignment(np.where(same, -1, estimated)))),
        "biased complementary": (1 + classes * (classes - 2), _biased),
        "general": (classes * (classes - 1), general),
    }


def _assignment(scores: Floats) -> NDArray[np.bool_]:
    """One cell of each row and column, bool [C, C], with the greatest sum of scores."""
    chosen = np.zeros(scores.shape, bool)
    chosen[linear_sum_assignment(scores, maximize=True)] = True
    return chosen


def _tied(*groups: NDArray[np.bool_]) -> Form:
    """A matrix that is one number on each group of cells, and one on all others."""
    rest = ~np.logical_or.reduce(groups)

    def form(counts: Floats) -> Floats:
        matrix = np.zeros_like(counts)
        for group in (*groups, rest):
            matrix[group] = counts[group].sum() / counts.sum() / group.sum(1)[0]
        return matrix

    return form


def general(counts: Floats) -> Floats:
    """Any matrix."""
    return np.asarray(counts / counts.sum(1, keepdims=True).clip(1e-12))


def _biased(counts: Floats) -> Floats:
    """One number on the diagonal, anything beside it."""
    return _with_diagonal(general(counts), np.trace(counts) / counts.sum())


def _with_diagonal(matrix: Floats, share: float) -> Floats:
    """`matrix` with `share` on its diagonal, and its rows beside it scaled to add up to 1."""
    others = matrix * (1 - np.eye(len(matrix)))
    others *= (1 - share) / others.sum(1, keepdims=True).clip(1e-12)
    return np.asarray(others + share * np.eye(len(matrix)))


def clean_fraction(
    temperings: Sequence[Floats], doubt: float, labels: Labels, kind: Floats
) -> tuple[float, tuple[float, float]]:
    """Return the share of correct labels and its 95% interval by profile likelihood: the matrix of
    the kind, with its diagonal replaced.

    For each share the tempering counts that makes the labels most likely. A network that is surer
    than it should be takes its own mistakes for correct labels, and the labels cannot tell the two
    apart: the interval holds what mistakes that it is sure of make as likely.
    """

    def log_likelihood(share: float, among: Sequence[Floats]) -> float:
        matrix = _floored(_with_diagonal(kind, share))
        return max(_log_likelihood(each, labels, matrix) for each in among)

    found = [
        minimize_scalar(
            lambda share, each=each: -log_likelihood(share, [each]),
            bounds=(0, 1),
            options={"xatol": _CLOSE},
        )
        for each in temperings
    ]
    most = min(range(len(found)), key=lambda i: found[i].fun)
    best, peak = float(found[most].x), -float(found[most].fun)
    allowing = [*temperings, *_sure_mistakes(temperings[most], doubt)]

    def drop(share: float) -> float:
        return peak - log_likelihood(share, allowing) - _HALF_CHI

    low = brentq(drop, 0, best) if drop(0) > 0 else 0.0
    high = brentq(drop, best, 1) if drop(1) > 0 else 1.0
    return best, (float(low), float(high))


def _named(form: str, clean: float, classes: int) -> str:
    """The name of a kind, where a form is of several by the size of its number."""
    even = 1 / classes
    if form == "symmetric":
        return "symmetric noise" if clean > even else "complementary with some correct"
    if form == "permuted":
        return "permutation with noise"
    if form == "biased complementary" and clean > even / 2:
        return "general"
    return form


def _sentence(kind: str, clean: float, interval: tuple[float, float]) -> str:
    said = {
        "clean": "The labels are clean",
        "random": "The labels say nothing about the images",
        "symmetric noise": "Some labels are wrong, any other class being as likely",
        "uniform complementary": "The labels name a class that the image is not of, any as likely",
        "complementary with some correct": "Most labels name a class that the image is not of, any"
        " as likely",
        "biased complementary": "The labels name a class that the image is not of, some more often",
        "permutation": "The classes have changed names",
        "permutation with noise": "The classes have changed names, and some labels are wrong",
        "complement of permuted": "The labels name a class that the image is not of, but under"
        " changed names",
        "pair flips": "Some labels are wrong, always by the same other class",
        "general": "Labels are wrong in no simple way",
    }[kind]
    low, high = interval
    return f"{said}: {clean:.2%} of them are correct (95% interval {low:.2%} to {high:.2%})"


def believed_correct(posteriors: Floats, labels: Labels, matrix: Floats) -> Floats:
    """Return the probability that each label is correct, given its image: [N]."""
    joint = posteriors * matrix.T[labels]
    return np.asarray(joint[np.arange(len(labels)), labels] / joint.sum(1))
