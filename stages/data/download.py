"""Fetch one data set's archives from the first place that has them, and check what came.

reads   data/sample/ for the sample; for others $DATA_MIRROR if it is set, then the network
writes  data/raw/<source>/<dataset>/
params  archives.<source>.<dataset>, download, unzip
"""

import os
import random
import re
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import requests
import urllib3
from pydantic import Field
from tqdm import tqdm

from handwriting.core import cli as entry
from handwriting.core import files, params
from handwriting.core.errors import InputError
from handwriting.raw import archives

_CHUNK = 1 << 20
_TRY_LATER = {408, 425, 429, *range(500, 600)} - {501, 505}  # another attempt may change these
_HTML = (b"<!doctype html", b"<html", b"<head", b"<!--")
_PAGE = "a web page, not an archive: the link is dead, or not one that downloads"


@params.section
class File:
    """A file to fetch, and the places that have it."""

    name: Annotated[str, Field(pattern=r"^\w[\w.-]*\.(zip|gz)$")]
    urls: Annotated[list[str], Field(min_length=1)]  # without a scheme: a path from the root
    digest: (
        Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None
    )  # archives.content_digest, or sha256 of the file
    bytes: Annotated[int, Field(gt=0)]  # about; for the progress bar


@params.section
class Archive:
    """The files of one data set."""

    files: Annotated[list[File], Field(min_length=1)]


@params.section
class Patience:
    """How long and how often to try."""

    attempts: Annotated[int, Field(ge=1)]  # at one place, the first included
    timeout_seconds: Annotated[float, Field(gt=0)]  # for a connection and for its next byte
    min_bytes_per_second: Annotated[int, Field(ge=0)]  # once the time-out has passed
    backoff_seconds: Annotated[float, Field(ge=0)]  # before the second attempt, then doubled
    max_wait_seconds: Annotated[float, Field(ge=0)]  # the longest back-off and Retry-After
    max_bytes: Annotated[int, Field(gt=0)]  # of one file


class UnavailableError(Exception):
    """This place does not have the file."""


class InterruptedDownloadError(Exception):
    """The same place may give the rest, or all, if asked again, perhaps after some seconds."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


@dataclass(frozen=True)
class Part:
    """What has come of a file so far, in a folder that is for one place and one digest."""

    path: Path

    @classmethod
    def of(cls, file: File, place: str, scratch: Path) -> "Part":
        folder = scratch / sha256(f"{place}\n{file.digest}".encode()).hexdigest()[:16]
        folder.mkdir(parents=True, exist_ok=True)
        return cls(folder / file.name)

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def _version(self) -> Path:
        return self.path.with_name("version")

    def restart(self, version: str = "") -> None:
        """Empty the part, to be filled with the version that the server named so."""
        self.path.unlink(missing_ok=True)
        self._version.write_text(version)

    def headers(self) -> dict[str, str]:
        """What asks for the rest of the same version, in bytes as they are in the file."""
        headers = {"Accept-Encoding": "identity"}
        if self.size:
            headers["Range"] = f"bytes={self.size}-"
            if version := self._version.read_text() if self._version.exists() else "":
                headers["If-Range"] = version
        return headers

    def is_html(self) -> bool:
        with self.path.open("rb") as file:
            return file.read(512).lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_HTML)


def main(scratch: Path, source: str, dataset: str) -> None:
    archive = params.load(f"archives.{source}.{dataset}", Archive)
    patience = params.load("download", Patience)
    limits = params.load("unzip", archives.Limits)
    mirror = os.environ.get("DATA_MIRROR", "") if source != "sample" else ""
    parts = [fetch(each, places(each, mirror), patience, limits, scratch) for each in archive.files]
    store(parts, Path(f"data/raw/{source}/{dataset}"))


def places(file: File, mirror: str) -> list[str]:
    """Where to look for `file`, in order."""
    mirrored = [f"{mirror.rstrip('/')}/{file.name}"] if mirror else []
    return mirrored + [direct(url) for url in file.urls]


def direct(url: str) -> str:
    """`url`, or where it is a Dropbox share link the form that gives the file and not a page."""
    if not re.match(r"https?://(www\.)?dropbox\.com/", url, re.IGNORECASE):
        return url
    link = urlsplit(url)
    query = dict(parse_qsl(link.query, keep_blank_values=True)) | {"dl": "1"}
    return urlunsplit(link._replace(query=urlencode(query), fragment=""))


def without_password(text: str) -> str:
    """What a log that others read may say: of https://user:password@host, the host."""
    return re.sub(r"(?<=://)[^/@\s]*@", "", text)


