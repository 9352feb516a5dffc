"""Write an uncompressed tar, and list where its files begin.

The tar holds paths and bytes only, no times and no owners: equal content gives equal bytes.
"""

import tarfile
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from handwriting.core.errors import InputError
from handwriting.raw.archives import Member

BUFFER = 1 << 16  # bytes read or written at a time: dozens of small files


class Listing(NamedTuple):
    """The files in a tar, or some of them."""

    paths: list[str]
    offsets: "array[int]"  # of the first byte of each file
    sizes: "array[int]"  # in bytes

    def part(self, rows: slice) -> "Listing":
        """Return some of these files."""
        return Listing(self.paths[rows], self.offsets[rows], self.sizes[rows])

    def members(self) -> Iterator[tuple[str, int, int]]:
        """Return the path, offset and size of each file."""
        return zip(self.paths, self.offsets, self.sizes, strict=True)


def write(path: Path, members: Iterable[Member]) -> None:
    """Write a tar of `members`, as tarfile does: USTAR headers where they fit, PAX elsewhere."""
    with path.open("wb", BUFFER) as file:
        for member in members:
            header = tarfile.TarInfo(member.path)
            header.size = member.size
            file.write(header.tobuf(tarfile.PAX_FORMAT))
            file.writelines(member.chunks())
            file.write(bytes(-member.size % tarfile.BLOCKSIZE))
        file.write(bytes(2 * tarfile.BLOCKSIZE))
        file.write(bytes(-file.tell() % tarfile.RECORDSIZE))


def listing(path: Path) -> Listing:
    """Return the files in a tar, in its order. Raises InputError if it is not a tar."""
    found = Listing([], array("q"), array("q"))
    try:
        with tarfile.open(path, "r:") as tar:
            while member := tar.next():
                found.paths.append(member.name)
                found.offsets.append(member.offset_data)
                found.sizes.append(member.size)
                tar.members.clear()  # type: ignore[attr-defined]  # it keeps a kilobyte of each
    except tarfile.TarError as error:
        raise InputError(f"{path}: not a tar file: {error}") from None
    return found
