"""Turn one data set's images into uint8 tensors, in splits that the pixels alone decide.

`bases` are the images of `characters` framed as MNIST's are, for networks to start from.

reads   data/images/<source>/<archive>.tar
writes  data/tensors/<source>/<dataset>/{train,validation,test}.safetensors (test for mnist alone),
        data/tensors/<source>/<dataset>-sources.csv (which file became which row),
        data/tensors/<source>/<dataset>-hands.csv (who wrote which row; of characters and bases),
        data/tensors/<source>/<dataset>-summary.json (counts, duplicates and near-duplicates)
params  preprocess.<source>.<dataset>
"""

import math
import os
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BufferedReader
from itertools import accumulate, chain, combinations, combinations_with_replacement, pairwise
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from tqdm import tqdm

from handwriting.core import cli as entry
from handwriting.core import cores, files, params
from handwriting.core import gc as collector
from handwriting.core.errors import InputError
from handwriting.data import alphabet, dataset
from handwriting.data.dataset import Split
from handwriting.preprocessing import duplicates
from handwriting.preprocessing import framing as images
from handwriting.raw import tars

_CHUNK = 64  # images a worker is given at a time
_BLOCK = 256  # images that change places at a time
_WORTH = 2_000_000  # bytes of images that take as long as another process takes to start
_BLANK = 64  # of 255: an image of an idx file with nothing brighter has no ink
_LIGHT = 192  # of 255: the border of an idx file that is not white on black


@params.section
class Preprocess:
    """How one data set is framed and split."""

    images: Annotated[int, Field(gt=0)]  # in the archive, its test split apart
    test_images: Annotated[int, Field(ge=0)]
    size: Annotated[int, Field(ge=8, le=256)]  # side of the square the network sees, in pixels
    box: Annotated[int, Field(ge=4, le=256)]  # longer side of the ink within it, in pixels
    validation: Annotated[float, Field(gt=0, lt=1)]  # share of each class's images held out

    @model_validator(mode="after")
    def box_fits(self) -> Self:
        if self.box > self.size:
            raise ValueError(f"box is {self.box}, over size, {self.size}")
        return self


Hashes = NDArray[np.uint64]  # [N, 4]


@dataclass(frozen=True, slots=True)
class Table:
    """All images of an archive, with where each came from.

    All that grows with their number is in these columns, once: there is no second copy of a
    column's length but for a moment, and a split is a part of the rows.
    """

    split: Split
    digests: Hashes  # of each image: equal where a network sees the same
    rows: NDArray[np.intp]  # [N], the place of each in the archive
    source: Callable[[int], str]  # of a place in the archive, its path there

    def arrange(self, order: NDArray[np.intp]) -> None:
        """Put the rows into this order."""
        _arrange(self.split.images, order)
        for column in (self.split.labels, self.split.place, self.digests, self.rows):
            column[:] = column[order]

    def part(self, rows: slice) -> "Table":
        """The table of these rows, which shares their memory."""
        return Table(self.split.rows(rows), self.digests[rows], self.rows[rows], self.source)

    def sources(self, name: str) -> Iterator[tuple[str, int, str]]:
        """Its rows in the list of sources, as a split of this name."""
        paths = map(self.source, self.rows.tolist())
        return zip([name] * len(self.rows), range(len(self.rows)), paths, strict=True)


def _arrange(images: NDArray[np.uint8], order: NDArray[np.intp]) -> None:
    """images[:] = images[order], with no more than a block of them in memory twice.

    Block by block the images that belong there are fetched, and those that are in their way go to
    the places that became free.
    """
    images = images.reshape(len(images), -1)
    images = images.view(f"V{images.shape[1]}")[:, 0]  # NumPy moves such items in one go each
    place = np.arange(len(images))  # where each image is by now
    held = place.copy()  # which image each place has, -1 for none
    for start in range(0, len(images), _BLOCK):
        taken = place[order[start : start + _BLOCK]]
        stop = start + len(taken)
        block, held[taken] = images[taken], -1
        free, left = taken[taken >= stop], start + np.flatnonzero(held[start:stop] >= 0)
        images[free], held[free] = images[left], held[left]
        place[held[free]] = free
        images[start:stop] = block


