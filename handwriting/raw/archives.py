"""What a .zip or .gz holds, once its names, kinds and sizes have been found to be safe."""

import stat
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from io import BufferedReader, FileIO
from itertools import pairwise, takewhile
from operator import attrgetter
from pathlib import Path
from typing import Annotated
from unicodedata import normalize

from pydantic import Field

from handwriting.core import params
from handwriting.core.errors import InputError

_CHUNK = 1 << 20  # bytes held at a time, inflated or not
_LISTED = 10  # offenders that an error names
_DIRECTORY_ENTRY = 256  # bytes of a zip's directory, per member that the limits allow
_PATH = 255  # characters of a member's path
_JUNK = {"__MACOSX", ".DS_Store", "Thumbs.db"}  # what desktops add to archives
_LOCAL_HEADER = 30  # bytes before the name of a member
_ENCRYPTED = 0x1 | 0x40 | 0x2000  # flags: by password, strongly, with its directory
_PATCH = 0x20  # flag: the data is a difference to another file

# What zipfile and zlib raise on bytes that are not what they say, and on a disk that fails.
_BROKEN = (EOFError, NotImplementedError, OSError, ValueError, zipfile.BadZipFile, zlib.error)


@params.section
class Limits:
    """How much an archive may turn out to hold."""

    max_bytes: Annotated[int, Field(gt=0)]  # of all members, inflated
    max_ratio: Annotated[float, Field(ge=1)]  # of the inflated bytes to the archive's
    max_members: Annotated[int, Field(gt=0)]


class _CorruptError(Exception):
    """A member's bytes are not what the archive says of them."""


@dataclass(frozen=True, slots=True)
class Member:
    """A regular file in an archive."""

    path: str
    size: int
    inflate: Callable[[], Iterator[bytes]]

    def chunks(self) -> Iterator[bytes]:
        """The member's bytes, checked by the time the last has been given out."""
        left = self.size
        try:
            for chunk in self.inflate():
                left -= len(chunk)
                if left < 0:
                    break
                yield chunk
        except _BROKEN as error:
            raise _CorruptError(str(error) or type(error).__name__) from error
        if left:
            raise _CorruptError("its size is not the one declared")


@contextmanager
def opened(paths: Sequence[Path], limits: Limits) -> Iterator[list[Member]]:
    """The regular members of all the archives in `paths`, sorted by the bytes of their paths.

    Raises InputError, which names every offending member, if there is anything in an archive that
    a plain tree of files within the limits would not have; and, where the block reads a member
    that turns out to be corrupt, again for all of them.
    """
    with ExitStack() as stack:
        entries = [each for path in paths for each in _members(path, limits, stack)]
        members = [each for each in entries if not each.path.endswith("/")]
        folders = {each.path for each in entries if each.path.endswith("/")}
        named = ", ".join(map(str, paths))
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
    """The sha256 of a .zip's members and their paths, however it is packed; of any other file, its.

    The text that is hashed has a line for each regular member, sorted by path: the sha256 of its
    bytes, two spaces, its path.
    """
    total = sha256()
    if path.suffix.lower() != ".zip":
        for chunk in _read(path):
            total.update(chunk)
        return total.hexdigest()
    with opened([path], limits) as members:
        for member in members:
            digest = sha256()
            for chunk in member.chunks():
                digest.update(chunk)
            total.update(f"{digest.hexdigest()}  {member.path}\n".encode())
    return total.hexdigest()


def collisions(paths: Iterable[str]) -> Iterator[str]:
    """Complaints of paths that some file system cannot hold beside each other.

    Neighbours in the order of their folded components are all that need a look: names that differ
    by case or Unicode form alone, or a file and a folder of one name, stand side by side there.
    """
    ordered = sorted((_folded(path).split("/"), path) for path in paths)
    for (one, path), (other, following) in pairwise(ordered):
        shared = sum(
            1 for _ in takewhile(lambda two: two[0] == two[1], zip(one, other, strict=False))
        )
        if shared == len(one):
            yield f"{path!r} is in the way of {following!r}"
        elif path.split("/")[:shared] != following.split("/")[:shared]:
            yield f"{path!r} and {following!r} differ by case or Unicode form alone"


def _folded(path: str) -> str:
    """`path` as the file systems see it that ignore case and Unicode forms."""
    return path.lower() if path.isascii() else normalize("NFD", normalize("NFD", path).casefold())


