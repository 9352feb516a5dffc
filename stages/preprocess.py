"""Turn one data set's images into uint8 tensors, in splits that the pixels alone decide.

reads   data/images/<source>/<dataset>.tar
writes  data/tensors/<source>/<dataset>/{train,validation,test}.safetensors (test for mnist alone),
        data/tensors/<source>/<dataset>-sources.csv (which file became which row)
params  preprocess.<source>.<dataset>
"""

import tarfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from tqdm import tqdm

from stages.common import alphabet, cores, dataset, entry, files, images, params
from stages.common.dataset import Split
from stages.common.errors import InputError

_CHUNK = 256  # images a worker is given at a time
_LISTED = 10  # offenders that an error names


@params.section
class Preprocess:
    """How one data set is framed and split."""

    images: Annotated[int, Field(gt=0)]  # in the archive, its test split apart
    test_images: Annotated[int, Field(ge=0)]
    size: Annotated[int, Field(ge=8, le=256)]  # side of the square the network sees, in pixels
    box: Annotated[int, Field(ge=4, le=256)]  # longer side of the ink within it, in pixels
    validation: Annotated[float, Field(gt=0, lt=1)]  # share of each class's images held out


@dataclass(frozen=True, slots=True)
class Table:
    """All images of an archive, in its order, with where each came from."""

    split: Split
    keys: list[bytes]  # of each row, the hash of its pixels
    sources: list[str]  # of each row, its path in the archive


def main(scratch: Path, source: str, name: str) -> None:
    recipe = params.load(f"preprocess.{source}.{name}", Preprocess)
    archive = Path(f"data/images/{source}/{name}.tar")
    tables = read_idx(archive, recipe) if name == "mnist" else read_folders(archive, name, recipe)
    check_counts(archive, tables, recipe)
    splits = divide(tables, recipe.validation)
    check_disjoint(archive, splits)
    for split_name, table in splits.items():
        path = Path(f"data/tensors/{source}/{name}/{split_name}.safetensors")
        dataset.store(table.split, path, scratch)
        print(f"{path}: {len(table.keys):,} images")
    rows = ((s, i, path) for s, table in splits.items() for i, path in enumerate(table.sources))
    where = Path(f"data/tensors/{source}/{name}-sources.csv")
    files.write_csv(where, ["split", "row", "source"], rows, scratch)


def read_folders(archive: Path, name: str, recipe: Preprocess) -> dict[str, Table]:
    """The images of a tar of class folders, <root>/<class>/<image>, decoded on all cores."""
    folders = alphabet.CHARACTER_FOLDERS if name == "characters" else alphabet.DIGIT_FOLDERS
    classes = alphabet.CHARACTERS if name == "characters" else alphabet.DIGITS
    with tarfile.open(archive) as tar:
        members = [(each.name, each.offset_data, each.size) for each in tar]
    check_folders(archive, [path for path, _, _ in members], folders)
    chunks = [members[i : i + _CHUNK] for i in range(0, len(members), _CHUNK)]
    decode = partial(_decode, archive, recipe.size, recipe.box)
    prepared: list[images.Framed] = []
    offenders: list[str] = []
    with (
        ProcessPoolExecutor(cores.available(), get_context("spawn"), entry.follow_parent) as pool,
        tqdm(total=len(members), desc=f"{name}: decode", unit="image", disable=None) as bar,
    ):
        for good, bad in pool.map(decode, chunks):
            prepared += good
            offenders += bad
            bar.update(len(good) + len(bad))
    _refuse(archive, "images that cannot be used", offenders)
    split = Split(
        images=np.stack([each.image for each in prepared])[:, None],
        labels=np.array([folders[path.split("/")[-2]] for path, _, _ in members], np.int64),
        place=np.array([each.place for each in prepared], np.float32),
        classes=classes,
        box=recipe.box,
    )
    return {
        "train": Table(split, [each.key for each in prepared], [path for path, _, _ in members])
    }


def _decode(
    archive: Path, size: int, box: int, members: Sequence[tuple[str, int, int]]
) -> tuple[list[images.Framed], list[str]]:
    """The prepared images of some members (path, offset, bytes), and what is wrong with others."""
    good, bad = [], []
    with archive.open("rb") as file:
        for path, offset, length in members:
            file.seek(offset)
            try:
                good.append(images.prepare(file.read(length), path, size, box))
            except InputError as error:
                bad.append(str(error))
    return good, bad