@collector.paused()
def main(scratch: Path, source: str, name: str) -> None:
    recipe = params.load(f"preprocess.{source}.{name}", Preprocess)
    characters = name in ("characters", "bases")
    archive = Path(f"data/images/{source}/{'characters' if characters else name}.tar")
    tensors = Path(f"data/tensors/{source}")
    if name == "mnist":
        table, keys = read_idx(archive, recipe)
    else:
        table, keys = read_folders(archive, name, recipe)
    splits = divide(table, keys, recipe)
    del keys
    check_splits(archive, splits)
    for split_name, each in splits.items():
        dataset.store(each.split, tensors / name / f"{split_name}.safetensors", scratch)
    rows = chain.from_iterable(each.sources(split) for split, each in splits.items())
    files.write_csv(tensors / f"{name}-sources.csv", ["split", "row", "source"], rows, scratch)
    if characters:
        hands = hands_of(splits)
        files.write_csv(tensors / f"{name}-hands.csv", ["split", "row", "hand"], hands, scratch)
    summary = summarise(table, splits)
    files.write_json(tensors / f"{name}-summary.json", summary, scratch)
    print("\n".join(sentences(summary)))


def read_folders(archive: Path, name: str, recipe: Preprocess) -> tuple[Table, Hashes]:
    """The images of a tar of class folders, [<root>/]<class>/<image>, decoded on all cores.

    With them comes of each the hash of its picture, which orders the rows: uint64 [N, 4].
    Raises InputError, which lists every offender: folders, counts, names and images.
    """
    digits = name == "mnistTask3"
    folders = alphabet.DIGIT_FOLDERS if digits else alphabet.CHARACTER_FOLDERS
    classes = alphabet.DIGITS if digits else alphabet.CHARACTERS
    listing = tars.listing(archive)
    count = len(listing.paths)
    if recipe.test_images:
        raise InputError(f"{params.PATH}: preprocess: {name}: it has no test split for test_images")
    faults = misplaced(listing.paths, folders, recipe.images)
    if not digits:
        nameless = [path for path in listing.paths if not alphabet.WRITER.search(path)]
        faults["no number of a writer in the names"] = nameless
    pixels = np.empty((count, 1, recipe.size, recipe.size), np.uint8)
    place = np.empty((count, 4), np.float32)
    keys = np.empty((count, 4), np.uint64)
    offenders: list[str] = []
    done = 0
    with (
        decoded(partial(_decode, archive, recipe), listing) as chunks,
        tqdm(total=count, desc=f"{name}: decode", unit="image", disable=None) as bar,
    ):
        for chunk in chunks:
            rows = slice(done, done + len(chunk.keys))
            pixels[rows, 0], place[rows], keys[rows] = chunk.images, chunk.place, chunk.keys
            done = rows.stop
            offenders += chunk.offenders
            bar.update(len(chunk.keys) + len(chunk.offenders))
    _refuse(archive, faults | {"images that cannot be used": offenders})
    labels = np.fromiter((folders[each.split("/")[-2]] for each in listing.paths), np.int64, count)
    split = Split(pixels, labels, place, classes, recipe.box)
    source = listing.paths.__getitem__
    return Table(split, duplicates.digests(pixels), np.arange(count), source), keys


@dataclass(frozen=True, slots=True)
class Chunk:
    """What came of some members: their images stacked, which pass between processes in one go."""

    images: NDArray[np.uint8]  # [N, size, size]
    place: NDArray[np.float32]  # [N, 4]
    keys: Hashes  # [N, 4]
    offenders: list[str]  # what is wrong with those that are not among the N


