"""A mixed model of the geometry features, which adapts predictions to a writer.

Framing cuts an image to its ink and scales it, which makes a c of a C. Size and position on the
canvas remain as geometry features, but what is large for one writer is small for another. The model
splits them into the mean of the class, the writer's effect and a residual. A writer's other images,
without their labels, are evidence of that effect, which tells confusable classes apart. Style
consistent classification of fields from one source: Sarkar and Nagy 2005 (IEEE TPAMI 27). The
densities are Student's t, so that an outlier neither outweighs its own pixels nor says much of its
writer (Lange, Little and Taylor 1989, JASA 84).
"""

import copy
import string
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from handwriting.data import alphabet
from handwriting.data.geometry import DEVIATION, NUMBERS, standardised

# A writer has an effect on all classes, and one on each type: letters of one height that stand or
# hang alike. What is of no other type counts as a letter of x-height.
_TYPES = {
    "digit": frozenset(alphabet.DIGITS),
    "upper": frozenset(string.ascii_uppercase),
    "x-height": frozenset("acemnorsuvwxz"),
    "ascender": frozenset("bdfhijklt"),
    "descender": frozenset("gpqy"),
}
_EFFECTS = (1 + len(_TYPES)) * NUMBERS
_LEAST = 1e-4  # smallest variance
_PRIOR = 100.0  # images that the common spread of all classes counts as, beside a class's own 40
_DEGREES = 16.0  # of freedom of Student's t: least loss on split seed 0
_BATCH = 1000  # images handled at a time
_OTHERS = 100  # images that tell of a writer, at most
# Of sizes in a unit unknown, in logs: the deviation of the unit; of each image's own scale, which
# counts as so many images; the least of the longer sides. Images of less were scaled to one size.
_UNIT, _OWN, _OWN_IMAGES, _SPREAD = 2.0, 0.2, 3, 0.05


def type_of(name: str) -> int:
    """Return the place of a class in _TYPES."""
    found = (i for i, names in enumerate(_TYPES.values()) if name in names)
    return next(found, list(_TYPES).index("x-height"))


def numbered(writers: Sequence[str | None]) -> Tensor:
    """Return a number for each writer ID, int64 [N]; -1 for None, an unknown writer."""
    number = {name: i for i, name in enumerate(sorted({each for each in writers if each}))}
    return torch.tensor([number[each] if each else -1 for each in writers], dtype=torch.int64)


def context_rows(writers: Sequence[str]) -> Tensor:
    """Return the rows of the other images by each image's writer, int64 [N, M], padded with -1.

    Of a writer of thousands they are the next 100 alone: cost and memory must not grow with the
    square of the number.
    """
    rows, places = dict[str, list[int]](), list[int]()
    for row, name in enumerate(writers):
        places.append(len(rows.setdefault(name, [])))
        rows[name].append(row)
    most = min(_OTHERS, max(map(len, rows.values())) - 1)
    context = np.full((len(writers), most), -1)
    for row, (name, place) in enumerate(zip(writers, places, strict=True)):
        mine = rows[name]
        if len(mine) > most + 1:
            others = (mine[place + 1 : place + 1 + most] + mine[:place])[:most]
        else:
            others = mine[:place] + mine[place + 1 :]
        context[row, : len(others)] = others
    return torch.from_numpy(context)


