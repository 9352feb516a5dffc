"""The training loop: uint8 images in memory, Muon and SGD, a triangular schedule."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from tqdm import tqdm

from handwriting.core import seeds, workers
from handwriting.core.errors import InputError
from handwriting.data import dataset
from handwriting.training import distributed
from handwriting.training.augmentation import Augmentation, augment, draw, move
from handwriting.training.losses import Objective
from handwriting.training.model import Network
from handwriting.training.optimizer import Factors, Optimizer, Recipe
from handwriting.training.resume import CurvePoint, Progress

_EVALUATION_BATCH = 1000
_MOST = 1e12  # images seen in a training: years of them
FIRST_STEPS = 50  # whose loss and gradient are recorded: how smoothly a training sets out


def triangle(warmup: float, step: int, steps: int) -> Factors:
    """Return the factors of the learning rates at `step` of `steps`: from near 0 to near 0."""
    rising = step / max(1.0, warmup * steps)
    falling = (steps - step + 1) / max(1.0, (1 - warmup) * steps)
    factor = min(1.0, rising, falling)
    return Factors(factor, factor, factor)


@dataclass(frozen=True, slots=True)
class Plan:
    """How a network is trained, to the last random number."""

    recipe: Recipe
    augmentation: Augmentation
    epochs: float  # passes over the data; 0.6 is fine, 0 is none
    objective: Objective
    stream: str  # the purpose of its random numbers: order and augmentation of the images,
    seed: int  # equal in runs of one purpose and seed
    schedule: Callable[[float, int, int], Factors] = triangle  # of (warmup, step, steps)
    recorded: int = FIRST_STEPS  # steps whose loss and gradient norm are returned
    strict: bool = True  # whether a loss that is not finite is an error


@dataclass(frozen=True, slots=True)
class Labelled:
    """Images with their targets, on the device of the network."""

    images: Tensor  # uint8 [N, 1, S, S]
    targets: Tensor  # [N, ...], whatever the objective takes
    geometry: Tensor | None = None  # float32 [N, 4] of geometry.standardised(), on the CPU
    stored: NDArray[np.uint8] | None = None  # a large file that `images` are a view of

    def take(self, rows: Tensor) -> Tensor:
        """Return some images, uint8 [B, 1, S, S]."""
        if self.stored is None:
            return self.images[rows]
        return torch.from_numpy(dataset.take(self.stored, rows.numpy()))


def fit(
    network: Network, train: Labelled, validation: Labelled | None, plan: Plan, progress: Progress
) -> tuple[list[CurvePoint], Tensor]:
    """Train `network` in place.

    Returns its learning curve on the validation images, empty without them, and loss and gradient
    norm of the first steps, float32 [steps, 2]. A killed run resumes from its checkpoint to the
    same bits; several processes share every batch. Raises InputError for a loss or a weight that is
    not finite, and for more epochs than would end.
    """
    steps = step_count(plan.epochs, len(train.images), plan.recipe.batch_size)
    optimizer = Optimizer(network, plan.recipe)
    first = torch.zeros(min(steps, plan.recorded), 2, device=train.images.device)
    state, done, curve = progress.restore()
    _load(state, network, optimizer, first)
    replica = distributed.replica(network)
    watched = curve_steps(steps, plan.recipe.curve_points) if validation else set()
    if validation and not curve:
        curve.append(CurvePoint(0, 0, *validate(network, validation, plan.objective)))
    for step, batch in _batches(len(train.images), steps, done, plan, progress.title):
        loss = _step(replica, optimizer, train, batch, plan, step, steps)
        if step <= len(first):
            first[step - 1] = torch.stack([distributed.mean(loss), optimizer.gradient_norm()])
        due = step == steps or progress.due()
        if plan.strict and (due or step in watched):
            check(network, loss.item(), progress.title, step)
        if validation and step in watched:
            scores = validate(network, validation, plan.objective)
            curve.append(CurvePoint(step, step * len(batch), *scores))
        if due:
            progress.save(_state(network, optimizer, first), step, curve)
    return curve, first.cpu()


def _state(network: Network, optimizer: Optimizer, first: Tensor) -> dict[str, Any]:
    momenta = list(optimizer.momenta.values())
    return {"network": network.state_dict(), "momenta": momenta, "first": first}


def _load(
    state: dict[str, Any] | None, network: Network, optimizer: Optimizer, first: Tensor
) -> None:
    if state:
        network.load_state_dict(state["network"])
        kept = [*state["momenta"], state["first"]]
        for tensor, each in zip([*optimizer.momenta.values(), first], kept, strict=True):
            tensor.copy_(each)


def _batches(
    count: int, steps: int, done: int, plan: Plan, title: str
) -> Iterator[tuple[int, Tensor]]:
    """Yield (step, rows) of the steps that are left, with a progress bar."""
    batches = batch_indices(count, steps, plan)
    bar = tqdm(
        islice(batches, done, None),
        title,
        steps,
        leave=False,
        disable=None,
        unit="step",
        initial=done,
        position=workers.NUMBER.get() or None,  # a line for each worker
    )
    yield from enumerate(bar, done + 1)


def _step(
    replica: nn.Module,
    optimizer: Optimizer,
    train: Labelled,
    batch: Tensor,
    plan: Plan,
    step: int,
    steps: int,
) -> Tensor:
    """Take one step and return its loss, float32 []."""
    replica.train()
    rank, world = distributed.processes()
    mine = slice(rank, None, world)
    images, targets, geometry, share = examples(train, batch, plan, step)
    logits = replica(images[mine], None if geometry is None else geometry[mine])
    losses = plan.objective.loss(logits, targets[mine])
    if plan.augmentation.mixup:
        mirrored = plan.objective.loss(logits, targets.flip(0)[mine])
        losses = torch.lerp(mirrored, losses, share[mine])
    loss = losses.sum() * (world / len(batch))  # its mean over the processes is the batch's
    optimizer.step(loss, plan.schedule(plan.recipe.warmup, step, steps))
    return loss


def check(network: Network, loss: float, title: str, step: int) -> None:
    """Raise InputError for a loss or, after the step, a weight that is not finite."""
    if not math.isfinite(loss):
        raise InputError(f"{title}: the loss is {loss} at step {step}")
    if not all(bool(parameter.isfinite().all()) for parameter in network.parameters()):
        raise InputError(f"{title}: non-finite weight after step {step}")


def examples(
    train: Labelled, batch: Tensor, plan: Plan, step: int
) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
    """Return the augmented examples of a batch of rows, int64 [B].

    Images, uint8 or float32 [B, 1, S, S]; targets [B, ...]; geometry, float32 [B, 4] or None; and
    the share of each in its mixture, float32 [B]: the rest is of the mirrored place in the batch.
    """
    device, augmentation = train.images.device, plan.augmentation
    there = batch.to(device, non_blocking=True)  # a GPU has work in hand and is not waited for
    random = generator(f"augmentation of {plan.stream}", plan.seed, step)
    draws = draw(len(batch), augmentation, random)
    images, geometry = augment(train.take(there), augmentation, draws), None
    share = draws.share.to(device, non_blocking=True)
    if train.geometry is not None:
        moved = move(train.geometry[batch], augmentation, draws)
        geometry = moved.to(device, non_blocking=True)
    if augmentation.mixup:
        images = torch.lerp(images.flip(0), images, share[:, None, None, None])
        if geometry is not None:
            geometry = torch.lerp(geometry.flip(0), geometry, share[:, None])
    if geometry is not None:
        geometry[draws.dropped.to(device)] = torch.nan
    return images, train.targets[there], geometry, share


def step_count(epochs: float, images: int, batch_size: int) -> int:
    """Return the number of batches. Raises InputError for more than would end."""
    if epochs * images > _MOST:
        raise InputError(f"{epochs:g} epochs of {images:,} images would not end")
    return math.ceil(epochs * images / min(batch_size, images))


def batch_indices(count: int, steps: int, plan: Plan) -> Iterator[Tensor]:
    """Yield `steps` batches from an endless row of permutations: all images equally often."""
    size = min(plan.recipe.batch_size, count)
    row = torch.empty(0, dtype=torch.int64)
    epoch = 0
    for _ in range(steps):
        while len(row) < size:
            order = generator(f"order of {plan.stream}", plan.seed, epoch)
            row = torch.cat([row, torch.randperm(count, generator=order)])
            epoch += 1
        batch, row = row[:size], row[size:]
        yield batch


def generator(purpose: str, seed: int, index: int = 0) -> torch.Generator:
    """Return the CPU generator of a random stream."""
    return torch.Generator().manual_seed(seeds.number(purpose, seed, index))


def curve_steps(steps: int, points: int) -> set[int]:
    """Return the steps after which to validate: denser early on; the last included."""
    return {max(1, round(steps * (i / (points - 1)) ** 2)) for i in range(1, points)}


@torch.inference_mode()
def logits_of(network: Network, images: Tensor, geometry: Tensor | None = None) -> Tensor:
    """Return float32 [N, classes] of uint8 [N, 1, S, S], in eval mode, a batch at a time.

    `geometry` is float32 [N, 4] of geometry.standardised(), for a network that takes it.
    """
    network.eval()
    batches = torch.split(images, _EVALUATION_BATCH)
    given = [None] * len(batches) if geometry is None else torch.split(geometry, _EVALUATION_BATCH)
    return torch.cat([network(*each) for each in zip(batches, given, strict=True)])


def validate(network: Network, split: Labelled, objective: Objective) -> tuple[float, float]:
    """Return (mean loss, accuracy) on a split."""
    geometry = None if split.geometry is None else split.geometry.to(split.images.device)
    logits, targets = logits_of(network, split.images, geometry), split.targets
    return objective.loss(logits, targets).mean().item(), objective.accuracy(logits, targets)
