"""download against servers that misbehave: the right bytes in the end, or the right error."""

import gzip
import io
import shutil
import ssl
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from email.utils import formatdate
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

from handwriting.core.errors import InputError
from stages.data import download

ROOT = Path(__file__).parent.parent
BODY = gzip.compress(Random(0).randbytes(300_000), mtime=0)
OTHER = gzip.compress(Random(1).randbytes(300_000), mtime=0)
PATIENCE: dict[str, Any] = {
    "attempts": 3,
    "timeout_seconds": 5,
    "min_bytes_per_second": 0,
    "backoff_seconds": 0,
    "max_wait_seconds": 0,
    "max_bytes": 10_000_000,
}
LIMITS = {"max_bytes": 100_000_000, "max_ratio": 500, "max_members": 1000}
pytestmark = pytest.mark.usefixtures("tmp_dir")
RESULT = Path("data/raw/dropbox/mnist/a.gz")


class Request(BaseHTTPRequestHandler):
    """A request, with ways to answer it."""

    server: "Server"

    def do_GET(self) -> None:
        self.server.requests.append(self)
        self.server.answers[min(len(self.server.requests), len(self.server.answers)) - 1](self)

    def log_message(self, *_: object) -> None:
        pass

    def begin(self, status: int, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def send(self, status: int, body: bytes = b"", **headers: object) -> None:
        self.begin(status, **({"Content_Length": len(body)} | headers))
        self.wfile.write(body)

    @property
    def start(self) -> int:
        """Where the range that is asked for begins."""
        return int(self.headers.get("Range", "bytes=0-")[len("bytes=") : -1])

    def send_file(self, body: bytes = BODY, cut: int | None = None, etag: str = '"1"') -> None:
        """As a good server does, but for a connection cut after `cut` bytes."""
        start = self.start if self.headers.get("If-Range", etag) == etag else 0
        status, headers = 200, {"ETag": etag} if etag else {}
        if start:
            status = 206
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        self.begin(status, Content_Length=len(body) - start, **headers)
        self.wfile.write(body[start:][:cut])


Answer = Callable[[Request], None]


class Server(ThreadingHTTPServer):
    """Gives the first answer to the first request, and so on; the last to all that follow."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, *answers: Answer) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.answers = answers
        self.requests: list[Request] = []
        self.scheme = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.server_port}/a.gz"

    def handle_error(self, *_: object) -> None:
        """Clients that hang up are what some tests are about."""


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Server]]:
    """Start servers on loopback."""
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.delenv("DATA_MIRROR", raising=False)
    servers = []

    def start(*answers: Answer, certificate: Path | None = None) -> Server:
        server = Server(*answers)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            server.socket = context.wrap_socket(server.socket, server_side=True)
            server.scheme = "https"
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that were to be slept."""
    naps: list[float] = []
    monkeypatch.setattr("stages.data.download.time.sleep", naps.append)
    return naps


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate of 127.0.0.1 and its key, in one file."""
    tmp_path = tmp_path_factory.mktemp("certificate")
    if not shutil.which("openssl"):
        pytest.skip("makes a certificate with openssl")
    path = tmp_path / "certificate.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost "
        f"-addext subjectAltName=IP:127.0.0.1 -keyout key.pem -out {path.name}"
    )
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True)
    path.write_bytes(path.read_bytes() + (tmp_path / "key.pem").read_bytes())
    return path


def run(
    *urls: str,
    digest: str | None = sha256(BODY).hexdigest(),
    name: str = "a.gz",
    source: str = "dropbox",
    **patience: Any,
) -> None:
    """The stage in the current folder, for one file."""
    file = {"name": name, "urls": list(urls), "digest": digest, "bytes": len(BODY)}
    sections = {
        "archives": {source: {"mnist": {"files": [file]}}},
        "download": PATIENCE | patience,
        "unzip": LIMITS,
    }
    Path("params.yaml").write_text(yaml.safe_dump(sections))
    scratch = Path("scratch")
    scratch.mkdir(exist_ok=True)
    download.main(scratch, source, "mnist")


def good(request: Request) -> None:
    request.send_file()


def cut(request: Request) -> None:
    request.send_file(cut=100_000)


def zipped(members: dict[str, bytes], **how: Any) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **how) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def content_digest(members: dict[str, bytes]) -> str:
    """DESIGN.md's definition, spelt out."""
    lines = [f"{sha256(members[path]).hexdigest()}  {path}\n" for path in sorted(members)]
    return sha256("".join(lines).encode()).hexdigest()


# Cases that end in the right bytes.


def test_a_file_arrives_whole_and_alone(serve: Callable[..., Server]) -> None:
    RESULT.parent.mkdir(parents=True)
    (RESULT.parent / "stray").write_text("of an earlier version of params.yaml")
    run(serve(good).url)
    assert RESULT.read_bytes() == BODY
    assert [path.name for path in RESULT.parent.iterdir()] == ["a.gz"]


def test_a_cut_connection_is_resumed(serve: Callable[..., Server]) -> None:
    server = serve(cut, cut, good)
    run(server.url)
    assert RESULT.read_bytes() == BODY
    assert [request.start for request in server.requests] == [0, 100_000, 200_000]
    assert [request.headers.get("If-Range") for request in server.requests][1:] == ['"1"'] * 2
    assert {request.headers["Accept-Encoding"] for request in server.requests} == {"identity"}


def test_a_cut_chunked_body_is_resumed(serve: Callable[..., Server]) -> None:
    def cut_chunk(request: Request) -> None:
        request.protocol_version = "HTTP/1.1"
        request.begin(200, Transfer_Encoding="chunked", ETag='"1"')
        request.wfile.write(b"186a0\r\n" + BODY[:100_000] + b"\r\n186a0\r\nand then")
        request.close_connection = True

    server = serve(cut_chunk, good)
    run(server.url)
    assert RESULT.read_bytes() == BODY
    assert server.requests[1].start >= 100_000


def test_the_next_run_resumes_a_part(serve: Callable[..., Server]) -> None:
    server = serve(cut, good)
    with pytest.raises(InputError, match="more expected"):
        run(server.url, attempts=1)
    assert not RESULT.parent.exists()
    run(server.url, attempts=1)
    assert RESULT.read_bytes() == BODY
    assert server.requests[1].start == 100_000


def test_the_next_run_finds_a_complete_file(serve: Callable[..., Server]) -> None:
    server = serve(good)
    run(server.url)
    digest = sha256(BODY).hexdigest()
    file = download.File(name="a.gz", urls=[server.url], digest=digest, bytes=1)
    part = download.Part.of(file, server.url, Path("scratch"))
    RESULT.rename(part.path)
    run(server.url)
    assert RESULT.read_bytes() == BODY
    assert len(server.requests) == 1


@pytest.mark.parametrize("other", ["url", "digest"])
def test_a_part_of_something_else_is_not_continued(
    serve: Callable[..., Server], other: str
) -> None:
    server = serve(cut, good)
    with pytest.raises(InputError):
        run(
            server.url + "?other" * (other == "url"),
            digest="0" * 64 if other == "digest" else sha256(BODY).hexdigest(),
            attempts=1,
        )
    run(server.url)
    assert RESULT.read_bytes() == BODY
    assert server.requests[1].start == 0


def test_a_file_that_changed_is_not_continued(serve: Callable[..., Server]) -> None:
    server = serve(lambda request: request.send_file(OTHER, cut=100_000, etag='"old"'), good)
    run(server.url)
    assert RESULT.read_bytes() == BODY
    assert len(server.requests) == 2


def test_a_wrong_continuation_is_fetched_again(serve: Callable[..., Server]) -> None:
    server = serve(
        lambda request: request.send_file(OTHER, cut=100_000, etag=""),
        lambda request: request.send_file(etag=""),
    )
    run(server.url)
    assert RESULT.read_bytes() == BODY
    assert [request.start for request in server.requests] == [0, 100_000, 0]


def test_a_date_serves_where_an_etag_is_weak(serve: Callable[..., Server]) -> None:
    def weak(request: Request) -> None:
        length = len(BODY)
        request.begin(200, ETag='W/"1"', Last_Modified="a date", Content_Length=length)
        request.wfile.write(BODY[:1000])

    server = serve(weak, good)
    run(server.url)
    assert RESULT.read_bytes() == BODY
    assert server.requests[1].headers["If-Range"] == "a date"


def test_a_server_may_ignore_ranges(serve: Callable[..., Server]) -> None:
    server = serve(cut, lambda request: request.send(200, BODY))
    run(server.url)
    assert RESULT.read_bytes() == BODY
    assert len(server.requests) == 2


def test_a_server_may_send_another_range(serve: Callable[..., Server]) -> None:
    def wrong(request: Request) -> None:
        request.send(206, BODY[5:], Content_Range=f"bytes 5-{len(BODY) - 1}/{len(BODY)}")

    server = serve(cut, wrong, good)
    run(server.url)
    assert RESULT.read_bytes() == BODY
    assert server.requests[2].start == 0


def test_a_server_may_send_less_than_the_rest(serve: Callable[..., Server]) -> None:
    def some(request: Request) -> None:
        at = request.start
        span = f"bytes {at}-{at + 999}/{len(BODY)}"
        request.send(206, BODY[at : at + 1000], Content_Range=span)

    server = serve(cut, some, good)
    run(server.url)
    assert RESULT.read_bytes() == BODY
    assert server.requests[2].start == 0


def test_a_server_may_refuse_a_range(serve: Callable[..., Server]) -> None:
    server = serve(cut, lambda request: request.send(416), good)
    run(server.url)
    assert RESULT.read_bytes() == BODY
    assert server.requests[2].start == 0


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 522])
def test_an_overloaded_server_is_asked_again(serve: Callable[..., Server], status: int) -> None:
    run(serve(lambda request: request.send(status), good).url)
    assert RESULT.read_bytes() == BODY


