"""Read the members of .zip and .gz files after checking their names, kinds and sizes."""

import stat
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from hashlib import file_digest, sha256
from io import BufferedReader, FileIO
from itertools import accumulate, pairwise, takewhile
from operator import attrgetter
from pathlib import Path
from typing import Annotated, NamedTuple
from unicodedata import normalize

from pydantic import Field

from handwriting.core import params
from handwriting.core.errors import InputError, one_line

_CHUNK = 1 << 20  # bytes in memory at a time
_LISTED = 10  # problems that an error lists
_DIRECTORY_ENTRY = 256  # bytes of a zip's central directory, per member that the limits allow
_PATH = 255  # characters of a member's path
_JUNK = {"__MACOSX", ".DS_Store", "Thumbs.db"}  # what desktops add to archives
_LOCAL_HEADER = 30  # bytes before the name of a member
_ENCRYPTED = 0x1 | 0x40 | 0x2000  # flags: traditional, strong, masked directory
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # zipfile bounds the output of no others
_PATCH = 0x20  # flag: the data is a patch to another file

# What zipfile and zlib raise for invalid bytes or a failing disk.
_INVALID = (EOFError, NotImplementedError, OSError, ValueError, zipfile.BadZipFile, zlib.error)


@params.section
class Limits:
    """The largest archives that are read."""

    max_bytes: Annotated[int, Field(gt=0)]  # uncompressed, of all members
    max_ratio: Annotated[float, Field(ge=1)]  # of uncompressed to compressed bytes
    max_members: Annotated[int, Field(gt=0)]


class _CorruptError(Exception):
    """A member's bytes contradict its header."""


class Member(NamedTuple):
    """A regular file in an archive."""

    path: str
    size: int  # bytes, as declared
    uncompress: Callable[[], Iterator[bytes]]

    def chunks(self) -> Iterator[bytes]:
        """Yield the member's bytes, whose size and checksum are verified by the end."""
        left = self.size
        try:
            for chunk in self.uncompress():
                left -= len(chunk)
                if left < 0:
                    break
                yield chunk
        except _INVALID as error:
            raise _CorruptError(one_line(error)) from error
        if left:
            raise _CorruptError("its size is not the one declared")


@contextmanager
def opened(paths: Sequence[Path], limits: Limits) -> Iterator[list[Member]]:
    """Yield the regular members of all the archives in `paths`, sorted by the bytes of their paths.

    Raises InputError naming every member that is unsafe or, once the block has read a corrupt
    one, every corrupt member.
    """
    named = ", ".join(map(str, paths))
    with ExitStack() as stack:
        entries = [each for path in paths for each in _entries(path, limits, stack)]
        members = [each for each in entries if not each.path.endswith("/")]
        folders = {each.path for each in entries if each.path.endswith("/")}
        _refuse(named, collisions([*folders, *(member.path for member in members)]))
        _refuse(named, _excesses(members, sum(path.stat().st_size for path in paths), limits))
        if not members:
            raise InputError(f"{named}: no file in it")
        members.sort(key=lambda member: member.path.encode())
        try:
            yield members
        except _CorruptError:
            _refuse(named, filter(None, map(_corruption, members)))
            raise InputError(f"{named}: changed while it was read") from None


def content_digest(path: Path, limits: Limits) -> str:
    """Return the sha256 of a .zip's content, however it is packed; of any other file, its sha256.

    The text that is hashed has a line for each regular member, sorted by path: the sha256 of its
    bytes, two spaces, its path.
    """
    if path.suffix.lower() != ".zip":
        with path.open("rb") as file:
            return file_digest(file, "sha256").hexdigest()
    total = sha256()
    with opened([path], limits) as members:
        for member in members:
            digest = sha256()
            for chunk in member.chunks():
                digest.update(chunk)
            total.update(f"{digest.hexdigest()}  {member.path}\n".encode())
    return total.hexdigest()


def collisions(paths: Iterable[str]) -> Iterator[str]:
    """Yield the problems of paths that cannot coexist on a file system that ignores case.

    Colliding paths are neighbours when sorted by their normalised components.
    """
    ordered = sorted((_normalised(path).split("/"), path) for path in paths)
    for (one, path), (other, following) in pairwise(ordered):
        pairs = zip(one, other, strict=False)
        shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        if shared == len(one):
            yield f"{path!r} collides with {following!r}"
        elif path.split("/")[:shared] != following.split("/")[:shared]:
            yield f"{path!r} and {following!r} differ only by case or Unicode form"


def _normalised(path: str) -> str:
    """Return `path` without the differences of case and Unicode form that file systems ignore."""
    return path.lower() if path.isascii() else normalize("NFD", normalize("NFD", path).casefold())


