"""Archives for the tests, valid and invalid, and limits for what reads them."""

import io
import signal
import struct
import tarfile
import tracemalloc
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

DIRECTORY, LOCAL, END = b"PK\1\2", b"PK\3\4", b"PK\5\6"  # signatures of a zip's headers
DEFLATED: dict[str, Any] = {"compression": zipfile.ZIP_DEFLATED, "compresslevel": 9}


class Unseekable(io.RawIOBase):
    """Makes zipfile write sizes after the data."""

    def __init__(self, file: io.BytesIO) -> None:
        self.file = file

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        return self.file.write(content)


def zipped(
    members: dict[str, bytes] | Sequence[tuple[zipfile.ZipInfo | str, bytes]], **options: Any
) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **options) as archive:
        for name, content in members.items() if isinstance(members, dict) else members:
            archive.writestr(name, content)
    return file.getvalue()


def entry(name: str, **attributes: Any) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    for attribute, value in attributes.items():
        setattr(info, attribute, value)
    return info


def patched(archive: bytes, offset: int, form: str, value: int, *, where: bytes) -> bytes:
    """Return `archive` with a field changed in every header of the signature `where`."""
    patched = bytearray(archive)
    at = -1
    while (at := patched.find(where, at + 1)) >= 0:
        struct.pack_into(form, patched, at + offset, value)
    return bytes(patched)


def content_digest(members: dict[str, bytes]) -> str:
    """Return the digest as DESIGN.md defines it."""
    lines = [f"{sha256(members[path]).hexdigest()}  {path}\n" for path in sorted(members)]
    return sha256("".join(lines).encode()).hexdigest()


def write_tar(path: Path, members: Iterable[tuple[str, bytes]], mtime: int = 0) -> bytes:
    """Write a tar by tarfile, and return its bytes: names, contents and nothing else of a file."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(content), mtime
            tar.addfile(info, io.BytesIO(content))
    return path.read_bytes()


@contextmanager
def bounded(memory: int, seconds: int = 60) -> Iterator[None]:
    """Fail if the block allocates `memory` bytes or takes too long."""

    def out_of_time(*_: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, out_of_time)
    signal.alarm(seconds)
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < memory
    finally:
        tracemalloc.stop()
        signal.alarm(0)
