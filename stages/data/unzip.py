"""Unpack one data set's archives into one uncompressed tar, the same whatever they were packed by.

reads   data/raw/<source>/<dataset>/ (a .zip, or several .gz)
writes  data/images/<source>/<dataset>.tar
params  unzip

60,000 small files cost DVC minutes at every push and pull, and one file costs seconds. The tar's
members are sorted by path and carry no times and no owners, so that its bytes tell the content.
"""

import tarfile
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

from handwriting.core import cli as entry
from handwriting.core import files, params
from handwriting.core import gc as collector
from handwriting.core.errors import InputError
from handwriting.raw import archives, tars


@collector.paused()
def main(scratch: Path, source: str, dataset: str) -> None:
    limits = params.load("unzip", archives.Limits)
    paths = listing(Path(f"data/raw/{source}/{dataset}"))
    with files.replacing(Path(f"data/images/{source}/{dataset}.tar"), scratch) as temporary:
        convert(paths, temporary, limits)


def listing(folder: Path) -> list[Path]:
    """All that is in `folder`, sorted."""
    if not folder.is_dir() or not (paths := sorted(folder.iterdir())):
        raise InputError(f"{folder}: nothing there; `dvc repro` downloads it")
    return paths


def convert(paths: Sequence[Path], tar: Path, limits: archives.Limits) -> None:
    """Write the members of all the archives in `paths` into one `tar`."""
    with archives.opened(paths, limits) as members, tar.open("wb", tars.BUFFER) as file:
        for member in tqdm(members, desc=tar.stem, unit=" files", disable=None):
            file.write(tars.header(member.path, member.size))
            for chunk in member.chunks():
                file.write(chunk)
            file.write(bytes(-member.size % tarfile.BLOCKSIZE))
        file.write(bytes(2 * tarfile.BLOCKSIZE))
        file.write(bytes(-file.tell() % tarfile.RECORDSIZE))


if __name__ == "__main__":
    entry.run(main)
