"""fetch: the right bytes or a clear error, from servers that misbehave."""

import gzip
import re
import shutil
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from email.utils import formatdate
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain, repeat
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
pause = threading.Event().wait  # of the servers, where time.sleep is replaced
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
    archive = fetch.Archive(urls=list(urls) or ["nowhere"], files={name: digest})
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


def sends_range(start: int, end: int, total: object = len(BODY), **headers: object) -> Answer:
    span = f"bytes {start}-{end - 1}/{total}"
    return sends(206, BODY[start:end], Content_Range=span, **headers)


def sends_until_closed(status: int, body: bytes, **headers: object) -> Answer:
    """Answer as HTTP/1.0 does without a Content-Length: the body ends with the connection."""

    def answer(request: Request) -> None:
        request.begin(status, **headers)
        request.wfile.write(body)

    return answer


def sends_chunks(*bodies: bytes, end: bytes = b"0\r\n\r\n") -> Answer:
    def answer(request: Request) -> None:
        request.wfile.write(b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nETag: "1"\r\n\r\n')
        for body in bodies:
            request.wfile.write(b"%x\r\n%s\r\n" % (len(body), body))
        request.wfile.write(end)

    return answer


REST = f"bytes 100000-{len(BODY) - 1}/{len(BODY)}"
CASES: dict[str, tuple[list[Answer], list[int], str | None]] = {
    "whole": ([good], [0], None),
    "resumed": ([cut, cut, good], [0, 1, 2], '"1"'),
    "changed": ([sends_file(OTHER, 100_000, '"old"'), good], [0, 1], '"old"'),
    "wrong part": ([sends_file(OTHER, 100_000, ""), sends_file(etag="")], [0, 1, 0], None),
    "date, not weak ETag": ([sends(200, BODY[:100_000], **WEAK), good], [0, 1], "a date"),
    "range ignored": ([cut, sends(200, BODY)], [0, 1], '"1"'),
    "another range": ([cut, sends_range(5, len(BODY)), good], [0, 1, 0], '"1"'),
    "less than the rest": ([cut, sends_range(100_000, 200_000), good], [0, 1, 2], '"1"'),
    "a total that is wrong": (
        [cut, sends_range(100_000, len(BODY), 200_000)],
        [0, 1],
        '"1"',
    ),
    "nothing of the rest": ([cut, sends_range(100_000, 100_000), good], [0, 1, 1], '"1"'),
    "a rest without end": ([cut, sends_range(100_000, 200_000, "*"), good], [0, 1, 2], '"1"'),
    "a rest until closed": (
        [cut, sends_until_closed(206, BODY[100_000:200_000], Content_Range=REST), good],
        [0, 1, 2],
        '"1"',
    ),
    "a range unasked": ([sends_range(0, 100_000, ETag='"1"'), good], [0, 1], '"1"'),
    "until closed": ([sends_until_closed(200, BODY)], [0], None),
    "until cut": ([sends_until_closed(200, BODY[:100_000], ETag='"1"'), good], [0, 1], '"1"'),
    "until cut at once": ([sends_until_closed(200, b""), good], [0, 0], None),
    "chunks": ([sends_chunks(BODY[:1], BODY[1:])], [0], None),
    "as a web page": ([sends(200, BODY, Content_Type="text/html")], [0], None),
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


def test_a_whole_file_whose_chunks_do_not_end_is_taken(serve: Serve) -> None:
    nothing_left = sends(416, Content_Range=f"bytes */{len(BODY)}")
    server = serve(sends_chunks(BODY, end=b""), nothing_left)
    assert run(server.prefix) == BODY
    assert server.starts == [0, len(BODY)]


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


def drips(before: bytes, byte: bytes = b"x", times: int = 200, seconds: float = 0.02) -> Answer:
    """Answer with some bytes at once and others one by one, or as fast as they are taken."""

    def answer(request: Request) -> None:
        request.wfile.write(before)
        for _ in range(times):
            request.wfile.write(byte)
            pause(seconds)

    return answer


def redirects_slowly(request: Request) -> None:
    pause(0.1)
    sends(302, Location="/a.gz")(request)


HEAD = b"HTTP/1.1 200 OK\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
WHOLE = CHUNKED + b"%x\r\n%s\r\n0\r\n" % (len(BODY), BODY)
LENGTH = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY)
FAST = {"times": 10**9, "seconds": 0}
HANGS: dict[str, tuple[list[Answer], str]] = {
    "silence": ([drips(b"", b"", times=50)], "timed out|no answer within"),
    "status line": ([drips(b"HTTP/1.1 200 ")], "no answer within"),
    "header": ([drips(HEAD + b"X: ")], "no answer within"),
    "100 Continue": ([drips(b"", CONTINUE)], "no answer within"),
    "endless 100 Continue": ([drips(b"", CONTINUE, **FAST)], "no answer within"),
    "headers of 100 Continue": ([drips(CONTINUE[:-2], b"X: y\r\n", **FAST)], "100 headers"),
    "endless headers": ([drips(HEAD, b"X: y\r\n", **FAST)], "100 headers"),
    "endless header": ([drips(HEAD, b"x" * 1000, **FAST)], "header line"),
    "redirects": ([sends(302, Location="/a.gz")], "Exceeded 30 redirects|no answer within"),
    "slow redirects": ([redirects_slowly], "no answer within"),
    "first bytes": ([drips(LENGTH)], "no data within"),
    "body": ([drips(LENGTH + BODY[:600])], "slower than"),
    "chunks": ([drips(CHUNKED + b"300\r\n%s\r\n" % BODY[:768], b"1\r\nx\r\n")], "slower than"),
    "a chunk's extension": ([drips(CHUNKED + b"300;")], "no data within"),
    "trailer": ([drips(WHOLE + b"X: ")], "no data within"),
    "endless trailers": ([drips(WHOLE, b"X: y\r\n", **FAST)], "no data within"),
    "ranges of one byte": (
        [cut, *(sends_range(at, at + 1) for at in range(100_000, 200_000))],
        "slower than",
    ),
}


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("case", HANGS)
def test_a_server_that_drips_or_never_ends_is_given_up(
    serve: Serve, trusted: Path, case: str, scheme: str
) -> None:
    answers, message = HANGS[case]
    server = serve(*answers, certificate=trusted if scheme == "https" else None)
    start, policy = time.monotonic(), {"timeout_seconds": 0.3, "min_bytes_per_second": 1000_000}
    found = refusal(server.prefix, attempts=1 + (answers[0] is cut), **policy)
    assert re.search(message, found)
    assert time.monotonic() - start < 3


# Python leaves the socket of a handshake that a signal ends to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.usefixtures("trusted")
def test_a_handshake_that_drips_is_given_up() -> None:
    """A TLS record of 16 kB begins; its bytes come one by one."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            client, _ = listener.accept()
            with client, suppress(OSError):
                for byte in chain(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc\x03\x03", repeat(0)):
                    client.sendall(bytes([byte]))
                    pause(0.02)

        threading.Thread(target=serve, daemon=True).start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        start = time.monotonic()
        assert "no answer within" in refusal(url, attempts=1, timeout_seconds=0.3)
        assert time.monotonic() - start < 3


@pytest.mark.parametrize("case", ["silence", "header", "body", "trailer"])
def test_a_server_that_hangs_is_asked_again(serve: Serve, case: str) -> None:
    prefix = serve(*HANGS[case][0], good).prefix
    assert run(prefix, timeout_seconds=0.3, min_bytes_per_second=1000_000) == BODY


def test_a_slow_line_is_no_hang(serve: Serve) -> None:
    """Nothing of it takes longer than the timeout; all of it does."""
    pieces = (BODY[at : at + 20_000] for at in range(0, len(BODY), 20_000))

    def slow(request: Request) -> None:
        request.begin(200, Content_Length=len(BODY))
        for piece in pieces:
            request.wfile.write(piece)
            pause(0.05)

    server = serve(slow)
    assert run(server.prefix, timeout_seconds=0.3, min_bytes_per_second=100_000) == BODY
    assert server.starts == [0]


def test_the_time_of_an_attempt_is_bounded_and_the_next_goes_on(serve: Serve) -> None:
    def steady(request: Request) -> None:
        request.begin(200, Content_Length=len(BODY), ETag='"1"')
        for at in range(0, len(BODY), 5_000):
            request.wfile.write(BODY[at : at + 5_000])
            pause(0.02)

    server = serve(steady, good)
    assert "longer than download.max_seconds" in refusal(server.prefix, attempts=1, max_seconds=0.3)
    assert run(server.prefix) == BODY
    assert 0 < server.starts[1] < len(BODY)


def test_redirects_are_followed(serve: Serve) -> None:
    target = serve(cut, good)
    assert run(serve(sends(302, Location=target.url)).prefix) == BODY
    assert target.starts == [0, 100_000]


def test_the_body_of_a_redirect_is_not_read(serve: Serve) -> None:
    def redirect(request: Request) -> None:
        request.begin(302, Location=target.url)
        with suppress(OSError):
            while request.wfile.write(bytes(100_000)):
                sent.append(100_000)

    target, sent = serve(good), list[int]()
    assert run(serve(redirect).prefix) == BODY
    assert sum(sent) < 20_000_000  # what the buffers of the two sockets take


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
    (sends_until_closed(200, OTHER), "its digest is [0-9a-f]+, not", 3),
    (sends_until_closed(200, b"<html>"), "a web page", 1),
    (sends(200, b"PK", Content_Type="text/html"), "its digest is", 1),
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


SECRET = "s3cr3t"  # noqa: S105 - of no server
SECRETS = [
    "{scheme}://me:%s@{host}",
    "{scheme}://me:p@%s@{host}",
    "{scheme}://%s@{host}",
    "{scheme}://{host}/folder?token=%s",
    "{scheme}://{host}?X-Amz-Signature=%s&x=a b",
    "{scheme}://{host}?a=@&sig=%s#%s",
    # None of these is valid.
    "{scheme}://me:p/%s@{host}",
    "{scheme}://me:12/%s@{host}",
    "{scheme}://me/%s@{host}",
    "{scheme}://me:p@/%s@{host}#%s",
    "{scheme}://me:p?%s@{host}",
    "{scheme}://me:p %s@{host}",
    "{scheme}://me:%s@[{host}",
    "{scheme}://me:%s@{host}0000",
    "{scheme}://me:%s@\u2100{host}",
    "{scheme}:/me:%s@{host}",
    "ftp://me:%s@{host}",
]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("https://user:12/s3cr3t@host/x", "https://host/x"),
        ("no answer of ftp://u:s3cr3t s3cr3t\ns3cr3t@h/x: late", "no answer of ftp://h/x: late"),
        ("https://u:p@s3cr3t@h/x?s3cr3t;s3cr3t#s3cr3t", "https://h/x?..."),
        ("https://h/x#s3cr3t", "https://h/x?..."),
        ("https://h/x?a=@&b=s3cr3t", "https://?..."),
        ("https://h:80/x/y: 404", "https://h:80/x/y: 404"),
        ("me@h: no such host", "me@h: no such host"),
        # In time that grows with the length alone.
        pytest.param(":/?a " * 100_000, ":/?... " * 100_000, id="long"),
    ],
)
def test_a_text_is_shown_without_the_secrets_of_its_url(text: str, shown: str) -> None:
    assert fetch.redacted(text) == shown


@pytest.mark.parametrize(
    "url",
    [
        *(f"https://{each}" for each in ("user:p/w@host/x", "host/x#token=1", "h/x;a=1", "h/x?a")),
        *(f"https://{each}" for each in ("user:p w@h", "u:p\nw@h", "www.dropbox.com/p@h/x")),
        "ftp:/user@host",
    ],
)
def test_a_url_that_may_hold_a_secret_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"password or token .*DATA_MIRROR.* is written %40"):
        fetch.without_secret(url)


@pytest.mark.parametrize(
    "url", ["https://h:80/x%40y/", "data/a@b#c?d", "https://dropbox.com/s?a;b"]
)
def test_a_url_or_path_without_a_secret_is_taken(url: str) -> None:
    assert fetch.without_secret(url) == url


UNHELPFUL: list[Answer] = [
    sends(503),
    sends(404),
    cut,
    *(sends(302, Location=f"{x}:{SECRET}@[/?{SECRET}") for x in ("http://a", "ftp://a")),
    drips(b"HTTP/1.1 200 OK\r\n\r\n: %s" % SECRET.encode(), times=0),
    drips(b"%s /a.gz?token=%s\r\n\r\n" % (HEAD, SECRET.encode()), times=0),
]


@pytest.mark.parametrize("url", SECRETS)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_passwords_and_tokens_of_a_url_are_shown_and_written_nowhere(
    serve: Serve,
    certificate: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    url: str,
    scheme: str,
) -> None:
    """Neither where the server answers nor where its certificate is not trusted."""
    server = serve(*UNHELPFUL, certificate=certificate if scheme == "https" else None)
    mirror = url.replace("%s", SECRET).format(scheme=scheme, host=server.prefix.split("://")[1])
    shown = [refusal(mirror=mirror, attempts=1) for _ in UNHELPFUL]
    assert all("a.gz: " in each for each in shown)
    files = [path for path in Path().rglob("*") if path.is_file()]
    written = "".join(f"{path}{path.read_text('latin-1')}" for path in files)
    assert SECRET not in "".join([*shown, *capfd.readouterr(), caplog.text, written])


@pytest.mark.parametrize("proxy", ["http://me:%s@127.0.0.1:1", "http://me:%s@[", "me:%s/@a"])
def test_a_proxys_password_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], proxy: str
) -> None:
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, proxy.replace("%s", SECRET))
    monkeypatch.setenv("NO_PROXY", "")
    shown = refusal("http://example.org", "https://example.org", attempts=1)
    assert SECRET not in "".join([shown, *capfd.readouterr()])


CONTROLS = "\x1b[31m\x07\x08\x9b\u202e\u2028"
COMMANDS = [
    drips(f"HTTP/1.1 404 {CONTROLS}\r\n\r\n".encode(), times=0),
    drips(f"{CONTROLS} 404\r\n\r\n".encode(), times=0),
    drips(f"HTTP/1.1 200 OK\r\n{CONTROLS}\r\n: {CONTROLS}\r\n\r\n".encode(), times=0),
    drips(f"HTTP/1.1 302 Found\r\nLocation: http://{CONTROLS}/\r\n\r\n".encode(), times=0),
    drips(b'%sETag: "\x1b\r\n a"\r\nContent-Length: 9\r\n\r\n' % HEAD, times=0),
    drips(f"HTTP/1.1 206 OK\r\nContent-Range: {CONTROLS}\r\n\r\n".encode(), times=0),
    sends(200, zipped({f"a{CONTROLS}": b"a"})),
]


@pytest.mark.parametrize("answer", COMMANDS)
def test_no_control_character_of_a_server_or_mirror_is_printed(
    serve: Serve, capfd: pytest.CaptureFixture[str], answer: Answer
) -> None:
    mirror = f"{serve(answer).prefix}/{CONTROLS}"
    shown = refusal(f"folder{CONTROLS}", mirror=mirror, name="a.zip", attempts=2)
    assert "a.zip: " in shown
    for line in [shown, *"".join(capfd.readouterr()).splitlines()]:
        assert line.isprintable()


def test_a_list_of_errors_is_cut() -> None:
    found = refusal(*(f"folder{each}" for each in range(51)))
    assert found.count("no such file") == 20
    assert "; and 31 more. Restore it" in found


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


@pytest.mark.parametrize("url", ["ftp://a", "https://a:b", "https://", "https://[", "http://a b"])
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