def test_a_silent_server_is_asked_again(serve: Callable[..., Server]) -> None:
    run(serve(lambda _: time.sleep(1), good).url, timeout_seconds=0.2)
    assert RESULT.read_bytes() == BODY


def test_a_dripping_server_is_asked_again(serve: Callable[..., Server]) -> None:
    def drip(request: Request) -> None:
        request.begin(200, Content_Length=len(BODY))
        for byte in BODY[:200]:
            request.wfile.write(bytes([byte]))
            time.sleep(0.02)

    start = time.monotonic()
    run(serve(drip, good).url, timeout_seconds=0.3, min_bytes_per_second=1000)
    assert RESULT.read_bytes() == BODY
    assert time.monotonic() - start < 2


def test_redirects_are_followed(serve: Callable[..., Server]) -> None:
    target = serve(cut, good)
    run(serve(lambda request: request.send(302, Location=target.url)).url)
    assert RESULT.read_bytes() == BODY
    assert target.requests[1].start == 100_000


def test_bytes_are_kept_as_sent(serve: Callable[..., Server]) -> None:
    run(serve(lambda request: request.send(200, BODY, Content_Encoding="gzip")).url)
    assert RESULT.read_bytes() == BODY


@pytest.mark.parametrize(
    "bad",
    [
        lambda request: request.send(404),
        lambda request: request.send(200, OTHER),
        lambda request: request.send(200, BODY[:-1]),
        lambda request: request.send(200, BODY, Content_Length=len(BODY) - 10),
        lambda request: request.send(200, BODY + b"\0"),
        lambda request: request.send(200, b""),
        lambda request: request.send(200, b"\n <!DOCTYPE html>"),
    ],
)
def test_the_next_link_is_tried(
    serve: Callable[..., Server], bad: Answer, capsys: pytest.CaptureFixture[str]
) -> None:
    server = serve(bad)
    run(server.url, serve(good).url)
    assert RESULT.read_bytes() == BODY
    assert len(server.requests) == 1
    assert f"download: {server.url}: " in capsys.readouterr().err


