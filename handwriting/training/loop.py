"""The only training loop of the project: uint8 images in memory, Muon, one triangular schedule."""

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from handwriting.core import params
from handwriting.core.errors import InputError
from handwriting.training.augmentation import Augmentation, augment, draw, move
from handwriting.training.checkpoint import Checkpoint
from handwriting.training.compute import over_processes, processes
from handwriting.training.live import Point
from handwriting.training.losses import Objective
from handwriting.training.model import Network
from handwriting.training.optimizer import Optimizer, Rates

_EVALUATION_BATCH = 1000
_MOST = 1e12  # images seen in a training: years of them
_EARLY = 50  # steps whose loss and gradient are kept: how smoothly a training sets out


@params.section
class Recipe:
    """What all trainings of a kind have in common."""

    batch_size: Annotated[int, Field(gt=0)]  # of all processes together
    rates: Rates
    warmup: Annotated[float, Field(ge=0, lt=1)]  # of the steps: up to the full rates, then down
    curve_points: Annotated[int, Field(ge=2, le=10_000)]  # validations along the way


@dataclass(frozen=True, slots=True)
class Labelled:
    """Images with their targets, on the device of the network."""

    images: Tensor  # uint8 [N, 1, S, S]
    targets: Tensor  # [N, ...], whatever the objective takes
    place: Tensor | None = None  # float32 [N, 4], hand.standardised(), if the network takes it


def fit(
    network: Network,
    train: Labelled,
    validation: Labelled | None,
    recipe: Recipe,
    augmentation: Augmentation,
    epochs: float,
    objective: Objective,
    seed: int,
    checkpoint: Checkpoint,
) -> tuple[list[Point], Tensor]:
    """Train `network` in place for `epochs` passes (0.6 is fine, 0 is none).

    Its learning curve, on the validation split and empty without one; loss and length of the
    gradient of the first steps, float32 [steps, 2]. Order and augmentation of step t are a function
    of (seed, t) alone: a killed run goes on from its checkpoint to the same bits. Several processes
    share every batch. Raises InputError if the loss or a weight stops being a number, or for more
    epochs than would end.
    """
    steps = step_count(epochs, len(train.images), recipe.batch_size)
    optimizer = Optimizer(network, recipe.rates)
    early = torch.zeros(min(steps, _EARLY), 2, device=train.images.device)
    state = [*optimizer.momenta, early]
    done, curve = checkpoint.restore(network, state)
    rank, world = processes()
    replica = DistributedDataParallel(network, broadcast_buffers=False) if world > 1 else network
    watched = curve_steps(steps, recipe.curve_points) if validation else set()
    batches = islice(batch_indices(len(train.images), recipe.batch_size, steps, seed), done, None)
    bar = tqdm(batches, checkpoint.title, steps, initial=done, unit="step", disable=None)
    if validation and not curve:
        curve.append(Point(0, 0, *validate(network, validation, objective)))
    for step, batch in enumerate(bar, done + 1):
        network.train()
        mine = slice(rank, None, world)
        images, targets, place, share = examples(train, batch, augmentation, seed, step)
        logits = replica(images[mine], None if place is None else place[mine])
        losses = objective.loss(logits, targets[mine])
        if augmentation.mixup:
            losses = torch.lerp(objective.loss(logits, targets.flip(0)[mine]), losses, share[mine])
        loss = losses.sum() * (world / len(batch))  # whose mean over the processes is the batch's
        optimizer.step(loss, rate(step, steps, recipe.warmup))
        if step <= len(early):
            early[step - 1] = torch.stack([over_processes(loss), optimizer.gradient_norm()])
        due = step == steps or checkpoint.due()
        if due or step in watched:
            check(network, loss.item(), checkpoint.title, step)
        if validation and step in watched:
            score = validate(network, validation, objective)
            curve.append(Point(step, step * len(batch), *score))
            checkpoint.show(curve)
        if due:
            checkpoint.save(network, state, step, curve)
    return curve, early.cpu()


