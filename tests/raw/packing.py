"""Archives for the tests, valid and invalid, and limits for what reads them."""

import io
import re
import signal
import struct
import tarfile
import tracemalloc
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

DIRECTORY, LOCAL, END = b"PK\1\2", b"PK\3\4", b"PK\5\6"  # signatures of a zip's headers
Members = dict[str, bytes] | Sequence[tuple[zipfile.ZipInfo | str, bytes]]
DEFLATED: dict[str, Any] = {"compression": zipfile.ZIP_DEFLATED, "compresslevel": 9}


class Unseekable(io.BytesIO):
    """Makes zipfile write sizes after the data."""

    def seek(self, *_: object) -> int:
        raise OSError


def zipped(
    members: Members, file: io.BytesIO | None = None, mode: Literal["w", "a"] = "w", **options: Any
) -> bytes:
    file = file or io.BytesIO()
    with zipfile.ZipFile(file, mode, **options) as archive:
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
    for found in re.finditer(where, archive):
        struct.pack_into(form, patched, found.start() + offset, value)
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
    """Fail if the block allocates `memory` bytes, end the process if it takes too long."""
    signal.alarm(seconds)
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < memory
    finally:
        tracemalloc.stop()
        signal.alarm(0)
