"""Train the recipe of question one with a single choice changed, in short, on some of the folds.

The folds are of the drawing 0, on which the recipe was chosen; the published drawing is left alone.

reads   data/tensors/<source>/characters/, data/tensors/<source>/characters-hands.csv,
        ablation/artifacts/<source>/framings/<choice>.safetensors for a choice of a framing
writes  ablation/artifacts/<source>/choices/<choice>.csv: what was said of each held-out image
params  compute, train.{network,smoothing,recipe,augmentation}, ablation.budget.<source>,
        ablation.<group>.<choice>
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter, ValidationError

from handwriting.characters import protocols as reader
from handwriting.characters import writer_model as hand
from handwriting.core import cli as entry
from handwriting.core import files, params
from handwriting.core.errors import InputError
from handwriting.data import dataset, folds
from handwriting.data.dataset import Split
from handwriting.training import model
from handwriting.training import runs as arms
from handwriting.training.augmentation import Augmentation
from handwriting.training.averaging import Averaged
from handwriting.training.compute import Compute, is_writer
from handwriting.training.loop import Recipe, logits_of
from handwriting.training.losses import Clean, Smoothing
from handwriting.training.model import Network
from handwriting.training.runs import Data, Job, Trained

_DRAW, _FOLDS = 0, 5  # the drawing on which the recipe was chosen
_COLUMNS = ("row", "fold", "actual", "predicted", "same_hand", "loss")
T = TypeVar("T")


@params.section
class Budget:
    """What one choice may cost."""

    epochs: Annotated[float, Field(gt=0)]  # far fewer than the recipe's
    folds: Annotated[int, Field(ge=1, le=_FOLDS)]  # of the five, so many are held out in turn


@params.section
class Choice:
    """What is not as the recipe has it. The one section with defaults: they are the recipe."""

    framing: dict[str, Any] | None = None  # see Framing in stages/ablation/framing.py; preprocess's
    times: Annotated[float, Field(gt=0)] = 1  # the epochs
    average: Annotated[float, Field(ge=0, lt=1)] = 0  # decay of a moving average of the weights
    smoothing: Smoothing | None = None
    hidden: list[Literal["size", "aspect", "position"]] = Field(default_factory=list)  # in hide()
    network: dict[str, Any] = Field(default_factory=dict)  # in train.network
    augmentation: dict[str, Any] = Field(default_factory=dict)  # in train.augmentation


@dataclass(frozen=True, slots=True)
class Images:
    """All images in one framing, with what the folds are drawn from."""

    split: Split
    hands: NDArray[np.str_]
    fold: NDArray[np.int64]  # [N]


def main(scratch: Path, source: str, group: str, name: str) -> None:
    compute = params.load("compute", Compute)
    compute.launch()
    choice = params.load(f"ablation.{group}.{name}", Choice)
    budget = params.load(f"ablation.budget.{source}", Budget)
    images = read(source, name if choice.framing else None, choice.hidden)
    training = plan(images, name, choice, budget, compute, scratch)
    jobs = [
        Job(f"{name} {fold}", fold, network(images.split, fold, name, choice), training)
        for fold in range(budget.folds)
    ]
    trained = arms.train(jobs, compute)
    if is_writer():
        rows = sorted(row for fold, each in enumerate(trained) for row in said(images, fold, each))
        path = Path(f"ablation/artifacts/{source}/choices/{name}.csv")
        files.write_csv(path, _COLUMNS, rows, scratch)
        right = sum(row[2] == row[3] for row in rows)
        print(f"{path}: {right:,} of {len(rows):,} images, {100 * right / len(rows):.2f}%")


def read(source: str, framing: str | None, hidden: Sequence[str]) -> Images:
    """The images, in a framing of that name or in preprocess's own."""
    tensors = Path(f"data/tensors/{source}")
    split = dataset.load_all(tensors / "characters")
    hands = dataset.load_hands(tensors / "characters-hands.csv")
    fold = folds.draw(split.labels, hands, _FOLDS, _DRAW)[folds.KNOWN]
    if framing:
        split = dataset.load(Path(f"ablation/artifacts/{source}/framings/{framing}.safetensors"))
    split = replace(split, place=hide(split.place, hidden))
    return Images(split, np.array(hands), fold)


