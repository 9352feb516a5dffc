"""Download files, each from the first of its URLs whose bytes have the right digest."""

import logging
import random
import re
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import file_digest, sha256
from http.client import responses
from itertools import count
from pathlib import Path
from typing import Annotated, NamedTuple
from urllib.parse import parse_qsl, urlencode

import requests
import urllib3
from pydantic import AfterValidator, Field
from tqdm import tqdm

from handwriting.core import params
from handwriting.core.errors import InputError, listed, one_line, printable
from handwriting.raw.archives import Limits, content_digest, opened

_CHUNK = 1 << 20
_TEMPORARY = {408, 425, 429, *range(500, 600)} - {501, 505}  # HTTP statuses worth a retry
_TRANSIENT = (requests.ConnectionError, requests.Timeout, urllib3.exceptions.HTTPError)
_ARCHIVE = (b"PK", b"\x1f\x8b")  # how a .zip and a .gz begin
_HTML = (b"<!doctype html", b"<html", b"<head", b"<!--")
_DROPBOX = re.compile(r"https?://(www\.)?dropbox\.com/", re.IGNORECASE)
_WEB_PAGE = "a web page, not an archive: the link is dead, or not a direct download"
logging.getLogger("urllib3").setLevel(logging.CRITICAL)  # its warnings quote URLs and headers