def check(network: Network, loss: float, title: str, step: int) -> None:
    """Raise InputError if the loss or, after the step, a weight is no number."""
    if not math.isfinite(loss):
        raise InputError(f"{title}: the loss is {loss} at step {step}")
    if not all(bool(parameter.isfinite().all()) for parameter in network.parameters()):
        raise InputError(f"{title}: a weight is no number after step {step}")


def examples(
    train: Labelled, batch: Tensor, augmentation: Augmentation, seed: int, step: int
) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
    """The images of a batch, float32 or uint8 [B, 1, S, S], their targets [B, ...], what is known
    beside the pixels, float32 [B, 4] or None, and, float32 [B], the share in each of what `batch`
    names: the rest is of the image at the mirrored place in the batch.
    """
    device = train.images.device
    there = batch.to(device, non_blocking=True)  # a GPU has work in hand and is not waited for
    draws = draw(len(batch), augmentation, generator(seed, step, "augment"))
    images, place = augment(train.images[there], augmentation, draws), None
    share = draws.share.to(device, non_blocking=True)
    if train.place is not None:
        place = move(train.place[batch], augmentation, draws).to(device, non_blocking=True)
    if augmentation.mixup:
        images = torch.lerp(images.flip(0), images, share[:, None, None, None])
        place = None if place is None else torch.lerp(place.flip(0), place, share[:, None])
    return images, train.targets[there], place, share


def step_count(epochs: float, images: int, batch_size: int) -> int:
    """How many batches so many epochs are. Raises InputError for more than would end."""
    if epochs * images > _MOST:
        raise InputError(f"{epochs:g} epochs of {images:,} images would not end")
    return math.ceil(epochs * images / min(batch_size, images))


def batch_indices(count: int, batch_size: int, steps: int, seed: int) -> Iterator[Tensor]:
    """`steps` batches from an endless row of permutations: every image is seen equally often."""
    size = min(batch_size, count)
    row = torch.empty(0, dtype=torch.int64)
    epoch = 0
    for _ in range(steps):
        while len(row) < size:
            row = torch.cat([row, torch.randperm(count, generator=generator(seed, epoch, "order"))])
            epoch += 1
        batch, row = row[:size], row[size:]
        yield batch


def generator(seed: int, index: int, purpose: str) -> torch.Generator:
    """A CPU generator of its own for each (seed, index, purpose)."""
    digest = hashlib.sha256(f"{seed}/{index}/{purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little"))


def rate(step: int, steps: int, warmup: float) -> float:
    """The share of the full rates at `step` of `steps`: a triangle, from near 0 to near 0."""
    rising = step / max(1.0, warmup * steps)
    falling = (steps - step + 1) / max(1.0, (1 - warmup) * steps)
    return min(1.0, rising, falling)


def curve_steps(steps: int, points: int) -> set[int]:
    """The steps after which to validate: denser early on, when most happens; the last included."""
    return {max(1, round(steps * (i / (points - 1)) ** 2)) for i in range(1, points)}


@torch.inference_mode()
def logits_of(network: Network, images: Tensor, place: Tensor | None = None) -> Tensor:
    """float32 [N, classes] of uint8 [N, 1, S, S], in eval mode, a batch at a time.

    `place` is float32 [N, 4] of hand.standardised(), for a network that takes it.
    """
    network.eval()
    batches = torch.split(images, _EVALUATION_BATCH)
    places = torch.split(place, _EVALUATION_BATCH) if place is not None else [None] * len(batches)
    return torch.cat([network(*each) for each in zip(batches, places, strict=True)])


def validate(network: Network, split: Labelled, objective: Objective) -> tuple[float, float]:
    """(mean loss, accuracy) on a split."""
    place = None if split.place is None else split.place.to(split.images.device)
    logits, targets = logits_of(network, split.images, place), split.targets
    return objective.loss(logits, targets).mean().item(), objective.accuracy(logits, targets)