def _members(path: Path, limits: Limits, stack: ExitStack) -> list[Member]:
    """The files and folders (whose paths end in /) of an archive, open as long as `stack` is."""
    if path.suffix.lower() == ".gz":
        return [_gzip_member(path, limits)]
    if path.suffix.lower() != ".zip":
        raise InputError(f"{path}: neither a .zip nor a .gz file")
    try:
        file = stack.enter_context(_Archive(path, limits.max_members * _DIRECTORY_ENTRY))
        # Names are UTF-8 with and without the flag that says so, or the archive is refused.
        archive = stack.enter_context(zipfile.ZipFile(file, metadata_encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except _BROKEN as error:
        raise InputError(f"{path}: not a whole zip archive: {_line(error)}") from None
    entries = archive.infolist()
    if len(entries) > limits.max_members:
        raise InputError(f"{path}: {len(entries):,} members, over unzip.max_members")
    entries = [each for each in entries if not _JUNK.intersection(each.filename.split("/"))]
    _refuse(str(path), _offences(entries))
    _refuse(str(path), _overlaps(archive))
    return [
        Member(each.filename, each.file_size, partial(_unzipped, archive, each)) for each in entries
    ]


class _Archive(BufferedReader):
    """A file that is never read by more than a chunk or a zip's directory of the allowed size."""

    def __init__(self, path: Path, directory: int) -> None:
        super().__init__(FileIO(path))
        self.most = max(directory, _CHUNK)

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > self.most:
            raise ValueError("its directory is larger than unzip.max_members allows")
        return super().read(size)


def _unzipped(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Iterator[bytes]:
    # zipfile gives out no more than the declared size, and checks the CRC where that is reached.
    with archive.open(entry) as file:
        while chunk := file.read(_CHUNK):
            yield chunk
            if len(chunk) < _CHUNK:  # it has come to the end: 60,000 times that is worth knowing
                return


def _gzip_member(path: Path, limits: Limits) -> Member:
    """The one file in a .gz, whose last four bytes tell its size modulo 2^32: where more than that
    is allowed, it is inflated once to see."""
    with path.open("rb") as file:
        end = file.seek(0, 2)
        file.seek(max(0, end - 4))
        size = int.from_bytes(file.read(4), "little")
    if limits.max_bytes >> 32:
        size = _inflated_size(path, limits.max_bytes)
    return Member(path.stem, size, partial(_gunzipped, path))


def _inflated_size(path: Path, most: int) -> int:
    """How many bytes are in a .gz, or at least `most`; of one that is broken, as far as it goes."""
    size = 0
    with suppress(*_BROKEN):
        for chunk in _gunzipped(path):
            size += len(chunk)
            if size > most:
                break
    return size


def _gunzipped(path: Path) -> Iterator[bytes]:
    inflater = zlib.decompressobj(wbits=31)  # gzip's own wrapper, whose CRC and size zlib checks
    with path.open("rb") as file:
        while not inflater.eof:
            if not (compressed := inflater.unconsumed_tail or file.read(_CHUNK)):
                raise EOFError("cut off before its end")
            yield inflater.decompress(compressed, _CHUNK)
        if inflater.unused_data or file.read(1):
            raise ValueError("bytes after its end")


def _offences(entries: Iterable[zipfile.ZipInfo]) -> Iterator[str]:
    for entry in entries:
        name = entry.orig_filename  # up to a NUL, where zipfile ends the other one
        if offence := _name_offence(name) or _kind_offence(entry):
            yield f"{name[:_PATH]!r} {offence}"


def _name_offence(name: str) -> str | None:
    if len(name) > _PATH:
        return f"is longer than {_PATH} characters"
    if not name.isprintable():
        return "has control characters in its name"
    if "\\" in name or ":" in name:
        return "has a drive letter or a backslash in its name"
    if not {"", ".", ".."}.isdisjoint(name.removesuffix("/").split("/")):
        return "is not a path within a folder"
    return None


def _kind_offence(entry: zipfile.ZipInfo) -> str | None:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFDIR if entry.is_dir() else stat.S_IFREG):
        return "is a link, a device or another special file"
    if entry.is_dir() and entry.file_size:
        return "is a folder with content"
    if entry.flag_bits & _ENCRYPTED:
        return "is encrypted"
    # zipfile inflates the other methods it knows without a bound.
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"is packed by method {entry.compress_type}, neither stored nor deflated"
    if entry.flag_bits & _PATCH:
        return "is a patch"
    if entry.volume:
        return f"is on disk {entry.volume} of an archive of several"
    return None


def _overlaps(archive: zipfile.ZipFile) -> Iterator[str]:
    """Complaints of members that share bytes, as in a bomb, or of bytes before the first.

    The length of what a local header adds to the directory's is not known here, so that a member
    may reach a little further than this sees; but every member is paid for by bytes of its own.
    """
    entries = sorted(archive.infolist(), key=attrgetter("header_offset"))
    end = 0
    for entry in entries:
        if entry.header_offset < end:
            yield f"{entry.filename!r} overlaps another member"
        elif end == 0 and entry.header_offset:
            yield f"{entry.header_offset:,} bytes before the first member"
        # At most the name's bytes: ASCII characters and more.
        end = entry.header_offset + _LOCAL_HEADER + len(entry.filename) + entry.compress_size
    if end > archive.start_dir:
        yield "its last member overlaps the directory"


def _excesses(members: Iterable[Member], packed: int, limits: Limits) -> Iterator[str]:
    """Complaints of declared sizes. Inflating then never goes beyond what a member declared."""
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
        return f"{member.path!r} is corrupt ({_line(error)})"
    return None


def _refuse(archive: str, complaints: Iterable[str]) -> None:
    """Raise an InputError of the complaints, if there are any."""
    if listed := list(dict.fromkeys(complaints)):
        more = f"and {len(listed) - _LISTED:,} more"
        listed[_LISTED:] = [more] if len(listed) > _LISTED else []
        raise InputError(f"{archive}: {'; '.join(listed)}")


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _read(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            yield chunk
