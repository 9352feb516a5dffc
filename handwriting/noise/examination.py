"""Examination of labels: the diagnosis, and for every image how likely its label is wrong."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from handwriting.data import duplicates
from handwriting.data.dataset import Split
from handwriting.noise import diagnosis, out_of_fold, outliers
from handwriting.noise.diagnosis import Diagnosis, Fit, Floats, Labels
from handwriting.noise.forward_correction import ForwardCorrected
from handwriting.noise.out_of_fold import Folds, Predicted
from handwriting.training import engine, loop, model
from handwriting.training.augmentation import Augmentation
from handwriting.training.compute import Compute
from handwriting.training.loop import Plan
from handwriting.training.losses import CrossEntropy
from handwriting.training.model import Network, Shape
from handwriting.training.optimizer import Recipe

_DOUBT = 0.02  # of each matrix on the way: what looks impossible at first must stay possible
_RIGHT = 0.8  # of the labels, where nothing is known before
_SURE = 0.9  # of the class that a network without prior knowledge takes an image for
_RECIPE = Recipe(  # as params.yaml has it, which users of the command do not have
    batch_size=128,
    warmup=0.1,
    label_smoothing=0.1,
    curve_points=2,
    muon_lr=0.24,
    muon_momentum=0.6,
    head_lr=0.2,
    bias_lr=0.05,
    sgd_momentum=0.85,
    weight_decay=0.0005,
)
_GAIN = 10  # log likelihood that training must add to what was known: less is by chance
_ASTRAY = 1e-3  # of the labels, that may be wrong in another way than the rest
_MOSTLY = 0.5  # share of a class, over which copies under two labels are evidence too
_OUTLIER = 0.5  # probability from which an image is no evidence of the labels' noise


@dataclass(frozen=True, slots=True)
class Effort:
    """How networks are trained on folds of the images, and where."""

    plan: Plan  # its epochs, objective, stream and seed are of no account
    epochs: tuple[float, float]  # on the given labels, and on what is then known of the true ones
    folds: int
    compute: Compute
    scratch: Path


class Examination(NamedTuple):
    """The diagnosis of a set's labels, and what is known of each image."""

    diagnosis: Diagnosis
    p_true: Floats  # [N, C], of each true class, given image and label, if it is of a class at all
    p_outlier: Floats  # [N]
    posteriors: Floats  # [N, C], from the images alone
    copies: Labels  # [N], a number that nearly equal images share
    conflicting: NDArray[np.bool_]  # [N], whether a nearly equal image has another label


def examine(
    split: Split, networks: Sequence[Network], prior: Floats | None, effort: Effort
) -> Examination:
    """Return what is wrong with the labels of a split.

    Networks that start as `networks` are trained on all folds but one, to predict that one: first
    by forward correction with the matrix that the `prior` gives, posteriors [N, C] of a network
    that knows the classes, then on the classes that seem true by now. None: nothing is known, and
    most labels are taken to be right. Diagnosed is by the first alone: what the second are trained
    on depends on all labels.
    """
    copies, conflicting = compare(split)
    labels = split.labels
    in_conflict = np.bincount(labels, conflicting) > _MOSTLY * np.bincount(labels)
    evidence = ~conflicting | in_conflict[labels]  # a class of copies is learned from copies
    digests = duplicates.digests(split.images)
    folds = out_of_fold.of_digests(digests, networks, effort.folds, effort.compute, effort.scratch)
    folds, first = corrected(folds, split, evidence, prior, effort)
    p_outlier = of_no_class(split, first, evidence)
    evidence &= p_outlier < _OUTLIER
    found = diagnosis.diagnose(first.posteriors[evidence], split.labels[evidence])
    known = likely_classes(first, split, found)
    plan = replace(
        effort.plan,
        epochs=effort.epochs[1],
        objective=CrossEntropy(label_smoothing=0.0),
        stream="labels, from what is known",
    )
    targets = torch.from_numpy(known).float()
    _, second = out_of_fold.train(folds, split, targets, evidence, plan)
    p_true = likely_classes(second, split, found)
    p_outlier = of_no_class(split, second, evidence)
    return Examination(found, p_true, p_outlier, second.posteriors, copies, conflicting)


def posteriors_of(
    networks: Sequence[Network], images: NDArray[np.uint8], compute: Compute
) -> Floats:
    """Return the mean posteriors of networks for uint8 images [N, 1, S, S]: [N, C]."""
    found = engine.map(_posteriors, networks, replace(compute, processes=1), images)
    return np.asarray(np.mean(found, axis=0))


def _posteriors(network: Network, images: NDArray[np.uint8]) -> Floats:
    return np.asarray(loop.logits_of(network, torch.from_numpy(images)).double().softmax(1))


def likely_classes(seen: Predicted, split: Split, found: Diagnosis) -> Floats:
    """Return the probability of each true class, given image and label: [N, C]."""
    matrix = (1 - _ASTRAY) * found.matrix + _ASTRAY / len(split.classes)
    tempered = diagnosis.tempering(seen.posteriors, split.labels, matrix)
    return diagnosis.p_true(tempered, split.labels, matrix)


