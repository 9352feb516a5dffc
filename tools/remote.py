"""`make remote`: name the place that `dvc push` and `dvc pull` use, and check that it answers.

The URL is written to .dvc/config, to be committed; what DVC must know to log in goes to
.dvc/config.local, which git ignores.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from dvc.config import Config, ConfigError
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc_objects.fs.base import FileSystem

from handwriting.core.errors import InputError

NAME = "storage"
KINDS = ("ssh", "s3", "webdav", "webdavs", "http", "https")
# Where logging in is concerned, or where only this machine is.
SECRET = re.compile(r"password|secret|token|key|credential|user|profile|custom_auth")


def split_settings(given: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """`option=value` words as what is for all to see, and what is not.

    Raises InputError for a word without a `=`.
    """
    shown: dict[str, str] = {}
    hidden: dict[str, str] = {}
    for word in given:
        option, equals, value = word.partition("=")
        if not (option and equals and value):
            raise InputError(f"a setting is option=value, which {word!r} is not")
        (hidden if SECRET.search(option) else shown)[option] = value
    return shown, hidden


def checked_url(url: str) -> str:
    """The URL, if it is one that this project's packages can use.

    Raises InputError for a kind of URL that needs more packages, and for one that holds a password,
    which would be committed.
    """
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise InputError(f"{url}: {error}") from None
    if parts.password:
        raise InputError("a password in the URL would be committed: SETTINGS='password=...'")
    if parts.scheme not in ("", *KINDS):
        raise InputError(f"{parts.scheme}:// is none of: a folder, {', '.join(KINDS)}")
    if parts.scheme:
        return url
    if Path(url).is_file():
        raise InputError(f"{url}: a file, where a folder is to be")
    return str(Path(url).expanduser().absolute())


@contextmanager
def restored_on_failure() -> Iterator[None]:
    """Both files of DVC's config, as they were before what failed."""
    paths = (Path(".dvc/config"), Path(".dvc/config.local"))
    before = {path: path.read_bytes() for path in paths if path.exists()}
    try:
        yield
    except BaseException:
        for path in paths:
            path.unlink(missing_ok=True)
            if path in before:
                path.write_bytes(before[path])
        raise


def write(url: str, settings: list[str]) -> None:
    """Make `url` the default remote; all that it was before is forgotten."""
    shown, hidden = split_settings(settings)
    # DVC takes a fetched object at its word unless it is told to hash it.
    entry = {"url": checked_url(url), "verify": True, **shown}
    config = Config.from_cwd()
    # First of all, since DVC checks what both files say together.
    with config.edit("local") as content:
        content.setdefault("remote", {}).pop(NAME, None)
        content.setdefault("core", {}).pop("remote", None)
    with config.edit("repo") as content:
        content.setdefault("remote", {})[NAME] = entry
        content.setdefault("core", {})["remote"] = NAME
    if hidden:
        with config.edit("local") as content:
            # With the URL: a commit whose .dvc/config does not have the remote would not load.
            content.setdefault("remote", {})[NAME] = {"url": entry["url"], **hidden}


def forget() -> None:
    """Forget what logs in; the URL stays."""
    with Config.from_cwd().edit("local") as content:
        content.get("remote", {}).pop(NAME, None)
    print("What logs in to the default remote is forgotten")


def ask() -> None:
    """Ask the remote for anything at all; raises InputError with what it says."""
    with Repo() as repo:
        odb = repo.cloud.get_remote_odb(NAME)
        filesystem: FileSystem = odb.fs
        try:
            filesystem.exists(odb.path)
        except Exception as problem:  # each kind of server has errors of its own
            words = " ".join(str(problem).split())
            raise InputError(
                f"{repo.config['remote'][NAME]['url']} does not answer: {words}"
            ) from None


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--forget", action="store_true", help="only forget what logs in")
    parser.add_argument(
        "url", nargs="?", default="", help="a folder, or ssh://, s3://, webdav(s)://, http(s)://"
    )
    parser.add_argument("settings", nargs="*", help="option=value, as of `dvc remote modify`")
    given = parser.parse_args()
    if not Path(".dvc").is_dir():
        raise InputError(f"{Path.cwd()}: not the top folder of the project")
    if given.forget:
        forget()
        return
    if not given.url:
        raise InputError("say where: make remote URL=...")
    try:
        with restored_on_failure():
            write(given.url, given.settings)
    except (ConfigError, DvcException) as problem:
        raise InputError(str(problem)) from problem
    print(f"The default remote is now {given.url}: .dvc/config can be committed", flush=True)
    ask()


if __name__ == "__main__":
    try:
        main()
    except InputError as problem:
        sys.exit(f"remote: {problem}")
