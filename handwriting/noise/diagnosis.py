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
from scipy.special import expit, logit, xlogy

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

_ITERATIONS = 60  # of EM; the sums stop moving long before
_FLOOR = 1e-6  # of a matrix's entries: what is taken for impossible must not be so for good
_CLOSE = 1e-7  # how near to the likeliest tilt to come
_FARTHEST = 20.0  # log odds by which a diagonal is tilted at most: from the floor to nearly 1
_HALF_CHI = 1.92  # half of chi-squared's 95% point with one degree of freedom
_SURE_MISTAKES = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2)  # parts of what a network doubts in all
_FEW = 3  # of these, that the choice of a kind allows for; the interval of the clean fraction: all
_TELLING = 10.0  # log likelihood that another temperature must explain: less is by chance
_TEMPERATURES = (0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8)
_FLIPPED = 0.03  # of a class, at least, for flips of its own: less may be a network's mistakes


@dataclass(frozen=True, slots=True)
class Fit:
    """The best matrix of a form."""

    matrix: Floats  # [C, C], rows add up to 1
    log_likelihood: float


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A kind of label noise, its matrix and the evidence for it."""

    kind: str
    matrix: Floats  # [C, C] of the kind, its diagonal tilted to the clean fraction
    estimated: Floats  # [C, C] of no particular kind
    clean_fraction: float  # share of labels that name the true class
    interval: tuple[float, float]  # of that, 95%, by profile likelihood
    bic: dict[str, float]  # of every kind, the chosen one's being 0


Form = Callable[[Floats], Floats]  # expected counts [C, C] -> the matrix of a kind


@dataclass(frozen=True, slots=True)
class Observations:
    """Posteriors [N, C] over the true class, and labels [N], in the order of the labels."""

    posteriors: Floats
    labels: Labels

    def tempered(self, temperature: float) -> "Observations":
        """Return posteriors that are surer of themselves, under 1, or less sure."""
        powers = self.posteriors.clip(1e-12) ** (1 / temperature)
        return Observations(powers / powers.sum(1, keepdims=True), self.labels)

    def with_mistakes(self, share: float) -> "Observations":
        """Return what is known if the network misreads so many images while it is sure of them."""
        classes = self.posteriors.shape[1]
        return Observations((1 - share) * self.posteriors + share / classes, self.labels)

    def with_confusions(self, share: float) -> "Observations":
        """Return the same, of images misread as what the network takes their like for at times."""
        said = self.posteriors.argmax(1)
        rows = np.eye(self.posteriors.shape[1])
        others = np.stack([self.posteriors[said == each].sum(0) for each in range(len(rows))])
        others = others * (1 - rows) + _FLOOR
        confused = self.posteriors @ (others / others.sum(1, keepdims=True))
        return Observations((1 - share) * self.posteriors + share * confused, self.labels)

    @property
    def doubt(self) -> float:
        """The share of images that the network expects to misread."""
        return float(1 - self.posteriors.max(1).mean())

    def joint(self, matrix: Floats) -> Floats:
        """Return the probability of each true class and the given label, [N, C]."""
        return np.asarray(self.posteriors * matrix.T[self.labels])

    def log_likelihood(self, matrix: Floats) -> float:
        """Return that of all labels under a matrix."""
        likely = np.einsum("nc,nc->n", self.posteriors, matrix.T[self.labels])
        return float(np.log(likely.clip(1e-300)).sum())

    def counts(self, matrix: Floats) -> Floats:
        """Return how many images of each true class have each label, [C, C], as expected."""
        joint = self.joint(matrix)
        joint /= joint.sum(1, keepdims=True)
        starts = np.searchsorted(self.labels, np.arange(len(matrix)))
        held = np.diff(starts, append=len(joint)) > 0  # reduceat has no empty sums
        counts = np.zeros_like(matrix)
        counts[:, held] = np.add.reduceat(joint, starts[held]).T
        return counts


def in_order(posteriors: Floats, labels: Labels) -> Observations:
    """Return them sorted by label, as sums over labels want them."""
    order = np.argsort(labels, kind="stable")
    return Observations(np.asarray(posteriors[order], np.float64), labels[order])


def diagnose(posteriors: Floats, labels: Labels) -> Diagnosis:
    """Return the kind and matrix of the noise in labels, int64 [N], given posteriors [N, C].

    The posteriors must come from a network that has not seen these labels.
    """
    data = in_order(posteriors, labels)
    temperings = [data.tempered(each) for each in _TEMPERATURES]
    frees = [fit(each, general) for each in temperings]
    most = max(range(len(frees)), key=lambda i: frees[i].log_likelihood)
    likeliest_ones, free = temperings[most], frees[most]
    doubt = max(data.doubt, likeliest_ones.doubt)
    among = [likeliest_ones, *_sure_mistakes(likeliest_ones, doubt)[:_FEW]]
    counts = likeliest_ones.counts(free.matrix)
    known, tied = exact(counts, labels), forms(counts)
    fits = {name: likeliest(among, matrix) for name, (_, matrix) in known.items()}
    fits |= {name: fit(likeliest_ones, form) for name, (_, form) in tied.items()}
    bic = {
        name: -2 * fits[name].log_likelihood + size * np.log(len(labels))
        for name, (size, _) in (known | tied).items()
    }
    best = min(bic, key=lambda name: bic[name])
    matrix, clean, interval = clean_fraction(temperings, doubt, fits[best].matrix)
    return Diagnosis(
        kind=_named(best, matrix, clean),
        matrix=matrix,
        estimated=free.matrix,
        clean_fraction=clean,
        interval=interval,
        bic={name: float(value - bic[best]) for name, value in bic.items()},
    )


def fit(data: Observations, form: Form) -> Fit:
    """Return the maximum-likelihood matrix of a form."""
    classes = data.posteriors.shape[1]
    matrix = np.full((classes, classes), 1 / classes)
    for _ in range(_ITERATIONS):
        before, matrix = matrix, _floored(form(data.counts(matrix)))
        if np.abs(matrix - before).max() < _FLOOR:
            break
    return Fit(matrix, data.log_likelihood(matrix))


def _floored(matrix: Floats) -> Floats:
    raised = matrix.clip(_FLOOR)
    return np.asarray(raised / raised.sum(1, keepdims=True))


def _sure_mistakes(data: Observations, doubt: float) -> list[Observations]:
    """What is known if the network misreads some images while it is sure of them, as any class:
    so many as are a part of the doubt that it has in all, on average."""
    return [data.with_mistakes(each * doubt) for each in _SURE_MISTAKES]


def exact(counts: Floats, labels: Labels) -> dict[str, tuple[int, Floats]]:
    """The kinds that leave nothing to estimate but an arrangement: how many numbers each has to be
    given, and its matrix. An arrangement counts as so many as there are classes that it moves."""
    classes, same = len(counts), np.eye(len(counts))
    target = counts.argmax(1)  # the label of most images of each class
    shares = np.bincount(labels, minlength=classes) / len(labels)
    return {
        "clean": (0, same),
        "random": (0, np.full_like(same, 1 / classes)),
        "random, uneven": (classes - 1, np.tile(shares, (classes, 1))),
        "uniform complementary": (0, (1 - same) / (classes - 1)),
        "permutation": (_moved(target), same[target]),
    }


def _moved(target: Labels) -> int:
    return int((target != np.arange(len(target))).sum())


def likeliest(among: Sequence[Observations], matrix: Floats) -> Fit:
    """A matrix as it is, with those of the posteriors that make the labels likeliest. Their
    mistakes, which may be of any class, have no number here that could take them; the one of a tied
    form does: what it makes of such posteriors it makes of the others too. So a little noise, less
    than a network may be sure of its mistakes, is not told from none."""
    floored = _floored(matrix)
    return Fit(floored, max(each.log_likelihood(floored) for each in among))


def forms(counts: Floats) -> dict[str, tuple[int, Form]]:
    """The same of the other kinds, with the arrangement that the free estimate suggests."""
    classes, same = len(counts), np.eye(len(counts), dtype=bool)
    shares, flipped = general(counts), _flips(counts)
    target = shares.argmax(1)
    found: dict[str, tuple[int, Form]] = {
        "symmetric": (1, _tied(same)),
        "uneven": (classes, _uneven),
        "permutation with noise": (1 + _moved(target), _tied(same[target])),
        "complement of a permutation": (1 + classes, _tied(_assignment(-shares))),
        "pair flips": (2 + classes, _tied(same, _assignment(np.where(same, -1, shares)))),
        "biased complementary": (1 + classes * (classes - 2), _biased),
        "general": (classes * (classes - 1), general),
    }
    if flipped.any():
        found["flips"] = (1 + 2 * int(flipped.sum()), _flipping(flipped))
    return found


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
            matrix[group] = counts[group].sum() / counts.sum() / max(1, group.sum(1)[0])
        return matrix

    return form


def general(counts: Floats) -> Floats:
    """Any matrix."""
    return np.asarray(counts / counts.sum(1, keepdims=True).clip(1e-12))


def _biased(counts: Floats) -> Floats:
    """One number on the diagonal, anything beside it."""
    return _with_diagonal(general(counts), np.trace(counts) / counts.sum())


def _uneven(counts: Floats) -> Floats:
    """A number on each row's diagonal, and the rest of the row evenly beside it."""
    return _with_diagonal(np.ones_like(counts), general(counts).diagonal())