@contextmanager
def decoded(
    decode: Callable[[tars.Listing], Chunk], listing: tars.Listing
) -> Iterator[Iterable[Chunk]]:
    """What `decode` makes of the members, chunk by chunk in their order, worked out on all cores.

    Where there is one core, or little to do, that is in this process.
    """
    chunks = [listing.part(slice(i, i + _CHUNK)) for i in range(0, len(listing.paths), _CHUNK)]
    workers = min(cores.available(), sum(listing.sizes) // _WORTH)
    if workers < 2:
        yield map(decode, chunks)
        return
    with ProcessPoolExecutor(workers, get_context("spawn"), _start, (os.getpid(),)) as pool:
        try:
            yield pool.map(decode, chunks)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _start(parent: int) -> None:
    """In a new worker: end with the parent, and leave Ctrl-C to it."""
    entry.follow_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _decode(archive: Path, recipe: Preprocess, listing: tars.Listing) -> Chunk:
    """The prepared images of some members, and what is wrong with the others."""
    with archive.open("rb", tars.BUFFER) as file:
        contents = ((path, _read(file, offset, size)) for path, offset, size in listing.members())
        good, bad = images.prepare_all(contents, recipe.size, recipe.box)
    return Chunk(
        np.array([each.image for each in good], np.uint8).reshape(-1, recipe.size, recipe.size),
        np.array([each.place for each in good], np.float32).reshape(-1, 4),
        duplicates.numbers(each.key for each in good),
        bad,
    )


def _read(file: BinaryIO, offset: int, size: int) -> bytes:
    file.seek(offset)
    return file.read(size)


def read_idx(archive: Path, recipe: Preprocess) -> tuple[Table, Hashes]:
    """MNIST's train split, then its test split, from a tar of its four idx files.

    With them comes what orders the rows, which here is the hash of the pixels: uint64 [N, 4].
    Raises InputError, which lists every offender.
    """
    counts = {"train": recipe.images, "t10k": recipe.test_images}
    listing = tars.listing(archive)
    spans = {path: (offset, size) for path, offset, size in listing.members()}
    pixels = np.empty((sum(counts.values()), 1, recipe.size, recipe.size), np.uint8)
    labels = np.empty(len(pixels), np.int64)
    offenders: list[str] = []
    with archive.open("rb") as file:
        for prefix, rows in _parts(counts).items():
            try:
                _read_split(file, spans, prefix, pixels[rows, 0], labels[rows])
            except InputError as error:
                offenders.append(str(error))
    _refuse(archive, {"idx files that cannot be used": offenders})
    nowhere = np.empty((len(pixels), 0), np.float32)
    split = Split(pixels, labels, nowhere, alphabet.DIGITS, recipe.box)
    digests = duplicates.digests(pixels)

    def source(row: int) -> str:
        prefix, first = ("train", 0) if row < recipe.images else ("t10k", recipe.images)
        return f"{prefix}-images-idx3-ubyte[{row - first}]"

    return Table(split, digests, np.arange(len(pixels)), source), digests


def _parts(counts: Mapping[str, int]) -> dict[str, slice]:
    """So many rows for each name, one after another."""
    ends = list(accumulate(counts.values(), initial=0))
    return {name: slice(*two) for name, two in zip(counts, pairwise(ends), strict=True)}


def _read_split(
    file: BufferedReader,
    spans: Mapping[str, tuple[int, int]],
    prefix: str,
    pixels: NDArray[np.uint8],
    labels: NDArray[np.int64],
) -> None:
    """Fill pixels [N, size, size] and labels [N] from two idx files of a tar."""
    name, label_name = f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"
    shape, (count,) = _idx_shape(file, spans, name, 3), _idx_shape(file, spans, label_name, 1)
    if shape != pixels.shape or count != len(labels):
        raise InputError(
            f"{name}: {shape} pixels and {count:,} labels where params.yaml expects"
            f" {len(pixels):,} images of {pixels.shape[1]} x {pixels.shape[2]}"
        )
    file.seek(spans[name][0] + _idx_header(3))
    file.readinto(pixels.data)
    file.seek(spans[label_name][0] + _idx_header(1))
    labels[:] = np.frombuffer(file.read(count), np.uint8)
    if np.median(pixels[:, 0]) >= _LIGHT:
        raise InputError(f"{name}: dark ink on a light ground, where MNIST's is light on dark")
    blank = np.flatnonzero(pixels.max(axis=(1, 2)) < _BLANK).tolist()
    of_class = np.bincount(labels, minlength=len(alphabet.DIGITS))
    absent = np.flatnonzero(of_class[: len(alphabet.DIGITS)] == 0).tolist()
    strange = [each for each in np.flatnonzero(of_class).tolist() if each >= len(alphabet.DIGITS)]
    problems = {"no ink in images": blank, "no image of": absent, "labels over 9": strange}
    if found := _listed({what: [str(i) for i in each] for what, each in problems.items()}):
        raise InputError(f"{name}: {found}")


def _idx_shape(
    file: BufferedReader, spans: Mapping[str, tuple[int, int]], member: str, dimensions: int
) -> tuple[int, ...]:
    """The shape of the uint8 array of an idx file (yann.lecun.com/exdb/mnist has the format)."""
    if member not in spans:
        raise InputError(f"there is no {member}")
    offset, length = spans[member]
    file.seek(offset)
    header = file.read(min(length, _idx_header(dimensions)))
    magic, *shape = np.frombuffer(header[: len(header) // 4 * 4], ">u4").tolist() or [0]
    if magic != 0x0800 + dimensions or len(shape) != dimensions:
        raise InputError(f"{member} is no idx file of {dimensions} dimensions")
    if length - len(header) != math.prod(shape):
        raise InputError(f"{member} holds {length:,} bytes, not {shape}")
    return tuple(shape)


def _idx_header(dimensions: int) -> int:
    """Bytes before the array of an idx file: a magic number, and a number for each dimension."""
    return 4 * (1 + dimensions)


def divide(table: Table, keys: Hashes, recipe: Preprocess) -> dict[str, Table]:
    """Train, validation and test, each in the order of its pictures' hashes, which are `keys`.

    The test split is what the table ends with. Of the others each class gives its share to
    validation, those whose hash comes first. Neither the name nor the place of an image in the
    archive has a say in it. An image that occurs twice, be it at another place of its canvas, is
    for training. The table's rows are put in this order, so that the splits are parts of it.
    """
    columns = [*keys.T, *table.digests.T, table.split.labels]
    order, test = (
        first + duplicates.order([column[first:end] for column in columns])
        for first, end in ((0, recipe.images), (recipe.images, len(keys)))
    )
    single = _single(table.digests[: recipe.images])[order]
    held_out = np.zeros(len(order), bool)
    for label in range(len(table.split.classes)):
        of_class = table.split.labels[order] == label
        chosen = np.flatnonzero(of_class & single)[: round(recipe.validation * of_class.sum())]
        held_out[chosen] = True
    splits = {"train": order[~held_out], "validation": order[held_out]}
    if len(test):
        splits["test"] = test
    table.arrange(np.concatenate(list(splits.values())))
    parts = _parts({name: len(rows) for name, rows in splits.items()})
    return {name: table.part(rows) for name, rows in parts.items()}


def _single(digests: Hashes) -> NDArray[np.bool_]:
    """Which rows have no equal."""
    group = duplicates.same(digests)
    return np.asarray(np.bincount(group)[group] == 1)


def misplaced(
    paths: Sequence[str], folders: Mapping[str, int], count: int
) -> dict[str, Sequence[str]]:
    """What is wrong with the layout: each kind of fault with its offenders."""
    above = [path.split("/")[:-1] for path in paths]  # of each, the folders that it is in
    seen = {each[-1] for each in above if each}
    roots = sorted({"/".join(each[:-1]) or "." for each in above if each and each[-1] in folders})
    number = f"{len(paths):,}, where params.yaml expects {count:,}"
    return {
        "not in the folder of a class": [
            path
            for path, each in zip(paths, above, strict=True)
            if not each or each[-1] not in folders
        ],
        "no image of the class": [each for each in folders if each not in seen],
        "class folders in more than one place": roots if len(roots) > 1 else [],
        "a wrong number of images": [number] if len(paths) != count else [],
    }


def check_splits(archive: Path, splits: Mapping[str, Table]) -> None:
    """Every split has an image, and none is in two. Raises InputError, which lists them."""
    group = duplicates.same(np.concatenate([each.digests for each in splits.values()]))
    parts = _parts({name: len(each.rows) for name, each in splits.items()})
    shared = []
    for (name, table), (other_name, other) in combinations(splits.items(), 2):
        here, there = group[parts[name]], group[parts[other_name]]
        for _, row, twin in zip(*np.intersect1d(here, there, return_indices=True), strict=True):
            path, twin_path = table.source(table.rows[row]), other.source(other.rows[twin])
            shared.append(f"{path} of {name} is {twin_path} of {other_name}")
    empty = [name for name, each in splits.items() if not len(each.rows)]
    _refuse(archive, {"splits without an image": empty, "images in two splits": sorted(shared)})


def hands_of(splits: Mapping[str, Table]) -> list[tuple[str, int, str]]:
    """(split, row, hand) of every image, by the number of its writer, imgNNN-<writer>.png.

    For what is about writers: folds that keep them apart, and reading a hand that is known.
    """
    sources = chain.from_iterable(part.sources(name) for name, part in splits.items())
    found = [(name, row, alphabet.WRITER.search(path)) for name, row, path in sources]
    return [(name, row, hand[1]) for name, row, hand in found if hand]  # of all: read_folders()


def summarise(table: Table, splits: Mapping[str, Table]) -> dict[str, Any]:
    """How many images there are, by split and class, and how many are the same or nearly so."""
    classes = table.split.classes
    return {
        "images": {name: len(each.rows) for name, each in splits.items()},
        "of_class": {
            name: dict(zip(classes, _counts(each.split), strict=True))
            for name, each in splits.items()
        },
        "repeated": {
            name: len(each.rows) - 1 - int(duplicates.same(each.digests).max())
            for name, each in splits.items()
        },
        "near_duplicates": near_duplicates(table, splits),
    }


def _counts(split: Split) -> list[int]:
    return [int(n) for n in np.bincount(split.labels, minlength=len(split.classes))]


def near_duplicates(table: Table, splits: Mapping[str, Table]) -> dict[str, Any]:
    """How many pairs of different images are nearly the same, by the splits that they are in."""
    names, pixels = list(splits), table.split.images
    owner = np.repeat(np.arange(len(names)), [len(each.rows) for each in splits.values()])
    group = duplicates.same(table.digests)
    distinct = np.zeros(len(owner), np.intp)
    distinct[group] = np.arange(len(owner))  # of equal images the last
    pairs = np.zeros((len(names), len(names)), np.int64)
    like_train = np.zeros(len(owner), bool)
    for one, other in duplicates.near(pixels, np.sort(distinct[: group.max() + 1])):
        between = np.sort([owner[one], owner[other]], axis=0)
        np.add.at(pairs, (between[0], between[1]), 1)
        like_train[one[owner[other] == 0]] = True
        like_train[other[owner[one] == 0]] = True
    return {
        "pixels": math.prod(pixels.shape[1:]),
        "differing_at_most": duplicates.tolerance(math.prod(pixels.shape[1:])),
        "pairs": {
            f"{names[i]} {names[j]}": int(pairs[i, j])
            for i, j in combinations_with_replacement(range(len(names)), 2)
        },
        "like_one_of_train": {
            name: int(like_train[owner == i].sum()) for i, name in enumerate(names)
        },
    }


def sentences(summary: Mapping[str, Any]) -> Iterator[str]:
    """The summary for the log."""
    near = summary["near_duplicates"]
    for name, count in summary["images"].items():
        yield (
            f"{name}: {count:,} images, {summary['repeated'][name]:,} of them repeated,"
            f" {near['like_one_of_train'][name]:,} nearly the same as another one of train"
        )
    pairs = ", ".join(f"{count:,} {names}" for names, count in near["pairs"].items())
    yield f"pairs with at most {near['differing_at_most']} pixels that differ: {pairs}"


def _refuse(archive: Path, offences: Mapping[str, Sequence[str]]) -> None:
    """Raise InputError if there are offenders of any kind."""
    if found := _listed(offences):
        raise InputError(f"{archive}: {found}")


def _listed(offences: Mapping[str, Sequence[str]]) -> str:
    """Every offender, by kind; empty if there is none."""
    there = ((what, offenders) for what, offenders in offences.items() if offenders)
    return "; ".join(f"{what}: {', '.join(offenders)}" for what, offenders in there)


if __name__ == "__main__":
    entry.run(main)