def read_idx(archive: Path, recipe: Preprocess) -> dict[str, Table]:
    """MNIST's train and test splits from a tar of its four idx files."""
    tables = {}
    with tarfile.open(archive) as tar:
        for split_name, prefix in (("train", "train"), ("test", "t10k")):
            pixels = _idx(archive, tar, f"{prefix}-images-idx3-ubyte", 3)
            labels = _idx(archive, tar, f"{prefix}-labels-idx1-ubyte", 1)
            if len(pixels) != len(labels) or pixels.shape[1:] != (recipe.size, recipe.size):
                raise InputError(
                    f"{archive}: {prefix}: {pixels.shape} pixels do not go with {len(labels)}"
                    f" labels and a size of {recipe.size}"
                )
            if labels.size and labels.max() > 9:
                raise InputError(f"{archive}: {prefix}: a label over 9: {labels.max()}")
            nowhere = np.zeros((len(labels), 0), np.float32)
            split = Split(
                pixels[:, None], labels.astype(np.int64), nowhere, alphabet.DIGITS, recipe.box
            )
            keys = [sha256(image.tobytes()).digest() for image in pixels]
            sources = [f"{prefix}-images-idx3-ubyte[{i}]" for i in range(len(keys))]
            tables[split_name] = Table(split, keys, sources)
    return tables


def _idx(archive: Path, tar: tarfile.TarFile, member: str, dimensions: int) -> NDArray[np.uint8]:
    """The uint8 array of an idx file (yann.lecun.com/exdb/mnist describes the format)."""
    try:
        file = tar.extractfile(member)
    except KeyError:
        raise InputError(f"{archive}: holds no {member}") from None
    content = file.read() if file else b""
    header = np.frombuffer(content[: 4 * (dimensions + 1)], ">u4").tolist()
    if len(header) != dimensions + 1 or header[0] != 0x0800 + dimensions:
        raise InputError(f"{archive}: {member} is no idx file of {dimensions} dimensions")
    if len(content) - 4 * len(header) != np.prod(header[1:]):
        raise InputError(f"{archive}: {member} holds {len(content):,} bytes, not {header[1:]}")
    return np.frombuffer(content, np.uint8, offset=4 * len(header)).reshape(header[1:])


def divide(tables: dict[str, Table], share: float) -> dict[str, Table]:
    """Train, validation and test, each in the order of the pixels' hashes.

    Each class gives `share` of its images to validation, those whose hash comes first. Neither the
    name nor the place of an image in the archive has a say in it. An image that occurs twice is for
    training.
    """
    table = tables["train"]
    order = np.array(sorted(range(len(table.keys)), key=table.keys.__getitem__), np.intp)
    times = Counter(table.keys)
    held_out = np.zeros(len(order), bool)
    for label in range(len(table.split.classes)):
        of_class = np.flatnonzero(table.split.labels[order] == label)
        single = [i for i in of_class if times[table.keys[order[i]]] == 1]
        held_out[single[: round(share * len(of_class))]] = True
    splits = {
        "train": _rows(table, order[~held_out]),
        "validation": _rows(table, order[held_out]),
    }
    if "test" in tables:
        test = tables["test"]
        by_key = np.array(sorted(range(len(test.keys)), key=test.keys.__getitem__), np.intp)
        splits["test"] = _rows(test, by_key)
    return splits


def _rows(table: Table, rows: NDArray[np.intp]) -> Table:
    chosen = rows.tolist()
    keys, sources = [table.keys[i] for i in chosen], [table.sources[i] for i in chosen]
    return Table(table.split.rows(rows), keys, sources)


def check_folders(archive: Path, paths: Sequence[str], folders: dict[str, int]) -> None:
    """Every image is in a class folder, and every class folder has images."""
    strangers = [
        path for path in paths if path.count("/") < 1 or path.split("/")[-2] not in folders
    ]
    _refuse(archive, "not in the folder of a class", strangers)
    seen = {path.split("/")[-2] for path in paths}
    _refuse(archive, "no image of the class", [each for each in folders if each not in seen])
    roots = sorted({path.rsplit("/", 2)[0] for path in paths})
    if len(roots) > 1:
        _refuse(archive, "class folders in more than one place", roots)


def check_counts(archive: Path, tables: dict[str, Table], recipe: Preprocess) -> None:
    """As many images as params.yaml expects."""
    expected = {"train": recipe.images, "test": recipe.test_images}
    wrong = [
        f"{len(table.keys):,} images for {name} where params.yaml expects {expected[name]:,}"
        for name, table in tables.items()
        if len(table.keys) != expected[name]
    ]
    _refuse(archive, "a wrong count", wrong)


def check_disjoint(archive: Path, splits: dict[str, Table]) -> None:
    """No image is in two splits."""
    owner: dict[bytes, tuple[str, str]] = {}
    shared = []
    for name, table in splits.items():
        for key, path in zip(table.keys, table.sources, strict=True):
            other, twin = owner.setdefault(key, (name, path))
            if other != name:
                shared.append(f"{path} of {name} is {twin} of {other}")
    _refuse(archive, "images in two splits", shared)


def _refuse(archive: Path, what: str, offenders: Sequence[str]) -> None:
    """Raise InputError if there are offenders; it names the first ones and counts the rest."""
    if offenders:
        more = f" and {len(offenders) - _LISTED:,} more" if len(offenders) > _LISTED else ""
        raise InputError(f"{archive}: {what}: {'; '.join(offenders[:_LISTED])}{more}")


if __name__ == "__main__":
    entry.run(main)
