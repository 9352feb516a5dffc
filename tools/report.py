"""`make report`: serve the report of a source with its demo, and open it in a browser.

The demo is classified here, by the function that `predict` calls: framing and answers are the same.
The server listens on this machine alone, answers no other site's page, and writes no file.
"""

import io
import json
import webbrowser
from base64 import b64encode
from contextlib import suppress
from functools import cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image

from handwriting.classifier import Classifier
from handwriting.core.errors import InputError, one_line
from handwriting.reporting import page
from tools import program

MOST = 30_000_000  # bytes of a picture
_BEST = 5  # answers
_NETWORKS = {  # by the question that each answers
    "Question 1: all classes": "characters",
    "Question 2: digits, from the characters checkpoint": "mnist-characters",
    "Question 3: digits, learned from wrong labels": "mnistTask3-random",
    "Doubtful labels, by forward correction": "doubtful-corrected",
}


class Handler(BaseHTTPRequestHandler):
    """Answer three requests: the report, the demo, and a picture to be classified."""

    networks: ClassVar[dict[str, Path]]  # by the question that they answer
    report: ClassVar[Path]
    timeout = 60

    def handle(self) -> None:
        """Answer; a browser that no longer waits for it is no problem."""
        with suppress(ConnectionError):
            super().handle()

    def do_GET(self) -> None:
        """Send the report or the demo."""
        path = self.path.partition("?")[0]
        if not self._is_local():
            self.send_error(HTTPStatus.FORBIDDEN)
        elif path in ("/", "/report.html"):
            self._send("text/html", self.report.read_bytes())
        elif path == "/try":
            self._send("text/html", demo(self.report.parent.name, self.networks).encode())
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def do_POST(self) -> None:
        """Classify the picture in the body, by the network that the query names."""
        path, _, number = self.path.partition("?network=")
        size = self.headers.get("Content-Length", "")
        if not self._is_local() or self.headers["Origin"] != f"http://{self.headers['Host']}":
            self.send_error(HTTPStatus.FORBIDDEN)
        elif path != "/predict" or number not in map(str, range(len(self.networks))):
            self.send_error(HTTPStatus.NOT_FOUND)
        elif not size.isdecimal() or len(size) > len(str(MOST)) or int(size) > MOST:
            self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        else:
            network = [*self.networks.values()][int(number)]
            found = answer(network, self.rfile.read(int(size)))
            self._send("application/json", json.dumps(found).encode())

    def _is_local(self) -> bool:
        """Return whether a browser asks for this machine, not for another site."""
        port = self.connection.getsockname()[1]
        return self.headers["Host"] in (f"127.0.0.1:{port}", f"localhost:{port}")

    def _send(self, kind: str, content: bytes) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        """Print nothing for a request."""


def demo(source: str, networks: dict[str, Path]) -> str:
    """Return the page of the demo."""
    classes = {name: classifier(path).classes for name, path in networks.items()}
    return page.render("demo.html", source=source, networks=classes, most=MOST)


@cache
def classifier(network: Path) -> Classifier:
    """Return the classifier of a network."""
    return Classifier(network)


def answer(network: Path, picture: bytes) -> dict[str, Any]:
    """Return the best answers for a picture and what the network saw of it, or the problem."""
    try:
        framed = classifier(network).prepare(picture, "picture")
        [found] = classifier(network).predictions([framed])
    except InputError as problem:
        return {"problem": str(problem).removeprefix("picture: ")}
    except Exception as problem:  # a defect, or a lack of memory: the page says it
        return {"problem": f"{type(problem).__name__}: {one_line(problem)}"}
    Image.fromarray(framed.image).save(seen := io.BytesIO(), "PNG")
    uri = f"data:image/png;base64,{b64encode(seen.getvalue()).decode()}"
    return {"best": found.top(_BEST), "confusable": found.confusable, "seen": uri}


def server(source: str, port: int) -> ThreadingHTTPServer:
    """Return a server of the report for this machine alone; port 0 is any free one.

    Raises InputError if there is no report.
    """
    folder = Path("artifacts", source).resolve()
    if not (folder / "report.html").exists():
        raise InputError(f"artifacts/{source}/report.html does not exist: run make repro")
    files = {
        question: folder / f"{name}{suffix}"
        for question, name in _NETWORKS.items()
        for suffix in (".pt", ".onnx")  # the last that exists
        if (folder / f"{name}{suffix}").exists()
    }
    content = {"networks": files, "report": folder / "report.html"}
    return ThreadingHTTPServer(("127.0.0.1", port), type("Serving", (Handler,), content))


def main(source: str = "sample", port: int = 8000) -> None:
    """Serve until Ctrl-C."""
    try:
        serving = server(source, port)
    except (OSError, OverflowError) as problem:
        raise InputError(f"port {port}: {problem}: --port chooses another") from None
    address = f"http://127.0.0.1:{serving.server_port}/"
    demo = f"the demo at {address}try (Ctrl-C ends it)"
    print(f"The report is at {address}, {demo}", flush=True)
    webbrowser.open(address)
    with suppress(KeyboardInterrupt), serving:
        serving.serve_forever()


if __name__ == "__main__":
    program.run(main)
