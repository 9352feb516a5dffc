"""The tars in data/images: how their members are headed, and where they are found again."""

import tarfile
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from handwriting.core.errors import InputError

# What is the same in all headers: mode, owner and group; time; the checksum is of all fields, and
# of eight spaces in its own place; type and the rest.
_BLANK = tarfile.TarInfo().tobuf(tarfile.USTAR_FORMAT)
_OWNER, _TIME, _REST = _BLANK[100:124], _BLANK[135:148], _BLANK[156:]
_CHECKSUM = sum(_OWNER + _TIME + b" " * 8 + _REST)
_END = bytes(tarfile.BLOCKSIZE)
BUFFER = 1 << 16  # bytes read or written at a time: some dozens of small files


@dataclass(frozen=True, slots=True)
class Listing:
    """The files in a tar, or some of them."""

    paths: list[str]
    offsets: "array[int]"  # where each file's bytes begin
    sizes: "array[int]"  # how many they are

    def part(self, rows: slice) -> "Listing":
        """Some of these files."""
        return Listing(self.paths[rows], self.offsets[rows], self.sizes[rows])

    def members(self) -> Iterator[tuple[str, int, int]]:
        """Each file's path, offset and size."""
        return zip(self.paths, self.offsets, self.sizes, strict=True)


def header(path: str, size: int) -> bytes:
    """The tar header of a regular file without owner or time: POSIX's plain one wherever it does.

    It is what tarfile writes, whose own way through every field takes a second for 60,000 files.
    """
    name, octal = path.encode(), b"%011o" % size
    if not path.isascii() or len(name) > tarfile.LENGTH_NAME or len(octal) > 11:
        entry = tarfile.TarInfo(path)
        entry.size = size
        return entry.tobuf(tarfile.PAX_FORMAT)
    checksum = b"%06o\0 " % (_CHECKSUM + sum(name) + sum(octal))
    return name.ljust(100, b"\0") + _OWNER + octal + _TIME + checksum + _REST


def listing(archive: Path) -> Listing:
    """The files in a tar, in its order. Raises InputError if it is not one."""
    return _plain_listing(archive) or _any_listing(archive)


def _plain_listing(archive: Path) -> Listing | None:
    """The files of a tar in which every header is as header() writes it; None of any other."""
    found, at = Listing([], array("q"), array("q")), 0
    with archive.open("rb", BUFFER) as file:
        while (block := file.read(tarfile.BLOCKSIZE)) != _END:
            name, octal = block[:100].rstrip(b"\0"), block[124:135]
            try:
                path, size = name.decode("ascii"), int(octal, 8)
            except ValueError:
                return None
            if header(path, size) != block:
                return None
            at += tarfile.BLOCKSIZE
            found.paths.append(path)
            found.offsets.append(at)
            found.sizes.append(size)
            at += size + -size % tarfile.BLOCKSIZE
            file.seek(at)
    return found


def _any_listing(archive: Path) -> Listing:
    """The same by tarfile, a second slower for 60,000 files."""
    found = Listing([], array("q"), array("q"))
    try:
        with tarfile.open(archive, "r:") as tar:
            while each := tar.next():
                found.paths.append(each.name)
                found.offsets.append(each.offset_data)
                found.sizes.append(each.size)
                tar.members.clear()  # type: ignore[attr-defined]  # a kilobyte of each is kept
    except tarfile.TarError as error:
        raise InputError(f"{archive}: not a tar file: {error}") from None
    return found
