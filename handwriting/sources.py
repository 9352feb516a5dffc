"""The images in files, folders, archives, idx files and MNIST's CSV, told by their content."""

import os
import re
import struct
import sys
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

from handwriting.core.errors import InputError, one_line
from handwriting.images import Named
from handwriting.preprocessing.decoding import MAX_BYTES, MAX_PIXELS
from handwriting.raw import archives
from handwriting.raw.archives import Member

# Deflate packs 1,032 to 1 at most, and pen on an uncompressed page comes to some hundreds.
_LIMITS = archives.Limits(max_bytes=10 << 30, max_ratio=1100, max_members=1_000_000)
_GZIP = b"\x1f\x8b"
_PACKED = (b"PK\x03\x04", b"PK\x05\x06", b"PK00", b"PK\x07\x08", _GZIP)  # zip and gzip
_TAR, _USTAR = slice(257, 262), b"ustar"
_IDX = bytes([0, 0, 8, 3])  # of images: uint8 [N, H, W] (yann.lecun.com/exdb/mnist)
_HEAD = 1 << 14  # bytes that tell the kind of a file: MNIST's 784 pixels, named in a CSV's header
_SIDE = 28  # of an image in a CSV
_GREYS = frozenset(range(256))
_ROW = re.compile(rb'(\xef\xbb\xbf)?[\w."]+( *[,;\t] *[\w."]+){783,784}')  # after a BOM


def images(paths: Sequence[Path]) -> Iterator[Named]:
    """Yield (name, image or error) of all that the paths hold; "-" is standard input.

    Folders and archives are in sorted order. A member of an archive has its path there, after that
    of the archive if it is not the only argument.
    """
    for path in paths:
        name = shown(path)
        prefix = f"{name}/" if len(paths) > 1 else ""
        if name == "-":
            yield from _guarded("-", _standard_input(prefix))
        elif path.is_dir():
            yield from _folder(path)
        else:
            yield from _guarded(name, _path(path, name, prefix))


def shown(path: Path) -> str:
    """Return a path as text, with \\xff for what is not UTF-8."""
    return os.fsencode(path).decode(errors="backslashreplace")


def _guarded(name: str, found: Iterable[Named]) -> Iterator[Named]:
    """Yield what is found, and what then goes wrong as an error of `name`."""
    try:
        yield from found
    except InputError as error:
        yield name, error
    except OSError as error:
        yield name, InputError(f"{name}: {error.strerror or one_line(error)}")
    except (ValueError, struct.error) as error:
        yield name, InputError(f"{name}: damaged: {one_line(error)}")


def _passed_over(path: str) -> bool:
    """Return whether a path in a folder or an archive is hidden, or junk of a desktop."""
    hidden = (part.startswith(".") and part not in (".", "..") for part in path.split("/"))
    return any(hidden) or archives.is_junk(path)


def _folder(folder: Path) -> Iterator[Named]:
    inside = (path for path in folder.rglob("*") if not path.is_dir())
    paths = sorted(p for p in inside if not _passed_over(shown(p.relative_to(folder))))
    if not paths:
        yield shown(folder), InputError(f"{folder}: no images in this folder")
    for path in paths:
        yield from _guarded(name := shown(path), _path(path, name, f"{name}/"))


def _path(path: Path, name: str, prefix: str) -> Iterator[Named]:
    if not path.is_file():  # nobody may ever write into a FIFO: decoding refuses it
        yield name, path
        return
    with path.open("rb") as file:
        head = file.read(_HEAD)
        file.seek(0)
        if not head.startswith(_PACKED) and head[_TAR] != _USTAR:
            yield from _file(file, head, name, path)
            return
    with archives.opened([path], _LIMITS, strict=False) as members:
        alone = head.startswith(_GZIP) and [each.path for each in members] == [path.stem]
        for member in members:
            if alone:  # it has no name of its own
                yield from _guarded(name, _member(member, name))
            elif not _passed_over(member.path):
                where = prefix + member.path
                yield from _guarded(where, _member(member, where))


def _member(member: Member, name: str) -> Iterator[Named]:
    if member.problem:
        raise InputError(f"{name}: {member.problem}")
    if member.size > MAX_BYTES:
        raise InputError(f"{name}: {member.size:,} bytes are too many for an image file")
    try:
        content = b"".join(member.chunks())
    except Exception as error:  # opened() would end with it, and leave out the next members
        raise InputError(f"{name}: damaged: {one_line(error)}") from None
    yield from _file(BytesIO(content), content[:_HEAD], name, content)


def _standard_input(prefix: str) -> Iterator[Named]:
    if not sys.stdin:
        raise InputError("-: standard input is closed")
    if len(content := sys.stdin.buffer.read(MAX_BYTES + 1)) > MAX_BYTES:
        raise InputError(f"-: more than {MAX_BYTES:,} bytes")
    with TemporaryDirectory() as folder:
        (path := Path(folder, "-")).write_bytes(content)
        try:
            for name, image in _path(path, "-", prefix):
                yield name, content if isinstance(image, Path) else image
        except InputError as error:
            raise InputError(str(error).replace(str(path), "-")) from None


def _file(file: BinaryIO, head: bytes, name: str, image: Path | bytes) -> Iterator[Named]:
    """Yield the images of an idx file or a CSV; else `image`, which may be one."""
    if head.startswith(_IDX):
        yield from _idx(file, name)
    elif _ROW.fullmatch(head.partition(b"\n")[0].strip()):
        yield from _csv(file, name)
    else:
        yield name, image


def _idx(file: BinaryIO, name: str) -> Iterator[Named]:
    count, height, width = struct.unpack(">4x3I", file.read(16))
    if not 0 < height * width <= MAX_PIXELS:
        raise InputError(f"{name}: an idx file of {height} x {width} pixels")
    for i in range(count):
        if len(pixels := file.read(height * width)) < height * width:
            raise InputError(f"{name}: cut off: {i:,} of {count:,} images")
        yield f"{name}[{i}]", _pgm(width, height, pixels)


def _pgm(width: int, height: int, pixels: bytes) -> bytes:
    """Return an image file."""
    return b"P5 %d %d 255\n" % (width, height) + pixels


def _csv(file: BinaryIO, name: str) -> Iterator[Named]:
    """Yield the images of a CSV of 28 x 28 pixels, without a label or with one before or after.

    Without a header, or with one that does not call the last column label or class, it is before.
    """
    first = _fields(file.readline(_HEAD))
    before = len(first) > _SIDE**2 and first[-1] not in (b"label", b"class")
    if not re.search(b"[a-z]", b"".join(first)):  # no header
        file.seek(0)
    for i, line in enumerate(iter(lambda: file.readline(_HEAD), b"")):
        if line.strip():
            row = _row(where := f"{name}[{i}]", _fields(line), len(first), before)
            yield from _guarded(where, row)


def _fields(line: bytes) -> list[bytes]:
    plain = line.removeprefix(b"\xef\xbb\xbf").lower().replace(b'"', b"")
    return [each.strip() for each in re.split(b"[,;\t]", plain)]


def _row(name: str, fields: list[bytes], columns: int, start: int) -> Iterator[Named]:
    if len(fields) != columns:
        raise InputError(f"{name}: {len(fields)} columns, not {columns}")
    try:
        numbers = [float(each) for each in fields[start:][: _SIDE**2]]
    except ValueError:
        numbers = [-1.0]
    if not {*numbers} <= _GREYS:
        raise InputError(f"{name}: pixels that are not whole numbers from 0 to 255")
    pixels = bytes(map(int, numbers))
    yield name, _pgm(_SIDE, _SIDE, pixels)
