"""Unpack the archives of one data set into one uncompressed tar.

reads   data/raw/<source>/<dataset>/ (a .zip, or several .gz)
writes  data/images/<source>/<dataset>.tar
params  unzip

DVC pushes and pulls one file in seconds, 60,000 small files in minutes.
"""

import gc
from pathlib import Path

from tqdm import tqdm

from handwriting.core import cli, files, params
from handwriting.core.errors import InputError, say
from handwriting.raw import archives, tars


def main(scratch: Path, source: str, dataset: str) -> None:
    limits = params.load("unzip", archives.Limits)
    folder = Path(f"data/raw/{source}/{dataset}")
    paths = sorted(folder.glob("*"))
    if not paths:
        raise InputError(f"{folder}: nothing there; `dvc repro` downloads it")
    tar = Path(f"data/images/{source}/{dataset}.tar")
    with files.replacing(tar, scratch) as temporary, archives.opened(paths, limits) as members:
        tars.write(temporary, tqdm(members, unit=" files", disable=None, leave=False))
    say(f"{tar}: {tar.stat().st_size / 1e6:,.1f} MB")


if __name__ == "__main__":
    gc.disable()  # no cycles among a million objects: a quarter of the time for 60,000 files
    cli.run(main)
