"""`make remote`: set DVC's default remote and check that it answers.

The words are its URL (a folder, ssh, s3, webdav(s) or http(s)) and option=value, as of `dvc remote
modify`. --forget only removes the credentials.

The URL goes to .dvc/config, to be committed. Credentials go to .dvc/config.local, which git
ignores. All of it is done by DVC's own commands.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from handwriting.core.errors import InputError
from tools import program

NAME = "storage"
CONFIGS = (Path(".dvc/config"), Path(".dvc/config.local"))
KINDS = ("", "ssh", "s3", "webdav", "webdavs", "http", "https")
SECRET = re.compile(r"password|secret|token|key|credential|user|profile|custom_auth")


def dvc(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a DVC command and capture its output."""
    command = [sys.executable, "-m", "dvc", *words]
    return subprocess.run(command, capture_output=True, text=True)  # noqa: S603


def first_line(done: subprocess.CompletedProcess[str]) -> str:
    """Return what a DVC command wrote first of an error."""
    return done.stderr.strip().partition("\n")[0].removeprefix("ERROR: ")


def remote(*words: str) -> None:
    """Run `dvc remote`; raise InputError with its message if it fails."""
    if (done := dvc("remote", *words)).returncode != 0:
        raise InputError(first_line(done))


@contextmanager
def restored_on_failure() -> Iterator[None]:
    """Put DVC's config files back if the block fails."""
    before = {path: path.read_bytes() for path in CONFIGS if path.exists()}
    try:
        yield
    except BaseException:
        for path in CONFIGS:
            path.unlink(missing_ok=True)
            if path in before:
                path.write_bytes(before[path])
        raise


def checked_url(url: str) -> str:
    """Return the URL, a folder as an absolute path; raise InputError if it cannot be used."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise InputError(f"{url}: {error}") from None
    if parts.password:
        raise InputError("a password in the URL would be committed: use SETTINGS='password=...'")
    if parts.scheme not in KINDS:
        raise InputError(f"{parts.scheme}:// is none of: a folder, {', '.join(KINDS[1:])}")
    if not parts.scheme and Path(url).is_file():
        raise InputError(f"{url}: is a file, not a folder")
    return url if parts.scheme else str(Path(url).expanduser().absolute())


def write(url: str, settings: list[str]) -> None:
    """Make `url` the default remote, in place of an earlier one and its settings."""
    options = [tuple(each.split("=", 1)) for each in settings]
    if wrong := [given for given, pair in zip(settings, options, strict=True) if len(pair) != 2]:
        raise InputError(f"a setting is option=value, not {wrong[0]!r}")
    dvc("remote", "remove", "--local", NAME)
    dvc("remote", "remove", NAME)
    remote("add", "--default", NAME, url)
    remote("modify", NAME, "verify", "true")  # hash what is fetched
    if any(SECRET.search(name) for name, _ in options):
        # With the URL, so that a commit whose .dvc/config lacks the remote still loads.
        remote("add", "--local", NAME, url)
    for name, value in options:
        remote("modify", *(["--local"] if SECRET.search(name) else []), NAME, name, value)


def main(words: list[str], forget: bool = False) -> None:
    """Set the remote and ask it, or forget its credentials."""
    if forget:
        dvc("remote", "remove", "--local", NAME)
        return
    given, *settings = words or [""]
    if not given:
        raise InputError("no URL: make remote URL=...")
    with restored_on_failure():
        url = checked_url(given)
        write(url, settings)
    print(f"The default remote is now {given}; commit .dvc/config", flush=True)
    answer = dvc("ls-url", f"remote://{NAME}")
    if answer.returncode != 0 and "does not exist" not in answer.stderr:  # may be made later
        reason = first_line(answer).removeprefix("unexpected error - ")
        raise InputError(f"{url} does not answer: {reason}")


if __name__ == "__main__":
    program.run(main)
