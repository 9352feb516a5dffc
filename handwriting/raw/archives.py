"""Read the members of zip, tar and gzip files after checking their names, kinds and sizes."""

import stat
import struct
import tarfile
import tempfile
import zlib
from array import array
from bisect import bisect
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from hashlib import file_digest, sha256
from io import BufferedReader, FileIO
from itertools import accumulate, pairwise, takewhile
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from unicodedata import normalize

from pydantic import Field

from handwriting.core import params
from handwriting.core.errors import InputError, listed, one_line
from handwriting.raw import zips

_CHUNK = 1 << 20  # bytes in memory at a time
_DIRECTORY_ENTRY = 256  # bytes of a zip's central directory, per member that the limits allow
_PATH = 255  # characters of a member's path
_JUNK = {"__macosx", ".ds_store", "thumbs.db", "desktop.ini"}  # what desktops add to folders
_ENCRYPTED = 0x1 | 0x40 | 0x2000  # flags: traditional, strong, masked directory
_SPANNED = (b"PK00", b"PK\7\x08")  # what may precede the first member of a zip
_METHODS = (zips.STORED, zips.DEFLATED)
_PATCH = 0x20  # flag: the data is a patch to another file

# What the libraries raise for invalid bytes or a failing disk.
_INVALID = (
    *(EOFError, NotImplementedError, OSError, ValueError, struct.error),
    *(tarfile.TarError, zlib.error),
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


class _Entries(NamedTuple):
    """The files and folders (paths with a final /) of archives: a hundred bytes each, no object."""

    paths: list[str]
    sizes: "array[int]"  # bytes, as declared
    problems: Mapping[int, str]  # why some are not read
    uncompress: Callable[[int], Iterator[bytes]]  # the bytes of one, by its index


class Members(Sequence[Member]):
    """Regular files of archives, each made when asked for: kept, millions would be gigabytes."""

    def __init__(self, entries: _Entries, rows: "array[int]") -> None:
        self._entries, self._rows = entries, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: Any) -> Any:
        row = self._rows[index]
        paths, sizes, problems, uncompress = self._entries
        return Member(paths[row], sizes[row], partial(uncompress, row), problems.get(row))

    def bytes(self) -> int:
        """Return the size of all, as declared."""
        return sum(map(self._entries.sizes.__getitem__, self._rows))


@contextmanager
def opened(paths: Sequence[Path], limits: Limits, strict: bool = True) -> Iterator[Members]:
    """Yield the regular members of all the archives in `paths`, sorted by the bytes of their paths.

    Raises InputError naming every member that is unsafe or, once the block has read a corrupt
    one, every corrupt member. Where nothing is extracted, which is not `strict`, any name will do,
    and a member that cannot be read says why.
    """
    named = ", ".join(map(str, paths))
    with ExitStack() as stack:
        entries = _joined([_entries(path, limits, stack, strict) for path in paths])
        files = [i for i, path in enumerate(entries.paths) if not path.endswith("/")]
        folders = {path for path in entries.paths if path.endswith("/")}
        if strict:
            _refuse(named, collisions([*folders, *map(entries.paths.__getitem__, files)]))
        files.sort(key=entries.paths.__getitem__)  # as the bytes of UTF-8 are sorted
        members = Members(entries, array("q", files))
        del files
        _refuse(named, _excesses(members, sum(path.stat().st_size for path in paths), limits))
        if not members:
            raise InputError(f"{named}: no file in it")
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


def collisions(paths: Sequence[str]) -> Iterator[str]:
    """Yield the problems of paths that cannot coexist on a file system that ignores case.

    Colliding paths are neighbours when sorted by their normalised components.
    """
    ordered = sorted((_normalised(path).split("/"), path) for path in _suspicious(paths))
    for (one, path), (other, following) in pairwise(ordered):
        pairs = zip(one, other, strict=False)
        shared = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        if shared == len(one):
            yield f"{path!r} collides with {following!r}"
        elif path.split("/")[:shared] != following.split("/")[:shared]:
            yield f"{path!r} and {following!r} differ only by case or Unicode form"


