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
import tarfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import combinations, combinations_with_replacement
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from tqdm import tqdm

from stages.common import alphabet, cores, dataset, duplicates, entry, files, images, params
from stages.common.dataset import Split
from stages.common.errors import InputError

_CHUNK = 64  # images a worker is given at a time
_WORTH = 2_000_000  # bytes of images that take as long as another process takes to start
_LISTED = 10  # offenders of a kind that an error names
_BLANK = 64  # of 255: an image of an idx file with nothing brighter has no ink


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


@dataclass(frozen=True, slots=True)
class Member:
    """An image file in the tar."""

    path: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class Table:
    """All images of an archive, in its order, with where each came from."""

    split: Split
    keys: list[bytes]  # of each row, the hash of its picture: what orders the rows
    digests: list[bytes]  # of each row, the hash of its image: equal where a network sees the same
    sources: list[str]  # of each row, its path in the archive

    def rows(self, chosen: NDArray[np.intp]) -> "Table":
        """The table of these rows, in this order."""
        keys, digests, sources = (
            [column[i] for i in chosen.tolist()]
            for column in (self.keys, self.digests, self.sources)
        )
        return Table(self.split.rows(chosen), keys, digests, sources)

    def order(self) -> NDArray[np.intp]:
        """Its rows by key. What is the same in all that a network sees stays in its order."""
        keys, digests = (
            np.frombuffer(b"".join(column), ">u8").reshape(-1, 4).T
            for column in (self.keys, self.digests)
        )
        return np.lexsort([self.split.labels, *digests, *keys[::-1]])


def main(scratch: Path, source: str, name: str) -> None:
    recipe = params.load(f"preprocess.{source}.{name}", Preprocess)
    characters = name in ("characters", "bases")
    archive = Path(f"data/images/{source}/{'characters' if characters else name}.tar")
    tensors = Path(f"data/tensors/{source}")
    tables = read_idx(archive, recipe) if name == "mnist" else read_folders(archive, name, recipe)
    splits = divide(tables, recipe.validation)
    del tables  # as large as what is made of them
    check_splits(archive, splits)
    for split_name, table in splits.items():
        dataset.store(table.split, tensors / name / f"{split_name}.safetensors", scratch)
    rows = ((s, i, path) for s, table in splits.items() for i, path in enumerate(table.sources))
    files.write_csv(tensors / f"{name}-sources.csv", ["split", "row", "source"], rows, scratch)
    if characters:
        hands = hands_of(archive, splits)
        files.write_csv(tensors / f"{name}-hands.csv", ["split", "row", "hand"], hands, scratch)
    summary = summarise(splits)
    files.write_json(tensors / f"{name}-summary.json", summary, scratch)
    print("\n".join(sentences(summary)))


def read_folders(archive: Path, name: str, recipe: Preprocess) -> dict[str, Table]:
    """The images of a tar of class folders, [<root>/]<class>/<image>, decoded on all cores.

    Raises InputError, which lists every offender: first for folders and counts that are not as they
    should be, then for images.
    """
    digits = name == "mnistTask3"
    folders = alphabet.DIGIT_FOLDERS if digits else alphabet.CHARACTER_FOLDERS
    classes = alphabet.DIGITS if digits else alphabet.CHARACTERS
    members = listing(archive)
    _refuse(archive, misplaced([each.path for each in members], folders, recipe.images))
    pixels = np.empty((len(members), 1, recipe.size, recipe.size), np.uint8)
    place = np.empty((len(members), 4), np.float32)
    keys: list[bytes] = []
    offenders: list[str] = []
    with (
        decoded(partial(_decode, archive, recipe), members) as chunks,
        tqdm(total=len(members), desc=f"{name}: decode", unit="image", disable=None) as bar,
    ):
        for chunk in chunks:
            rows = slice(len(keys), len(keys) + len(chunk.keys))
            pixels[rows, 0], place[rows] = chunk.images, chunk.place
            keys += chunk.keys
            offenders += chunk.offenders
            bar.update(len(chunk.keys) + len(chunk.offenders))
    _refuse(archive, {"images that cannot be used": offenders})
    labels = np.array([folders[each.path.split("/")[-2]] for each in members], np.int64)
    split = Split(pixels, labels, place, classes, recipe.box)
    sources = [each.path for each in members]
    return {"train": Table(split, keys, duplicates.digests(pixels), sources)}


