"""The images of an archive as a table: its order, its splits, equal and similar images."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations, combinations_with_replacement
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from handwriting.core.errors import InputError
from handwriting.data import duplicates
from handwriting.data.dataset import Split
from handwriting.preprocessing.pixels import Pixels
from handwriting.preprocessing.settings import Framing, Images

COMPARED = 300_000  # images among which near-duplicates are looked for: pairs grow as the square
_LISTED = 1 << 16  # images whose numbers are Python's at a time
Splits = Mapping[str, NDArray[np.intp]]  # the images of each split, in its order


class Table(NamedTuple):
    """All images of an archive, in its order, with the archive's name of each."""

    pixels: Pixels
    labels: NDArray[np.int64]  # [N], indices into classes
    geometry: NDArray[np.float32]  # [N, 4] as framing.Framed has it, [N, 0] without a canvas
    digests: duplicates.Digests  # [N], of the framed pixels
    keys: duplicates.Digests  # [N], of the ink
    classes: tuple[str, ...]
    path: Callable[[int], str]  # of an image, by its index

    def split(self, rows: NDArray[np.intp], framing: Framing) -> Split:
        """Return a split of these images, of which the pixels are left out: all are 0."""
        shape = len(rows), 1, framing.image_size, framing.image_size
        empty = np.broadcast_to(np.uint8(0), shape)  # of a byte
        labels, geometry = self.labels[rows], self.geometry[rows]
        return Split(empty, labels, geometry, self.classes, framing.ink_size)

    def sources(self, splits: Splits) -> Iterator[tuple[str, int, str]]:
        """Yield (split, row, path in the archive) of every image."""
        for name, rows in splits.items():
            for start in range(0, len(rows), _LISTED):
                for row, image in enumerate(rows[start : start + _LISTED].tolist(), start):
                    yield name, row, self.path(image)


def divide(table: Table, images: Images) -> Splits:
    """Return the images of each split, sorted by key.

    The last `images.test` images are the test split. Of the others, the first of each class are
    the validation split. An image that occurs twice, anywhere on its canvas, is in train. Names
    and order in the archive have no influence.
    """
    labels, size = table.labels, images.train
    order, test = (
        rows.start + np.lexsort([labels[rows], table.digests[rows], table.keys[rows]])
        for rows in (slice(0, size), slice(size, len(labels)))
    )
    _, group, repeats = np.unique(table.digests[:size], return_inverse=True, return_counts=True)
    single = (repeats[group] == 1)[order]
    held_out = np.zeros(size, bool)
    for label in range(len(table.classes)):
        of_class = labels[order] == label
        chosen = round((images.validation or 0) * of_class.sum())
        held_out[np.flatnonzero(of_class & single)[:chosen]] = True
    rows = {"train": order[~held_out], "validation": order[held_out], "test": test}
    wanted = {"train": True, "validation": images.validation is not None, "test": images.test}
    return {name: each for name, each in rows.items() if wanted[name]}


def refuse(where: Path | str, faults: Mapping[str, Sequence[object]]) -> None:
    """Raise InputError listing every fault by kind, if there is any."""
    kinds = [f"{kind}: {', '.join(map(str, each))}" for kind, each in faults.items() if each]
    if kinds:
        raise InputError(f"{where}: {'; '.join(kinds)}")


def check(archive: Path, table: Table, splits: Splits) -> None:
    """Raise InputError for a split without images and for images in two splits."""
    digests = table.digests
    shared = [
        f"{table.path(rows[i])} of {one} is {table.path(others[j])} of {two}"
        for (one, rows), (two, others) in combinations(splits.items(), 2)
        for equal in [np.intersect1d(digests[rows], digests[others], return_indices=True)]
        for i, j in zip(*equal[1:], strict=True)
    ]
    empty = [name for name, rows in splits.items() if not len(rows)]
    refuse(archive, {"splits without an image": empty, "images in two splits": sorted(shared)})


def summary(table: Table, splits: Splits) -> dict[str, Any]:
    """Return the number of images by split and class, and of equal and similar ones."""
    classes, labels, digests = table.classes, table.labels, table.digests
    counts = {
        name: np.bincount(labels[rows], minlength=len(classes)).tolist()
        for name, rows in splits.items()
    }
    images = {name: sum(each) for name, each in counts.items()}
    return {
        "images": images,
        "of_class": {name: dict(zip(classes, each, strict=True)) for name, each in counts.items()},
        "repeated": {n: images[n] - len(np.unique(digests[rows])) for n, rows in splits.items()},
        "near_duplicates": near_duplicates(table, splits),
    }


def near_duplicates(table: Table, splits: Splits) -> dict[str, Any]:
    """Return the number of pairs of different images that are nearly the same, by their splits.

    Of more than COMPARED images, these are the ones with the lowest digests, a random sample, and
    the result says how many were `examined`.
    """
    names, order = list(splits), np.concatenate(list(splits.values()))
    split_in_order = np.repeat(np.arange(len(names), dtype=np.int8), [*map(len, splits.values())])
    _, distinct = np.unique(table.digests[order], return_index=True)
    examined = {"examined": COMPARED} if len(distinct) > COMPARED else {}
    distinct = np.sort(distinct[:COMPARED])
    images, rows = table.pixels.of(order[distinct])
    split_of, like_train = np.empty(len(images), np.int8), np.zeros(len(images), bool)
    split_of[rows] = split_in_order[distinct]
    pairs = np.zeros((len(names), len(names)), np.int64)
    for one, two in duplicates.near(images, rows):
        np.add.at(pairs, tuple(np.sort([split_of[one], split_of[two]], axis=0)), 1)
        like_train[one[split_of[two] == 0]] = like_train[two[split_of[one] == 0]] = True
    like, kinds = split_of[like_train], combinations_with_replacement(enumerate(names), 2)
    pixels = images[0].size
    return examined | {
        "pixels": pixels,
        "differing_at_most": duplicates.tolerance(pixels),
        "pairs": {f"{one} {two}": int(pairs[i, j]) for (i, one), (j, two) in kinds},
        "like_one_of_train": {name: int((like == i).sum()) for i, name in enumerate(names)},
    }


def sentence(summary: Mapping[str, Any]) -> str:
    """Return the summary in words: images of each split, and near-duplicates of training images."""
    found = summary["near_duplicates"]
    near = (f"{count:,} in {name}" for name, count in found["like_one_of_train"].items() if count)
    images = ", ".join(f"{count:,} {name}" for name, count in summary["images"].items())
    among = f", looked for among {found['examined']:,}" if "examined" in found else ""
    return f"{images} images; near-duplicates of train: {', '.join(near) or 'none'}{among}"
