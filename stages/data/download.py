"""Fetch the archives of one data set.

reads   $DATA_MIRROR if it is set (not for the sample), then `urls`: data/sample/ or the network
writes  data/raw/<source>/<dataset>/
params  download, unzip, <source>.archives.<dataset>
"""

import os
from pathlib import Path

from handwriting.core import cli, files, params
from handwriting.core.errors import say
from handwriting.raw.archives import Limits
from handwriting.raw.fetch import Archive, RetryPolicy, fetch


def main(scratch: Path, source: str, dataset: str) -> None:
    policy = params.load("download", RetryPolicy)
    limits = params.load("unzip", Limits)
    archive = params.load(f"{source}.archives.{dataset}", Archive)
    mirror = os.environ.get("DATA_MIRROR", "") if source != "sample" else ""
    paths = [fetch(each, policy, limits) for each in archive.downloads(mirror, scratch)]
    folder = Path(f"data/raw/{source}/{dataset}")
    for path in paths:
        files.publish(path, folder / path.name)
    for stale in set(folder.iterdir()) - {folder / path.name for path in paths}:
        stale.unlink()
    size = sum(path.stat().st_size for path in folder.iterdir())
    say(f"{len(paths)} {'file' if len(paths) == 1 else 'files'}, {size / 1e6:,.1f} MB")


if __name__ == "__main__":
    cli.run(main)
