"""Pictures of images and of what was said of them: sheets of tiles, and tables of what they are."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from handwriting.core import files
from handwriting.data.dataset import Split
from handwriting.evaluation import sheets
from handwriting.evaluation.metrics import Answers
from handwriting.training.augmentation import Augmentation, Draws, augment, draw

COLUMNS = 12  # of a sheet
_SHOWN = 48  # images of a sheet
_AFFINE = ("rotation", "scale", "shear")  # as in Draws.affine; then come the two shifts
TILES = ("sheet", "row", "actual", "predicted", "confidence", "confidence_in_actual")
Tile = tuple[str, str, str, str, float | str, float | str]  # of TILES: a mistake, or a row's name


def show_worst(path: Path, split: Split, run: Answers, scratch: Path) -> list[Tile]:
    """The wrong answers given least to the truth, as pictures, <path>.png. The rows of `run` are
    those of `split`."""
    return _show_wrong(path, split, run, _given_to_the_truth(run), scratch)


def show_confident(path: Path, split: Split, run: Answers, scratch: Path) -> list[Tile]:
    """The same for the wrong answers that are most sure."""
    return _show_wrong(path, split, run, -run.logits.softmax(1).amax(1), scratch)


def _given_to_the_truth(run: Answers) -> Tensor:
    return run.logits.softmax(1).gather(1, run.truth[:, None])[:, 0]


def _show_wrong(path: Path, split: Split, run: Answers, order: Tensor, scratch: Path) -> list[Tile]:
    """The first of the wrong answers, by `order`, float32 [N]."""
    confidence, said = run.logits.softmax(1).max(1)
    given = _given_to_the_truth(run)
    wrong = np.flatnonzero(~run.right.numpy())
    rows = wrong[np.argsort(order.numpy()[wrong], kind="stable")][:_SHOWN]
    picture = sheets.sheet(split.images[rows], COLUMNS)
    files.write_bytes(path.with_suffix(".png"), picture, scratch)
    names = ((split.classes[run.truth[i]], split.classes[said[i]]) for i in rows)
    sure = ((float(confidence[i]), float(given[i])) for i in rows)
    return [(path.stem, "", *each, *how) for each, how in zip(names, sure, strict=True)]


def firsts(split: Split, classes: str) -> NDArray[np.uint8]:
    """[N, 1, S, S]: the first image of each of the classes."""
    rows = [np.flatnonzero(split.labels == split.classes.index(each))[0] for each in classes]
    return split.images[rows]


def at_strength(images: Tensor, strength: Augmentation) -> Iterator[tuple[str, Tensor]]:
    """(name and strength, float32 [B, 1, S, S] from 0 to 255) of each row of the sheet.

    What has one range goes from its lower end, on the left, to its upper end; the rest is drawn.
    """
    count, off = len(images), Augmentation(**dict.fromkeys(asdict(strength), 0))
    span = torch.linspace(-1, 1, count)
    yield "as framed", images.float()
    for name, value in asdict(strength).items():
        if not value or name == "place":  # noise on numbers cannot be seen
            continue
        alone = replace(off, **{name: value})
        draws = spread(draw(count, alone, torch.Generator().manual_seed(0)), name, span)
        yield f"{name} {value:g}", mixed(augment(images, alone, draws), draws)
    for seed, name in enumerate(("all, drawn", "drawn again")):
        draws = draw(count, strength, torch.Generator().manual_seed(seed))
        yield name, mixed(augment(images, strength, draws), draws)


def spread(draws: Draws, name: str, span: Tensor) -> Draws:
    """Draws of one augmentation whose range the images go through, float32 [B] from -1 to 1."""
    affine = torch.zeros_like(draws.affine)
    if name in _AFFINE:
        affine[_AFFINE.index(name)] = span
    elif name == "shift":
        affine[len(_AFFINE) :] = torch.stack([span, -span])
    share = span / 4 + 0.75 if name == "mixup" else draws.share  # the other image's: half to none
    return draws._replace(affine=affine, aspect=span, stroke=span, share=share)


def mixed(images: Tensor, draws: Draws) -> Tensor:
    """Each image with the one at the mirrored place, as a training mixes them."""
    return torch.lerp(images.flip(0), images, draws.share[:, None, None, None])


def show_strengths(
    path: Path, images: NDArray[np.uint8], strength: Augmentation, scratch: Path
) -> list[Tile]:
    """Each augmentation alone, then all: a row of <path>.png of images uint8 [N, 1, S, S]."""
    table = list(at_strength(torch.from_numpy(images), strength))
    tiles = torch.cat([row for _, row in table]).round().clamp(0, 255).byte().numpy()
    picture = sheets.sheet(tiles, len(images))
    files.write_bytes(path.with_suffix(".png"), picture, scratch)
    return [(path.stem, name, "", "", "", "") for name, _ in table]


def show_folders(folder: Path, split: Split, scratch: Path) -> None:
    """A row of the sheet for each given label: its first images, by the hash of their pixels."""
    tiles = np.zeros((len(split.classes) * COLUMNS, *split.images.shape[1:]), np.uint8)
    for label in range(len(split.classes)):
        rows = np.flatnonzero(split.labels == label)[:COLUMNS]
        tiles[label * COLUMNS :][: len(rows)] = split.images[rows]
    files.write_bytes(folder / "folders.png", sheets.sheet(tiles, COLUMNS), scratch)
