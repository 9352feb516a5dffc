"""fetch: the right bytes or a clear error, from servers that misbehave."""

import gzip
import shutil
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from email.utils import formatdate
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

from handwriting.core.errors import InputError
from handwriting.raw import fetch
from handwriting.raw.archives import Limits
from tests import workspace
from tests.raw.packing import DEFLATED, content_digest, zipped

BODY, OTHER = (gzip.compress(Random(seed).randbytes(300_000), mtime=0) for seed in (0, 1))
DIGEST = sha256(BODY).hexdigest()
PARAMS = yaml.safe_load((workspace.ROOT / "params.yaml").read_text())["download"]
POLICY = PARAMS | {"attempts": 3, "backoff_seconds": 0, "max_wait_seconds": 0}
LIMITS = Limits(max_bytes=100_000_000, max_ratio=500, max_members=1000)
WWW = "https://www.dropbox.com"
pytestmark = pytest.mark.usefixtures("tmp_dir")


class Request(BaseHTTPRequestHandler):
    """A request, which one of the server's answers answers."""

    server: "Server"

    def do_GET(self) -> None:
        self.server.requests.append(self)
        self.server.answers[min(len(self.server.requests), len(self.server.answers)) - 1](self)

    def begin(self, status: int, **headers: object) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    @property
    def start(self) -> int:
        """The first byte of the range requested."""
        return int(self.headers.get("Range", "bytes=0-")[len("bytes=") : -1])


Answer = Callable[[Request], None]


class Server(ThreadingHTTPServer):
    """Gives the first answer to the first request, and so on; the last to all that follow."""

    def __init__(self, scheme: str, answers: Sequence[Answer]) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.prefix = f"{scheme}://127.0.0.1:{self.server_port}"
        self.url = f"{self.prefix}/a.gz"
        self.answers = answers
        self.requests: list[Request] = []

    @property
    def starts(self) -> list[int]:
        return [request.start for request in self.requests]

    def handle_error(self, *_: object) -> None:
        """Ignore clients that hang up, as some tests make them."""