def test_a_zip_is_known_by_its_content(serve: Callable[..., Server]) -> None:
    members = {"b/2": b"two", "a": b"one", "b/1": b"three" * 1000}
    packed = zipped(members, compression=zipfile.ZIP_DEFLATED)
    server = serve(lambda request: request.send(200, packed))
    run(server.url, name="a.zip", digest=content_digest(members))
    assert RESULT.with_suffix(".zip").read_bytes() == packed
    repacked = serve(lambda request: request.send(200, zipped(members)))
    run(repacked.url, name="a.zip", digest=content_digest(members))
    assert RESULT.with_suffix(".zip").read_bytes() == zipped(members)


def test_nothing_is_printed_off_a_terminal(
    serve: Callable[..., Server], capsys: pytest.CaptureFixture[str]
) -> None:
    run(serve(good).url)
    assert capsys.readouterr() == ("", "")


# DATA_MIRROR and paths.


@pytest.mark.parametrize("absolute", [False, True])
def test_a_mirror_folder_comes_first(
    serve: Callable[..., Server],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    absolute: bool,
) -> None:
    Path("mirror").mkdir()
    Path("mirror/a.gz").write_bytes(BODY)
    monkeypatch.setenv("DATA_MIRROR", str(tmp_path / "mirror") if absolute else "mirror")
    server = serve(good)
    run(server.url)
    assert RESULT.read_bytes() == BODY
    assert not server.requests


