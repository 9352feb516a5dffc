"""Runs: networks trained side by side, and the files that they are stored in."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from handwriting.core import files, workers
from handwriting.data import dataset, geometry
from handwriting.data.dataset import Split, digest
from handwriting.training import calibration, checkpoint, engine, loop
from handwriting.training.checkpoint import Run, Saved
from handwriting.training.compute import Compute
from handwriting.training.loop import Labelled, Plan, fit
from handwriting.training.model import Network
from handwriting.training.resume import CurvePoint, Progress

_CURVE_SHARE = 0.1  # of a training's arithmetic, at most, that its learning curve costs
Rows = NDArray[np.intp]


class Data(NamedTuple):
    """The images that the jobs of a stage choose theirs from."""

    train: Split
    validation: Split | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """One network to train."""

    run: Run
    network: Network
    plan: Plan
    train: Rows | None = None  # of Data.train; None: all
    validation: Rows | None = None  # of Data.validation; None: all
    calibrate: bool = False  # whether the held-out images decide the temperature
    about: dict[str, Any] = field(default_factory=dict)  # further settings, for the checkpoint


@dataclass(frozen=True, slots=True)
class Trained:
    """One trained network."""

    saved: Saved
    curve: list[CurvePoint]
    first_steps: Tensor  # see loop.fit()


def train(jobs: Sequence[Job], data: Data, compute: Compute, scratch: Path) -> list[Trained]:
    """Return the networks, trained."""
    for split in filter(None, data):
        split.digest  # noqa: B018 - once here, and not in each job
    return engine.map(train_one, jobs, compute, data, compute, scratch)


def train_one(job: Job, data: Data, compute: Compute, scratch: Path) -> Trained:
    """Return the network of a job, trained."""
    data = chosen(job, data)
    about = describe(job, data, compute)
    progress = Progress(str(job.run), key(job.network, about), scratch)
    place_on_device(job.network, compute)
    train = labelled(data.train, job.network, compute)
    validation = held_out(data, job.plan, job.network, compute)
    curve, first_steps = fit(job.network, train, validation, job.plan, progress)
    return finished(job, data, compute, curve, first_steps, about)


def chosen(job: Job, data: Data) -> Data:
    """Return the data of a job."""
    train, validation = data
    if job.train is not None:
        train = train.rows(job.train)
    if validation is not None and job.validation is not None:
        validation = validation.rows(job.validation)
    return Data(train, validation)


def describe(job: Job, data: Data, compute: Compute) -> dict[str, Any]:
    """Return what a checkpoint says of its origin: settings, digests of the data and the init."""
    plan, held_out = job.plan, data.validation
    return {
        **job.about,
        "init": _weights(job.network),
        "epochs": plan.epochs,
        "curve_images": curve_images(data, plan),
        "objective": plan.objective.settings(),
        "training": asdict(plan.recipe),
        "augmentation": asdict(plan.augmentation),
        "compute": asdict(compute),
        "data": {"train": data.train.digest, "validation": held_out and held_out.digest},
    }


def curve_images(data: Data, plan: Plan) -> int:
    """Return on how many held-out images a training may measure each point of its curve.

    At most a tenth of its arithmetic is spent on that. A step costs three predictions: forward, and
    backward to weights and inputs; with a frozen body one.
    """
    if data.validation is None:
        return 0
    recipe, images, held_out = plan.recipe, len(data.train.labels), len(data.validation.labels)
    steps = loop.step_count(plan.epochs, images, recipe.batch_size)
    predictions = steps * min(recipe.batch_size, images) * (1 if recipe.layer_decay == 0 else 3)
    affordable = int(predictions * _CURVE_SHARE / (1 - _CURVE_SHARE) / recipe.curve_points)
    return max(1, min(held_out, affordable))


def held_out(data: Data, plan: Plan, network: Network, compute: Compute) -> Labelled | None:
    """Return the held-out images that a learning curve is measured on, if any."""
    if data.validation is None:
        return None
    return labelled(data.validation.rows(slice(curve_images(data, plan))), network, compute)


def place_on_device(network: Network, compute: Compute) -> None:
    """Make a network ready to be trained where and how `compute` says."""
    network.to(compute.torch_device).to(memory_format=torch.channels_last)
    network.precision = compute.dtype


def finished(
    job: Job,
    data: Data,
    compute: Compute,
    curve: list[CurvePoint],
    first_steps: Tensor,
    about: dict[str, Any],
) -> Trained:
    """Return the trained network of a job, calibrated on all held-out images, ready to be sent."""
    if job.calibrate and data.validation:
        all_of_them = labelled(data.validation, job.network, compute)
        found = calibration.temperature(job.network, all_of_them, job.plan.objective)
        job.network.shape = replace(job.network.shape, temperature=found)
    job.network.precision = torch.float32
    return Trained(Saved(job.network.cpu().eval(), job.run, about), curve, first_steps)


def _weights(network: Network) -> str:
    """Return the sha256 of a network's weights."""
    return digest(*(each.cpu().numpy() for each in network.state_dict().values()))


def key(network: Network, about: dict[str, Any]) -> str:
    """Return a digest of all that a training depends on: init, data, settings, code and torch."""
    versions = f"{torch.__version__} {workers.CODE}"
    return sha256(f"{versions} {network.shape} {about} {_weights(network)}".encode()).hexdigest()


def labelled(split: Split, network: Network, compute: Compute) -> Labelled:
    """Return a split on the device, with the geometry features if the network takes them."""
    images, labels = torch.from_numpy(split.images), torch.from_numpy(split.labels)
    features = standardised(split) if network.shape.geometry_channels else None
    device = compute.torch_device
    stored = split.images if device.type == "cpu" and dataset.is_large(split.images) else None
    return Labelled(images.to(device), labels.to(device), features, stored)


def standardised(split: Split) -> Tensor:
    """Return the geometry features of each image, float32 [N, 4]."""
    return torch.from_numpy(geometry.standardised(split.geometry))


def store_curves(trained: Iterable[Trained], path: Path, scratch: Path) -> None:
    """Write the learning curves of several runs as a table."""
    rows = ((*each.saved.run.values(), *point) for each in trained for point in each.curve)
    files.write_csv(path, [*Run.columns(), *CurvePoint._fields], rows, scratch)


def store(trained: Sequence[Trained], folder: Path, shipped: Path, scratch: Path) -> None:
    """Write networks.pt, curves.csv and first_steps.csv (loss and gradient norm) of a stage's runs,
    and the first network, alone, as `shipped`."""
    networks = [each.saved for each in trained]
    checkpoint.save(networks, folder / "networks.pt", scratch)
    checkpoint.save(networks[:1], shipped, scratch)
    store_curves(trained, folder / "curves.csv", scratch)
    columns = [*Run.columns(), "step", "loss", "gradient_norm"]
    rows = (
        (*each.saved.run.values(), step, *values)
        for each in trained
        for step, values in enumerate(each.first_steps.tolist(), 1)
    )
    files.write_csv(folder / "first_steps.csv", columns, rows, scratch)


def counted(trained: Sequence[Trained], what: str) -> str:
    """Return how many networks there are, and their mean accuracy on `what`, in words."""
    share = fmean(each.curve[-1].accuracy for each in trained)
    return f"{len(trained)} networks, {share:.1%} correct on {what}"