class WriterModel(nn.Module):
    """The model of standardised geometry features x, float64 [N, 4].

    x = mean[class] + shared[writer] + by_type[writer, type of class] + residual[class]: the buffers
    are the means and the covariances of the other three. Unfitted, all writers are alike.
    """

    mean: Tensor
    within: Tensor
    shared: Tensor
    by_type: Tensor

    def __init__(self, classes: Sequence[str]) -> None:
        super().__init__()
        one = torch.eye(NUMBERS, dtype=torch.float64)
        self.register_buffer("mean", torch.zeros(len(classes), NUMBERS, dtype=torch.float64))
        self.register_buffer("within", one.repeat(len(classes), 1, 1))
        self.register_buffer("shared", _LEAST * one)
        self.register_buffer("by_type", _LEAST * one)
        self.types = [type_of(each) for each in classes]

    def fit(self, geometry: Tensor, labels: Tensor, writers: Tensor) -> None:
        """Fit by moments to features [N, 4], labels and writers, int64 [N]; writers < 0 are unknown
        and skipped.

        Two images of a writer share one effect, of one type both (analysis of variance; Searle,
        Casella and McCulloch 1992). With few images of a class its mean takes a part of the
        writers' effects.
        """
        x, labels, writers = (each[writers >= 0] for each in (geometry.double(), labels, writers))
        count = torch.bincount(labels, minlength=len(self.mean)).double()[:, None]
        self.mean.zero_().index_add_(0, labels, x).div_(count.clamp(min=1))
        rest = x - self.mean[labels]
        types = torch.tensor(self.types)[labels]
        of_type, pairs_of_type = _products(rest, writers * len(_TYPES) + types)
        of_writer, pairs = _products(rest, writers)
        alike = of_type / max(pairs_of_type, 1)
        mixed = alike
        if pairs > pairs_of_type:
            mixed = (of_writer - of_type) / (pairs - pairs_of_type)
        self.shared.copy_(_covariance(mixed))
        self.by_type.copy_(_covariance(alike - mixed))
        between = self.shared + self.by_type
        common = _covariance(rest.T @ rest / len(rest) - between)
        square = torch.zeros_like(self.mean).index_add_(0, labels, rest**2) / count.clamp(min=1)
        ratio = (square - between.diagonal()).clamp(min=0) / common.diagonal()
        scale = ((count * ratio + _PRIOR) / (count + _PRIOR)).sqrt()
        self.within.copy_(common * scale[:, :, None] * scale[:, None, :])

    def evidence(self, logits: Tensor, geometry: Tensor) -> Tensor:
        """Return each image's evidence of its writer's effects, float64 [N, 24, 25], which adds up
        over images: their precision, and in the last column that times their mean.

        The class is unknown: moments over all classes, weighted by the logits [N, classes]. The
        further the features are from their mean, the less they count; of NaN nothing does.
        """
        weight, x = logits.double().softmax(1), geometry.double()
        unknown = x.isnan().any(1)[:, None, None]
        mean, variance = self._moments(weight)
        design = torch.einsum("nc,cij->nij", weight, self._design()[self.types])
        rest = (x - mean)[..., None]
        marginal = variance + design @ self._prior() @ design.mT
        distance = (rest.mT @ torch.linalg.solve(marginal, rest)).clamp(min=0)
        trust = ((_DEGREES + NUMBERS) / (_DEGREES + distance)).clamp(max=1)
        found = design.mT @ torch.linalg.solve(variance, torch.cat([design, rest], 2))
        weighted: Tensor = (trust * found).masked_fill(unknown, 0.0)
        return weighted

    def adapted(self, logits: Tensor, geometry: Tensor, evidence: Tensor) -> Tensor:
        """Return logits, float32 [N, classes], adapted to writers of whom the sum of other images'
        evidence is [N, 24, 25]; unchanged where that is zero, or the geometry unknown."""
        parts = (torch.split(each, _BATCH) for each in (logits, geometry, evidence))
        return torch.cat([self._adapted(*batch) for batch in zip(*parts, strict=True)])

    def _adapted(self, logits: Tensor, geometry: Tensor, evidence: Tensor) -> Tensor:
        prior = self._prior()
        posterior = torch.linalg.inv(torch.linalg.inv(prior) + evidence[..., :-1])
        effects = posterior @ evidence[..., -1:]
        design = self._design()
        rest = (geometry.double()[:, None] - self.mean)[..., None]
        shifted = rest - (design @ effects[:, None])[:, self.types]
        density = _log_density(shifted, self._spread(design, posterior))
        ratio = density - _log_density(rest, self._spread(design, prior[None]))
        alone = (evidence == 0).all(2).all(1)[:, None] | geometry.isnan().any(1)[:, None]
        return torch.where(alone, logits, (logits + ratio).float())

    def adapted_group(self, logits: Tensor, geometry: Tensor, writers: Tensor) -> Tensor:
        """Return adapted logits where each image's context is all others with its number in
        `writers`, int64 [N]; -1 is unknown."""
        group, batches = writers + 1, torch.split(torch.arange(len(writers)), _BATCH)
        total = torch.zeros(int(group.max()) + 1, _EFFECTS, _EFFECTS + 1, dtype=torch.float64)
        for rows in batches:
            total.index_add_(0, group[rows], self.evidence(logits[rows], geometry[rows]))
        alone = ((torch.bincount(group)[group] == 1) | (writers < 0))[:, None, None]
        found = []
        for rows in batches:  # computed again, as it takes 5 kB an image
            context = total[group[rows]] - self.evidence(logits[rows], geometry[rows])
            context = torch.where(alone[rows], 0.0, context)
            found.append(self._adapted(logits[rows], geometry[rows], context))
        return torch.cat(found)

    def adapted_sizes(self, logits: Tensor, shares: NDArray[np.float32], writers: Tensor) -> Tensor:
        """Return adapted logits of the images whose size alone is known, in a unit of the writer.

        `logits` are of unknown geometry, `shares` float32 [N, 4] of geometry.Shares; positions are
        NaN where the unit is unknown. `writers` as of adapted_group().
        """
        adapted = logits.clone()
        sized = torch.from_numpy(np.isfinite(shares[:, 0]) & np.isnan(shares[:, 2]))
        for writer in set(writers[sized & (writers >= 0)].tolist()):
            rows = (sized & (writers == writer)).nonzero().flatten()
            known = np.nan_to_num(shares[rows.numpy()], nan=0.5)
            longer = np.log(np.maximum(known[:, 0], known[:, 1] * 4 / 3))
            x = torch.from_numpy(standardised(known)).double()
            if longer.std() >= _SPREAD and (found := self._of_own_unit(logits[rows], x)):
                adapted[rows] = found[0].adapted_group(logits[rows], found[1], rows * 0)
        return adapted

    def _of_own_unit(self, logits: Tensor, x: Tensor) -> tuple["WriterModel", Tensor] | None:
        """Return the model of one writer's sizes in another unit, and the features in about ours.

        Images that were scaled one by one spread more than their classes do: what is too much is
        added to the residual. None where the classes explain nothing of the sizes.
        """
        unit = torch.tensor([*(1 / each for each in DEVIATION[:2]), 0, 0], dtype=torch.float64)
        mean, variance = self._moments(logits.double().softmax(1))
        size, rest = (each @ unit / (unit @ unit) for each in (x, x - mean))
        if not rest.var() < size.var():  # NaN of a single image
            return None
        expected = ((variance + self.by_type) @ unit @ unit).mean() / (unit @ unit) ** 2
        count, model = len(x) - 1, copy.deepcopy(self)
        excess = (rest.var() - expected) * count + _OWN**2 * _OWN_IMAGES
        own = excess.clamp(min=0) / (count + _OWN_IMAGES)
        position = torch.tensor([0, 0, 1e6, 1e6], dtype=torch.float64).diag()
        model.shared += _UNIT**2 * torch.outer(unit, unit)
        model.within += own * torch.outer(unit, unit) + position
        return model, x - rest.mean() * unit

    def _moments(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and covariance, [N, 4] and [N, 4, 4], of features of uncertain classes, whose
        probabilities are float64 [N, classes]."""
        mean = weight @ self.mean
        second = torch.einsum("ci,cj->cij", self.mean, self.mean) + self.within
        variance = torch.einsum("nc,cij->nij", weight, second)
        return mean, variance - torch.einsum("ni,nj->nij", mean, mean)

    def _prior(self) -> Tensor:
        """Return the covariance of an unknown writer's effects, float64 [24, 24]."""
        blocks = [self.shared, *[self.by_type] * len(_TYPES)]
        prior: Tensor = torch.block_diag(*blocks)  # type: ignore[no-untyped-call]
        return prior

    def _design(self) -> Tensor:
        """Return which effects shift the features of a type's classes, float64 [5, 4, 24]."""
        own = torch.eye(len(_TYPES), dtype=torch.float64)
        which = torch.cat([torch.ones_like(own[:, :1]), own], 1)
        one = torch.eye(NUMBERS, dtype=torch.float64)
        return torch.kron(which, one).view(len(which), NUMBERS, _EFFECTS)

    def _spread(self, design: Tensor, effects: Tensor) -> Tensor:
        """Return the covariance of each class's features, [N, classes, 4, 4], where that of the
        effects is [N, 24, 24]."""
        of_types = design @ effects[:, None] @ design.mT
        return of_types[:, self.types] + self.within


def _products(rest: Tensor, group: Tensor) -> tuple[Tensor, int]:
    """Return the sum of x y' over all ordered pairs of rows [N, 4] of one group, int64 [N], and the
    number of pairs."""
    sums = torch.zeros(int(group.max()) + 1, NUMBERS, dtype=rest.dtype).index_add_(0, group, rest)
    pairs = int((torch.bincount(group) ** 2).sum()) - len(rest)
    return sums.T @ sums - rest.T @ rest, pairs


def _covariance(estimate: Tensor) -> Tensor:
    """Return the nearest matrix with no variance below _LEAST: moments may give others."""
    values, vectors = torch.linalg.eigh((estimate + estimate.T) / 2)
    nearest: Tensor = vectors @ values.clamp(min=_LEAST).diag() @ vectors.T
    return nearest


def _log_density(x: Tensor, covariance: Tensor) -> Tensor:
    """Return Student's log density [...] of x [..., 4, 1] about 0, up to a constant."""
    root = torch.linalg.cholesky(covariance)
    whitened = torch.linalg.solve_triangular(root, x, upper=False)
    volume = root.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    distance = whitened.square().sum((-2, -1))
    density: Tensor = -(_DEGREES + NUMBERS) / 2 * (distance / _DEGREES).log1p() - volume
    return density
