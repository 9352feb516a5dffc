"""`make verify`: hash every object of DVC's cache and delete the damaged ones.

DVC trusts a cached file that is read-only. A damaged one would be checked out, called up to date
and pushed. `dvc pull` or `dvc repro` brings back what is deleted here. An argument names another
store, such as a remote's `files/md5`.
"""

import hashlib
import subprocess
import sys
from pathlib import Path

from tools import program

WORKSPACE = ("artifacts", "data")  # where outputs may be copies of damaged objects


def digest(path: Path) -> str:
    """MD5 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def damaged(store: Path) -> dict[Path, str]:
    """Objects whose content does not match their name, and the MD5 of their content.

    An object is `<first two digits>/<the other 30>`, with `.dir` behind a folder's listing.
    """
    names = {path: path.parent.name + path.name.removesuffix(".dir") for path in store.glob("??/*")}
    found = {path: digest(path) for path, name in names.items() if len(name) == 32}
    return {path: md5 for path, md5 in sorted(found.items()) if md5 != names[path]}


def main(folder: list[str]) -> int:
    """Delete damaged objects and their copies in the workspace; 1 if there were any."""
    command = [sys.executable, "-m", "dvc", "cache", "dir"]
    cache = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    store = Path(folder[0]) if folder else Path(cache.stdout.strip(), "files/md5")
    found = damaged(store)
    outputs = [path for top in WORKSPACE for path in Path(top).rglob("*") if path.is_file()]
    copies = [path for path in outputs if found and digest(path) in found.values()]
    for path in [*copies, *found]:
        path.unlink(missing_ok=True)
        print(f"damaged, deleted: {path}")
    if not found:
        print(f"every object in {store} matches its name")
    return int(bool(found))


if __name__ == "__main__":
    program.run(main)
