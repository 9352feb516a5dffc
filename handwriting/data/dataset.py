"""A split of a data set on disk: a safetensors file, which needs neither pickle nor torch."""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from itertools import chain
from mmap import MADV_DONTNEED, mmap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from handwriting.core import files, seeds
from handwriting.core.errors import InputError

_COLUMNS = ("images", "labels", "geometry")
_DTYPES = {"labels": "I64", "geometry": "F32", "images": "U8"}  # in the order of a file
_KINDS: dict[str, Any] = {"U8": np.uint8, "I64": np.int64, "F32": np.float32}
_LARGE, _BLOCK = 1 << 28, 1 << 26  # bytes; MNIST's images are 2^26


@dataclass(frozen=True)
class Split:
    """Images with their labels, ready for a network.

    Of a split that load() returned they are in a memory-mapped file: they take no memory that other
    processes, or other files, could not have. Nothing is written to it.
    """

    images: NDArray[np.uint8]  # [N, 1, size, size], bright ink on dark
    labels: NDArray[np.int64]  # [N], indices into classes
    geometry: NDArray[np.float32]  # [N, 4] as framing.Framed has it, [N, 0] without a canvas
    classes: tuple[str, ...]
    ink_size: int  # longer side of the ink in pixels; how a new image must be framed

    @cached_property
    def digest(self) -> str:
        """The sha256 of all that it holds, which a copy in another process need not find again."""
        head = np.frombuffer(f"{self.classes} {self.ink_size}".encode(), np.uint8)
        return digest(head, self.images, self.labels, self.geometry)

    def rows(self, chosen: NDArray[np.intp] | slice) -> "Split":
        """Return the split of these rows, in this order; of a slice, as views."""
        images, labels, geometry = self.images[chosen], self.labels[chosen], self.geometry[chosen]
        return Split(images, labels, geometry, self.classes, self.ink_size)

    def of_classes(self, classes: Sequence[str]) -> "Split":
        """Return the rows of the first classes, `classes`, only."""
        chosen = self.rows(np.flatnonzero(self.labels < len(classes)))
        return replace(chosen, classes=tuple(classes))


def digest(*arrays: NDArray[Any]) -> str:
    """Return the sha256 of the values of arrays."""
    found = sha256()
    for each in arrays:
        values = np.ascontiguousarray(each).reshape(-1).view(np.uint8)
        for start in range(0, len(values), _BLOCK):
            found.update(values[start : start + _BLOCK].data)
            if isinstance(each.base, mmap):  # let go of what was read
                each.base.madvise(MADV_DONTNEED)
    return found.hexdigest()


def is_large(array: NDArray[Any]) -> bool:
    """Return whether an array is a whole column of a file, so large that it is read by the row."""
    return isinstance(array.base, mmap) and array.nbytes > _LARGE


def take(images: NDArray[np.uint8], rows: NDArray[np.intp]) -> NDArray[np.uint8]:
    """Return some rows of a column.

    What is touched of a memory-mapped file stays in memory while there is room, with megabytes
    around it. So the rows of a large one are read.
    """
    if not is_large(images) or not isinstance(images, np.memmap):
        return images[rows]
    found = np.empty((len(rows), *images.shape[1:]), images.dtype)
    with Path(str(images.filename)).open("rb", 0) as file:
        for row, into in zip(rows.tolist(), found, strict=True):
            os.preadv(file.fileno(), [into.data], images.offset + row * into.nbytes)
    return found


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
        with safe_open(path, framework="numpy") as file:  # which checks the header
            about = json.loads(file.metadata()["about"])
        images, labels, geometry = _mapped(path)
        return checked(Split(images, labels, geometry, tuple(about["classes"]), about["ink_size"]))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not a split of tensors: {error}") from None


def _mapped(path: Path) -> Iterator[NDArray[Any]]:
    """Yield the columns of a safetensors file, in memory when they are used.

    The format: the length of the header in 8 bytes, the header in JSON, the values.
    """
    with path.open("rb") as file:
        start = 8 + int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(start - 8))
    for name in _COLUMNS:
        about = header[name]
        kind, shape, (begin, end) = _KINDS[about["dtype"]], about["shape"], about["data_offsets"]
        # A file cannot be mapped from its end, where a column without values may stand.
        empty = begin == end
        offset = start + begin
        yield np.empty(shape, kind) if empty else np.memmap(path, kind, "c", offset, tuple(shape))


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