def _suspicious(paths: Sequence[str]) -> Iterator[str]:
    """Yield all paths that may collide: what they or their folders normalise to occurs twice.

    To sort all paths would take half a kilobyte for each.
    """
    folders = {path.rpartition("/")[0] for path in paths}
    for folder in [*folders]:
        folders.update(accumulate(folder.split("/"), "{}/{}".format))
    folders.discard("")
    named = Counter(map(hash, map(_normalised, folders)))
    hashes = [*(hash(_normalised(path)) for path in paths), *named]
    hashes.sort()
    twice = {each for each, count in named.items() if count > 1}
    twice |= {one for one, other in pairwise(hashes) if one == other}
    for path in paths if twice else ():
        parts = _normalised(path).split("/")
        if not twice.isdisjoint(map(hash, accumulate(parts, "{}/{}".format))):
            yield path


def _normalised(path: str) -> str:
    """Return `path` without the differences of case and Unicode form that file systems ignore."""
    return path.lower() if path.isascii() else normalize("NFD", normalize("NFD", path).casefold())


def _entries(path: Path, limits: Limits, stack: ExitStack, strict: bool) -> _Entries:
    """Return the entries of an archive that `stack` closes.

    Contents decide what it is, not the suffix.
    """
    most, kind = limits.max_members * _DIRECTORY_ENTRY, "zip"
    try:
        file = stack.enter_context(_BoundedReader(FileIO(path), most))
        start = file.read(tarfile.BLOCKSIZE)
        if start.startswith(b"\x1f\x8b") or (path.suffix.lower() == ".gz" and start[:2] != b"PK"):
            if not _is_tar(_beginning(path)):
                size = _uncompressed_size(path, limits.max_bytes)
                return _Entries([path.stem], array("Q", [size]), {}, lambda _: _gunzipped(path))
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
    if not name.startswith("./") and "/." not in name and name != ".":
        return name  # itself, not a copy: there may be millions
    return "/".join(each for each in name.split("/") if each != ".")


def _zip_entries(path: Path, file: _BoundedReader, limits: Limits, strict: bool) -> _Entries:
    archive = zips.Directory(file)
    names, sizes = archive.names, archive.sizes
    _refuse_many(path, len(names), limits)
    if archive.counted not in (len(names), len(names) & 0xFFFF):  # of programs without zip64
        counts = f"{archive.counted:,} members, its directory {len(names):,}"
        raise InputError(f"{path}: its end counts {counts}")
    found = ((row, name.partition("\0")[0]) for row, name in enumerate(names))
    rows = array("q", (row for row, name in found if not is_junk(name) and name not in (".", "./")))
    problems = {
        i: each
        for i, row in enumerate(rows)
        if (each := _problem(names[row], _zip_problems(archive, row), strict))
    }
    if strict:
        _refuse_unsafe(path, ((names[rows[i]], each) for i, each in problems.items()))
    file.seek(0)
    _refuse(str(path), _overlaps(archive, 4 if file.read(4) in _SPANNED else 0))
    paths = [_path(names[row].partition("\0")[0]) for row in rows]
    sizes = array("Q", map(sizes.__getitem__, rows))
    return _Entries(paths, sizes, problems, lambda i: archive.chunks(rows[i]))


def _joined(parts: Sequence[_Entries]) -> _Entries:
    """Return the entries of several archives, one after the other."""
    if len(parts) == 1:
        return parts[0]
    starts = [0, *accumulate(len(each.paths) for each in parts)]

    def uncompress(row: int) -> Iterator[bytes]:
        part = bisect(starts, row) - 1
        return parts[part].uncompress(row - starts[part])

    paths, sizes = [path for each in parts for path in each.paths], array("Q")
    for each in parts:
        sizes += each.sizes
    numbered = zip(starts, parts, strict=False)
    problems = {at + i: problem for at, x in numbered for i, problem in x.problems.items()}
    return _Entries(paths, sizes, problems, uncompress)


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


