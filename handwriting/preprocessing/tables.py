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
from handwriting.preprocessing.settings import Images

_BLOCK = 16  # pixels of each image moved at a time
Splits = Mapping[str, slice]  # the rows of each split, in the order of the table


class Table(NamedTuple):
    """All images of an archive, with the archive's name of each.

    Every column is in memory once: a split is a slice of the rows.
    """

    split: Split
    digests: duplicates.Digests  # of the framed pixels
    members: NDArray[np.intp]  # [N], index of each image in the archive
    path: Callable[[int], str]  # of a member, by its index

    def arrange(self, order: NDArray[np.intp]) -> None:
        """Reorder all columns in place, the pixels some at a time."""
        pixels = self.split.images.reshape(len(order), -1)
        columns: list[NDArray[Any]] = [
            *(pixels[:, i : i + _BLOCK] for i in range(0, pixels.shape[1], _BLOCK)),
            *(self.split.labels, self.split.geometry, self.digests, self.members),
        ]
        for column in columns:
            column[:] = column[order]

    def sources(self, splits: Splits) -> Iterator[tuple[str, int, str]]:
        """Yield (split, row, path in the archive) of every image."""
        for name, rows in splits.items():
            for row, member in enumerate(self.members[rows].tolist()):
                yield name, row, self.path(member)


def divide(table: Table, keys: duplicates.Digests, images: Images) -> Splits:
    """Put the table in the order of its splits, each sorted by `keys`, and return them.

    The last `images.test` rows are the test split. Of the others, the first of each class are the
    validation split. An image that occurs twice, anywhere on its canvas, is in train. Names and
    order in the archive have no influence.
    """
    labels, size = table.split.labels, images.train
    order, test = (
        rows.start + np.lexsort([labels[rows], table.digests[rows], keys[rows]])
        for rows in (slice(0, size), slice(size, len(keys)))
    )
    _, group, repeats = np.unique(table.digests[:size], return_inverse=True, return_counts=True)
    single = (repeats[group] == 1)[order]
    held_out = np.zeros(size, bool)
    for label in range(len(table.split.classes)):
        of_class = labels[order] == label
        chosen = round((images.validation or 0) * of_class.sum())
        held_out[np.flatnonzero(of_class & single)[:chosen]] = True
    rows = {"train": order[~held_out], "validation": order[held_out], "test": test}
    wanted = {"train": True, "validation": images.validation is not None, "test": images.test}
    rows = {name: each for name, each in rows.items() if wanted[name]}
    table.arrange(np.concatenate(list(rows.values())))
    ends = np.cumsum([0, *map(len, rows.values())]).tolist()
    return dict(zip(rows, map(slice, ends, ends[1:]), strict=True))


def refuse(where: Path | str, faults: Mapping[str, Sequence[object]]) -> None:
    """Raise InputError listing every fault by kind, if there is any."""
    kinds = [f"{kind}: {', '.join(map(str, each))}" for kind, each in faults.items() if each]
    if kinds:
        raise InputError(f"{where}: {'; '.join(kinds)}")


def check(archive: Path, table: Table, splits: Splits) -> None:
    """Raise InputError for a split without images and for images in two splits."""
    digests, members = table.digests, table.members
    shared = [
        f"{table.path(members[rows][i])} of {one} is {table.path(members[others][j])} of {two}"
        for (one, rows), (two, others) in combinations(splits.items(), 2)
        for equal in [np.intersect1d(digests[rows], digests[others], return_indices=True)]
        for i, j in zip(*equal[1:], strict=True)
    ]
    empty = [name for name, rows in splits.items() if rows.start == rows.stop]
    refuse(archive, {"splits without an image": empty, "images in two splits": sorted(shared)})


def summary(table: Table, splits: Splits) -> dict[str, Any]:
    """Return the number of images by split and class, and of equal and similar ones."""
    classes, labels, digests = table.split.classes, table.split.labels, table.digests
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
    """Return the number of pairs of different images that are nearly the same, by their splits."""
    names, pixels = list(splits), table.split.images[0].size
    sizes = [each.stop - each.start for each in splits.values()]
    split_of = np.repeat(np.arange(len(names), dtype=np.int8), sizes)
    pairs = np.zeros((len(names), len(names)), np.int64)
    like_train = np.zeros(len(split_of), bool)
    _, distinct = np.unique(table.digests, return_index=True)
    distinct.sort()
    for one, two in duplicates.near(table.split.images, distinct):
        np.add.at(pairs, tuple(np.sort([split_of[one], split_of[two]], axis=0)), 1)
        like_train[one[split_of[two] == 0]] = like_train[two[split_of[one] == 0]] = True
    kinds = combinations_with_replacement(enumerate(names), 2)
    return {
        "pixels": pixels,
        "differing_at_most": duplicates.tolerance(pixels),
        "pairs": {f"{one} {two}": int(pairs[i, j]) for (i, one), (j, two) in kinds},
        "like_one_of_train": {name: int(like_train[rows].sum()) for name, rows in splits.items()},
    }


def log_lines(summary: Mapping[str, Any]) -> Iterator[str]:
    """Yield the summary in sentences."""
    near = summary["near_duplicates"]
    for name, count in summary["images"].items():
        yield (
            f"{name}: {count:,} images, {summary['repeated'][name]:,} of them repeated,"
            f" {near['like_one_of_train'][name]:,} nearly the same as another one of train"
        )
    pairs = ", ".join(f"{count:,} {names}" for names, count in near["pairs"].items())
    yield f"pairs with at most {near['differing_at_most']} pixels that differ: {pairs}"
