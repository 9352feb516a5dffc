"""Sheets of images, and tables of what their tiles show."""

import io
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

from handwriting.core import files
from handwriting.data.dataset import Split
from handwriting.evaluation import metrics
from handwriting.evaluation.metrics import Predictions
from handwriting.training.augmentation import Augmentation, Draws, augment, draw

COLUMNS = 12  # of a sheet
MISTAKES = {"worst": "confidence_in_actual", "confident": "confidence"}  # what each is ordered by
_TILES = 48  # of a sheet of mistakes
_LEVELS = 32  # of grey: enough for a thumbnail, at half the bytes of 256
_PERPLEXITY = 20  # neighbours of an image on the map
_AFFINE = ("rotation", "scale", "shear")  # as in Draws.affine; then come the two shifts
_COLUMNS = ["sheet", "row", "actual", "predicted", "confidence", "confidence_in_actual"]


def write(path: Path, images: NDArray[np.uint8], columns: int, scratch: Path) -> None:
    """Write a PNG of uint8 [N, 1, height, width]: tiles from left to right and from the top.

    It is `columns` tiles wide; missing tiles are dark.
    """
    count, _, height, width = images.shape
    rows = max(1, math.ceil(count / columns))
    tiles = np.zeros((rows * columns, height, width), np.uint8)
    tiles[:count] = images[:, 0]
    grid = tiles.reshape(rows, columns, height, width).transpose(0, 2, 1, 3)
    step = 255 / (_LEVELS - 1)
    coarse = (np.round(grid.reshape(rows * height, -1) / step) * step).astype(np.uint8)
    Image.fromarray(coarse).save(buffer := io.BytesIO(), format="PNG", optimize=True)
    files.write_bytes(path, buffer.getvalue(), scratch)


def show_mistakes(
    folder: Path, name: str, split: Split, predictions: Predictions, scratch: Path
) -> pd.DataFrame:
    """Write <name>.png, of MISTAKES, and return what its tiles show.

    The worst mistakes are the least confident in the true class. `split` is what was predicted.
    """
    table = metrics.table(split.classes, {"predicted": predictions})
    table = table.rename(columns={"predicted-confidence": "confidence"})
    actual = predictions.logits.softmax(1).gather(1, predictions.truth[:, None])[:, 0]
    table = table.assign(confidence_in_actual=actual.numpy(), sheet=name, row="")
    wrong = table[~predictions.correct.numpy()]
    wrong = wrong.sort_values(MISTAKES[name], ascending=name == "worst", kind="stable")
    shown = wrong.head(_TILES)
    write(folder / f"{name}.png", split.images[shown.index], COLUMNS, scratch)
    return shown[_COLUMNS]


def show_folders(path: Path, split: Split, truth: NDArray[np.int64], scratch: Path) -> None:
    """Write a PNG: for each label a row, with an image of each true class, black if it has none."""
    count = len(split.classes)
    tiles = np.zeros((count * count, *split.images.shape[1:]), np.uint8)
    pairs, first = np.unique(split.labels * count + truth, return_index=True)
    tiles[pairs] = split.images[first]
    write(path, tiles, count, scratch)


def show_map(
    folder: Path, split: Split, head: nn.Module, predict: Callable[[], Tensor], scratch: Path
) -> None:
    """Write map.png, the images of a split, and map.csv, the position of each on a map of what a
    network's head is given, in which neighbours stay close.

    t-SNE (van der Maaten and Hinton 2008, jmlr.org/papers/v9), initialised by principal components.
    Distances between far groups mean nothing. One thread and a fixed seed make it repeatable.
    """
    inputs: list[Tensor] = []
    hook = head.register_forward_pre_hook(lambda _, given: inputs.append(given[0]))
    predicted, features = predict().argmax(1), torch.cat(inputs).numpy()
    hook.remove()
    perplexity = min(_PERPLEXITY, (len(features) - 1) / 3)
    with threadpool_limits(1):
        method = TSNE(2, perplexity=perplexity, init="pca", random_state=0, n_jobs=1)
        plane = np.asarray(method.fit_transform(features), np.float32)
    actual, named = ([split.classes[i] for i in each] for each in (split.labels, predicted))
    frame = pd.DataFrame(plane.round(2), columns=["x", "y"]).assign(actual=actual, predicted=named)
    files.write_frame(folder / "map.csv", frame, scratch)
    write(folder / "map.png", split.images, 2 * COLUMNS, scratch)


def show_magnitudes(
    path: Path, split: Split, classes: Sequence[str], magnitudes: Augmentation, scratch: Path
) -> pd.DataFrame:
    """Write a PNG: a row for each augmentation of the first image of each of the classes,
    then for all augmentations together. Return the names of the rows."""
    first = [split.labels.tolist().index(split.classes.index(each)) for each in classes]
    names, rows = zip(*augmented(torch.from_numpy(split.images[first]), magnitudes), strict=True)
    tiles = torch.cat(rows).round().clamp(0, 255).byte().numpy()
    write(path, tiles, len(first), scratch)
    return pd.DataFrame({"sheet": "magnitudes", "row": names}, columns=_COLUMNS)


def augmented(images: Tensor, magnitudes: Augmentation) -> Iterator[tuple[str, Tensor]]:
    """Yield the name and the images, float32 [B, 1, S, S] from 0 to 255, of each row of the sheet.

    An augmentation of one range goes from its lower end on the left to its upper end.
    """
    count, off = len(images), Augmentation()
    span = torch.linspace(-1, 1, count)
    yield "as framed", images.float()
    for name, value in asdict(magnitudes).items():
        if value and not name.startswith("geometry"):  # which is not visible
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