def test_a_mirror_may_be_a_url(
    serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, mirror = serve(good), serve(good)
    monkeypatch.setenv("DATA_MIRROR", f"{mirror.url.removesuffix('a.gz')}folder/")
    run(server.url)
    assert RESULT.read_bytes() == BODY
    assert [request.path for request in mirror.requests] == ["/folder/a.gz"]
    assert not server.requests


@pytest.mark.parametrize("content", [None, OTHER, b""])
def test_a_mirror_without_the_file_is_passed_over(
    serve: Callable[..., Server],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    content: bytes | None,
) -> None:
    Path("mirror").mkdir()
    if content is not None:
        Path("mirror/a.gz").write_bytes(content)
    monkeypatch.setenv("DATA_MIRROR", "mirror")
    run(serve(good).url)
    assert RESULT.read_bytes() == BODY
    assert "download: mirror/a.gz: " in capsys.readouterr().err


def test_the_sample_has_no_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    for folder, content in (("mirror", OTHER), ("data/sample", BODY)):
        Path(folder).mkdir(parents=True)
        Path(folder, "a.gz").write_bytes(content)
    monkeypatch.setenv("DATA_MIRROR", "mirror")
    run("data/sample/a.gz", source="sample", digest=None)
    assert Path("data/raw/sample/mnist/a.gz").read_bytes() == BODY


def test_a_missing_sample_is_named() -> None:
    with pytest.raises(InputError, match=r"data/sample/a\.gz: no such file\. Restore it"):
        run("data/sample/a.gz", source="sample")


# Cases that end in an error that tells what to do.


def test_all_places_are_named(serve: Callable[..., Server]) -> None:
    missing, wrong = serve(lambda request: request.send(404)), serve(good)
    with pytest.raises(InputError) as caught:
        run(missing.url, wrong.url, digest="0" * 64)
    assert str(caught.value) == (
        f"a.gz: no place has it: {missing.url}: 404 Not Found; "
        f"{wrong.url}: its digest is {sha256(BODY).hexdigest()}, not {'0' * 64}. "
        "Put a.gz in a folder and set DATA_MIRROR to that folder"
    )
    assert not RESULT.parent.exists()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 501])
def test_a_refusal_is_final(serve: Callable[..., Server], status: int) -> None:
    server = serve(lambda request: request.send(status))
    with pytest.raises(InputError, match=f"{server.url}: {status}"):
        run(server.url)
    assert len(server.requests) == 1


def test_a_password_in_a_link_is_told_to_nobody(
    serve: Callable[..., Server], capsys: pytest.CaptureFixture[str]
) -> None:
    url = serve(lambda request: request.send(503), lambda request: request.send(404)).url
    with pytest.raises(InputError) as caught:
        run(url.replace("://", "://me:secret@"))
    said = str(caught.value) + capsys.readouterr().err
    assert f"{url}: 404" in said
    assert f"{url}: 503" in said
    assert "secret" not in said