def _entries(path: Path, limits: Limits, stack: ExitStack) -> list[Member]:
    """Return the files and folders (paths with a final /) of an archive that `stack` closes."""
    if path.suffix.lower() == ".gz":
        size = _uncompressed_size(path, limits.max_bytes)
        return [Member(path.stem, size, partial(_gunzipped, path))]
    if path.suffix.lower() != ".zip":
        raise InputError(f"{path}: neither a .zip nor a .gz file")
    try:
        file = stack.enter_context(_BoundedReader(path, limits.max_members * _DIRECTORY_ENTRY))
        # Names are decoded as UTF-8 with and without the flag for it.
        archive = stack.enter_context(zipfile.ZipFile(file, metadata_encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except _INVALID as error:
        raise InputError(f"{path}: not a whole zip archive: {one_line(error)}") from None
    entries = archive.infolist()
    if len(entries) > limits.max_members:
        raise InputError(f"{path}: {len(entries):,} members, over unzip.max_members")
    entries = [each for each in entries if not _JUNK.intersection(each.filename.split("/"))]
    _refuse(str(path), filter(None, map(_unsafe, entries)))
    _refuse(str(path), _overlaps(archive))
    return [Member(e.filename, e.file_size, partial(_unzipped, archive, e)) for e in entries]


class _BoundedReader(BufferedReader):
    """A file that refuses reads of more than a chunk and `most` bytes."""

    def __init__(self, path: Path, most: int) -> None:
        super().__init__(FileIO(path))
        self.most = max(most, _CHUNK)

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > self.most:
            raise ValueError("its directory is larger than unzip.max_members allows")
        return super().read(size)


def _unzipped(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    # zipfile returns no more than the declared size and checks the CRC at its end.
    with archive.open(entry) as file:
        yield from iter(partial(file.read, _CHUNK), b"")


def _uncompressed_size(path: Path, most: int) -> int:
    """Return the size of a .gz's content, up to the first error or the chunk that exceeds `most`.

    The size in its last four bytes is modulo 2^32, and may be a lie.
    """
    size = 0
    with suppress(*_INVALID):
        for size in accumulate(map(len, _gunzipped(path))):
            if size > most:
                break
    return size


def _gunzipped(path: Path) -> Iterator[bytes]:
    inflater = zlib.decompressobj(wbits=31)  # gzip format, with its CRC and size verified
    with path.open("rb") as file:
        while not inflater.eof:
            if not (compressed := inflater.unconsumed_tail or file.read(_CHUNK)):
                raise EOFError("cut off before its end")
            yield inflater.decompress(compressed, _CHUNK)
        if inflater.unused_data or file.read(1):
            raise ValueError("bytes after its end")


def _unsafe(entry: zipfile.ZipInfo) -> str | None:
    """Return why a zip's entry is not a plain file or folder with a portable path, or None."""
    name, method = entry.orig_filename, entry.compress_type  # `filename` ends at a NUL
    components = name.removesuffix("/").split("/")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    folder = entry.filename.endswith("/")
    kinds = (0, stat.S_IFDIR if folder else stat.S_IFREG)
    problems = {
        f"is longer than {_PATH} characters": len(name) > _PATH,
        "has control characters in its name": not name.isprintable(),
        "has a drive letter or a backslash in its name": "\\" in name or ":" in name,
        "is not a path within a folder": not {"", ".", ".."}.isdisjoint(components),
        "is a link, a device or another special file": kind not in kinds,
        "is a folder with content": folder and entry.file_size,
        "is encrypted": entry.flag_bits & _ENCRYPTED,
        f"is packed by method {method}, neither stored nor deflated": method not in _METHODS,
        "is a patch": entry.flag_bits & _PATCH,
        f"is on disk {entry.volume} of an archive of several": entry.volume,
    }
    return next((f"{name[:_PATH]!r} {each}" for each, found in problems.items() if found), None)


def _overlaps(archive: zipfile.ZipFile) -> Iterator[str]:
    """Yield the problems of members that share bytes, as zip bombs do, and of bytes before them.

    The extra fields of the local headers are not counted: an overlap shorter than these is missed.
    """
    end = 0
    for entry in sorted(archive.infolist(), key=attrgetter("header_offset")):
        if entry.header_offset < end:
            yield f"{entry.filename!r} overlaps another member"
        elif end == 0 and entry.header_offset:
            yield f"{entry.header_offset:,} bytes before the first member"
        # A character of the name is at least a byte.
        end = entry.header_offset + _LOCAL_HEADER + len(entry.filename) + entry.compress_size
    if end > archive.start_dir:
        yield "its last member overlaps the directory"


def _excesses(members: Iterable[Member], packed: int, limits: Limits) -> Iterator[str]:
    """Yield the limits that the declared sizes exceed. chunks() never yields more than declared."""
    size = sum(member.size for member in members)
    if size > limits.max_bytes:
        yield f"it declares {size:,} bytes, over unzip.max_bytes"
    if size > packed * limits.max_ratio:
        yield f"it declares {size:,} bytes packed into {packed:,}, over unzip.max_ratio"


def _corruption(member: Member) -> str | None:
    try:
        for _ in member.chunks():
            pass
    except _CorruptError as error:
        return f"{member.path!r} is corrupt ({error})"
    return None


def _refuse(archive: str, problems: Iterable[str]) -> None:
    """Raise an InputError that lists `problems`, if there are any."""
    if listed := list(dict.fromkeys(problems)):
        more = f"and {len(listed) - _LISTED:,} more"
        listed[_LISTED:] = [more] if len(listed) > _LISTED else []
        raise InputError(f"{archive}: {'; '.join(listed)}")