def hide(place: NDArray[np.float32], hidden: Sequence[str]) -> NDArray[np.float32]:
    """Numbers of size and place, [N, 4] as images.Framed.place, of which some tell nothing: all
    images are as large, as wide for their height, or where the mean image is."""
    seen = np.log(np.maximum(place, 1e-3))
    size, aspect = seen[:, :2].mean(1), seen[:, 1] - seen[:, 0]
    if "size" in hidden:
        size = np.full_like(size, size.mean())
    if "aspect" in hidden:
        aspect = np.full_like(aspect, aspect.mean())
    told = np.stack([np.exp(size - aspect / 2), np.exp(size + aspect / 2), *place[:, 2:].T], 1)
    if "position" in hidden:
        told[:, 2:] = place[:, 2:].mean(0)
    return np.asarray(told, np.float32) if hidden else place


def network(split: Split, seed: int, name: str, choice: Choice) -> Network:
    """A network with random weights: the recipe's, but for the choice."""
    shape = reader.fresh(split, seed).shape
    architecture = params.load("train.network", reader.Architecture)
    changes = asdict(changed(architecture, choice.network, name))
    try:
        fresh = model.fresh(replace(shape, **changes), seed)
    except InputError as error:
        raise InputError(f"{params.PATH}: ablation: {name}: network: {error}") from None
    return Averaged(fresh, choice.average) if choice.average else fresh


def plan(
    images: Images, name: str, choice: Choice, budget: Budget, compute: Compute, scratch: Path
) -> arms.Plan:
    """The recipe's training, shorter, but for the choice."""
    recipe = params.load("train.recipe", Recipe)
    augmentation = params.load("train.augmentation", Augmentation)
    smoothing = params.load("train.smoothing", Smoothing)
    return arms.Plan(
        title="ablation",
        data=partial(all_but, images),
        objective=Clean(smoothing if choice.smoothing is None else choice.smoothing),
        recipe=replace(recipe, curve_points=2),
        augmentation=changed(augmentation, choice.augmentation, name),
        epochs=budget.epochs * choice.times,
        compute=compute,
        scratch=scratch,
    )


def changed(section: T, changes: Mapping[str, Any], name: str) -> T:
    """A section with some of its keys changed, checked as params.yaml is."""
    text = json.dumps(asdict(section) | dict(changes))  # type: ignore[call-overload]
    try:
        return TypeAdapter(type(section)).validate_json(text)
    except ValidationError as error:
        where = f"{params.PATH}: ablation: {name}"
        problems = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise InputError(f"{where}: {'; '.join(problems)}") from None


def all_but(images: Images, job: Job) -> Data:
    """Everything but the job's fold, which is its seed."""
    others = np.flatnonzero(images.fold != job.seed)
    return Data(images.split.rows(others), None, images.hands[others].tolist())


def said(images: Images, fold: int, trained: Trained) -> Iterator[tuple[Any, ...]]:
    """A row of _COLUMNS for each held-out image: alone, and read among others of its hand."""
    rows = np.flatnonzero(images.fold == fold)
    part = images.split.rows(rows)
    labels = torch.from_numpy(part.labels)
    network = trained.network
    if isinstance(network, Averaged):
        network = network.average()
    place = arms.placed(part) if network.shape.place else None
    alone = together = logits_of(network, torch.from_numpy(part.images), place)
    if place is not None:
        numbers = hand.numbered(images.hands[rows].tolist())
        together = network.hand.together(alone, place, numbers)
    losses = F.cross_entropy(alone, labels, reduction="none").tolist()
    indices = zip(labels.tolist(), alone.argmax(1), together.argmax(1), strict=True)
    for row, each, loss in zip(rows.tolist(), indices, losses, strict=True):
        yield row, fold, *(part.classes[i] for i in each), loss


if __name__ == "__main__":
    entry.run(main)
