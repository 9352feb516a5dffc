"""Sheets of images, and tables of what their tiles show."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from handwriting.core import files
from handwriting.data.dataset import Split
from handwriting.evaluation import embedding, metrics, sheets
from handwriting.evaluation.metrics import Predictions
from handwriting.training.augmentation import Augmentation, Draws, augment, draw

COLUMNS = 12  # of a sheet
_TILES = 48  # of a sheet of mistakes
_AFFINE = ("rotation", "scale", "shear")  # as in Draws.affine; then come the two shifts
TILES = ("sheet", "row", "actual", "predicted", "confidence", "confidence_in_actual")
Tile = tuple[str, str, str, str, float | str, float | str]  # of TILES: a mistake, or a row's name


def show_worst(path: Path, split: Split, predictions: Predictions, scratch: Path) -> list[Tile]:
    """Write <path>.png of the mistakes least confident in the true class, and return its tiles.

    The predictions are for the rows of `split`.
    """
    return _show_mistakes(path, split, predictions, scratch, "confidence_in_actual", True)


def show_confident(path: Path, split: Split, predictions: Predictions, scratch: Path) -> list[Tile]:
    """The same for the most confident mistakes."""
    return _show_mistakes(path, split, predictions, scratch, "confidence", False)


def _show_mistakes(
    path: Path, split: Split, predictions: Predictions, scratch: Path, key: str, ascending: bool
) -> list[Tile]:
    """Write the first mistakes by a column of their table."""
    table = metrics.table(split.classes, {"predicted": predictions})
    table = table.rename(columns={"predicted-confidence": "confidence"})
    probabilities = predictions.logits.softmax(1).numpy()
    table["confidence_in_actual"] = probabilities[table.index, predictions.truth]
    wrong = table[~predictions.correct.numpy()].sort_values(key, ascending=ascending, kind="stable")
    shown = wrong.head(_TILES).assign(sheet=path.stem, row="")
    sheets.write(path.with_suffix(".png"), split.images[shown.index], COLUMNS, scratch)
    return list(shown[list(TILES)].itertuples(index=False, name=None))


def show_folders(folder: Path, split: Split, scratch: Path) -> None:
    """Write folders.png: for each label a row of its first images, which are in random order."""
    tiles = np.zeros((len(split.classes) * COLUMNS, *split.images.shape[1:]), np.uint8)
    for label in range(len(split.classes)):
        rows = np.flatnonzero(split.labels == label)[:COLUMNS]
        tiles[label * COLUMNS :][: len(rows)] = split.images[rows]
    sheets.write(folder / "folders.png", tiles, COLUMNS, scratch)


def show_map(path: Path, split: Split, features: Tensor, predicted: Tensor, scratch: Path) -> None:
    """Write <path>.csv, the position of each image on a map of its features, float32 [N, F], and
    <path>.png, the images."""
    x, y = embedding.plane(features).round(2).T.tolist()
    actual, named = ([split.classes[i] for i in each] for each in (split.labels, predicted))
    rows = zip(x, y, actual, named, strict=True)
    files.write_csv(path.with_suffix(".csv"), ("x", "y", "actual", "predicted"), rows, scratch)
    sheets.write(path.with_suffix(".png"), split.images, 2 * COLUMNS, scratch)


def first_images(split: Split, classes: str) -> NDArray[np.uint8]:
    """Return the first image of each of the classes, [N, 1, S, S]."""
    rows = [np.flatnonzero(split.labels == split.classes.index(each))[0] for each in classes]
    return split.images[rows]


def show_magnitudes(
    path: Path, images: NDArray[np.uint8], magnitudes: Augmentation, scratch: Path
) -> list[Tile]:
    """Write <path>.png: a row for each augmentation of images uint8 [N, 1, S, S], then for all."""
    table = list(augmented_rows(torch.from_numpy(images), magnitudes))
    tiles = torch.cat([row for _, row in table]).round().clamp(0, 255).byte().numpy()
    sheets.write(path.with_suffix(".png"), tiles, len(images), scratch)
    return [(path.stem, name, "", "", "", "") for name, _ in table]


def augmented_rows(images: Tensor, magnitudes: Augmentation) -> Iterator[tuple[str, Tensor]]:
    """Yield the name and the images, float32 [B, 1, S, S] from 0 to 255, of each row of the sheet.

    An augmentation of one range goes from its lower end on the left to its upper end.
    """
    count, off = len(images), Augmentation()
    span = torch.linspace(-1, 1, count)
    yield "as framed", images.float()
    for name, value in asdict(magnitudes).items():
        if not value or name == "geometry":  # not visible
            continue
        single = replace(off, **{name: value})
        draws = _spread(draw(count, single, torch.Generator().manual_seed(0)), name, span)
        yield f"{name} {value:g}", _mixed(augment(images, single, draws), draws)
    for seed, name in enumerate(("all, sampled", "sampled again")):
        draws = draw(count, magnitudes, torch.Generator().manual_seed(seed))
        yield name, _mixed(augment(images, magnitudes, draws), draws)


def _spread(draws: Draws, name: str, span: Tensor) -> Draws:
    """Return draws in which the images go through the range of one augmentation, float32 [B]."""
    affine = torch.zeros_like(draws.affine)
    if name in _AFFINE:
        affine[_AFFINE.index(name)] = span
    elif name == "shift":
        affine[len(_AFFINE) :] = torch.stack([span, -span])
    share = span / 4 + 0.75 if name == "mixup" else draws.share  # the other image's: half to none
    return draws._replace(affine=affine, aspect=span, stroke=span, share=share)


def _mixed(images: Tensor, draws: Draws) -> Tensor:
    """Return each image mixed with the one at the mirrored position, as in training."""
    return torch.lerp(images.flip(0), images, draws.share[:, None, None, None])
