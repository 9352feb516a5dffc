"""An arm of the study: networks of one kind, one for each seed, trained side by side and stored."""

from dataclasses import asdict, dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field

from stages.common import dataset, files, model, parallel, params
from stages.common.compute import Compute
from stages.common.dataset import Split
from stages.common.model import Network, Shape
from stages.common.objectives import Objective
from stages.common.training import Labelled, Point, Recipe, fit

Width = Annotated[int, Field(gt=0)]


@params.section
class Layout:
    """What all networks have in common, so that a body fits wherever it is carried."""

    margin: Annotated[int, Field(ge=0)]  # pixels of the border that are not looked at
    widths: Annotated[tuple[Width, ...], Field(min_length=1)]  # channels of each convolution
    pooled: tuple[Annotated[int, Field(ge=0)], ...]  # which of them are followed by a halving

    def shape(self, split: Split) -> Shape:
        """The network's shape for the images and classes of a split."""
        size = split.images.shape[-1]
        return Shape(
            classes=split.classes,
            size=size,
            box=split.box,
            margin=self.margin,
            widths=self.widths,
            pooled=self.pooled,
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """How all networks of an arm are trained: small enough to be sent to another process."""

    title: str
    splits: Path  # the folder of train and validation; only the network's classes are looked at
    objective: Objective
    recipe: Recipe
    epochs: float
    compute: Compute


@dataclass(frozen=True, slots=True)
class Trained:
    """One network of an arm."""

    network: Network
    curve: list[Point]
    about: dict[str, Any]


def train(networks: list[Network], plan: Plan) -> list[Trained]:
    """The networks, trained; the place in the list is the seed."""
    return parallel.run(partial(_train, plan), list(enumerate(networks)), plan.compute)


def _train(plan: Plan, job: tuple[int, Network]) -> Trained:
    seed, network = job
    device = torch.device(plan.compute.device)
    network.to(device).to(memory_format=torch.channels_last)
    network.precision = plan.compute.dtype
    train, validation = (
        _labelled(plan.splits / f"{name}.safetensors", len(network.shape.classes), device)
        for name in ("train", "validation")
    )
    title = f"{plan.title} seed {seed}"
    curve = fit(network, train, validation, plan.recipe, plan.epochs, plan.objective, seed, title)
    network.precision = torch.float32
    about = {
        "seed": seed,
        "epochs": plan.epochs,
        "objective": repr(plan.objective),
        "recipe": asdict(plan.recipe),
        "compute": asdict(plan.compute),
        "train_sha256": sha256((plan.splits / "train.safetensors").read_bytes()).hexdigest(),
    }
    return Trained(network.cpu().eval(), curve, about)


def _labelled(path: Path, classes: int, device: torch.device) -> Labelled:
    split = dataset.load(path)
    if classes < len(split.classes):
        split = split.rows((split.labels < classes).nonzero()[0])
    images, labels = torch.from_numpy(split.images), torch.from_numpy(split.labels)
    return Labelled(images.to(device), labels.to(device))


def store(arm: list[Trained], source: str, name: str, scratch: Path) -> None:
    """Write the checkpoint of seed 0 as <name>.pt, those of all seeds and the curves apart."""
    folder = Path(f"artifacts/{source}/seeds/{name}")
    for seed, trained in enumerate(arm):
        model.save(trained.network, trained.about, folder / f"{seed}.pt", scratch)
    model.save(arm[0].network, arm[0].about, Path(f"artifacts/{source}/{name}.pt"), scratch)
    rows = (
        [seed, point.step, point.images_seen, point.loss, point.accuracy]
        for seed, trained in enumerate(arm)
        for point in trained.curve
    )
    columns = ["seed", "step", "images_seen", "loss", "accuracy"]
    files.write_csv(folder / "curves.csv", columns, rows, scratch)
    for seed, trained in enumerate(arm):
        last = trained.curve[-1]
        print(
            f"{source} {name} seed {seed}: validation accuracy {last.accuracy:.4f}"
            f" after {last.step:,} steps, {last.images_seen:,} images"
        )
