"""What a writer's other images tell of one: how large this hand writes, and where on the canvas.

An image is cut to its ink and scaled, which makes a c of a C. Where the ink was on its canvas, and
how large, is kept as four numbers; but what is large for one writer is small for another. So they
are taken apart into what is usual for the class, what is the hand's, and a rest: a mixed model. The
other images by the same hand, without their labels, tell the hand's part, and that tells twins
apart. Fields in which one source wrote everything are read in this way since Sarkar and Nagy 2005,
Style consistent classification of isogenous patterns (IEEE TPAMI 27). Numbers have the tails of
Student's t, so that one of unusual size neither outvotes its own pixels nor says much of its hand
(Lange, Little and Taylor 1989, Robust statistical modeling using the t distribution, JASA 84).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from handwriting.data import alphabet

NUMBERS = 4  # of an image beside its pixels: log height, log width, centre y and centre x
# Of trainPart1's images, lengths as shares of the canvas.
_MEAN = (-0.747, -1.321, 0.525, 0.488)
DEVIATION = (0.264, 0.338, 0.053, 0.060)
_KINDS = ("digit", "capital", "small")  # a hand shifts all it writes, and each kind in its own way
_PARTS = (1 + len(_KINDS)) * NUMBERS  # of what is not known of a hand
_LEAST = 1e-4  # variance that is taken for none
_PRIOR = 100.0  # images that all classes' common spread counts as, beside a class's own 40
_FREEDOM = 16.0  # degrees of it, of Student's t: the least loss on the drawing 0
_BATCH = 1000  # images that are read at a time


def standardised(place: Tensor) -> Tensor:
    """float32 [N, 4], about 0 and 1, of images.Framed.place: height, width, centre y, centre x."""
    logs = place[:, :2].clamp(min=1e-3).log()
    return (torch.cat([logs, place[:, 2:]], 1) - torch.tensor(_MEAN)) / torch.tensor(DEVIATION)


def numbered(hands: Sequence[str | None]) -> Tensor:
    """int64 [N]: equal for equal names of hands; -1 for None, a hand that is not known."""
    number = {name: i for i, name in enumerate(sorted({each for each in hands if each}))}
    return torch.tensor([number[each] if each else -1 for each in hands], dtype=torch.int64)


def others(hands: Sequence[str]) -> Tensor:
    """int64 [N, M]: the rows of the others by the hand of each, and -1 where there are fewer."""
    rows: dict[str, list[int]] = {}
    for row, name in enumerate(hands):
        rows.setdefault(name, []).append(row)
    most = max(map(len, rows.values())) - 1
    beside = ([each for each in rows[name] if each != row] for row, name in enumerate(hands))
    return torch.tensor([each + [-1] * (most - len(each)) for each in beside], dtype=torch.int64)


class Hand(nn.Module):
    """The mixed model of standardised places [N, 4], and how answers change in its light.

    x = mean[class] + shared[hand] + apart[hand, kind of class] + rest[class], float64 [4] each: the
    means, and covariances of the other three. As long as it has learnt nothing, hands are alike.
    """

    mean: Tensor
    within: Tensor
    shared: Tensor
    apart: Tensor

    def __init__(self, classes: Sequence[str]) -> None:
        super().__init__()
        one = torch.eye(NUMBERS, dtype=torch.float64)
        self.register_buffer("mean", torch.zeros(len(classes), NUMBERS, dtype=torch.float64))
        self.register_buffer("within", one.repeat(len(classes), 1, 1))
        self.register_buffer("shared", _LEAST * one)
        self.register_buffer("apart", _LEAST * one)
        self.kinds = [_KINDS.index(alphabet.kind(each)) for each in classes]

    def learn(self, place: Tensor, labels: Tensor, hands: Tensor) -> None:
        """Fit the model to standardised places [N, 4], classes and hands, int64 [N], by moments:
        what two images of a hand have in common is shared by them, and if they are of one kind,
        that and what is apart (analysis of variance; Searle, Casella and McCulloch 1992). Where a
        class has few images, its mean takes a part of what hands differ in. Hands below 0 are not
        known, and nothing is learnt from what they wrote."""
        x, labels, hands = (each[hands >= 0] for each in (place.double(), labels, hands))
        count = torch.bincount(labels, minlength=len(self.mean)).double()[:, None]
        self.mean.zero_().index_add_(0, labels, x).div_(count.clamp(min=1))
        rest = x - self.mean[labels]
        kind = torch.tensor(self.kinds)[labels]
        of_kind, pairs_of_kind = _products(rest, hands * len(_KINDS) + kind)
        of_hand, pairs = _products(rest, hands)
        alike = of_kind / max(pairs_of_kind, 1)
        mixed = (of_hand - of_kind) / (pairs - pairs_of_kind) if pairs > pairs_of_kind else alike
        self.shared.copy_(_covariance(mixed))
        self.apart.copy_(_covariance(alike - mixed))
        between = self.shared + self.apart
        common = _covariance(rest.T @ rest / len(rest) - between)
        square = torch.zeros_like(self.mean).index_add_(0, labels, rest**2) / count.clamp(min=1)
        ratio = (square - between.diagonal()).clamp(min=0) / common.diagonal()
        scale = ((count * ratio + _PRIOR) / (count + _PRIOR)).sqrt()
        self.within.copy_(common * scale[:, :, None] * scale[:, None, :])

    def told(self, logits: Tensor, place: Tensor) -> Tensor:
        """What each image tells of its hand, float64 [N, 16, 17], which adds up over images: the
        precision of the hand's parts, and in the last column that times their mean.

        An image is of no known class: the moments of all, as its logits [N, classes] weigh them,
        but for that of what is apart. The further its numbers are from usual, the less it tells.
        """
        weight, x = logits.double().softmax(1), place.double()
        mean = weight @ self.mean
        second = torch.einsum("ci,cj->cij", self.mean, self.mean) + self.within
        variance = torch.einsum("nc,cij->nij", weight, second)
        variance -= torch.einsum("ni,nj->nij", mean, mean)
        parts = torch.einsum("nc,cij->nij", weight, self._parts())
        rest = (x - mean)[..., None]
        usual = variance + parts @ self._prior() @ parts.mT
        far = (rest.mT @ torch.linalg.solve(usual, rest)).clamp(min=0)
        weight = ((_FREEDOM + NUMBERS) / (_FREEDOM + far)).clamp(max=1)
        told = parts.mT @ torch.linalg.solve(variance, torch.cat([parts, rest], 2))
        weighed: Tensor = weight * told
        return weighed

    def read(self, logits: Tensor, place: Tensor, told: Tensor) -> Tensor:
        """Logits, float32 [N, classes], of images whose hands are known from what others told, the
        sum of it for each [N, 16, 17]; exactly those that are given, where nobody told anything."""
        batches = zip(*(torch.split(each, _BATCH) for each in (logits, place, told)), strict=True)
        return torch.cat([self._read(*batch) for batch in batches])

    def _read(self, logits: Tensor, place: Tensor, told: Tensor) -> Tensor:
        prior = self._prior()
        known = torch.linalg.inv(torch.linalg.inv(prior) + told[..., :-1])
        usual = known @ told[..., -1:]
        parts = self._parts()
        rest = (place.double()[:, None] - self.mean)[..., None]
        density = _log_density(rest - parts @ usual[:, None], self._spread(parts, known))
        ratio = density - _log_density(rest, self._spread(parts, prior[None]))
        lone = (told == 0).all(2).all(1)[:, None]
        return torch.where(lone, logits, (logits + ratio).float())

    def together(self, logits: Tensor, place: Tensor, hands: Tensor) -> Tensor:
        """The same where the others are all those with the same number in `hands`, int64 [N]; -1
        is not known."""
        group, batches = hands + 1, torch.split(torch.arange(len(hands)), _BATCH)
        every = torch.zeros(int(group.max()) + 1, _PARTS, _PARTS + 1, dtype=torch.float64)
        for rows in batches:
            every.index_add_(0, group[rows], self.told(logits[rows], place[rows]))
        lone = ((torch.bincount(group)[group] == 1) | (hands < 0))[:, None, None]
        read = []
        for rows in batches:  # told again, as it takes 2 kB an image
            others = every[group[rows]] - self.told(logits[rows], place[rows])
            known = torch.where(lone[rows], 0.0, others)
            read.append(self._read(logits[rows], place[rows], known))
        return torch.cat(read)

    def _prior(self) -> Tensor:
        """float64 [16, 16]: the covariance of the parts of a hand that nothing is known of."""
        prior = torch.zeros(_PARTS, _PARTS, dtype=torch.float64)
        prior[:NUMBERS, :NUMBERS] = self.shared
        kinds = torch.eye(len(_KINDS), dtype=torch.float64)
        prior[NUMBERS:, NUMBERS:] = torch.kron(kinds, self.apart)
        return prior

    def _parts(self) -> Tensor:
        """float64 [classes, 4, 16]: which parts of a hand shift the numbers of a class."""
        which = torch.zeros(len(self.kinds), 1 + len(_KINDS), dtype=torch.float64)
        which[:, 0] = 1
        which[range(len(self.kinds)), [1 + kind for kind in self.kinds]] = 1
        one = torch.eye(NUMBERS, dtype=torch.float64)
        return torch.einsum("ck,ij->cikj", which, one).reshape(len(which), NUMBERS, _PARTS)

    def _spread(self, parts: Tensor, known: Tensor) -> Tensor:
        """The covariance of the numbers of each class, [N, classes, 4, 4], where that of the parts
        of a hand is [N, 16, 16]."""
        spread: Tensor = parts @ known[:, None] @ parts.mT + self.within
        return spread


def _products(rest: Tensor, group: Tensor) -> tuple[Tensor, int]:
    """The sum of x y' over all ordered pairs of two rows [N, 4] of one group, int64 [N], and how
    many these are."""
    sums = torch.zeros(int(group.max()) + 1, NUMBERS, dtype=rest.dtype).index_add_(0, group, rest)
    pairs = int((torch.bincount(group) ** 2).sum()) - len(rest)
    return sums.T @ sums - rest.T @ rest, pairs


def _covariance(estimate: Tensor) -> Tensor:
    """The nearest matrix with no variance below _LEAST, as an estimate by moments may have it."""
    values, vectors = torch.linalg.eigh((estimate + estimate.T) / 2)
    nearest: Tensor = vectors @ values.clamp(min=_LEAST).diag() @ vectors.T
    return nearest


def _log_density(x: Tensor, covariance: Tensor) -> Tensor:
    """The logarithm of Student's density [...] of x [..., 4, 1], about 0, but for a constant."""
    root = torch.linalg.cholesky(covariance)
    whitened = torch.linalg.solve_triangular(root, x, upper=False)
    volume = root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    far = whitened.square().sum((-2, -1))
    density: Tensor = -(_FREEDOM + NUMBERS) / 2 * (far / _FREEDOM).log1p() - volume
    return density
