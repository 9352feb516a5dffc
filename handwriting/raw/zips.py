"""The members of a zip file in columns (PKWARE's APPNOTE.TXT has the format).

zipfile keeps a kilobyte of objects for each member, which is more than most of our images.
"""

import os
import struct
import zlib
from array import array
from collections.abc import Iterator
from io import BufferedReader

STORED, DEFLATED = 0, 8  # methods
_CHUNK = 1 << 20  # bytes in memory at a time
_UTF_8 = 0x800  # flag: the name is UTF-8
_NEWEST = 63  # ten times the newest version of the format that is read
_MARK = 0xFFFFFFFF  # in place of a number that the extra field holds in 64 bits
_MARKS = (_MARK, 0xFFFFFFFFFFFFFFFF)
_ENTRY = struct.Struct("<4s2xBxHH4xLLLHHHH2xLL")
_LOCAL = struct.Struct("<4s2xH18xHH")
_END, _END_64 = struct.Struct("<4s6xHLLH"), struct.Struct("<4s28xQQQ")
_LOCATOR = struct.Struct("<4sL8xL")
LOCAL_HEADER = _LOCAL.size  # bytes before the name of a member


class Directory:
    """What a zip's central directory says of its members, in its order, and their bytes.

    Raises ValueError, struct.error or NotImplementedError for an invalid zip.
    """

    def __init__(self, file: BufferedReader) -> None:
        self._file = file
        self.counted, size, self.start, self._shift = _end(file)
        file.seek(self.start)
        content = file.read(size)
        try:  # names are UTF-8, with and without the flag for it ...
            self._read(content, "utf-8")
        except UnicodeDecodeError:  # ... or, in old archives, in the code page of MS-DOS
            self._read(content, "cp437")

    def _read(self, content: bytes, encoding: str) -> None:
        self._encoding, self.names, at = encoding, list[str](), 0
        self.sizes, self.packed, self.starts = array("Q"), array("Q"), array("q")  # in bytes
        self.flags, self.methods, self.volumes = array("H"), array("H"), array("H")
        self.attributes, self._crcs = array("I"), array("I")
        while at < len(content):
            entry = _ENTRY.unpack_from(content, at)
            signature, version, flags, method, crc, packed, size, *lengths = entry[:10]
            name, extra, comment = lengths
            volume, attributes, start = entry[10:]
            if signature != b"PK\1\2":
                raise ValueError("Bad magic number for central directory")
            if version > _NEWEST:
                raise NotImplementedError(f"zip file version {version / 10:.1f}")
            at += _ENTRY.size
            text = content[at : at + name].decode("utf-8" if flags & _UTF_8 else encoding)
            if extra:
                more = content[at + name : at + name + extra]
                size, packed, start = _wide(more, size, packed, start)
            at += name + extra + comment
            if not 0 <= start + self._shift < 1 << 63:
                raise ValueError("a member outside the file")
            self.names.append(text)
            self.sizes.append(size)
            self.packed.append(packed)
            self.starts.append(start + self._shift)
            self.flags.append(flags)
            self.methods.append(method)
            self.volumes.append(volume)
            self.attributes.append(attributes)
            self._crcs.append(crc)

    def chunks(self, member: int) -> Iterator[bytes]:
        """Yield the bytes of a member. Raises zlib.error too, and at the end checks the CRC."""
        start, crc = self._content(member), 0
        packed = self._packed(start, self.packed[member])
        for chunk in packed if self.methods[member] == STORED else _inflated(packed):
            crc = zlib.crc32(chunk, crc)
            yield chunk
        if crc != self._crcs[member]:
            raise ValueError(f"Bad CRC-32 for file {self.names[member]!r}")

    def _content(self, member: int) -> int:
        """Return where the bytes of a member begin, after its own header."""
        self._file.seek(self.starts[member])
        header = self._file.read(LOCAL_HEADER)
        if len(header) != LOCAL_HEADER:
            raise ValueError("Truncated file header")
        signature, flags, length, extra = _LOCAL.unpack(header)
        if signature != b"PK\3\4":
            raise ValueError("Bad magic number for file header")
        name, found = self.names[member], self._file.read(length)
        if found.decode("utf-8" if flags & _UTF_8 else self._encoding) != name:
            raise ValueError(f"File name in directory {name!r} and header {found!r} differ.")
        return int(self.starts[member] + LOCAL_HEADER + length + extra)

    def _packed(self, start: int, size: int) -> Iterator[bytes]:
        for done in range(0, size, _CHUNK):
            self._file.seek(start + done)  # others may have read in the meantime
            if not (chunk := self._file.read(min(_CHUNK, size - done))):
                raise EOFError("cut off before its end")
            yield chunk


def _inflated(packed: Iterator[bytes]) -> Iterator[bytes]:
    """Yield what deflated bytes hold, at most a chunk at a time."""
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    for left in packed:
        while not inflater.eof:
            yield (chunk := inflater.decompress(left, _CHUNK))
            left = inflater.unconsumed_tail
            if not left and len(chunk) < _CHUNK:
                break


def _wide(extra: bytes, size: int, packed: int, start: int) -> tuple[int, int, int]:
    """Return the numbers of a member, those of 64 bits from its extra field (4.5.3)."""
    while len(extra) >= 4:
        kind, length = struct.unpack_from("<HH", extra)
        if length + 4 > len(extra):
            raise ValueError(f"Corrupt extra field {kind:04x} (size={length})")
        if kind == 1:
            numbers = iter(struct.iter_unpack("<Q", extra[4 : 4 + length // 8 * 8]))
            try:
                size = next(numbers)[0] if size in _MARKS else size
                packed = next(numbers)[0] if packed == _MARK else packed
                start = next(numbers)[0] if start == _MARK else start
            except StopIteration:
                raise ValueError("Corrupt zip64 extra field") from None
        extra = extra[length + 4 :]
    return size, packed, start


def _end(file: BufferedReader) -> tuple[int, int, int, int]:
    """Return the members counted by the end record; the bytes, the start of the directory.

    Then by how many bytes all is later in the file than the zip says.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _END.size - 0xFFFF - 1 - _LOCATOR.size - _END_64.size))
    tail = file.read()
    window = max(0, len(tail) - _END.size - 0xFFFF - 1)
    end = len(tail) - _END.size
    if tail[end : end + 4] != b"PK\5\6" or tail[-2:] != b"\0\0":  # there is a comment
        end = tail.rfind(b"PK\5\6", window)
    if end < 0 or len(tail) - end < _END.size:
        raise ValueError("File is not a zip file")
    _, counted, length, offset, _ = _END.unpack_from(tail, end)
    before = size - len(tail) + end  # bytes before the record
    if (at := end - _LOCATOR.size) >= 0:
        signature, disk, disks = _LOCATOR.unpack_from(tail, at)
        if signature == b"PK\6\7" and (disk or disks > 1):
            raise ValueError("zipfiles that span multiple disks are not supported")
        at -= _END_64.size
        if signature == b"PK\6\7" and at >= 0 and tail[at : at + 4] == b"PK\6\6":
            _, many, length, offset = _END_64.unpack_from(tail, at)
            counted = many if counted == 0xFFFF else counted
            before -= _LOCATOR.size + _END_64.size
    if length > before:
        raise ValueError("Bad offset for central directory")
    return counted, length, before - length, before - length - offset
