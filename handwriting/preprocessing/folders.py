"""Images in class folders, [<root>/]<class>/<image>, read from a tar and framed on all cores."""

import os
import re
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from handwriting.core import workers
from handwriting.data.duplicates import digest
from handwriting.preprocessing.framing import Framed, prepare_all
from handwriting.preprocessing.pixels import Pixels
from handwriting.preprocessing.settings import Framing, writer_in
from handwriting.preprocessing.tables import Table, refuse
from handwriting.raw import tars

_CHUNK = 64  # images per task of a worker
_WORKER_BYTES = 2_000_000  # of images: their decoding takes as long as a worker's start


Chunk = tuple[NDArray[np.void], list[str]]  # some images, framed, with digests; and errors


def read(
    archive: Path,
    class_of: Mapping[str, str],
    expected: int,
    framing: Framing,
    pixels: Pixels,
    writer: re.Pattern[str] | None = None,
) -> Table:
    """Append the images to `pixels`; return their table, in the archive's order.

    `class_of` has the class of each folder, in the order of the classes; `writer` finds the writer
    in the path of an image, if it must have one.
    Raises InputError listing every fault of folders, names, counts and images.
    """
    listing = tars.listing(archive)
    paths, count = listing.paths, len(listing.paths)
    labels, faults = _labelled(paths, [*class_of], expected, writer)
    geometry = np.empty((count, 4), np.float32)
    keys, digests = np.empty(count, np.uint64), np.empty(count, np.uint64)
    done, errors = 0, list[str]()
    bar = tqdm(total=count, desc="decode", unit="image", disable=None, leave=False)
    with bar, closing(_framed(archive, framing, listing)) as chunks:
        for framed, wrong in chunks:
            rows = slice(done, done := done + len(framed))
            geometry[rows], keys[rows] = framed["geometry"], framed["key"]
            digests[rows] = framed["digest"]
            pixels.append(framed["image"], keys[rows])
            errors += wrong
            bar.update(len(framed) + len(wrong))
    geometry[np.isnan(geometry).any(axis=1)] = np.nan  # a size alone tells nothing
    refuse(archive, faults | {"unusable images": errors})
    classes = tuple(class_of.values())
    return Table(pixels, labels, geometry, digests, keys, classes, paths.__getitem__)


def _labelled(
    paths: Sequence[str], folders: Sequence[str], expected: int, writer: re.Pattern[str] | None
) -> tuple[NDArray[np.int64], dict[str, Sequence[str]]]:
    """Return the class of each image, int64 [N], and the faults of the layout by kind."""
    roots = Counter("/".join(path.split("/")[:-2]) for path in paths)
    root = max(roots, key=roots.__getitem__, default="")
    label_of = {f"{root}/{name}".lstrip("/"): label for label, name in enumerate(folders)}
    found = (label_of.get(path.rpartition("/")[0], -1) for path in paths)
    labels = np.fromiter(found, np.int64, len(paths))
    number = [f"{len(paths):,}, where params.yaml expects {expected:,}"]
    nameless = [path for path in paths if writer and not writer_in(writer, path)]
    absent = [each for label, each in enumerate(folders) if label not in labels]
    return labels, {
        "not in the folder of a class": [paths[i] for i in np.flatnonzero(labels < 0).tolist()],
        "no image of the class": absent,
        "wrong number of images": number if len(paths) != expected else [],
        "no writer in the name": nameless,
    }


def _framed(archive: Path, framing: Framing, listing: tars.Listing) -> Generator[Chunk]:
    """Yield all members framed, in their order, by one process per core or, if few, by this one."""
    from joblib import cpu_count  # slow to import

    frame = partial(_frame, archive, framing)
    starts = range(0, len(listing.paths), _CHUNK)
    parts = (listing.part(slice(i, i + _CHUNK)) for i in starts)
    count = min(cpu_count(), sum(listing.sizes) // _WORKER_BYTES)
    yield from map(frame, parts) if count < 2 else workers.map(frame, parts, count)


def _frame(archive: Path, framing: Framing, listing: tars.Listing) -> Chunk:
    size, framed, errors = framing.image_size, [], []
    with archive.open("rb") as file:
        members = [(path, os.pread(file.fileno(), n, at)) for path, at, n in listing.members()]
    for each in prepare_all(members, size, framing.ink_size):
        if isinstance(each, Framed):
            framed.append((*each, digest(each.image.tobytes())))
        else:
            errors.append(str(each))
    kinds = [("image", np.uint8, (size, size)), ("geometry", np.float32, 4)]
    return np.array(framed, [*kinds, ("key", np.uint64), ("digest", np.uint64)]), errors