def _tar_entries(path: Path, file: _BoundedReader, limits: Limits, strict: bool) -> _Entries:
    file.seek(0)
    file.most = _CHUNK  # a tar has no directory: what is read at once is a name or a chunk
    paths, sizes, starts, problems = list[str](), array("Q"), array("Q"), dict[int, str]()
    with tarfile.open(fileobj=file, mode="r:", errors="replace") as tar:
        for count, entry in enumerate(tar, 1):
            _refuse_many(path, count, limits)
            tar.members.clear()  # type: ignore[attr-defined]  # it keeps a kilobyte of each
            if is_junk(entry.name) or entry.name in (".", "./"):
                continue
            if problem := _problem(entry.name, _tar_problems(entry), strict):
                problems[len(paths)] = problem
            paths.append(_path(entry.name) + "/" * entry.isdir())
            sizes.append(entry.size)
            starts.append(entry.offset_data)
        file.seek(tar.offset)
        if file.read(tarfile.BLOCKSIZE).strip(b"\0"):  # tarfile takes it for the end
            raise ValueError(f"no header at byte {tar.offset:,}")
    if strict:
        _refuse_unsafe(path, ((paths[i], each) for i, each in problems.items()))
    return _Entries(paths, sizes, problems, lambda i: _part(file, starts[i], sizes[i]))


def _tar_problems(entry: tarfile.TarInfo) -> dict[str, object]:
    return {
        "is a link, a device or another special file": not (entry.isreg() or entry.isdir()),
        "is a folder with content": entry.isdir() and entry.size,
        "is a sparse file": entry.issparse(),
    }


def _part(file: BufferedReader, start: int, size: int) -> Iterator[bytes]:
    for done in range(0, size, _CHUNK):
        file.seek(start + done)
        yield file.read(min(_CHUNK, size - done))


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


def _zip_problems(archive: zips.Directory, row: int) -> dict[str, object]:
    kind, method = stat.S_IFMT(archive.attributes[row] >> 16), archive.methods[row]
    folder, flags = archive.names[row].partition("\0")[0].endswith("/"), archive.flags[row]
    kinds = (0, stat.S_IFDIR if folder else stat.S_IFREG)
    volume = archive.volumes[row]
    return {
        "is a link, a device or another special file": kind not in kinds,
        "is a folder with content": folder and archive.sizes[row],
        "is encrypted": flags & _ENCRYPTED,
        f"is packed by method {method}, neither stored nor deflated": method not in _METHODS,
        "is a patch": flags & _PATCH,
        f"is on disk {volume} of an archive of several": volume,
    }


def _overlaps(archive: zips.Directory, start: int) -> Iterator[str]:
    """Yield the problems of members that share bytes, as zip bombs do, and of bytes before them.

    The first member begins at `start`.

    The extra fields of the local headers are not counted: an overlap shorter than these is missed.
    """
    end = start
    for row in sorted(range(len(archive.names)), key=archive.starts.__getitem__):
        name, begin = archive.names[row], archive.starts[row]
        if begin < end:
            yield f"{name!r} overlaps another member"
        elif end == start < begin:
            yield f"{begin - start:,} bytes before the first member"
        # A character of the name is at least a byte.
        end = begin + zips.LOCAL_HEADER + len(name) + archive.packed[row]
    if end > archive.start:
        yield "its last member overlaps the directory"


def _excesses(members: Members, packed: int, limits: Limits) -> Iterator[str]:
    """Yield the limits that the declared sizes exceed. chunks() never yields more than declared."""
    size = members.bytes()
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


def _refuse_unsafe(path: Path, problems: Iterable[tuple[str, str]]) -> None:
    """Raise an InputError that lists the problems by the names of their entries, if any has one."""
    _refuse(str(path), (f"{name[:_PATH]!r} {each}" for name, each in problems))


def _refuse_many(path: Path, count: int, limits: Limits) -> None:
    if count > limits.max_members:
        raise InputError(f"{path}: {count:,} members, over unzip.max_members")