def listing(archive: Path) -> list[Member]:
    """The files in the tar."""
    members = []
    try:
        with tarfile.open(archive, "r:") as tar:
            while each := tar.next():
                members.append(Member(each.name, each.offset_data, each.size))
                tar.members.clear()  # type: ignore[attr-defined]  # a kilobyte of each is kept
    except tarfile.TarError as error:
        raise InputError(f"{archive}: not a tar file: {error}") from None
    return members


@dataclass(frozen=True, slots=True)
class Chunk:
    """What came of some members: their images stacked, which pass between processes in one go."""

    images: NDArray[np.uint8]  # [N, size, size]
    place: NDArray[np.float32]  # [N, 4]
    keys: list[bytes]  # N
    offenders: list[str]  # what is wrong with those that are not among the N


@contextmanager
def decoded(
    decode: Callable[[Sequence[Member]], Chunk], members: Sequence[Member]
) -> Iterator[Iterable[Chunk]]:
    """What `decode` makes of the members, chunk by chunk in their order, worked out on all cores.

    Where there is one core, or little to do, that is in this process.
    """
    chunks = [members[i : i + _CHUNK] for i in range(0, len(members), _CHUNK)]
    workers = min(cores.available(), sum(each.length for each in members) // _WORTH)
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
    entry.follow_parent()
    if os.getppid() != parent:  # it was killed before it could be followed
        os._exit(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _decode(archive: Path, recipe: Preprocess, members: Sequence[Member]) -> Chunk:
    """The prepared images of some members, and what is wrong with the others."""
    good, bad = [], []
    with archive.open("rb") as file:
        for member in members:
            file.seek(member.offset)
            content = file.read(member.length)
            try:
                good.append(images.prepare(content, member.path, recipe.size, recipe.box))
            except InputError as error:
                bad.append(str(error))
    return Chunk(
        np.array([each.image for each in good], np.uint8).reshape(-1, recipe.size, recipe.size),
        np.array([each.place for each in good], np.float32).reshape(-1, 4),
        [each.key for each in good],
        bad,
    )


def read_idx(archive: Path, recipe: Preprocess) -> dict[str, Table]:
    """MNIST's train and test splits from a tar of its four idx files.

    Raises InputError, which lists every offender.
    """
    tables: dict[str, Table] = {}
    offenders: list[str] = []
    expected = {"train": ("train", recipe.images), "test": ("t10k", recipe.test_images)}
    try:
        with tarfile.open(archive, "r:") as tar:
            for name, (prefix, count) in expected.items():
                try:
                    tables[name] = _idx_table(tar, prefix, count, recipe)
                except InputError as error:
                    offenders.append(str(error))
    except tarfile.TarError as error:
        raise InputError(f"{archive}: not a tar file: {error}") from None
    _refuse(archive, {"idx files that cannot be used": offenders})
    return tables


def _idx_table(tar: tarfile.TarFile, prefix: str, count: int, recipe: Preprocess) -> Table:
    name = f"{prefix}-images-idx3-ubyte"
    pixels, labels = _idx(tar, name, 3), _idx(tar, f"{prefix}-labels-idx1-ubyte", 1)
    if pixels.shape != (count, recipe.size, recipe.size) or len(labels) != count:
        raise InputError(
            f"{name}: {pixels.shape} pixels and {len(labels):,} labels where params.yaml expects"
            f" {count:,} images of {recipe.size} x {recipe.size}"
        )
    blank = np.flatnonzero(pixels.max(axis=(1, 2)) < _BLANK).tolist()
    absent = sorted({*range(len(alphabet.DIGITS))}.difference(labels.tolist()))
    strange = sorted({*labels.tolist()}.difference(range(len(alphabet.DIGITS))))
    problems = {"no ink in images": blank, "no image of": absent, "labels over 9": strange}
    if found := _listed({what: [str(i) for i in each] for what, each in problems.items()}):
        raise InputError(f"{name}: {found}")
    nowhere = np.zeros((count, 0), np.float32)
    split = Split(pixels[:, None], labels.astype(np.int64), nowhere, alphabet.DIGITS, recipe.box)
    digests = duplicates.digests(pixels)
    return Table(split, digests, digests, [f"{name}[{i}]" for i in range(count)])


def _idx(tar: tarfile.TarFile, member: str, dimensions: int) -> NDArray[np.uint8]:
    """The uint8 array of an idx file (yann.lecun.com/exdb/mnist describes the format)."""
    try:
        file = tar.extractfile(member)
    except KeyError:
        raise InputError(f"there is no {member}") from None
    content = file.read() if file else b""
    header = np.frombuffer(content[: 4 * (dimensions + 1)], ">u4").tolist()
    if len(header) != dimensions + 1 or header[0] != 0x0800 + dimensions:
        raise InputError(f"{member} is no idx file of {dimensions} dimensions")
    if len(content) - 4 * len(header) != math.prod(header[1:]):
        raise InputError(f"{member} holds {len(content):,} bytes, not {header[1:]}")
    return np.frombuffer(content, np.uint8, offset=4 * len(header)).reshape(header[1:])


def divide(tables: Mapping[str, Table], share: float) -> dict[str, Table]:
    """Train, validation and test, each in the order of the pixels' hashes.

    Each class gives `share` of its images to validation, those whose hash comes first. Neither the
    name nor the place of an image in the archive has a say in it. An image that occurs twice, be it
    at another place of its canvas, is for training.
    """
    table = tables["train"]
    order = table.order()
    times = Counter(table.digests)
    single = np.array([times[digest] == 1 for digest in table.digests])[order]
    held_out = np.zeros(len(order), bool)
    for label in range(len(table.split.classes)):
        of_class = table.split.labels[order] == label
        chosen = np.flatnonzero(of_class & single)[: round(share * of_class.sum())]
        held_out[chosen] = True
    splits = {"train": table.rows(order[~held_out]), "validation": table.rows(order[held_out])}
    if test := tables.get("test"):
        splits["test"] = test.rows(test.order())
    return splits


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
    shared = []
    for (name, table), (other_name, other) in combinations(splits.items(), 2):
        for digest in set(table.digests).intersection(other.digests):
            path, twin = (each.sources[each.digests.index(digest)] for each in (table, other))
            shared.append(f"{path} of {name} is {twin} of {other_name}")
    empty = [name for name, table in splits.items() if not table.digests]
    _refuse(archive, {"splits without an image": empty, "images in two splits": sorted(shared)})


def hands_of(archive: Path, splits: Mapping[str, Table]) -> list[tuple[str, int, str]]:
    """(split, row, hand) of every image, by the number of its writer, imgNNN-<writer>.png.

    For what is about writers: folds that keep them apart, and reading a hand that is known.
    Raises InputError, which lists the images whose names tell no writer.
    """
    found = [
        (name, row, alphabet.WRITER.search(path))
        for name, table in splits.items()
        for row, path in enumerate(table.sources)
    ]
    nameless = [splits[name].sources[row] for name, row, hand in found if not hand]
    _refuse(archive, {"no number of a writer in the names": nameless})
    return [(name, row, hand[1]) for name, row, hand in found if hand]


def summarise(splits: Mapping[str, Table]) -> dict[str, Any]:
    """How many images there are, by split and class, and how many are the same or nearly so."""
    classes = splits["train"].split.classes
    return {
        "images": {name: len(table.digests) for name, table in splits.items()},
        "of_class": {
            name: dict(zip(classes, _counts(table.split), strict=True))
            for name, table in splits.items()
        },
        "repeated": {
            name: len(table.digests) - len(set(table.digests)) for name, table in splits.items()
        },
        "near_duplicates": near_duplicates(splits),
    }


def _counts(split: Split) -> list[int]:
    return [int(n) for n in np.bincount(split.labels, minlength=len(split.classes))]


def near_duplicates(splits: Mapping[str, Table]) -> dict[str, Any]:
    """How many pairs of different images are nearly the same, by the splits that they are in."""
    names = list(splits)
    known = np.concatenate([duplicates.signatures(each.split.images) for each in splits.values()])
    digests = [digest for table in splits.values() for digest in table.digests]
    distinct = np.array(list({digest: i for i, digest in enumerate(digests)}.values()), np.intp)
    owner = np.repeat(np.arange(len(names)), [len(each.digests) for each in splits.values()])
    owner = owner[distinct]
    pairs = np.zeros((len(names), len(names)), np.int64)
    like_train = np.zeros(len(owner), bool)
    for one, other in duplicates.near(known[distinct]):
        between = np.sort([owner[one], owner[other]], axis=0)
        np.add.at(pairs, (between[0], between[1]), 1)
        like_train[one[owner[other] == 0]] = True
        like_train[other[owner[one] == 0]] = True
    return {
        "pixels": math.prod(splits["train"].split.images.shape[1:]),
        "differing_at_most": known.shape[1] - 1,
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
    """The first offenders of each kind and the number of the others; empty if there is none."""
    lines = []
    for what, offenders in offences.items():
        if offenders:
            more = f" and {len(offenders) - _LISTED:,} more" if len(offenders) > _LISTED else ""
            lines.append(f"{what}: {', '.join(offenders[:_LISTED])}{more}")
    return "; ".join(lines)


if __name__ == "__main__":
    entry.run(main)