Serve = Callable[..., Server]
Captured = pytest.CaptureFixture[str]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Start servers on loopback."""
    monkeypatch.setenv("NO_PROXY", "*")
    with ExitStack() as stack:

        def start(*answers: Answer, certificate: Path | None = None) -> Server:
            server = stack.enter_context(Server("https" if certificate else "http", answers))
            if certificate:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(certificate)
                server.socket = context.wrap_socket(server.socket, server_side=True)
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
            stack.callback(server.shutdown)
            return server

        yield start


@pytest.fixture
def sleeps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that were to be slept."""
    sleeps: list[float] = []
    monkeypatch.setattr("handwriting.raw.fetch.time.sleep", sleeps.append)
    return sleeps


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate of 127.0.0.1 and its key, in one file."""
    if not shutil.which("openssl"):
        pytest.skip("makes a certificate with openssl")
    path = tmp_path_factory.mktemp("certificate") / "certificate.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    command += f" -addext subjectAltName=IP:127.0.0.1 -keyout {path.name} -out {path.name}"
    workspace.run(path.parent, *command.split())
    return path


@pytest.fixture
def trusted(certificate: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, trusted by requests."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    return certificate


def run(
    *urls: str, digest: str | None = DIGEST, name: str = "a.gz", mirror: str = "", **policy: Any
) -> bytes:
    """Fetch one file, and return its bytes."""
    archive = fetch.Archive(urls=list(urls), files={name: digest})
    (downloads,) = archive.downloads(mirror, Path("scratch"))
    path = fetch.fetch(downloads, fetch.RetryPolicy(**(POLICY | policy)), LIMITS)
    assert path.name == name
    return path.read_bytes()


def refusal(*urls: str, **options: Any) -> str:
    """Return the error that fetching one file ends in."""
    with pytest.raises(InputError) as caught:
        run(*urls, **options)
    return str(caught.value)


def sends(status: int, body: bytes = b"", **headers: object) -> Answer:
    def answer(request: Request) -> None:
        request.begin(status, **({"Content_Length": len(body)} | headers))
        request.wfile.write(body)

    return answer


def sends_file(body: bytes = BODY, cut: int | None = None, etag: str = '"1"') -> Answer:
    """Answer correctly, but close the connection after `cut` bytes."""

    def answer(request: Request) -> None:
        start = request.start if request.headers.get("If-Range", etag) == etag else 0
        headers = {"ETag": etag} if etag else {}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        request.begin(206 if start else 200, Content_Length=len(body) - start, **headers)
        request.wfile.write(body[start:][:cut])

    return answer


good, cut = sends_file(), sends_file(cut=100_000)


# Downloads that succeed.


WEAK = {"ETag": 'W/"1"', "Last_Modified": "a date", "Content_Length": len(BODY)}


def sends_range(start: int, end: int) -> Answer:
    return sends(206, BODY[start:end], Content_Range=f"bytes {start}-{end - 1}/{len(BODY)}")


CASES: dict[str, tuple[list[Answer], list[int], str | None]] = {
    "whole": ([good], [0], None),
    "resumed": ([cut, cut, good], [0, 1, 2], '"1"'),
    "changed": ([sends_file(OTHER, 100_000, '"old"'), good], [0, 1], '"old"'),
    "wrong part": ([sends_file(OTHER, 100_000, ""), sends_file(etag="")], [0, 1, 0], None),
    "date, not weak ETag": ([sends(200, BODY[:100_000], **WEAK), good], [0, 1], "a date"),
    "range ignored": ([cut, sends(200, BODY)], [0, 1], '"1"'),
    "another range": ([cut, sends_range(5, len(BODY)), good], [0, 1, 0], '"1"'),
    "less than the rest": ([cut, sends_range(100_000, 101_000), good], [0, 1, 0], '"1"'),
    "range refused": ([cut, sends(416), good], [0, 1, 0], '"1"'),
    "not decoded": ([sends(200, BODY, Content_Encoding="gzip")], [0], None),
} | {str(x): ([sends(x), good], [0, 0], None) for x in (408, 429, 500, 502, 503, 504, 522)}


@pytest.mark.parametrize("case", CASES)
def test_the_right_bytes_arrive(serve: Serve, case: str) -> None:
    answers, starts, if_range = CASES[case]
    server = serve(*answers)
    assert run(server.prefix) == BODY
    assert server.starts == [100_000 * start for start in starts]
    for request in server.requests:
        assert request.headers["Accept-Encoding"] == "identity"
        assert request.headers.get("If-Range") == (if_range if request.start else None)


def test_a_cut_chunked_body_is_resumed(serve: Serve) -> None:
    def cut_chunk(request: Request) -> None:
        request.protocol_version = "HTTP/1.1"
        request.begin(200, Transfer_Encoding="chunked", ETag='"1"')
        request.wfile.write(b"186a0\r\n" + BODY[:100_000] + b"\r\n186a0\r\nand then")
        request.close_connection = True

    server = serve(cut_chunk, good)
    assert run(server.prefix) == BODY
    assert server.starts[1] >= 100_000


def test_the_next_run_resumes_a_partial_download_of_the_same_url_and_digest(serve: Serve) -> None:
    for path, digest, start in ("", DIGEST, 100_000), ("/other", DIGEST, 0), ("", "0" * 64, 0):
        server = serve(cut, good)
        assert "more expected" in refusal(server.prefix + path, digest=digest, attempts=1)
        assert run(server.prefix, attempts=1) == BODY
        assert server.starts == [0, start]


def test_the_next_run_finds_the_file_and_prints_nothing(serve: Serve, capsys: Captured) -> None:
    server, mirror = serve(good), serve(good)
    for _ in range(2):
        assert run(server.prefix, mirror=f"{mirror.prefix}/folder/") == BODY
    assert [request.path for request in mirror.requests] == ["/folder/a.gz"]
    assert not server.requests
    assert capsys.readouterr() == ("", "")


def drip(request: Request) -> None:
    request.begin(200, Content_Length=len(BODY))
    for byte in BODY[:200]:
        request.wfile.write(bytes([byte]))
        time.sleep(0.02)


@pytest.mark.parametrize(("answer", "speed"), [(lambda _: time.sleep(1), 0), (drip, 1000)])
def test_a_silent_or_slow_server_is_tried_again(serve: Serve, answer: Answer, speed: int) -> None:
    start = time.monotonic()
    prefix = serve(answer, good).prefix
    assert run(prefix, timeout_seconds=0.3, min_bytes_per_second=speed) == BODY
    assert time.monotonic() - start < 2


def test_redirects_are_followed(serve: Serve) -> None:
    target = serve(cut, good)
    assert run(serve(sends(302, Location=target.url)).prefix) == BODY
    assert target.starts == [0, 100_000]


BAD: list[Answer | bytes | None] = [
    *(sends(200, body) for body in (OTHER, BODY[:-1], BODY + b"\0", b"", b"\n <!DOCTYPE html>")),
    sends(200, BODY, Content_Length=len(BODY) - 10),
    sends(404),
    *(OTHER, b"", None),  # of a file in a local folder
]


@pytest.mark.parametrize("bad", BAD)
def test_a_mirror_without_the_file_is_skipped(serve: Serve, capsys: Captured, bad: Any) -> None:
    server = serve(bad if callable(bad) else good)
    mirror = server.prefix if callable(bad) else "folder"
    if isinstance(bad, bytes):
        Path("folder").mkdir()
        Path("folder/a.gz").write_bytes(bad)
    assert run(serve(good).prefix, mirror=mirror) == BODY
    assert len(server.requests) == callable(bad)
    assert capsys.readouterr().err.startswith(f"download: {mirror}/a.gz: ")


def test_a_zip_is_identified_by_its_content_or_its_bytes(serve: Serve) -> None:
    members = {"b/2": b"two", "a": b"one", "b/1": b"three" * 1000}
    stored, packed = zipped(members), zipped(members, **DEFLATED)
    content, digest = content_digest(members), sha256(packed).hexdigest()
    for archive, expected in (stored, content), (packed, content), (packed, digest):
        assert run(serve(sends(200, archive)).prefix, name="a.zip", digest=expected) == archive


WAITS = {"7": 7, "60": 60, "date": 30, "soon": 0, "-1": 0, "9" * 5000: 0}


@pytest.mark.parametrize(("asked", "seconds"), WAITS.items())
def test_retry_after_is_obeyed(serve: Serve, sleeps: list[float], asked: str, seconds: int) -> None:
    value = formatdate(time.time() + 30, usegmt=True) if asked == "date" else asked
    assert run(serve(sends(429, Retry_After=value), good).prefix, max_wait_seconds=60) == BODY
    (slept,) = sleeps
    assert 20 < slept <= 30 if asked == "date" else slept == seconds


# Downloads that fail.


def endless(request: Request) -> None:
    request.begin(200)
    while True:
        request.wfile.write(bytes(100_000))


FAILURES = [
    *((sends(status), f"{status}", 1) for status in (400, 401, 403, 404, 410, 501)),
    (sends(429, Retry_After=61), "429 Too Many Requests, asks to wait 61 s, over download", 1),
    (sends(200, BODY, Content_Length=len(BODY) + 10), "10 more expected", 3),
    (endless, r"larger than download\.max_bytes", 1),
    (sends(302, Location="/a.gz"), "redirects", 1),
    *((sends(302, Location=x), "not HTTPS", 1) for x in ("ftp://a/", "file:///a")),
    *((sends(302, Location=x), "", 1) for x in ("http://[", "http://\xff\xfe/")),
]


@pytest.mark.parametrize(("answer", "message", "attempts"), FAILURES)
def test_a_failure_is_explained(
    serve: Serve, sleeps: list[float], answer: Answer, message: str, attempts: int
) -> None:
    server = serve(answer)
    with pytest.raises(InputError, match=f"{server.url}: .*{message}"):
        run(server.prefix, max_wait_seconds=60, max_bytes=3_000_000)
    assert len(sleeps) == attempts - 1
    assert len(server.requests) == (31 if message == "redirects" else attempts)


def test_all_urls_are_named(serve: Serve) -> None:
    missing, wrong = serve(sends(404)), serve(good)
    assert refusal(missing.prefix, wrong.prefix, digest="0" * 64) == (
        f"could not fetch a.gz from any of its URLs: {missing.url}: 404 Not Found; "
        f"{wrong.url}: its digest is {DIGEST}, not {'0' * 64}. "
        "Put a.gz in a folder and set DATA_MIRROR to that folder"
    )


def test_a_password_in_a_url_is_not_shown(serve: Serve, capsys: Captured) -> None:
    server = serve(sends(503), sends(404))
    shown = refusal(server.prefix.replace("://", "://me:secret@")) + capsys.readouterr().err
    assert f"{server.url}: 404" in shown
    assert f"{server.url}: 503" in shown
    assert "secret" not in shown


def test_attempts_are_counted(serve: Serve, sleeps: list[float]) -> None:
    server = serve(sends(503))
    message = refusal(server.prefix, attempts=4, backoff_seconds=8, max_wait_seconds=20)
    assert "503 Service Unavailable (attempt 4, the last)" in message
    assert len(server.requests) == 4
    assert 4 <= sleeps[0] <= 8 <= sleeps[1] <= 16 <= sleeps[2] <= 20


@pytest.mark.parametrize("page", [b"Sorry", b"\xef\xbb\xbf\n<!DOCTYPE HTML><p>Sorry", b"<html>"])
def test_a_web_page_is_reported(serve: Serve, trusted: Path, page: bytes) -> None:
    kind = "text/html; charset=utf-8" if page == b"Sorry" else "application/zip"
    server = serve(sends(200, page, Content_Type=kind), certificate=trusted)
    messages = [refusal(server.prefix, digest=digest) for digest in (DIGEST, None)]
    assert all("a web page, not an archive: the link is dead" in each for each in messages)
    assert len(server.requests) == 2


def test_a_closed_port_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    with pytest.raises(InputError, match=r"127.0.0.1:1/a\.gz: .*Connection refused \(attempt 3"):
        run("http://127.0.0.1:1")


@pytest.mark.parametrize("url", ["ftp://a", "https://#", "https://", "https://[", "http://a b"])
def test_an_invalid_url_is_reported(url: str) -> None:
    assert "could not fetch a.gz from any of its URLs: " in refusal(url, attempts=1)


def test_a_self_signed_certificate_is_refused(serve: Serve, certificate: Path) -> None:
    server = serve(good, certificate=certificate)
    message = refusal(server.prefix)
    assert "certificate verify failed" in message
    assert "attempt" not in message
    assert not server.requests


def test_https_does_not_redirect_to_http_which_needs_a_digest(serve: Serve, trusted: Path) -> None:
    plain = serve(good)
    redirect = serve(sends(302, Location=plain.url), certificate=trusted)
    assert "not HTTPS, or redirects to a non-HTTPS URL" in refusal(redirect.prefix)
    upper = plain.prefix.replace("http", "HTTP")
    assert "plain HTTP needs a digest" in refusal(upper, digest=None)
    assert not plain.requests


def test_https_needs_no_digest_but_is_not_resumed(serve: Serve, trusted: Path) -> None:
    server = serve(cut, good, cut, good, certificate=trusted)
    assert run(server.prefix, digest=None, attempts=2) == BODY
    assert "more expected" in refusal(server.prefix, digest=None, attempts=1)
    assert run(server.prefix, digest=None, attempts=1) == BODY
    assert server.starts == [0, 0, 0, 0]


def test_a_zip_is_read_within_the_limits(serve: Serve) -> None:
    bomb = {"a": bytes(10**6)}
    server = serve(sends(200, zipped(bomb, **DEFLATED)))
    with pytest.raises(InputError, match=r"a\.zip: not the archive expected: .*max_ratio"):
        run(server.prefix, name="a.zip", digest=content_digest(bomb))


LOCATIONS = {
    **dict.fromkeys((f"{WWW}/s/x{x}" for x in ("", "/?dl=0", "?dl=1")), f"{WWW}/s/x/a.zip?dl=1"),
    "https://dropbox.com/s/x?dl": "https://dropbox.com/s/x/a.zip?dl=1",
    f"{WWW}/scl/fi/x?rlkey=k%20y&dl=0&e=#part": f"{WWW}/scl/fi/x/a.zip?rlkey=k+y&dl=1&e=",
    "https://example.org/a//": "https://example.org/a/a.zip",
    "data/sample": "data/sample/a.zip",
}


def test_dropbox_links_become_direct() -> None:
    assert {prefix: fetch.location(prefix, "a.zip") for prefix in LOCATIONS} == LOCATIONS