Name = Annotated[str, Field(pattern=r"^\w[\w.-]*\.(zip|gz|tar|tgz)$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


@params.section
class RetryPolicy:
    """How long and how often to try one URL."""

    attempts: Annotated[int, Field(ge=1)]
    timeout_seconds: Annotated[float, Field(gt=0)]  # for the answer, and for the next of its body
    min_bytes_per_second: Annotated[int, Field(ge=0)]  # once the timeout has passed
    max_seconds: Annotated[float, Field(gt=0)]  # of one attempt; the next continues it
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
    def shown(self) -> str:
        """The URL as it may be printed."""
        return redacted(re.sub(r"\s", "%20", self.url)) if ":/" in self.url else self.url

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


def redacted(text: str) -> str:
    """Return a text without the passwords, queries and fragments of the URLs in it."""
    before, mark, rest = text.partition(":/")
    # A password may hold any of " /?#;@", so that all before the last @ may be one.
    secret, at, shown = rest.rpartition("@")
    if at:
        query = "?" if re.search("[?#;]", secret) else ""  # which what is shown may belong to
        text = f"{before}{mark}{'/' * rest.startswith('/')}{query}{shown}"
    return re.sub(r"[?#;]\S+", "?...", text)


def without_secret(url: str) -> str:
    """Return the URL. Raises ValueError if a password or token may be in it."""
    if re.search(r"(?s):/.*[@#]" if _DROPBOX.match(url) else r"(?s):/.*[@#?;]", url):
        raise ValueError(
            "a password or token here is kept in lock files: set DATA_MIRROR to it; "
            "an @ of a path is written %40"
        )
    return url


@params.section
class Archive:
    """The files of one data set and where to fetch them."""

    # Folders or URL prefixes, tried in this order.
    urls: Annotated[list[Annotated[str, AfterValidator(without_secret)]], Field(min_length=1)]
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
    path, mark, query = prefix.partition("?") if "://" in prefix else (prefix, "", "")
    if _DROPBOX.match(prefix):
        fields = parse_qsl(query.partition("#")[0], keep_blank_values=True)
        mark, query = "?", urlencode(dict(fields) | {"dl": "1"})
    return f"{path.rstrip('/')}/{name}{mark}{query}"


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
            problems.append(_log(part, str(error)))
    name, remote = downloads[0].name, any("://" in part.url for part in downloads)
    advice = (
        f"Put {name} in a folder and set DATA_MIRROR to that folder" if remote else "Restore it"
    )
    raise InputError(f"could not fetch {name} from any of its URLs: {listed(problems)}. {advice}")


def _log(part: PartialDownload, problem: str) -> str:
    """Print the problem of a download, and return the line."""
    print(printable(f"download: {part.shown}: {problem}"), file=sys.stderr)
    return f"{part.shown}: {problem}"


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
            joined, ended = transfer(part, policy) if "://" in part.url else copy(part)
            if not (problem := validation_error(part, limits)):
                return
            if ended:
                part.restart()  # one that was joined may be right next time
            final = ended and not joined
            raise UnavailableError(problem) if final else InterruptedDownloadError(problem)
        except InterruptedDownloadError as error:
            seconds = delay(error, attempt, policy)
            _log(part, f"{error}; next attempt in {seconds:.0f} s")
            time.sleep(seconds)


def validation_error(part: PartialDownload, limits: Limits) -> str | None:
    """Return what is wrong with a complete file, or None."""
    with part.path.open("rb") as file:
        sha = file_digest(file, "sha256").hexdigest()
    try:
        digest = content_digest(part.path, limits)
        if not part.digest:  # then the checksums inside decide
            with opened([part.path], limits) as members:
                for member in members:
                    for _ in member.chunks():
                        pass
    except InputError as error:
        return f"not the archive expected: {str(error).removeprefix(f'{part.path}: ')}"
    fits = part.digest in (None, digest, sha)
    return None if fits else f"its digest is {digest}, not {part.digest}"


def copy(part: PartialDownload) -> tuple[bool, bool]:
    """Fill `part` from a local file. Returns as transfer() that it is whole."""
    if not Path(part.url).is_file():
        raise UnavailableError("no such file")
    part.restart()
    shutil.copyfile(part.url, part.path)
    return False, True


def delay(error: InterruptedDownloadError, attempt: int, policy: RetryPolicy) -> float:
    """Return the seconds until the next attempt. Raises UnavailableError if there is to be none."""
    if attempt == policy.attempts:
        raise UnavailableError(f"{error} (attempt {attempt}, the last)") from error
    if (error.retry_after or 0) > policy.max_wait_seconds:
        asked = f"asks to wait {error.retry_after:,.0f} s, over download.max_wait_seconds"
        raise UnavailableError(f"{error}, {asked}") from error
    backoff = policy.backoff_seconds * 2.0 ** (attempt - 1) * random.uniform(0.5, 1)  # noqa: S311
    return error.retry_after or min(backoff, policy.max_wait_seconds)


class Pace:
    """The time and bytes of one attempt, which ends when these are too few for that."""

    def __init__(self, policy: RetryPolicy) -> None:
        self.policy, self.start, self.received = policy, time.monotonic(), 0

    def add(self, size: int) -> None:
        """Count the bytes of a piece. Raises InterruptedDownloadError."""
        self.received += size
        seconds = time.monotonic() - self.start
        late = seconds - self.policy.timeout_seconds
        if self.received < late * self.policy.min_bytes_per_second:
            raise InterruptedDownloadError("slower than download.min_bytes_per_second")
        if seconds > self.policy.max_seconds:
            raise InterruptedDownloadError("takes longer than download.max_seconds")

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Raise InterruptedDownloadError in a block that outlasts the timeout. Main thread only.

        The time-out of a socket bounds the wait for one byte, so that headers could drip for ever.
        """

        def expire(*_: object) -> None:
            raise InterruptedDownloadError(f"no {what} within download.timeout_seconds")

        before = signal.signal(signal.SIGALRM, expire)
        seconds = self.policy.timeout_seconds
        signal.setitimer(signal.ITIMER_REAL, seconds, seconds)  # again, lest a library swallows one
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


def transfer(part: PartialDownload, policy: RetryPolicy) -> tuple[bool, bool]:
    """Send GETs until all of the file has arrived, as far as the server tells.

    Returns whether pieces of several answers were joined, and whether their end is certain.
    """
    pace = Pace(policy)
    while True:
        before = part.size
        joined, total = request(part, pace)
        if total is None or part.size >= total:
            return joined, total is not None
        if part.size <= before:
            raise InterruptedDownloadError("nothing of the range requested")


def request(part: PartialDownload, pace: Pace) -> tuple[bool, int | None]:
    """Send one GET, for the rest if a part has arrived.

    Returns whether that was resumed, and the size of the whole file if the server tells it.
    """
    with requests.Session() as session:
        session.headers.update(part.headers())
        session.hooks["response"].append(_close_redirect)
        if part.url.lower().startswith("https:"):
            session.adapters.pop("http://")  # forbids redirects to plain HTTP
        timeout = pace.policy.timeout_seconds
        try:
            with pace.waiting("answer"):
                response = session.get(part.url, stream=True, timeout=timeout)
            with response:
                total = begin(part, response, pace)
                if part.size != total:
                    receive(part, response, total, pace)
                whole = response.status_code == 200
                # The end of chunks is marked; the end of a connection may be a cut.
                ended = whole and response.raw.chunked
                return not whole, part.size if ended else total
        except requests.exceptions.InvalidSchema:
            raise UnavailableError("not HTTPS, or redirects to a non-HTTPS URL") from None
        except ValueError:  # whose message may hold a password
            raise UnavailableError("an invalid URL: its own, a redirect's or a proxy's") from None
        except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
            lasting = isinstance(error, requests.exceptions.SSLError)
            again = isinstance(error, _TRANSIENT) and not lasting
            raise (InterruptedDownloadError if again else UnavailableError)(cause(error)) from error


def _close_redirect(response: requests.Response, **_: object) -> None:
    """Close a redirect, whose body requests would read, however large."""
    if response.is_redirect:
        response.close()


def cause(error: BaseException) -> str:
    """Return the message of the first error of a chain, without the libraries' wrapping."""
    while error.__context__:
        error = error.__context__
    return redacted(one_line(error))[:200]


def begin(part: PartialDownload, response: requests.Response, pace: Pace) -> int | None:
    """Check status and headers, and empty `part` unless the body continues it.

    Returns the size of the whole file, if the server tells it.
    """
    code, header = response.status_code, response.headers.get
    status = f"{code} {responses.get(code, '')}".rstrip()  # the server's words may be anything
    if code in _TEMPORARY:
        wait = None
        with suppress(urllib3.exceptions.InvalidHeader, ValueError, OverflowError):
            wait = urllib3.Retry().parse_retry_after(header("Retry-After", ""))
        raise InterruptedDownloadError(status, wait)
    size, span = part.size, header("Content-Range", "")
    if code == 416 and size and span == f"bytes */{size}":
        return size
    piece = re.match(rf"bytes {size}-[0-9]+/([0-9]{{1,18}})?", span)
    if (code == 206 and not piece) or (code == 416 and size):
        part.restart()
        raise InterruptedDownloadError(f"{status}, which is not the range requested")
    if code not in (200, 206):
        raise UnavailableError(status)
    total = response.raw.length_remaining  # of Content-Length
    if code == 206 and piece:
        total = int(piece[1]) if piece[1] else None
    if code == 200 or not size:
        start(part, response, pace)
    return total


def start(part: PartialDownload, response: requests.Response, pace: Pace) -> None:
    """Put the first bytes into an empty part. Raises UnavailableError if they are a web page's."""
    header = response.headers.get
    with pace.waiting("data"):
        head = response.raw.read(512)
    html = header("Content-Type", "").lower().startswith("text/html")
    html |= head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_HTML)
    if html and not head.startswith(_ARCHIVE):
        raise UnavailableError(_WEB_PAGE)
    etag = header("ETag", "")
    version = etag if etag.startswith('"') else header("Last-Modified", "")  # W/ is weak
    part.restart(version if version.isprintable() else "")
    part.path.write_bytes(head)
    pace.add(len(head))


def receive(
    part: PartialDownload, response: requests.Response, total: int | None, pace: Pace
) -> None:
    """Append the body to the part."""
    size = part.size
    bar = tqdm(desc=part.name, initial=size, total=total, unit="B", unit_scale=True, disable=None)
    with bar, part.path.open("ab") as file:
        while True:
            with pace.waiting("data"):
                # read1() returns after one read of the socket; read() would wait for a full chunk.
                chunk = response.raw.read1(_CHUNK)
            if not chunk:
                return
            file.write(chunk)
            bar.update(len(chunk))
            if file.tell() > pace.policy.max_bytes:
                raise UnavailableError("larger than download.max_bytes")
            pace.add(len(chunk))