def fetch(
    file: File, places: Sequence[str], patience: Patience, limits: archives.Limits, scratch: Path
) -> Path:
    """The file, in `scratch`, from the first of the places whose bytes have the right digest."""
    reasons = []
    for place in places:
        part = Part.of(file, place, scratch)
        try:
            complete(part, file, place, patience, limits)
            return part.path
        except UnavailableError as error:
            reasons.append(without_password(f"{place}: {error}"))
            print(f"download: {reasons[-1]}", file=sys.stderr)
    advice = f"Put {file.name} in a folder and set DATA_MIRROR to that folder"
    if not any("://" in place for place in places):
        advice = "Restore it"
    raise InputError(f"{file.name}: no place has it: {'; '.join(reasons)}. {advice}")


def complete(
    part: Part, file: File, place: str, patience: Patience, limits: archives.Limits
) -> None:
    """Fill `part` from `place`; from its start a second time, if an earlier piece was wrong."""
    if file.digest and part.size and not complaint(part, file, limits):
        return  # all of it was here when an earlier run was interrupted
    pieced = download(part, file, place, patience) if "://" in place else copy(part, Path(place))
    reason = complaint(part, file, limits)
    if reason and pieced:
        part.restart()
        download(part, file, place, patience)
        reason = complaint(part, file, limits)
    if reason:
        part.restart()
        raise UnavailableError(reason)


def complaint(part: Part, file: File, limits: archives.Limits) -> str | None:
    """What is wrong with a file that is all here, if anything."""
    if part.is_html():
        return _PAGE
    try:
        digest = archives.content_digest(part.path, limits)
    except InputError as error:
        return f"not the archive expected: {str(error).removeprefix(f'{part.path}: ')}"
    with part.path.open("rb") as whole:
        if file.digest in (None, digest, file_digest(whole, "sha256").hexdigest()):
            return None
    return f"its digest is {digest}, not {file.digest}"


def copy(part: Part, path: Path) -> bool:
    """Fill `part` from a local file. It is never made of pieces."""
    if not path.is_file():
        raise UnavailableError("no such file")
    shutil.copyfile(path, part.path)
    return False


def download(part: Part, file: File, url: str, patience: Patience) -> bool:
    """Stream `url` into `part`, from where that ends. Tells if the file was made of pieces."""
    if url.lower().startswith("http:") and not file.digest:
        raise UnavailableError("plain http needs a digest in params.yaml, to tell what came")
    for attempt in range(1, patience.attempts + 1):
        if not file.digest:
            part.restart()  # nothing would tell whether the pieces fit
        try:
            return request(part, file, url, patience)
        except InterruptedDownloadError as error:
            if attempt == patience.attempts:
                raise UnavailableError(f"{error} (attempt {attempt}, the last)") from None
            asked = error.retry_after or 0
            if asked > patience.max_wait_seconds:  # to come back sooner would be no answer to that
                raise UnavailableError(
                    f"{error}, asks to wait {asked:,.0f} s, over download.max_wait_seconds"
                ) from None
            seconds = asked or min(backoff(attempt, patience), patience.max_wait_seconds)
            problem = without_password(f"{url}: {error}")
            print(f"download: {problem}; again in {seconds:.0f} s", file=sys.stderr)
        time.sleep(seconds)
    raise AssertionError("there is at least one attempt")