def _flips(counts: Floats) -> NDArray[np.bool_]:
    """The cells beside the diagonal, at most one of each row, that hold far more than the others:
    where a number of its own costs less than it explains. bool [C, C]."""
    beside = np.where(np.eye(len(counts), dtype=bool), 0, counts)
    partner, totals = beside.argmax(1), counts.sum(1)
    rows = np.arange(len(counts))
    there = beside[rows, partner]
    even = (beside.sum() - there.sum()) / (totals.sum() * max(1, len(counts) - 2))  # of others
    others = totals - there
    gain = xlogy(there, there / (totals * even).clip(1e-12)) + xlogy(others, others / totals)
    gain += totals * even
    chosen = np.zeros(counts.shape, bool)
    chosen[rows, partner] = (gain > np.log(totals.sum())) & (there > _FLIPPED * totals)
    return chosen


def _flipping(flipped: NDArray[np.bool_]) -> Form:
    """A number on each of these cells, one on the others, and the rest on the diagonal."""
    same = np.eye(len(flipped), dtype=bool)
    rest = ~(same | flipped)

    def form(counts: Floats) -> Floats:
        totals = np.broadcast_to(counts.sum(1, keepdims=True), counts.shape)
        matrix = np.where(flipped, counts / totals.clip(1e-12), 0)
        matrix[rest] = counts[rest].sum() / totals[rest].sum().clip(1e-12)
        return np.asarray(matrix + same * (1 - matrix.sum(1, keepdims=True)).clip(0))

    return form


