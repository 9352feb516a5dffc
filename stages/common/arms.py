"""An arm of the study: networks of one kind, one for each seed, trained side by side and stored."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any, Literal

import torch
from pydantic import Field

from stages.common import dataset, files, model, parallel, params
from stages.common.augmentation import Augmentation
from stages.common.checkpoint import Checkpoint, Point
from stages.common.compute import Compute, is_writer
from stages.common.model import Network, Shape
from stages.common.objectives import Objective
from stages.common.training import Labelled, Recipe, fit

Count = Annotated[int, Field(gt=0)]
_SPLITS = ("train", "validation")


@params.section
class Strength:
    """How much the networks may cost: fast, middle or strong. A body fits into any of its own."""

    widths: Annotated[tuple[Count, ...], Field(min_length=1)]  # channels of each convolution
    stem_stride: Literal[1, 2]  # of the first of them
    pooled: tuple[Annotated[int, Field(ge=0)], ...]  # which of them are followed by a halving
    grid: Count  # the head sees means over grid x grid parts of what the last one gives
    epochs: Annotated[float, Field(gt=0)]  # passes over MNIST's training images
    augmentation: Augmentation  # of the digits


def shape_of(strength: Strength, margin: int, size: int, box: int, classes: Sequence[str]) -> Shape:
    """The shape of a network for size x size images with ink in a box, and their classes."""
    return Shape(
        classes=tuple(classes),
        size=size,
        box=box,
        margin=margin,
        widths=strength.widths,
        stem_stride=strength.stem_stride,
        pooled=strength.pooled,
        grid=strength.grid,
    )


@dataclass(frozen=True, slots=True)
class Plan:
    """How all networks of an arm are trained: small enough to be sent to another process."""

    title: str
    splits: Path  # the folder of train and validation; only the network's classes are looked at
    objective: Objective
    recipe: Recipe
    augmentation: Augmentation
    epochs: float
    compute: Compute
    scratch: Path  # for checkpoints


@dataclass(frozen=True, slots=True)
class Trained:
    """One network of an arm."""

    network: Network
    curve: list[Point]
    about: dict[str, Any]


def train(networks: list[Network], plan: Plan) -> list[Trained]:
    """The networks, trained; the place in the list is the seed."""
    plan.compute.warn_if_slow()
    return parallel.run(partial(_train, plan), list(enumerate(networks)), plan.compute)


def _train(plan: Plan, job: tuple[int, Network]) -> Trained:
    seed, network = job
    title = f"{plan.title} seed {seed}"
    about = {
        "seed": seed,
        "epochs": plan.epochs,
        "objective": repr(plan.objective),
        "recipe": asdict(plan.recipe),
        "augmentation": asdict(plan.augmentation),
        "compute": asdict(plan.compute),
        "data": {name: sha256(_path(plan, name).read_bytes()).hexdigest() for name in _SPLITS},
    }
    checkpoint = Checkpoint(title, _key(network, about), plan.scratch)
    device = plan.compute.place
    network.to(device).to(memory_format=torch.channels_last)
    network.precision = plan.compute.dtype
    classes = len(network.shape.classes)
    train, validation = (_labelled(_path(plan, name), classes, device) for name in _SPLITS)
    curve = fit(
        network,
        train,
        validation,
        plan.recipe,
        plan.augmentation,
        plan.epochs,
        plan.objective,
        seed,
        checkpoint,
    )
    network.precision = torch.float32
    return Trained(network.cpu().eval(), curve, about)


def _path(plan: Plan, name: str) -> Path:
    return plan.splits / f"{name}.safetensors"


def _key(network: Network, about: dict[str, Any]) -> str:
    """A digest of all that a training depends on: start, data, params, code and torch."""
    key = sha256(f"{torch.__version__} {about}".encode())
    for tensor in network.state_dict().values():
        key.update(tensor.contiguous().numpy().tobytes())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        key.update(path.read_bytes())
    return key.hexdigest()


def _labelled(path: Path, classes: int, device: torch.device) -> Labelled:
    split = dataset.load(path)
    if classes < len(split.classes):
        split = split.rows((split.labels < classes).nonzero()[0])
    images, labels = torch.from_numpy(split.images), torch.from_numpy(split.labels)
    return Labelled(images.to(device), labels.to(device))


def store(arm: list[Trained], source: str, name: str, scratch: Path) -> None:
    """Write the network of seed 0 as <name>.pt, those of all seeds, their curves and mean apart."""
    if not is_writer():
        return
    folder = Path(f"artifacts/{source}/seeds/{name}")
    for seed, trained in enumerate(arm):
        model.save(trained.network, trained.about, folder / f"{seed}.pt", scratch)
    model.save(arm[0].network, arm[0].about, Path(f"artifacts/{source}/{name}.pt"), scratch)
    rows = ([seed, *point] for seed, trained in enumerate(arm) for point in trained.curve)
    files.write_csv(folder / "curves.csv", ["seed", *Point._fields], rows, scratch)
    means = (
        [*points[0][:2], *(fmean(values) for values in list(zip(*points, strict=True))[2:])]
        for points in zip(*(trained.curve for trained in arm), strict=True)
    )
    files.write_csv(folder / "mean.csv", Point._fields, means, scratch)
    for seed, trained in enumerate(arm):
        last = trained.curve[-1]
        print(
            f"{source} {name} seed {seed}: validation accuracy {last.accuracy:.4f}"
            f" after {last.step:,} steps, {last.images_seen:,} images"
        )
