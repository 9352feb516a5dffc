"""A split of a data set at rest: a safetensors file, which needs neither pickle nor torch."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from handwriting.core import files
from handwriting.core.errors import InputError


@dataclass(frozen=True, slots=True)
class Split:
    """Images with their labels, ready for a network."""

    images: NDArray[np.uint8]  # [N, 1, size, size], bright ink on dark
    labels: NDArray[np.int64]  # [N], indices into classes
    place: NDArray[np.float32]  # [N, 4] as images.Framed has it, [N, 0] where there is no canvas
    classes: tuple[str, ...]
    box: int  # the ink's longer side in pixels; how a new image must be framed

    def rows(self, chosen: NDArray[np.intp] | slice) -> "Split":
        """The split of these rows, in this order; of a slice, it shares their memory."""
        images, labels, place = self.images[chosen], self.labels[chosen], self.place[chosen]
        return Split(images, labels, place, self.classes, self.box)

    def of_classes(self, classes: Sequence[str]) -> "Split":
        """The rows of the first classes, `classes`, alone."""
        chosen = self.rows(np.flatnonzero(self.labels < len(classes)))
        return replace(chosen, classes=tuple(classes))


def join(first: Split, second: Split) -> Split:
    """The rows of both, of the same classes and framing. Raises InputError if they are not."""
    if (first.classes, first.box, first.images.shape[1:]) != (
        *(second.classes, second.box, second.images.shape[1:]),
    ):
        raise InputError("two splits of other classes or framings do not belong together")
    images, labels, place = (
        np.concatenate([getattr(first, name), getattr(second, name)])
        for name in ("images", "labels", "place")
    )
    return Split(images, labels, place, first.classes, first.box)


def load_all(folder: Path) -> Split:
    """The rows of train, then those of validation: for trainings that hold nothing out."""
    return join(*(load(folder / f"{name}.safetensors") for name in ("train", "validation")))


def load_hands(path: Path) -> list[str]:
    """Whose hand wrote each row of load_all(). Raises InputError naming the file."""
    try:
        return [row["hand"] for row in files.read_csv(path)]
    except KeyError as error:
        raise InputError(f"{path}: it has no column {error}") from None


def store(split: Split, path: Path, scratch: Path) -> None:
    """Write a split; equal splits give equal bytes."""
    columns: dict[str, NDArray[Any]] = {
        "images": split.images,
        "labels": split.labels,
        "place": split.place,
    }
    # The library writes the memory that an array begins at, and asks that it be in order.
    tensors = {name: np.ascontiguousarray(column) for name, column in columns.items()}
    # One metadata entry: it writes several in no fixed order.
    about = json.dumps({"classes": split.classes, "box": split.box})
    with files.replacing(path, scratch) as temporary:
        try:
            save_file(tensors, temporary, {"about": about})
        except SafetensorError as error:
            raise InputError(f"{path}: cannot be written: {error}") from None


def load(path: Path) -> Split:
    """Read a split. Raises InputError naming the file if it is missing or not one."""
    try:
        with safe_open(path, framework="numpy") as file:
            about = json.loads(file.metadata()["about"])
            images, labels, place = map(file.get_tensor, ("images", "labels", "place"))
            return checked(Split(images, labels, place, tuple(about["classes"]), about["box"]))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not a split of tensors: {error}") from None


def checked(split: Split) -> Split:
    """The split. Raises ValueError if it is none: of other types or lengths than it says."""
    images, labels, place = split.images, split.labels, split.place
    kinds = [(each.dtype.name, each.ndim) for each in (images, labels, place)]
    if kinds != [("uint8", 4), ("int64", 1), ("float32", 2)]:
        raise ValueError(f"its columns are {kinds}")
    if not len(images) == len(labels) == len(place) or images.shape[2] != images.shape[3]:
        raise ValueError(f"its columns are of {images.shape}, {labels.shape} and {place.shape}")
    if len(labels) and (labels.min() < 0 or labels.max() >= len(split.classes)):
        raise ValueError(f"a label is none of its {len(split.classes)} classes")
    return split