def test_attempts_are_counted(serve: Callable[..., Server], naps: list[float]) -> None:
    server = serve(lambda request: request.send(503))
    with pytest.raises(InputError, match=r"503 Service Unavailable \(attempt 4, the last\)"):
        run(server.url, attempts=4, backoff_seconds=8, max_wait_seconds=20)
    assert len(server.requests) == 4
    assert 4 <= naps[0] <= 8 <= naps[1] <= 16 <= naps[2] <= 20


@pytest.mark.parametrize(
    ("asked", "slept"), [("7", 7), ("60", 60), ("soon", 0), ("-1", 0), ("9" * 5000, 0)]
)
def test_a_server_may_say_how_long_to_wait(
    serve: Callable[..., Server], naps: list[float], asked: str, slept: int
) -> None:
    run(serve(lambda it: it.send(429, Retry_After=asked), good).url, max_wait_seconds=60)
    assert RESULT.read_bytes() == BODY
    assert naps == [slept]


def test_a_server_that_asks_for_more_patience_than_there_is_is_not_asked_again(
    serve: Callable[..., Server], naps: list[float]
) -> None:
    server = serve(lambda it: it.send(429, Retry_After=61), good)
    with pytest.raises(InputError, match="429 Too Many Requests, asks to wait 61 s, over download"):
        run(server.url, max_wait_seconds=60)
    assert len(server.requests) == 1
    assert not naps


def test_a_server_may_say_when_to_come_back(
    serve: Callable[..., Server], naps: list[float]
) -> None:
    date = formatdate(time.time() + 30, usegmt=True)
    run(serve(lambda it: it.send(503, Retry_After=date), good).url, max_wait_seconds=60)
    assert RESULT.read_bytes() == BODY
    assert 20 < naps[0] <= 30


