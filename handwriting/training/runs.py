"""An arm of the study: networks of one kind, trained side by side and stored."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from handwriting.characters import writer_model as hand
from handwriting.core import cli as entry
from handwriting.core import files, params
from handwriting.data import dataset
from handwriting.data.dataset import Split
from handwriting.training import engine as parallel
from handwriting.training import loop as training
from handwriting.training import model
from handwriting.training.augmentation import Augmentation
from handwriting.training.checkpoint import Checkpoint
from handwriting.training.compute import Compute, is_writer
from handwriting.training.live import Point
from handwriting.training.loop import Labelled, Recipe, fit
from handwriting.training.losses import Objective
from handwriting.training.model import Network, Shape

Count = Annotated[int, Field(gt=0)]
_CURVE_SHARE = 0.1  # of a training's arithmetic, at most, that its learning curve costs


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
        place=0,
        temperature=1.0,
    )


@dataclass(frozen=True, slots=True)
class Data:
    """What one network learns from, and what its learning curve is measured on, if anything."""

    train: Split
    validation: Split | None
    hands: Sequence[str] | None = None  # who wrote each row of train, for a network with a hand


@dataclass(frozen=True, slots=True)
class Plan:
    """How networks are trained: small enough to be sent to another process."""

    title: str
    data: Callable[["Job"], Data]  # read where the training runs
    objective: Objective
    recipe: Recipe
    augmentation: Augmentation
    epochs: float
    compute: Compute
    scratch: Path  # for checkpoints


@dataclass(frozen=True, slots=True)
class Job:
    """One network to train."""

    name: str  # among those of its arm: "seed 0"
    seed: int  # of the order of the images and of their augmentation
    network: Network
    plan: Plan


@dataclass(frozen=True, slots=True)
class Trained:
    """One network of an arm."""

    name: str
    network: Network
    curve: list[Point]
    early: Tensor  # see fit()
    about: dict[str, Any]


def of_seeds(networks: Iterable[Network], plan: Plan) -> list[Job]:
    """Jobs for networks whose place in the list is their seed."""
    return [Job(f"seed {seed}", seed, network, plan) for seed, network in enumerate(networks)]


def held_out(splits: Path, _: Job) -> Data:
    """The train split, and the validation split, the first of which are for the learning curve."""
    return Data(
        dataset.load(splits / "train.safetensors"), dataset.load(splits / "validation.safetensors")
    )


def train(jobs: Sequence[Job], compute: Compute) -> list[Trained]:
    """The networks, trained."""
    return parallel.run(_train, jobs, compute)


def _train(job: Job) -> Trained:
    plan, network = job.plan, job.network
    title = f"{plan.title} {job.name}"
    data = plan.data(job)
    about = about_of(job, data)
    checkpoint = Checkpoint(title, key(network, about), plan.scratch, entry.LIVE)
    if data.hands and network.shape.place:
        place, labels = placed(data.train), torch.from_numpy(data.train.labels)
        network.hand.learn(place, labels, hand.numbered(data.hands))
    place_on_device(network, plan.compute)
    measured = watched(data, plan.epochs, plan.recipe)
    curve, early = fit(
        network,
        labelled(data.train, network, plan.compute),
        labelled(measured, network, plan.compute) if measured else None,
        plan.recipe,
        plan.augmentation,
        plan.epochs,
        plan.objective,
        job.seed,
        checkpoint,
    )
    return finished(job, curve, early, about)


def about_of(job: Job, data: Data) -> dict[str, Any]:
    """What a checkpoint says of where it comes from: params, digests of the data and the start."""
    plan = job.plan
    return {
        "name": job.name,
        "seed": job.seed,
        "start": _weights(job.network),
        "epochs": plan.epochs,
        "judged": judged(data, plan.epochs, plan.recipe),
        "objective": repr(plan.objective),
        "recipe": asdict(plan.recipe),
        "augmentation": asdict(plan.augmentation),
        "compute": asdict(plan.compute),
        "data": {
            "train": _digest(data.train),
            "validation": _digest(data.validation),
            "hands": sha256(repr(data.hands).encode()).hexdigest(),
        },
    }


def judged(data: Data, epochs: float, recipe: Recipe) -> int:
    """On how many of the images held out a training may measure each point of its curve: a tenth
    of its arithmetic, at most, is spent on that.

    A step costs three times an answer: forward, and backward to weights and inputs. Where the body
    is frozen, only the answer.
    """
    if not data.validation:
        return 0
    images, held_out = len(data.train.labels), len(data.validation.labels)
    steps = training.step_count(epochs, images, recipe.batch_size)
    answers = steps * min(recipe.batch_size, images) * (1 if recipe.rates.layer_decay == 0 else 3)
    affordable = int(answers * _CURVE_SHARE / (1 - _CURVE_SHARE) / recipe.curve_points)
    return max(1, min(held_out, affordable))


def watched(data: Data, epochs: float, recipe: Recipe) -> Split | None:
    """The images held out that a learning curve is measured on, if any."""
    return data.validation and data.validation.rows(slice(judged(data, epochs, recipe)))


def place_on_device(network: Network, compute: Compute) -> None:
    """Make a network ready to be trained where and how `compute` says."""
    network.to(compute.place).to(memory_format=torch.channels_last)
    network.precision = compute.dtype


def finished(job: Job, curve: list[Point], early: Tensor, about: dict[str, Any]) -> Trained:
    """The network of a job that is done, ready to be sent and stored."""
    job.network.precision = torch.float32
    return Trained(job.name, job.network.cpu().eval(), curve, early, about)


def _digest(split: Split | None) -> str | None:
    """The sha256 of all that a split holds."""
    if split is None:
        return None
    digest = sha256(f"{split.classes} {split.box}".encode())
    for column in (split.images, split.labels, split.place):
        digest.update(column.tobytes())
    return digest.hexdigest()


def _weights(network: Network) -> str:
    """The sha256 of all that a network has learnt."""
    digest = sha256()
    for tensor in network.state_dict().values():
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def key(network: Network, about: dict[str, Any]) -> str:
    """A digest of all that a training depends on: start, data, params, code and torch."""
    digest = sha256(f"{torch.__version__} {network.shape} {about} {_weights(network)}".encode())
    for path in sorted(Path(__file__).parents[2].rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def labelled(split: Split, network: Network, compute: Compute) -> Labelled:
    """A split on the device, with what the network asks for beside the pixels."""
    images, labels = torch.from_numpy(split.images), torch.from_numpy(split.labels)
    place = placed(split) if network.shape.place else None
    return Labelled(images.to(compute.place), labels.to(compute.place), place)


def placed(split: Split) -> Tensor:
    """Size and place of the ink of each image, float32 [N, 4] of hand.standardised()."""
    return hand.standardised(torch.from_numpy(split.place))


def store(arm: Sequence[Trained], path: Path, scratch: Path) -> None:
    """Write the networks of an arm in one file, <path>.pt, and their learning curves, if they have
    any, in <path>-curves.csv."""
    if not is_writer():
        return
    model.save([(each.network, each.about) for each in arm], path.with_suffix(".pt"), scratch)
    if rows := [[each.name, *point] for each in arm for point in each.curve]:
        curves = path.with_name(f"{path.name}-curves.csv")
        files.write_csv(curves, ["run", *Point._fields], rows, scratch)
    for each in arm:
        result = ""
        if each.curve:
            last = each.curve[-1]
            result = (
                f": validation accuracy {last.accuracy:.4f} after {last.step:,} steps,"
                f" {last.images_seen:,} images"
            )
        print(f"{path}.pt: {each.name}{result}")


def store_early(arm: Sequence[Trained], path: Path, scratch: Path) -> None:
    """Write the first steps of each network, <path>-early.csv."""
    if is_writer():
        rows = (
            (each.name, step, *values)
            for each in arm
            for step, values in enumerate(each.early.tolist(), 1)
        )
        columns = ("run", "step", "loss", "gradient_norm")
        files.write_csv(path.with_name(f"{path.name}-early.csv"), columns, rows, scratch)


def store_shipped(arm: Sequence[Trained], source: str, name: str, scratch: Path) -> None:
    """Write the first network where users look for it, <name>.pt, and all of them apart."""
    if is_writer():
        store(arm, Path(f"artifacts/{source}/seeds/{name}"), scratch)
        first = arm[0]
        model.save([(first.network, first.about)], Path(f"artifacts/{source}/{name}.pt"), scratch)
