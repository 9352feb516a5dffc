"""A split of a data set on disk: a safetensors file, which needs neither pickle nor torch."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from handwriting.core import files, seeds
from handwriting.core.errors import InputError

_COLUMNS = ("images", "labels", "geometry")
_DTYPES = {"labels": "I64", "geometry": "F32", "images": "U8"}  # in the order of a file


@dataclass(frozen=True, slots=True)
class Split:
    """Images with their labels, ready for a network."""

    images: NDArray[np.uint8]  # [N, 1, size, size], bright ink on dark
    labels: NDArray[np.int64]  # [N], indices into classes
    geometry: NDArray[np.float32]  # [N, 4] as framing.Framed has it, [N, 0] without a canvas
    classes: tuple[str, ...]
    ink_size: int  # longer side of the ink in pixels; how a new image must be framed

    def rows(self, chosen: NDArray[np.intp] | slice) -> "Split":
        """Return the split of these rows, in this order; of a slice, as views."""
        images, labels, geometry = self.images[chosen], self.labels[chosen], self.geometry[chosen]
        return Split(images, labels, geometry, self.classes, self.ink_size)

    def of_classes(self, classes: Sequence[str]) -> "Split":
        """Return the rows of the first classes, `classes`, only."""
        chosen = self.rows(np.flatnonzero(self.labels < len(classes)))
        return replace(chosen, classes=tuple(classes))


def join(first: Split, second: Split) -> Split:
    """Return the rows of both. Raises InputError if classes or framing differ."""
    one, other = ((x.classes, x.ink_size, x.images.shape[1:]) for x in (first, second))
    if one != other:
        raise InputError("cannot join two splits with different classes or framing")
    pairs = ([getattr(each, name) for each in (first, second)] for name in _COLUMNS)
    images, labels, geometry = map(np.concatenate, pairs)
    return Split(images, labels, geometry, first.classes, first.ink_size)


def per_class(labels: NDArray[np.int64], images: int, seed: int) -> NDArray[np.intp]:
    """Return the rows of `images` images of each class, chosen by `seed`: int64 [classes * images].

    A larger number with the same seed includes the smaller. Raises InputError if a class has fewer.
    """
    random = np.random.default_rng(seeds.number("labels per class", seed))
    order = random.permutation(len(labels))
    chosen = []
    for label in np.unique(labels):
        rows = order[labels[order] == label]
        if len(rows) < images:
            wanted = f"{images} images of each class are asked for"
            raise InputError(f"params.yaml: labels: {wanted}, and class {label} has {len(rows)}")
        chosen.append(rows[:images])
    return np.sort(np.concatenate(chosen))


def load_writers(path: Path) -> list[str]:
    """Return the writer ID of each row. Raises InputError naming the file."""
    try:
        return [row["writer"] for row in files.read_csv(path)]
    except KeyError as error:
        raise InputError(f"{path}: no column {error}") from None


def store(
    split: Split, path: Path, scratch: Path, blocks: Iterable[NDArray[np.uint8]] | None = None
) -> None:
    """Write a split; equal splits give equal bytes. Raises InputError if it cannot be written.

    The images can come in `blocks` of rows: then of `split.images` only the shape counts.
    """
    header = _header(split)
    with files.replacing(path, scratch) as temporary:
        try:
            with temporary.open("wb") as file:
                file.write(len(header).to_bytes(8, "little") + header)
                for column in chain([split.labels, split.geometry], blocks or [split.images]):
                    file.write(np.ascontiguousarray(column).data)
        except OSError as error:
            raise InputError(f"{path}: cannot be written: {error}") from None


def _header(split: Split) -> bytes:
    """Return the header that the safetensors library writes."""
    # One metadata entry: the library writes several in no fixed order.
    about = json.dumps({"classes": split.classes, "ink_size": split.ink_size})
    header: dict[str, Any] = {"__metadata__": {"about": about}}
    end = 0
    for name, dtype in _DTYPES.items():
        column = getattr(split, name)
        begin, end = end, end + column.nbytes
        header[name] = {"dtype": dtype, "shape": column.shape, "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    return text.ljust(-(-len(text) // 8) * 8)


def load(path: Path) -> Split:
    """Read a split. Raises InputError naming the file if it is missing or invalid."""
    try:
        with safe_open(path, framework="numpy") as file:
            about = json.loads(file.metadata()["about"])
            images, labels, geometry = map(file.get_tensor, _COLUMNS)
            split = Split(images, labels, geometry, tuple(about["classes"]), about["ink_size"])
            return checked(split)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not a split of tensors: {error}") from None


def load_splits(source: str, name: str, *parts: str) -> list[Split]:
    """Read splits of a source's data set."""
    return [load(Path(f"data/tensors/{source}/{name}/{part}.safetensors")) for part in parts]


def load_characters(source: str) -> tuple[Split, list[str]]:
    """Read question one's images, and the writer ID of each."""
    folder = Path(f"data/tensors/{source}/characters")
    return load(folder / "train.safetensors"), load_writers(folder / "writers.csv")


def checked(split: Split) -> Split:
    """Return the split. Raises ValueError if types, lengths or labels are inconsistent."""
    images, labels, geometry = split.images, split.labels, split.geometry
    types = [(each.dtype.name, each.ndim) for each in (images, labels, geometry)]
    if types != [("uint8", 4), ("int64", 1), ("float32", 2)]:
        raise ValueError(f"its columns are {types}")
    if not len(images) == len(labels) == len(geometry) or images.shape[2] != images.shape[3]:
        raise ValueError(f"its columns are of {images.shape}, {labels.shape} and {geometry.shape}")
    if len(labels) and (labels.min() < 0 or labels.max() >= len(split.classes)):
        raise ValueError(f"a label is outside its {len(split.classes)} classes")
    return split