def _with_diagonal(matrix: Floats, diagonal: Floats | float) -> Floats:
    """`matrix` with this diagonal, and its rows beside it scaled to add up to 1."""
    same = np.eye(len(matrix))
    wanted = np.broadcast_to(diagonal, len(matrix))[:, None]
    others = matrix * (1 - same)
    others *= (1 - wanted) / others.sum(1, keepdims=True).clip(1e-12)
    return np.asarray(others + wanted * same)


def tilted(matrix: Floats, tilt: float) -> Floats:
    """Return a matrix whose diagonal has its log odds raised by `tilt`: of all ways to change the
    clean fraction the one that costs the least likelihood."""
    return _floored(_with_diagonal(matrix, expit(logit(_floored(matrix).diagonal()) + tilt)))


def clean_fraction(
    temperings: Sequence[Observations], doubt: float, kind: Floats
) -> tuple[Floats, float, tuple[float, float]]:
    """Return the matrix of a kind with the likeliest tilt, the share of correct labels, and its 95%
    interval by profile likelihood.

    For each tilt the tempering counts that makes the labels most likely. A network that is surer
    than it should be takes its own mistakes for correct labels, and the labels cannot tell the two
    apart: the interval holds what mistakes that it is sure of make as likely.
    """

    def log_likelihood(tilt: float, among: Sequence[Observations]) -> float:
        matrix = tilted(kind, tilt)
        return max(each.log_likelihood(matrix) for each in among)

    found = [
        minimize_scalar(
            lambda tilt, each=each: -log_likelihood(tilt, [each]),
            bounds=(-_FARTHEST, _FARTHEST),
            options={"xatol": _CLOSE},
        )
        for each in temperings
    ]
    most = min(range(len(found)), key=lambda i: found[i].fun)
    best, peak = float(found[most].x), -float(found[most].fun)
    confused = [temperings[most].with_confusions(each * doubt) for each in _SURE_MISTAKES]
    allowing = [*temperings, *_sure_mistakes(temperings[most], doubt), *confused]
    totals = temperings[most].counts(tilted(kind, best)).sum(1)

    def share(tilt: float) -> float:
        if abs(tilt) == _FARTHEST:  # nothing that the floor leaves
            return float(tilt > 0)
        return float(tilted(kind, tilt).diagonal() @ totals / totals.sum())

    def drop(tilt: float) -> float:
        return peak - log_likelihood(tilt, allowing) - _HALF_CHI

    low = brentq(drop, -_FARTHEST, best) if drop(-_FARTHEST) > 0 else -_FARTHEST
    high = brentq(drop, best, _FARTHEST) if drop(_FARTHEST) > 0 else _FARTHEST
    return tilted(kind, best), share(best), (share(low), share(high))


def _named(form: str, matrix: Floats, clean: float) -> str:
    """The name of a kind, where a form is of several by the size of its number."""
    even, target = 1 / len(matrix), matrix.argmax(1)
    if form == "random, uneven":
        return "random"
    if len(matrix) == 2 and form in ("uniform complementary", "symmetric") and clean < even:
        form = "permutation" if form == "uniform complementary" else "permutation with noise"
    if form == "symmetric":
        return "symmetric noise" if clean > even else "complementary with some correct"
    if form == "biased complementary" and clean > even / 2:
        return "general"
    if form.startswith("permutation") and len({*target}) < len(target):
        return form.replace("permutation", "merged classes")
    return {"uneven": "uneven noise", "flips": "flips of some classes"}.get(form, form)


def tempering(posteriors: Floats, labels: Labels, matrix: Floats) -> Floats:
    """Return posteriors [N, C], as sure as makes the labels likeliest under a matrix.

    They stay as they are where that explains little: random labels tell nothing of the images.
    """
    data = Observations(np.asarray(posteriors, np.float64), labels)
    among = [data.tempered(each) for each in _TEMPERATURES]
    best = max(among, key=lambda each: each.log_likelihood(matrix))
    gain = best.log_likelihood(matrix) - data.log_likelihood(matrix)
    return best.posteriors if gain > _TELLING else data.posteriors


def p_true(posteriors: Floats, labels: Labels, matrix: Floats) -> Floats:
    """Return the probability of each true class, given image and label: [N, C]."""
    joint = posteriors * matrix.T[labels]
    return np.asarray(joint / joint.sum(1, keepdims=True))
