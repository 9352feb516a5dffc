"""`make report`: the report of a source in the browser, with the drawing box beside it.

The runtime of the drawing box comes from the npm registry once, as its ordinary client fetches it,
checked by its digest. Without npm the report is served all the same.
"""

import argparse
import base64
import hashlib
import shutil
import subprocess
import sys
import tarfile
import webbrowser
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from handwriting.core import params
from handwriting.core.errors import InputError

VERSION = "1.30.0"
_SHA512 = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
RUNTIME = Path(f".runtime_cache/onnxruntime-web-{VERSION}")
_PARTS = ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")


def fetch_runtime(folder: Path) -> None:
    """Put what the drawing box loads into `folder`, whole or not at all.

    Raises InputError where npm is missing, cannot reach its registry, or brings something else.
    """
    if folder.exists():
        return
    if not shutil.which("npm"):
        raise InputError("npm is not installed")
    working = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(working, ignore_errors=True)
    working.mkdir(parents=True)
    name = f"onnxruntime-web@{VERSION}"
    command = ["npm", "pack", "--silent", "--pack-destination", str(working), name]
    done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603
    archives = list(working.glob("*.tgz"))
    if done.returncode or not archives:
        reason = (done.stderr.strip().splitlines() or ["no archive came"])[0]
        raise InputError(f"npm pack {name}: {reason}")
    content = archives[0].read_bytes()
    if base64.b64encode(hashlib.sha512(content).digest()).decode() != _SHA512:
        raise InputError(f"npm pack {name}: its sha512 is another than the one in tools/report.py")
    with tarfile.open(archives[0]) as archive:
        for part in _PARTS:
            if file := archive.extractfile(f"package/dist/{part}"):
                (working / part).write_bytes(file.read())
    archives[0].unlink()
    working.rename(folder)


class Handler(SimpleHTTPRequestHandler):
    """Serves a few files by name, and nothing else."""

    extensions_map = {  # noqa: RUF012 - as the base class has it
        ".html": "text/html; charset=utf-8",
        ".js": "text/javascript",
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
        "": "application/octet-stream",
    }

    def __init__(self, *arguments: object, files: dict[str, Path], **options: object) -> None:
        self.files = files
        super().__init__(*arguments, **options)  # type: ignore[arg-type]

    def translate_path(self, path: str) -> str:
        """The file for an address; one that does not exist for any other."""
        return str(self.files.get(path.partition("?")[0], Path("/nonexistent")))

    def log_message(self, *arguments: object) -> None:
        """Say nothing of every request."""


def server(source: str, port: int, runtime: Path) -> ThreadingHTTPServer:
    """A server of the report on this machine alone; port 0 is any free one.

    Raises InputError if the report is not there.
    """
    folder = Path("artifacts", source).resolve()
    if not (folder / "report.html").exists():
        raise InputError(f"artifacts/{source}/report.html: not there yet: make repro makes it")
    files = {f"/{name}": folder / name for name in ("report.html", "draw.html", "characters.onnx")}
    files["/"] = files["/report.html"]
    files |= {f"/runtime/{part}": runtime.resolve() / part for part in _PARTS}
    return ThreadingHTTPServer(("127.0.0.1", port), partial(Handler, files=files))


def main() -> None:
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--source", default=params.load("source", str))
    parser.add_argument("--port", type=int, default=8000)
    given = parser.parse_args()
    if not 0 <= given.port < 1 << 16:
        raise InputError(f"port {given.port}: --port is from 0, any that is free, to 65535")
    try:
        fetch_runtime(RUNTIME)
    except InputError as problem:
        print(f"report: without the drawing box: {problem}", file=sys.stderr)
    try:
        serving = server(given.source, given.port, RUNTIME)
    except OSError as problem:
        raise InputError(f"port {given.port}: {problem.strerror}: --port chooses another") from None
    address = f"http://127.0.0.1:{serving.server_port}/"
    print(f"The report is at {address} and the drawing box at {address}draw.html (Ctrl-C ends it)")
    sys.stdout.flush()
    webbrowser.open(address)
    try:
        serving.serve_forever()
    except KeyboardInterrupt:
        serving.server_close()


if __name__ == "__main__":
    try:
        main()
    except InputError as problem:
        sys.exit(f"report: {problem}")
