"""Read the members of zip, tar and gzip files after checking their names, kinds and sizes."""

import os
import stat
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
from handwriting.core.errors import InputError, listed, one_line

_CHUNK = 1 << 20  # bytes in memory at a time
_DIRECTORY_ENTRY = 256  # bytes of a zip's central directory, per member that the limits allow
_PATH = 255  # characters of a member's path
_JUNK = {"__macosx", ".ds_store", "thumbs.db", "desktop.ini"}  # what desktops add to folders
_LOCAL_HEADER = 30  # bytes before the name of a member
_ENCRYPTED = 0x1 | 0x40 | 0x2000  # flags: traditional, strong, masked directory
_END = b"PK\5\6"  # signature of a zip's end record, which counts the members ...
_END_64 = b"PK\6\6"  # ... and of the one that holds larger counts
_LONGEST_END = 22 + 0xFFFF + 76  # bytes: the record, its comment, the larger record
_SPANNED = (b"PK00", b"PK\7\x08")  # what may precede the first member of a zip
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # zipfile bounds the output of no others
_PATCH = 0x20  # flag: the data is a patch to another file

# What the libraries raise for invalid bytes or a failing disk.
_INVALID = (
    *(EOFError, NotImplementedError, OSError, ValueError, struct.error),
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error),
)


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
    problem: str | None = None  # why it is not read; of a strictly opened archive None

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
def opened(paths: Sequence[Path], limits: Limits, strict: bool = True) -> Iterator[list[Member]]:
    """Yield the regular members of all the archives in `paths`, sorted by the bytes of their paths.

    Raises InputError naming every member that is unsafe or, once the block has read a corrupt
    one, every corrupt member. Where nothing is extracted, which is not `strict`, any name will do,
    and a member that cannot be read says why.
    """
    named = ", ".join(map(str, paths))
    with ExitStack() as stack:
        entries = [each for path in paths for each in _entries(path, limits, stack, strict)]
        members = [each for each in entries if not each.path.endswith("/")]
        folders = {each.path for each in entries if each.path.endswith("/")}
        if strict:
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


def is_junk(path: str) -> bool:
    """Return whether a desktop has added the file of this path, with /, to a folder or archive.

    `._a.png` holds what macOS knows of `a.png` (AppleDouble).
    """
    parts = path.lower().split("/")
    return parts[-1].startswith("._") or not _JUNK.isdisjoint(parts)


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


def _entries(path: Path, limits: Limits, stack: ExitStack, strict: bool) -> list[Member]:
    """Return the files and folders (paths with a final /) of an archive that `stack` closes.

    Contents decide what it is, not the suffix.
    """
    most, kind = limits.max_members * _DIRECTORY_ENTRY, "zip"
    try:
        file = stack.enter_context(_BoundedReader(FileIO(path), most))
        start = file.read(tarfile.BLOCKSIZE)
        if start.startswith(b"\x1f\x8b") or (path.suffix.lower() == ".gz" and start[:2] != b"PK"):
            if not _is_tar(_beginning(path)):
                size = _uncompressed_size(path, limits.max_bytes)
                return [Member(path.stem, size, partial(_gunzipped, path))]
            raw = stack.enter_context(tempfile.TemporaryFile(buffering=0))  # noqa: SIM115
            _unpack(path, raw, limits)
            file = stack.enter_context(_BoundedReader(raw, most))
            start = file.read(tarfile.BLOCKSIZE)
        if _is_tar(start):
            kind = "tar"
            return _tar_entries(path, file, limits, strict)
        return _zip_entries(path, file, limits, strict)
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: the name {error.object!r} is not UTF-8") from None
    except _INVALID as error:
        raise InputError(f"{path}: not a whole {kind} archive: {one_line(error)}") from None


class _BoundedReader(BufferedReader):
    """A file that refuses reads of more than a chunk and `most` bytes."""

    def __init__(self, raw: FileIO, most: int) -> None:
        super().__init__(raw)
        self.most = max(most, _CHUNK)

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > self.most:
            raise ValueError("its directory is larger than unzip.max_members allows")
        return super().read(size)


def _path(name: str) -> str:
    """Return a member's path without the `./` that some programs begin it with."""
    return "/".join(each for each in name.split("/") if each != ".")


def _zip_entries(path: Path, file: _BoundedReader, limits: Limits, strict: bool) -> list[Member]:
    try:  # names are UTF-8, with and without the flag for it ...
        archive = zipfile.ZipFile(file, metadata_encoding="utf-8")
    except UnicodeDecodeError:  # ... or, in old archives, in the code page of MS-DOS
        archive = zipfile.ZipFile(file)
    entries = archive.infolist()
    _refuse_many(path, len(entries), limits)
    _refuse(str(path), _miscounted(file, len(entries)))
    entries = [e for e in entries if not is_junk(e.filename) and e.filename not in (".", "./")]
    names = [e.orig_filename for e in entries]  # `filename` ends at a NUL
    problems = [_problem(e.orig_filename, _zip_problems(e), strict) for e in entries]
    if strict:
        _refuse_unsafe(path, zip(names, problems, strict=True))
    file.seek(0)
    _refuse(str(path), _overlaps(archive, 4 if file.read(4) in _SPANNED else 0))
    return [
        Member(_path(e.filename), e.file_size, partial(_unzipped, archive, e), problem)
        for e, problem in zip(entries, problems, strict=True)
    ]