def backoff(attempt: int, patience: Patience) -> float:
    """Seconds to wait, twice as long after each attempt, and never in step with other clients."""
    return patience.backoff_seconds * 2.0 ** (attempt - 1) * random.uniform(0.5, 1)  # noqa: S311


def request(part: Part, file: File, url: str, patience: Patience) -> bool:
    """One GET, for the rest if there is a part. Tells if what came was appended to one."""
    with requests.Session() as session:
        if url.lower().startswith("https:"):
            session.adapters.pop("http://")  # nor may a redirect lead there
        try:
            with session.get(
                url, headers=part.headers(), stream=True, timeout=patience.timeout_seconds
            ) as response:
                pieced = begin(part, response)
                receive(part, response, file, patience)
                return pieced
        except requests.exceptions.InvalidSchema:
            raise UnavailableError("is no https address, or leads to one that is none") from None
        except (requests.exceptions.SSLError, requests.TooManyRedirects) as error:
            raise UnavailableError(cause(error)) from error
        except (requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError) as error:
            raise InterruptedDownloadError(cause(error)) from error
        except (requests.RequestException, ValueError) as error:
            raise UnavailableError(cause(error)) from error


def cause(error: BaseException) -> str:
    """The first of a chain of errors, which says what happened without our libraries' wrapping."""
    while error.__context__:
        error = error.__context__
    return " ".join(str(error).split()) or type(error).__name__


def begin(part: Part, response: requests.Response) -> bool:
    """Judge the head of an answer. Tells if the body continues the part, which else is emptied."""
    status, header = f"{response.status_code} {response.reason}", response.headers.get
    if response.status_code in _TRY_LATER:
        raise InterruptedDownloadError(status, asked_to_wait(header("Retry-After", "")))
    if response.status_code == 416 and part.size:
        part.restart()
        raise InterruptedDownloadError(status)
    if response.status_code not in (200, 206):
        raise UnavailableError(status)
    if header("Content-Type", "").lower().startswith("text/html"):
        raise UnavailableError(_PAGE)
    if response.status_code == 206:
        if header("Content-Range", "").startswith(f"bytes {part.size}-"):
            return part.size > 0
        part.restart()
        raise InterruptedDownloadError("206 with a range that was not asked for")
    etag = header("ETag", "")
    part.restart(etag if etag.startswith('"') else header("Last-Modified", ""))
    return False


def asked_to_wait(retry_after: str) -> float | None:
    """The seconds that a Retry-After header asks for, as a number or a date, if it is valid."""
    try:
        return urllib3.Retry().parse_retry_after(retry_after)
    except (urllib3.exceptions.InvalidHeader, ValueError, OverflowError):
        return None


def receive(part: Part, response: requests.Response, file: File, patience: Patience) -> None:
    """Append the body to the part."""
    start, received = time.monotonic(), 0
    size, total = part.size, file.bytes
    bar = tqdm(desc=file.name, initial=size, total=total, unit="B", unit_scale=True, disable=None)
    with bar, part.path.open("ab") as target:
        # One read of the socket at a time: to fill a chunk could take a slow server for ever.
        while chunk := response.raw.read1(_CHUNK):
            target.write(chunk)
            received += len(chunk)
            bar.update(len(chunk))
            if target.tell() > patience.max_bytes:
                raise UnavailableError("larger than download.max_bytes")
            late = time.monotonic() - start - patience.timeout_seconds
            if received < late * patience.min_bytes_per_second:
                raise InterruptedDownloadError("slower than download.min_bytes_per_second")


def store(parts: Sequence[Path], folder: Path) -> None:
    """Move the finished files into `folder`, and all others out of it."""
    for part in parts:
        files.publish(part, folder / part.name)
    for stray in set(folder.iterdir()) - {folder / part.name for part in parts}:
        stray.unlink()


if __name__ == "__main__":
    entry.run(main)
