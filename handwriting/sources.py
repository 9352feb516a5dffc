"""Images by files, folders and zip archives, framed for a classifier."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from handwriting.classifier import Classifier, read
from handwriting.core.errors import InputError
from handwriting.preprocessing.framing import Framed
from handwriting.raw import archives

_LARGEST = 200 << 20  # bytes of an image file in an archive
# Deflate packs 1,032 to 1 at most, and pen on an uncompressed page comes to some hundreds.
_LIMITS = archives.Limits(max_bytes=10 << 30, max_ratio=1100, max_members=1_000_000)
_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"}


def images(paths: Sequence[Path]) -> Iterator[tuple[str, str, bytes]]:
    """Yield (name, name for an error, bytes) of every image that the paths name, in sorted order.

    A member of a zip has its path there, after that of the zip if it is not the only argument.
    """
    for path in paths:
        if path == Path():  # of an empty word: an unset variable of a shell
            raise InputError("empty path; use ./ for the current folder")
        if path.is_dir():
            found = sorted(p for p in path.rglob("*") if p.suffix.lower() in _SUFFIXES)
            if not found:
                raise InputError(f"{path}: no images in this folder")
            yield from ((str(each), str(each), read(each)) for each in found)
        elif path.suffix.lower() == ".zip":
            yield from _members(path, f"{path}/" if len(paths) > 1 else "")
        else:
            yield str(path), str(path), read(path)


def _members(path: Path, prefix: str) -> Iterator[tuple[str, str, bytes]]:
    with archives.opened([path], _LIMITS) as members:
        found = [each for each in members if Path(each.path).suffix.lower() in _SUFFIXES]
        if not found:
            raise InputError(f"{path}: no images in this archive")
        for each in found:
            where = f"{path}: {each.path}"
            if each.size > _LARGEST:
                raise InputError(f"{where}: {each.size:,} bytes are too many for an image file")
            yield prefix + each.path, where, b"".join(each.chunks())


def prepared(
    classifier: Classifier, paths: Sequence[Path]
) -> tuple[list[str], NDArray[np.uint8], NDArray[np.float32]]:
    """Return the names of all images, and as Classifier.logits() takes them their pixels, uint8
    [N, 1, size, size], and geometry, float32 [N, 4]."""
    names: list[str] = []
    framed: list[Framed] = []
    for name, where, content in tqdm(images(paths), unit="image", disable=None):
        names.append(name)
        framed.append(classifier.prepare(content, where))
    pixels = np.stack([each.image for each in framed])[:, None]
    geometry = np.array([each.geometry for each in framed], np.float32)
    return names, pixels, geometry
