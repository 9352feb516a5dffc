"""Measure what several views of an image and several networks add, on crossvalidate's own folds.

reads   artifacts/<source>/folds/, ablation/artifacts/<source>/members/,
        data/tensors/<source>/characters/, data/tensors/<source>/characters-hands.csv
writes  metrics/<source>/views.csv
params  ablation.views
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from handwriting.characters import protocols as reader
from handwriting.characters import writer_model as hand
from handwriting.core import cli as entry
from handwriting.core import files, params
from handwriting.data import dataset, folds
from handwriting.data.dataset import Split
from handwriting.evaluation import metrics as measures
from handwriting.evaluation import paired
from handwriting.evaluation.metrics import Answers
from handwriting.training import model
from handwriting.training.augmentation import Augmentation, augment, draw

_COLUMNS = (
    *("way", "reading", "networks", "views", "accuracy", "sd", "folds", "images"),
    *("difference", "low", "high", "difference_sd", "loss", "calibration_error"),
)
Strength = Annotated[float, Field(ge=0)]


@params.section
class Views:
    """How the views differ from the image itself: each to either side, one at a time."""

    rotation: Strength  # see Augmentation in handwriting/training/augmentation.py
    scale: Strength
    shear: Strength


class Images(NamedTuple):
    """All images, in the order of their tensors, and the fold that holds each out."""

    split: Split
    hands: NDArray[np.str_]
    fold: NDArray[np.int64]  # [N]


def main(scratch: Path, source: str) -> None:
    torch.set_num_threads(1)
    tensors, folder = Path(f"data/tensors/{source}"), Path(f"artifacts/{source}/folds")
    split = dataset.load_all(tensors / "characters")
    hands = np.array(dataset.load_hands(tensors / "characters-hands.csv"))
    strength = params.load("ablation.views", Views)
    table = files.read_csv(folder / "folds.csv")
    known, new = (
        Images(split, hands, np.array([int(row[way]) for row in table], np.int64))
        for way in (folds.KNOWN, folds.NEW)
    )
    further = sorted(Path(f"ablation/artifacts/{source}/members").glob("*.pt"))
    rows: list[tuple[Any, ...]] = []
    for reading, told in (("alone", False), ("same hand", True)):
        first = probabilities(folder / f"{folds.KNOWN}.pt", known, told, strength)
        other = probabilities(folder / f"{folds.NEW}.pt", new, told, strength)
        ways = {folds.KNOWN: (known, [first]), folds.NEW: (new, [other])}
        # Neither has learnt from the image, though the first has from others by its writer.
        ways["both"] = (known, [first, other])
        if further:
            more = [probabilities(path, known, told, strength) for path in further]
            ways["members"] = (known, [first, *more])
        for way, (images, said) in ways.items():
            rows += [(way, reading, *row) for row in compare(torch.stack(said), images)]
    files.write_csv(Path(f"metrics/{source}/views.csv"), _COLUMNS, rows, scratch)
    for way, reading, networks, number, accuracy, sd, _, _, apart, low, high, *_ in rows:
        print(
            f"{way:12}{reading:11}{networks} networks, {number} views {100 * accuracy:6.2f}%"
            f" (sd {100 * sd:.2f}) {100 * apart:+6.2f} [{100 * low:+.2f}, {100 * high:+.2f}]"
        )


def probabilities(path: Path, images: Images, told: bool, strength: Views) -> Tensor:
    """float32 [views, N, classes]: what the networks of the folds in a checkpoint say of the images
    that they have not learnt from, with their writers `told` or not."""
    networks = [network for network, _ in model.load_all(path)]
    others = hand.others(images.hands.tolist())
    said = []
    for seen in views(torch.from_numpy(images.split.images), strength):
        logits = reader.unseen(networks, images.split, images.fold, seen)
        if told:
            logits = reader.beside(networks, images.split, images.fold, logits, others)
        said.append(logits.softmax(1))
    return torch.stack(said)


def views(images: Tensor, strength: Views) -> Iterator[Tensor]:
    """[N, 1, S, S] from 0 to 255: the images as they are, then turned, scaled and slanted."""
    yield images
    affine = {"rotation": strength.rotation, "scale": strength.scale, "shear": strength.shear}
    changes = Augmentation(**affine)
    draws = draw(len(images), changes, torch.Generator().manual_seed(0))
    for i, value in enumerate(affine.values()):
        for side in (-1, 1) if value else ():
            chosen = torch.zeros_like(draws.affine)
            chosen[i] = side
            yield augment(images, changes, draws._replace(affine=chosen))


def compare(said: Tensor, images: Images) -> Iterator[tuple[Any, ...]]:
    """The rest of a row of _COLUMNS for one network and all, one view and all.

    `said` is float32 [networks, views, N, classes].
    """
    truth = torch.from_numpy(images.split.labels)
    networks, number = said.shape[:2]
    base = said[0, 0].argmax(1).eq(truth).numpy()
    for n, v in dict.fromkeys([(1, 1), (1, number), (networks, 1), (networks, number)]):
        mean = said[:n, :v].mean((0, 1))
        answers = Answers(mean.clamp(min=1e-12).log(), truth)
        right = answers.right.numpy()
        apart = paired.difference(base, right, images.fold, images.hands.tolist())
        interval = (apart.low, apart.high) if (n, v) != (1, 1) else (0.0, 0.0)
        yield (
            *(n, v, *paired.accuracy(right, images.fold)),
            *(int(images.fold.max()) + 1, len(truth), apart.mean, *interval, apart.deviation),
            *(measures.measure([answers])["loss"], measures.calibration_error(answers)),
        )


if __name__ == "__main__":
    entry.run(main)