@pytest.mark.parametrize(
    "page",
    [
        lambda request: request.send(200, b"Sorry", Content_Type="text/html; charset=utf-8"),
        lambda request: request.send(200, b"\xef\xbb\xbf\n<!DOCTYPE HTML><p>Sorry"),
        lambda request: request.send(200, b"<html>", Content_Type="application/zip"),
    ],
)
@pytest.mark.parametrize("digest", [sha256(BODY).hexdigest(), None])
def test_a_web_page_is_called_so(
    serve: Callable[..., Server],
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
    page: Answer,
    digest: str | None,
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    server = serve(page, certificate=certificate)
    with pytest.raises(InputError, match="a web page, not an archive: the link is dead"):
        run(server.url, digest=digest)
    assert len(server.requests) == 1


def test_a_length_that_is_never_reached_is_given_up(serve: Callable[..., Server]) -> None:
    server = serve(lambda it: it.send(200, BODY, Content_Length=len(BODY) + 10))
    with pytest.raises(InputError, match="10 more expected"):
        run(server.url)


def test_an_endless_body_is_given_up(serve: Callable[..., Server]) -> None:
    def endless(request: Request) -> None:
        request.begin(200)
        while True:
            request.wfile.write(bytes(100_000))

    with pytest.raises(InputError, match=r"larger than download\.max_bytes"):
        run(serve(endless).url, max_bytes=3_000_000)


def test_a_circle_of_redirects_is_given_up(serve: Callable[..., Server]) -> None:
    with pytest.raises(InputError, match="redirects"):
        run(serve(lambda request: request.send(302, Location="/a.gz")).url)


@pytest.mark.parametrize("location", ["http://[", "http://\xff\xfe/", "ftp://a/", "file:///a"])
def test_a_redirect_to_nonsense_is_given_up(serve: Callable[..., Server], location: str) -> None:
    server = serve(lambda request: request.send(302, Location=location))
    with pytest.raises(InputError, match=server.url):
        run(server.url, attempts=1)


def test_a_closed_port_is_named(serve: Callable[..., Server]) -> None:
    server = serve(good)
    server.shutdown()
    server.server_close()
    with pytest.raises(InputError, match=rf"{server.url}: .*Connection refused \(attempt 3"):
        run(server.url)


@pytest.mark.parametrize("url", ["ftp://a/b", "https://", "https://[", "http://a b/", "x://"])
def test_a_url_that_is_none_is_named(url: str) -> None:
    with pytest.raises(InputError, match="no place has it"):
        run(url, attempts=1)


def test_a_self_signed_certificate_is_refused(
    serve: Callable[..., Server], certificate: Path
) -> None:
    server = serve(good, certificate=certificate)
    with pytest.raises(InputError, match="certificate verify failed") as caught:
        run(server.url)
    assert "attempt" not in str(caught.value)
    assert not server.requests


def test_https_never_leads_to_http(
    serve: Callable[..., Server],
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    plain = serve(good)
    redirect = serve(lambda request: request.send(302, Location=plain.url), certificate=certificate)
    with pytest.raises(InputError, match="leads to one that is none"):
        run(redirect.url)
    assert not plain.requests


def test_http_needs_a_digest(serve: Callable[..., Server]) -> None:
    server = serve(good)
    with pytest.raises(InputError, match="plain http needs a digest"):
        run(server.url.replace("http", "HTTP"), digest=None)
    assert not server.requests


@pytest.mark.parametrize("attempts", [1, 2])
def test_https_needs_none_but_starts_over(
    serve: Callable[..., Server],
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
    attempts: int,
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    server = serve(cut, good, certificate=certificate)
    if attempts == 1:
        with pytest.raises(InputError, match="more expected"):
            run(server.url, digest=None, attempts=attempts)
    run(server.url, digest=None, attempts=attempts)
    assert RESULT.read_bytes() == BODY
    assert [request.start for request in server.requests] == [0, 0]


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"../a": b"", "b": b""}, "is not a path within a folder"),
        ({"a": bytes(10**6)}, "max_ratio"),
    ],
)
def test_a_zip_is_read_within_the_limits(
    serve: Callable[..., Server], members: dict[str, bytes], reason: str
) -> None:
    packed = zipped(members, compression=zipfile.ZIP_DEFLATED, compresslevel=9)
    server = serve(lambda request: request.send(200, packed))
    with pytest.raises(InputError, match=rf"{server.url}: not the archive expected: .*{reason}"):
        run(server.url, name="a.zip", digest=content_digest(members))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"digest": "0" * 63}, "digest"),
        ({"name": "../a.gz"}, "name"),
        ({"name": "a.tar"}, "name"),
        ({"attempts": 0}, "download.attempts"),
    ],
)
def test_params_are_checked(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        run("a.gz", **wrong)


@pytest.mark.parametrize(
    ("link", "address"),
    [
        ("https://www.dropbox.com/s/x/a.zip", "https://www.dropbox.com/s/x/a.zip?dl=1"),
        ("https://www.dropbox.com/s/x/a.zip?dl=0", "https://www.dropbox.com/s/x/a.zip?dl=1"),
        ("https://www.dropbox.com/s/x/a.zip?dl=1", "https://www.dropbox.com/s/x/a.zip?dl=1"),
        ("https://dropbox.com/s/x/a.zip?dl", "https://dropbox.com/s/x/a.zip?dl=1"),
        (
            "https://www.dropbox.com/scl/fi/x/a.zip?rlkey=k%20y&dl=0&e=#part",
            "https://www.dropbox.com/scl/fi/x/a.zip?rlkey=k+y&dl=1&e=",
        ),
        ("https://example.org/a.zip?dl=0", "https://example.org/a.zip?dl=0"),
        ("data/sample/a.zip", "data/sample/a.zip"),
    ],
)
def test_dropbox_links_become_direct(link: str, address: str) -> None:
    assert download.direct(link) == address


@pytest.mark.parametrize("stage", ["download", "unzip"])
def test_neither_numpy_nor_torch_is_imported(stage: str) -> None:
    code = f"import stages.{stage}, sys; print({{'numpy', 'torch'}} & set(sys.modules))"
    found = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert found.stdout == "set()\n"


def test_the_program_ends_in_one_line(tmp_dir: Path) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "stages.data.download", "dropbox", "mnist"],
        cwd=tmp_dir,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert found.returncode == 1
    assert found.stdout == ""
    assert found.stderr.startswith("download: params.yaml: ")
    assert found.stderr.count("\n") == 1
