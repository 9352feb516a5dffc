"""Download files, each from the first of its URLs whose bytes have the right digest."""

import random
import re
import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from hashlib import file_digest, sha256
from itertools import count
from pathlib import Path
from typing import Annotated, NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import requests
import urllib3
from pydantic import Field
from tqdm import tqdm

from handwriting.core import params
from handwriting.core.errors import InputError, one_line
from handwriting.raw.archives import Limits, content_digest

_CHUNK = 1 << 20
_TEMPORARY = {408, 425, 429, *range(500, 600)} - {501, 505}  # HTTP statuses worth a retry
_TRANSIENT = (requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError)
_HTML = (b"<!doctype html", b"<html", b"<head", b"<!--")
_WEB_PAGE = "a web page, not an archive: the link is dead, or not a direct download"

Name = Annotated[str, Field(pattern=r"^\w[\w.-]*\.(zip|gz)$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


@params.section
class RetryPolicy:
    """How long and how often to try one URL."""

    attempts: Annotated[int, Field(ge=1)]
    timeout_seconds: Annotated[float, Field(gt=0)]  # for a connection and for its next byte
    min_bytes_per_second: Annotated[int, Field(ge=0)]  # once the timeout has passed
    backoff_seconds: Annotated[float, Field(ge=0)]  # before the second attempt, then doubled
    max_wait_seconds: Annotated[float, Field(ge=0)]  # of a back-off and of Retry-After
    max_bytes: Annotated[int, Field(gt=0)]  # of one file


class UnavailableError(Exception):
    """This URL cannot supply the file."""


class InterruptedDownloadError(Exception):
    """The download failed in a way that another attempt may mend."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after  # seconds


class PartialDownload(NamedTuple):
    """What has arrived of a file from one URL, in a folder of that URL and digest alone."""

    url: str  # without a scheme, a path from the project's root
    name: str
    digest: str | None
    scratch: Path

    @property
    def path(self) -> Path:
        key = sha256(f"{self.url}\n{self.digest}".encode()).hexdigest()[:16]
        return self.scratch / key / self.name

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def restart(self, version: str = "") -> None:
        """Delete what has arrived. `version` is the server's name for what is to come."""
        self.path.unlink(missing_ok=True)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.with_name("version").write_text(version)

    def headers(self) -> dict[str, str]:
        """Return request headers that ask for the rest of the same version, uncompressed."""
        headers = {"Accept-Encoding": "identity"}
        if self.size:
            headers["Range"] = f"bytes={self.size}-"
            if version := self.path.with_name("version").read_text():
                headers["If-Range"] = version
        return headers


@params.section
class Archive:
    """The files of one data set and where to fetch them."""

    urls: Annotated[list[str], Field(min_length=1)]  # folders or URL prefixes, tried in this order
    # The digest is archives.content_digest or the sha256 of the file.
    files: Annotated[dict[Name, Digest | None], Field(min_length=1)]

    def downloads(self, mirror: str, scratch: Path) -> list[list[PartialDownload]]:
        """Return the downloads of each file from every URL, that of a `mirror` first."""
        prefixes = [mirror, *self.urls] if mirror else self.urls
        return [
            [PartialDownload(location(each, name), name, digest, scratch) for each in prefixes]
            for name, digest in self.files.items()
        ]


def location(prefix: str, name: str) -> str:
    """Return the URL or path of a file; of a Dropbox share link, the one that downloads."""
    if not re.match(r"https?://(www\.)?dropbox\.com/", prefix, re.IGNORECASE):
        return f"{prefix.rstrip('/')}/{name}"
    link = urlsplit(prefix)
    path = f"{link.path.rstrip('/')}/{name}"
    query = urlencode(dict(parse_qsl(link.query, keep_blank_values=True)) | {"dl": "1"})
    return urlunsplit(link._replace(path=path, query=query, fragment=""))


def fetch(downloads: Sequence[PartialDownload], policy: RetryPolicy, limits: Limits) -> Path:
    """Return the path of a file fetched by the first of its downloads that succeeds.

    Raises InputError naming each URL and what is wrong with it.
    """
    problems = []
    for part in downloads:
        try:
            download(part, policy, limits)
            return part.path
        except UnavailableError as error:
            problems.append(_log(f"{part.url}: {error}"))
    name, remote = downloads[0].name, any("://" in part.url for part in downloads)
    advice = (
        f"Put {name} in a folder and set DATA_MIRROR to that folder" if remote else "Restore it"
    )
    listed = "; ".join(problems)
    raise InputError(f"could not fetch {name} from any of its URLs: {listed}. {advice}")


def _log(problem: str) -> str:
    """Print `problem` without the password of its URL, and return it so."""
    problem = re.sub(r"(?<=://)[^/@\s]*@", "", problem)
    print(f"download: {problem}", file=sys.stderr)
    return problem


def download(part: PartialDownload, policy: RetryPolicy, limits: Limits) -> None:
    """Fill `part` from its URL. Raises UnavailableError after the last attempt."""
    if part.url.lower().startswith("http:") and not part.digest:
        raise UnavailableError("plain HTTP needs a digest in params.yaml")
    if part.digest and part.size and not validation_error(part, limits):
        return  # an earlier run was interrupted after this file
    for attempt in count(1):
        if not part.digest:
            part.restart()  # no digest would reveal pieces that do not fit
        try:
            resumed = request(part, policy) if "://" in part.url else copy(part)
            if not (problem := validation_error(part, limits)):
                return
            part.restart()  # one that was resumed may be right next time
            raise InterruptedDownloadError(problem) if resumed else UnavailableError(problem)
        except InterruptedDownloadError as error:
            seconds = delay(error, attempt, policy)
            _log(f"{part.url}: {error}; next attempt in {seconds:.0f} s")
            time.sleep(seconds)


def validation_error(part: PartialDownload, limits: Limits) -> str | None:
    """Return what is wrong with a complete file, or None."""
    with part.path.open("rb") as file:
        if file.read(512).lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_HTML):
            return _WEB_PAGE
        file.seek(0)
        sha = file_digest(file, "sha256").hexdigest()
    try:
        digest = content_digest(part.path, limits)
    except InputError as error:
        return f"not the archive expected: {str(error).removeprefix(f'{part.path}: ')}"
    fits = part.digest in (None, digest, sha)
    return None if fits else f"its digest is {digest}, not {part.digest}"


def copy(part: PartialDownload) -> bool:
    """Fill `part` from a local file. Returns False: it is never resumed."""
    if not Path(part.url).is_file():
        raise UnavailableError("no such file")
    part.restart()
    shutil.copyfile(part.url, part.path)
    return False


def delay(error: InterruptedDownloadError, attempt: int, policy: RetryPolicy) -> float:
    """Return the seconds until the next attempt. Raises UnavailableError if there is to be none."""
    if attempt == policy.attempts:
        raise UnavailableError(f"{error} (attempt {attempt}, the last)") from error
    if (error.retry_after or 0) > policy.max_wait_seconds:
        asked = f"asks to wait {error.retry_after:,.0f} s, over download.max_wait_seconds"
        raise UnavailableError(f"{error}, {asked}") from error
    backoff = policy.backoff_seconds * 2.0 ** (attempt - 1) * random.uniform(0.5, 1)  # noqa: S311
    return error.retry_after or min(backoff, policy.max_wait_seconds)


def request(part: PartialDownload, policy: RetryPolicy) -> bool:
    """Send one GET, for the rest if a part has arrived. Returns whether that was resumed."""
    with requests.Session() as session:
        session.headers.update(part.headers())
        if part.url.lower().startswith("https:"):
            session.adapters.pop("http://")  # forbids redirects to plain HTTP
        try:
            with session.get(part.url, stream=True, timeout=policy.timeout_seconds) as response:
                resumed = begin(part, response)
                receive(part, response, policy)
                return resumed
        except requests.exceptions.InvalidSchema:
            raise UnavailableError("not HTTPS, or redirects to a non-HTTPS URL") from None
        except (requests.RequestException, urllib3.exceptions.HTTPError, ValueError) as error:
            lasting = isinstance(error, requests.exceptions.SSLError)
            again = isinstance(error, _TRANSIENT) and not lasting
            raise (InterruptedDownloadError if again else UnavailableError)(cause(error)) from error


def cause(error: BaseException) -> str:
    """Return the message of the first error of a chain, without the libraries' wrapping."""
    while error.__context__:
        error = error.__context__
    return one_line(error)


def begin(part: PartialDownload, response: requests.Response) -> bool:
    """Check status and headers. Returns whether the body continues `part`, which else is empty."""
    code, header = response.status_code, response.headers.get
    status = f"{code} {response.reason}"
    if code in _TEMPORARY:
        wait = None
        with suppress(urllib3.exceptions.InvalidHeader, ValueError, OverflowError):
            wait = urllib3.Retry().parse_retry_after(header("Retry-After", ""))
        raise InterruptedDownloadError(status, wait)
    fits = header("Content-Range", "").startswith(f"bytes {part.size}-")
    if (code == 206 and not fits) or (code == 416 and part.size):
        part.restart()
        raise InterruptedDownloadError(f"{status}, which is not the range requested")
    if code not in (200, 206):
        raise UnavailableError(status)
    if header("Content-Type", "").lower().startswith("text/html"):
        raise UnavailableError(_WEB_PAGE)
    if code == 206 and part.size:
        return True
    etag = header("ETag", "")
    part.restart(etag if etag.startswith('"') else header("Last-Modified", ""))  # W/ is weak
    return False


def receive(part: PartialDownload, response: requests.Response, policy: RetryPolicy) -> None:
    """Append the body to the part."""
    start, received, size = time.monotonic(), 0, part.size
    left = response.raw.length_remaining  # of Content-Length
    total = None if left is None else size + left
    bar = tqdm(desc=part.name, initial=size, total=total, unit="B", unit_scale=True, disable=None)
    with bar, part.path.open("ab") as file:
        # read1() returns after one read of the socket; read() would wait for a full chunk.
        while chunk := response.raw.read1(_CHUNK):
            file.write(chunk)
            bar.update(len(chunk))
            received += len(chunk)
            if file.tell() > policy.max_bytes:
                raise UnavailableError("larger than download.max_bytes")
            late = time.monotonic() - start - policy.timeout_seconds
            if received < late * policy.min_bytes_per_second:
                raise InterruptedDownloadError("slower than download.min_bytes_per_second")
