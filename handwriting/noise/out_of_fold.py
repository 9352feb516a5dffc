"""What networks say of images whose labels they have not seen: a network for each fold."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from handwriting.core.errors import InputError
from handwriting.data import dataset
from handwriting.data.dataset import Split
from handwriting.noise import outliers
from handwriting.noise.diagnosis import Floats
from handwriting.training import engine, loop, runs
from handwriting.training.augmentation import augment, draw
from handwriting.training.compute import Compute
from handwriting.training.loop import Labelled, Plan
from handwriting.training.model import Network
from handwriting.training.resume import Progress

_VIEWS = 2  # of each image, the plain one included, that a prediction is the mean of
_BATCH = 1000  # images predicted at a time


@dataclass(frozen=True, slots=True)
class Folds:
    """A network for each fold of the images, trained on all images but those."""

    networks: Sequence[Network]
    fold_of: NDArray[np.uint64]  # [N]
    compute: Compute
    scratch: Path


class Predicted(NamedTuple):
    """What the networks say of images that they were not trained on."""

    posteriors: Floats  # [N, C]
    distances: Floats  # [N], from the features of the nearest class; typically 1


class _Job(NamedTuple):
    network: Network
    plan: Plan
    train: NDArray[np.intp]
    held_out: NDArray[np.intp]


def of_digests(
    digests: NDArray[np.uint64],
    networks: Sequence[Network],
    count: int,
    compute: Compute,
    scratch: Path,
) -> Folds:
    """Return folds that start as `networks`. Images with one digest are in one fold.

    Raises InputError if there are fewer different images than folds.
    """
    starts = [networks[i % len(networks)] for i in range(count)]
    fold_of, number = digests % np.uint64(count), np.unique(digests, return_inverse=True)[1]
    if number.max() + 1 < count:
        raise InputError(f"too few different images to learn from: {number.max() + 1}")
    if len(np.unique(fold_of)) < count:
        fold_of = number.astype(np.uint64) % np.uint64(count)
    return Folds(starts, fold_of, compute, scratch)


def train(
    folds: Folds, split: Split, targets: Tensor, evidence: NDArray[np.bool_], plan: Plan
) -> tuple[Folds, Predicted]:
    """Return the folds, trained on, and what they say of all images.

    Targets [N, ...] are what the plan's objective takes. Images outside `evidence`, bool [N], are
    predicted and not trained on.
    """
    jobs = [
        _Job(
            network,
            replace(plan, seed=fold),
            np.flatnonzero((folds.fold_of != fold) & evidence),
            np.flatnonzero(folds.fold_of == fold),
        )
        for fold, network in enumerate(folds.networks)
    ]
    if not all(len(job.train) for job in jobs):
        raise InputError("too few images whose label is no contradiction to learn from")
    found = engine.map(_train, jobs, folds.compute, split, targets, folds.compute, folds.scratch)
    whole = Predicted(
        np.empty((len(split.labels), len(split.classes))), np.empty(len(split.labels))
    )
    for job, (_, predicted) in zip(jobs, found, strict=True):
        for column, values in zip(whole, predicted, strict=True):
            column[job.held_out] = values
    return replace(folds, networks=[network for network, _ in found]), whole


def _train(
    job: _Job, split: Split, targets: Tensor, compute: Compute, scratch: Path
) -> tuple[Network, Predicted]:
    """Return a network, trained, and what it says of the images held out."""
    # A copy: without workers it is the caller's, who may go on with the folds as they were.
    network, plan, device = deepcopy(job.network), job.plan, compute.torch_device
    images = torch.from_numpy(split.images)
    seen = Labelled(images[job.train].to(device), targets[job.train].to(device))
    about = {"epochs": plan.epochs, "objective": plan.objective.settings()}
    about |= {"recipe": asdict(plan.recipe), "augmentation": asdict(plan.augmentation)}
    about |= {"data": dataset.digest(split.images[job.train], targets[job.train].numpy())}
    progress = Progress(f"{plan.stream}, fold {plan.seed}", runs.key(network, about), scratch)
    runs.place_on_device(network, compute)
    loop.fit(network, seen, None, plan, progress)
    network.precision = torch.float32
    network.cpu().eval()
    features = features_of(network, images[job.train])
    held_out = images[job.held_out]
    return network, Predicted(
        predict(network, held_out, plan),
        outliers.distances(
            features, network.head(features).argmax(1), features_of(network, held_out)
        ),
    )


@torch.inference_mode()
def predict(network: Network, images: Tensor, plan: Plan) -> Floats:
    """Return the posteriors of uint8 images [N, 1, S, S], the means over several views: [N, C]."""
    found = []
    for i in range(0, len(images), _BATCH):
        some = images[i : i + _BATCH]
        views = [network(some).softmax(1)]
        for view in range(1, _VIEWS):
            random = loop.generator(f"view {view} of {plan.stream}", plan.seed, i)
            moved = augment(some, plan.augmentation, draw(len(some), plan.augmentation, random))
            views.append(network(moved).softmax(1))
        found.append(torch.stack(views).mean(0))
    return np.asarray(torch.cat(found).double().numpy())


@torch.no_grad()
def features_of(network: Network, images: Tensor) -> Tensor:
    """Return what the head sees of images, float32 [N, features]."""
    return torch.cat([network.features(each) for each in torch.split(images, _BATCH)])
