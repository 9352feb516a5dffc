"""`make verify`: hash every object in DVC's cache, and take out those that are not what they were.

DVC trusts a cached file that is read-only: once damaged, it would be checked out, called up to
date, and pushed. What is taken out here is fetched by `dvc pull` or made by `dvc repro`.

`make verify-remote` does it for the default remote, by reading all of it, and puts the cache's own
copy in the place of what was damaged. `dvc push` would not: where a folder's listing is, it takes
the folder's files to be.
"""

import argparse
import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import yaml
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.scm import SCMError

from handwriting.core.errors import InputError


def digest(file: IO[bytes]) -> str:
    """The md5 of a file's content, by which DVC names it."""
    md5 = hashlib.md5(usedforsecurity=False)
    while block := file.read(1 << 20):
        md5.update(block)
    return md5.hexdigest()


def local_digest(path: Path) -> str:
    with path.open("rb") as file:
        return digest(file)


def damaged(cache: Path) -> dict[Path, str]:
    """The objects under `cache` whose content has another digest than their name, and that digest.

    An object is at `<first two digits>/<the other 30>`, with `.dir` behind a folder's listing.
    """
    found = {}
    for path in sorted(cache.glob("??/*")):
        name = path.parent.name + path.name.removesuffix(".dir")
        if len(name) == 32 and (content := local_digest(path)) != name:
            found[path] = content
    return found


def outputs(lock: Path) -> Iterator[Path]:
    """The files in the workspace that DVC checks out, as dvc.lock names them."""
    if not lock.exists():
        return
    stages = yaml.load(lock.read_text(encoding="utf-8"), yaml.CSafeLoader)["stages"]
    for stage in stages.values():
        for out in stage.get("outs", []):
            path = Path(out["path"])
            yield from (each for each in path.rglob("*") if each.is_file())
            if path.is_file():
                yield path


def verify_cache(repo: Any) -> int:
    """Take out what is damaged, and its copies in the workspace; 1 if there was anything."""
    cache = Path(repo.cache.local.path)
    found = damaged(cache)
    if not found:
        print(f"Every object in {cache} is what its name says")
        return 0
    wrong = set(found.values())
    copies = [path for path in outputs(Path("dvc.lock")) if local_digest(path) in wrong]
    for path in [*copies, *found]:
        path.unlink(missing_ok=True)
        print(f"damaged, and removed: {path}")
    print("`dvc pull` fetches again what is on the remote, `dvc repro` makes the rest")
    return 1


def verify_remote(repo: Any) -> int:
    """Replace what is damaged on the default remote; 1 if for something there is no replacement."""
    cache, remote = repo.cache.local, repo.cloud.get_remote_odb()
    lost = 0
    for oid in sorted(remote.all()):
        path = remote.oid_to_path(oid)
        with remote.fs.open(path, "rb") as file:
            if digest(file) == oid.removesuffix(".dir"):
                continue
        remote.fs.remove(path)
        copy = Path(cache.oid_to_path(oid))
        if copy.exists() and local_digest(copy) == oid.removesuffix(".dir"):
            remote.add(str(copy), cache.fs, oid)
            print(f"damaged, and replaced: {path}")
        else:
            lost = 1
            print(f"damaged, and removed: {path}; this clone has no sound copy of it")
    if not lost:
        print(f"Every object in {remote.path} is what its name says")
    return lost


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--remote", action="store_true", help="the default remote, not the cache")
    given = parser.parse_args()
    try:
        with Repo() as repo:
            return verify_remote(repo) if given.remote else verify_cache(repo)
    except (DvcException, SCMError, OSError, yaml.YAMLError) as problem:
        raise InputError(" ".join(str(problem).split())) from problem


if __name__ == "__main__":
    try:
        sys.exit(main())
    except InputError as problem:
        sys.exit(f"verify: {problem}")