def compare(split: Split) -> tuple[Labels, NDArray[np.bool_]]:
    """Return the number of each image's group of nearly equal ones, int64 [N], and whether one of
    them has another label, bool [N]."""
    count = len(split.labels)
    none = np.empty(0, np.intp)
    pairs = [(none, none), *duplicates.near(split.images, np.arange(count))]
    one, other = map(np.concatenate, zip(*pairs, strict=True))
    links = coo_array((np.ones(len(one)), (one, other)), shape=(count, count))
    groups, group_of = connected_components(links, directed=False)
    largest, smallest = np.full(groups, -1), np.full(groups, len(split.classes))
    np.maximum.at(largest, group_of, split.labels)
    np.minimum.at(smallest, group_of, split.labels)
    return group_of.astype(np.int64), (largest != smallest)[group_of]


def corrected(
    folds: Folds, split: Split, evidence: NDArray[np.bool_], prior: Floats | None, effort: Effort
) -> tuple[Folds, Predicted]:
    """Return the folds, trained on the given labels by forward correction, and what they say.

    Without a prior a first half of the training is one with most labels right, to find the matrix.
    With one, the folds are left as they are if the labels are likelier by the prior: from labels
    that say little a network unlearns more than it learns.
    """
    known, half = (split, evidence), effort.epochs[0] / 2
    if prior is None:
        classes = len(split.classes)
        mostly = np.eye(classes) * _RIGHT + (1 - _RIGHT) / classes
        folds, found = _round(folds, *known, effort, mostly, half, "first")
        matrix = matrix_of(hardened(found.posteriors), *known).matrix
        return _round(folds, *known, effort, matrix, half, "second")
    before = matrix_of(prior, *known)
    trained, found = _round(folds, *known, effort, before.matrix, 2 * half, "only")
    if matrix_of(found.posteriors, *known).log_likelihood > before.log_likelihood + _GAIN:
        return trained, found
    return folds, found._replace(posteriors=prior)


def _round(
    folds: Folds,
    split: Split,
    evidence: NDArray[np.bool_],
    effort: Effort,
    matrix: Floats,
    epochs: float,
    name: str,
) -> tuple[Folds, Predicted]:
    softened = (1 - _DOUBT) * matrix + _DOUBT / len(matrix)
    objective = ForwardCorrected(tuple(map(tuple, softened.tolist())))
    stream = f"labels, {name} round"
    plan = replace(effort.plan, epochs=epochs, objective=objective, stream=stream)
    return out_of_fold.train(folds, split, torch.from_numpy(split.labels), evidence, plan)


def matrix_of(posteriors: Floats, split: Split, evidence: NDArray[np.bool_]) -> Fit:
    """Return the matrix of the labels that are evidence, of no particular kind."""
    data = diagnosis.in_order(posteriors[evidence], split.labels[evidence])
    return diagnosis.fit(data, diagnosis.general)


def hardened(posteriors: Floats) -> Floats:
    """Return posteriors that are sure of their class: what learns from wrong labels alone is as
    unsure of the true class as these are."""
    classes = posteriors.shape[1]
    return np.asarray(_SURE * np.eye(classes)[posteriors.argmax(1)] + (1 - _SURE) / classes)


def of_no_class(split: Split, found: Predicted, evidence: NDArray[np.bool_]) -> Floats:
    """Return the probability of each image to be of no class: [N]."""
    posteriors, labels = found.posteriors, split.labels
    matrix = matrix_of(posteriors, split, evidence).matrix
    likely = np.einsum("nc,nc->n", posteriors, matrix.T[labels])
    anyhow = np.bincount(labels, minlength=len(matrix))[labels] / len(labels)
    unlike = outliers.unlike(split.images, found.distances)
    return outliers.probabilities(unlike, likely, anyhow)


def usual_effort(images: int, scratch: Path) -> Effort:
    """Return what is worth spending on so many images: more of them need fewer epochs."""
    epochs = 3 * (2000 / images) ** 0.45
    augmentation = Augmentation(rotation=8, scale=0.1, shear=0.1, shift=1.5)
    plan = Plan(_RECIPE, augmentation, 0, CrossEntropy(label_smoothing=0.0), "", 0)
    compute = Compute(device="cpu", precision="float32", threads=1, processes=1)
    return Effort(plan, (epochs, 1.7 * epochs), 3, compute, scratch)


def fresh_network(split: Split) -> Network:
    """Return a network for the images of a split, with random weights."""
    shape = Shape(
        classes=split.classes,
        size=split.images.shape[-1],
        ink_size=split.ink_size,
        crop_border=2,
        widths=(24, 48, 64, 64, 128),
        stem_stride=2,
        pool_after=(1, 3),
        head_pool=1,
        geometry_channels=0,
        temperature=1.0,
    )
    return model.fresh(shape, "labels", 0)