def _miscounted(file: BufferedReader, found: int) -> Iterator[str]:
    """Yield the problem of a zip whose end record does not count the `found` members."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _LONGEST_END))
    tail = file.read(_LONGEST_END)
    end = tail.rindex(_END)
    (counted,) = struct.unpack_from("<H", tail, end + 10)
    if counted == 0xFFFF and (larger := tail.rfind(_END_64, 0, end)) >= 0:
        (counted,) = struct.unpack_from("<Q", tail, larger + 32)
    if counted not in (found, found & 0xFFFF):  # programs without the larger record
        yield f"its end counts {counted:,} members, its directory {found:,}"


def _is_tar(start: bytes) -> bool:
    return start[257:262] == b"ustar"


def _unpack(path: Path, file: FileIO, limits: Limits) -> None:
    """Write the content of a gzip file to another, within the limits."""
    most = min(limits.max_bytes, int(path.stat().st_size * limits.max_ratio))
    for chunk in _gunzipped(path):
        file.write(chunk)
        if file.tell() > most:
            raise InputError(f"{path}: more bytes than unzip.max_bytes or unzip.max_ratio allow")
    file.seek(0)


def _tar_entries(path: Path, file: _BoundedReader, limits: Limits, strict: bool) -> list[Member]:
    file.seek(0)
    members: list[Member] = []
    with tarfile.open(fileobj=file, mode="r:", errors="replace") as tar:
        for count, entry in enumerate(tar, 1):
            _refuse_many(path, count, limits)
            tar.members.clear()  # type: ignore[attr-defined]  # it keeps a kilobyte of each
            if is_junk(entry.name) or entry.name in (".", "./"):
                continue
            problem = _problem(entry.name, _tar_problems(entry), strict)
            name = _path(entry.name) + "/" * entry.isdir()
            members.append(Member(name, entry.size, partial(_part, file, entry), problem))
        file.seek(tar.offset)
        if file.read(tarfile.BLOCKSIZE).strip(b"\0"):  # tarfile takes it for the end
            raise ValueError(f"no header at byte {tar.offset:,}")
    if strict:
        _refuse_unsafe(path, ((each.path, each.problem) for each in members))
    return members


def _tar_problems(entry: tarfile.TarInfo) -> dict[str, object]:
    return {
        "is a link, a device or another special file": not (entry.isreg() or entry.isdir()),
        "is a folder with content": entry.isdir() and entry.size,
        "is a sparse file": entry.issparse(),
    }


def _part(file: BufferedReader, entry: tarfile.TarInfo) -> Iterator[bytes]:
    for start in range(0, entry.size, _CHUNK):
        file.seek(entry.offset_data + start)
        yield file.read(min(_CHUNK, entry.size - start))


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
    """Yield the content of the members of a gzip file (RFC 1952, 2.2)."""
    with path.open("rb") as file:
        packed = file.read(_CHUNK)
        while True:
            inflater = zlib.decompressobj(wbits=31)  # gzip, with its CRC and size verified
            while not inflater.eof:
                if not (packed := packed or file.read(_CHUNK)):
                    raise EOFError("cut off before its end")
                yield inflater.decompress(packed, _CHUNK)
                packed = inflater.unconsumed_tail
            if not (packed := inflater.unused_data or file.read(_CHUNK)):
                return


def _beginning(path: Path) -> bytes:
    """Return the first bytes of a gzip file's content, none if it is damaged."""
    with suppress(*_INVALID):
        return next(_gunzipped(path))
    return b""


def _problem(name: str, problems: Mapping[str, object], strict: bool) -> str | None:
    """Return why an entry is no plain file or folder, if strict with a portable path, or None."""
    components = _path(name).removesuffix("/").split("/")
    unsafe = {
        f"is longer than {_PATH} characters": len(name) > _PATH,
        "has control characters in its name": not name.isprintable(),
        "has a drive letter or a backslash in its name": "\\" in name or ":" in name,
        "is not a path within a folder": not {"", ".."}.isdisjoint(components),
    }
    problems = {**unsafe, **problems} if strict else problems
    return next((each for each, found in problems.items() if found), None)


def _zip_problems(entry: zipfile.ZipInfo) -> dict[str, object]:
    kind, method = stat.S_IFMT(entry.external_attr >> 16), entry.compress_type
    folder = entry.filename.endswith("/")
    kinds = (0, stat.S_IFDIR if folder else stat.S_IFREG)
    return {
        "is a link, a device or another special file": kind not in kinds,
        "is a folder with content": folder and entry.file_size,
        "is encrypted": entry.flag_bits & _ENCRYPTED,
        f"is packed by method {method}, neither stored nor deflated": method not in _METHODS,
        "is a patch": entry.flag_bits & _PATCH,
        f"is on disk {entry.volume} of an archive of several": entry.volume,
    }


def _overlaps(archive: zipfile.ZipFile, start: int) -> Iterator[str]:
    """Yield the problems of members that share bytes, as zip bombs do, and of bytes before them.

    The first member begins at `start`.

    The extra fields of the local headers are not counted: an overlap shorter than these is missed.
    """
    end = start
    for entry in sorted(archive.infolist(), key=attrgetter("header_offset")):
        if entry.header_offset < end:
            yield f"{entry.filename!r} overlaps another member"
        elif end == start < entry.header_offset:
            yield f"{entry.header_offset - start:,} bytes before the first member"
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
    if message := listed(problems):
        raise InputError(f"{archive}: {message}")


def _refuse_unsafe(path: Path, problems: Iterable[tuple[str, str | None]]) -> None:
    """Raise an InputError that lists the problems by the names of their entries, if any has one."""
    _refuse(str(path), (f"{name[:_PATH]!r} {each}" for name, each in problems if each))


def _refuse_many(path: Path, count: int, limits: Limits) -> None:
    if count > limits.max_members:
        raise InputError(f"{path}: {count:,} members, over unzip.max_members")
