"""`make report`: serve the report of a source, with the demo beside it, and open it in a browser.

The demo's runtime comes from the npm registry once, checked by its digest. Without npm the report
is served all the same.
"""

import base64
import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import webbrowser
from contextlib import suppress
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

from handwriting.core.errors import InputError
from tools import program

VERSION = "1.30.0"
_SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
RUNTIME = Path(f".runtime_cache/onnxruntime-web-{VERSION}")
_PARTS = ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
_PAGES = ("report.html", "demo.html", "characters.onnx")


def fetch_runtime(folder: Path) -> None:
    """Put the demo's runtime into `folder`, whole or not at all.

    Raises InputError where npm is missing, cannot reach its registry, or brings something else.
    """
    if folder.exists():
        return
    if not shutil.which("npm"):
        raise InputError("npm is not installed")
    name = f"onnxruntime-web@{VERSION}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as working:
        command = ["npm", "pack", "--silent", "--pack-destination", working, name]
        done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603
        archive = next(Path(working).glob("*.tgz"), None)
        if done.returncode or not archive:
            reason = (done.stderr.strip().splitlines() or ["it wrote no archive"])[0]
            raise InputError(f"npm pack {name}: {reason}")
        if base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode() != _SHA512:
            raise InputError(
                f"npm pack {name}: its sha512 is another than the one in tools/report.py"
            )
        with tarfile.open(archive) as content:
            parts = {part: content.extractfile(f"package/dist/{part}") for part in _PARTS}
            unpacked = Path(working, "dist")
            unpacked.mkdir()
            for name_of_part, part in parts.items():
                (unpacked / name_of_part).write_bytes(part.read() if part else b"")
        unpacked.rename(folder)


class Handler(SimpleHTTPRequestHandler):
    """Serve a few files by name, and nothing else."""

    files: ClassVar[dict[str, Path]]  # by the path of their URL

    def translate_path(self, path: str) -> str:
        """Return the file for a URL path; one that does not exist for any other."""
        return str(self.files.get(path.partition("?")[0], Path("/nonexistent")))

    def log_message(self, *arguments: object) -> None:
        """Print nothing for a request."""


def server(source: str, port: int, runtime: Path) -> ThreadingHTTPServer:
    """Return a server of the report for this machine alone; port 0 is any free one.

    Raises InputError if there is no report.
    """
    folder = Path("artifacts", source).resolve()
    if not (folder / "report.html").exists():
        raise InputError(f"artifacts/{source}/report.html does not exist: run make repro")
    files = {f"/{name}": folder / name for name in _PAGES} | {"/": folder / "report.html"}
    files |= {f"/runtime/{part}": runtime.resolve() / part for part in _PARTS}
    return ThreadingHTTPServer(("127.0.0.1", port), type("Serving", (Handler,), {"files": files}))


def main(source: str = "sample", port: int = 8000) -> None:
    """Serve until Ctrl-C."""
    try:
        fetch_runtime(RUNTIME)
    except InputError as problem:
        print(f"report: without the demo: {problem}", file=sys.stderr)
    try:
        serving = server(source, port, RUNTIME)
    except (OSError, OverflowError) as problem:
        raise InputError(f"port {port}: {problem}: --port chooses another") from None
    address = f"http://127.0.0.1:{serving.server_port}/"
    demo = f"the demo at {address}demo.html (Ctrl-C ends it)"
    print(f"The report is at {address}, {demo}", flush=True)
    webbrowser.open(address)
    with suppress(KeyboardInterrupt), serving:
        serving.serve_forever()


if __name__ == "__main__":
    program.run(main)
