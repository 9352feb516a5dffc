"""archives: every member of a plain tree of files, and a clear error for anything else."""

import gzip
import io
import stat
import struct
import tarfile
import zipfile
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from itertools import chain, product
from pathlib import Path
from typing import Any

import pytest

from handwriting.core.errors import InputError
from handwriting.raw.archives import Limits, content_digest, is_junk, opened
from tests.raw import packing
from tests.raw.packing import DEFLATED, DIRECTORY, END, LOCAL, bounded, entry, patched, zipped

LIMITS: dict[str, Any] = {"max_bytes": 100_000_000, "max_ratio": 400, "max_members": 1000}
MEMBERS = {"train/b/2": b"two" * 100, "train/a": b"", "train/b/10": b"ten"}
IDX = gzip.compress(bytes(range(256)) * 10)
BOMB = gzip.compress(bytes(50_000_000), 9)

pytestmark = pytest.mark.usefixtures("tmp_dir")


def opens(archives: dict[str, bytes] | bytes, **limits: Any) -> AbstractContextManager[Any]:
    """Open archives that are written to files."""
    named = {"a.zip": archives} if isinstance(archives, bytes) else archives
    for name, content in named.items():
        Path(name).write_bytes(content)
    return opened([Path(name) for name in named], Limits(**(LIMITS | limits)))


def read(archives: dict[str, bytes] | bytes, **limits: Any) -> dict[str, bytes]:
    with opens(archives, **limits) as members:
        return {member.path: b"".join(member.chunks()) for member in members}


def refusal(archives: dict[str, bytes] | bytes, **limits: Any) -> str:
    """Return the one-line error that reading all members ends in."""
    with pytest.raises(InputError) as caught, opens(archives, **limits) as members:
        deque(chain.from_iterable(member.chunks() for member in members), 0)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# What is read.

JUNK = (
    *(
        "__MACOSX/train/._a",
        "._a",
        "train/._b",
        ".DS_Store",
        "train/.DS_Store",
        "train/b/Thumbs.db",
    ),
    *("train/thumbs.db", "desktop.ini", "train/Desktop.ini"),
)


def variants() -> Iterator[bytes]:
    """MEMBERS, packed in different ways."""
    yield zipped(MEMBERS)
    yield zipped(MEMBERS, **DEFLATED)
    attributes = {"date_time": (2021, 3, 31, 1, 2, 4), "external_attr": 0o100600 << 16}
    backwards = [(entry(name, **attributes), each) for name, each in reversed(MEMBERS.items())]
    yield zipped([("train/", b""), ("train/b/", b""), *backwards], **DEFLATED)
    yield zipped(MEMBERS | dict.fromkeys(JUNK, b"junk"))
    yield zipped([("./", b""), *((f"./{name}", each) for name, each in MEMBERS.items())])
    for marker in (b"PK00", b"PK\7\x08"):  # of an archive that was split, or might have been
        yield marker + zipped(MEMBERS)
        yield zipped(MEMBERS, io.BytesIO(marker), "a")
    streamed = zipped(MEMBERS, packing.Unseekable())  # with data descriptors
    yield streamed[:-2] + b"\x09\0a comment"


@pytest.mark.parametrize("archive", list(variants()))
def test_members_are_sorted_and_the_same_however_they_are_packed(archive: bytes) -> None:
    assert list(read(archive).items()) == sorted(MEMBERS.items())
    assert content_digest(Path("a.zip"), Limits(**LIMITS)) == packing.content_digest(MEMBERS)


def test_names_are_utf_8_with_and_without_the_flag() -> None:
    flagged = zipped({"é/字": b"x"})
    unflagged = patched(patched(flagged, 8, "<H", 0, where=DIRECTORY), 6, "<H", 0, where=LOCAL)
    assert read(flagged) == read(unflagged) == {"é/字": b"x"}


def test_names_that_are_not_utf_8_are_those_of_ms_dos() -> None:
    assert read(zipped({"aXb/a.png": b"x"}).replace(b"aXb", b"\x9ab\x84")) == {"Übä/a.png": b"x"}


def tarred(members: dict[str, bytes], kind: bytes = tarfile.REGTYPE, **how: Any) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", **how) as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.type, info.size = (tarfile.DIRTYPE if name.endswith("/") else kind), len(content)
            tar.addfile(info, io.BytesIO(content))
    return file.getvalue()


FORMATS = (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT)


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_tar_is_read_as_a_zip_is(format: int, pack: Callable[[bytes], bytes]) -> None:
    junk = dict.fromkeys(JUNK, b"junk")
    plain = tarred({"train/": b""} | MEMBERS | junk, format=format)
    dotted = tarred({f"./{name}": x for name, x in ({"": b""} | MEMBERS | junk).items()})
    for content in (plain, dotted, plain[:-1024]):  # without its end
        for name in ("a.tar", "a.tgz", "a.zip", "a"):  # contents decide
            assert list(read({name: pack(content)}).items()) == sorted(MEMBERS.items())


def test_junk_is_known_in_any_folder_and_case() -> None:
    assert all(map(is_junk, JUNK))
    assert not any(
        map(is_junk, ("a.png", ".a.png", "_.a", "a/MACOSX/b", "DS_Store", "thumbs.db.png"))
    )


def test_gzip_files_are_uncompressed() -> None:
    content = {"train-images": bytes(1000), "t10k-images": b"", "t10k-labels": b"x" * 3_000_000}
    archives = {f"{name}.gz": gzip.compress(x) for name, x in content.items()}
    assert list(read(archives, max_ratio=1100).items()) == sorted(content.items())


def test_all_members_of_a_gzip_file_are_read() -> None:
    parts = [b"first", b"", bytes(3_000_000), b"last"]
    joined = b"".join(map(gzip.compress, parts))
    assert read({"a.gz": joined}, max_ratio=1100) == {"a": b"".join(parts)}


@pytest.mark.slow
def test_a_gzip_of_more_than_4_gib_is_read_whole() -> None:
    size = (1 << 32) + 5
    with gzip.open("a.gz", "wb", compresslevel=1) as file:
        file.writelines([bytes(1 << 20)] * (1 << 12) + [bytes(5)])
    limits = Limits(max_bytes=1 << 33, max_ratio=2000, max_members=1)
    with opened([Path("a.gz")], limits) as (member,):
        assert member.size == size == sum(len(chunk) for chunk in member.chunks())


# Names.

OUTSIDE = ("../x", "a/../../x", "a/..", "./../x", "a//x", "/etc/passwd", "//host/x", "/", "../")
NAMES = {
    "is not a path within a folder": OUTSIDE,
    "has a drive letter or a backslash in its name": ("C:/x", "C:x", "..\\x", "\\\\host\\share"),
    "has control characters in its name": ("a\nb", "a\x1b[31m", "a\u202egnp"),
    "is longer than 255 characters": ("a" * 256, "/".join("a" * 2000)),
}
FOLDERS = (["d/1", "D/2"], ["d/e/1", "d/f", "d/E/2"])
COLLIDING = [
    *(["a", "A"], ["d/a", "D/A"], ["straße", "STRASSE"], ["e\u0301", "é"], ["\u212b", "å"]),
    *(["a", "a/b"], ["x/a", "x/A/b/c", "x/a!", "x/a-"], ["a", "a/"], ["a", "b", "a"], *FOLDERS),
]


@pytest.mark.parametrize(("reason", "names"), NAMES.items())
def test_a_name_that_is_not_a_plain_path_is_refused(reason: str, names: tuple[str, ...]) -> None:
    for name in names:
        assert refusal(zipped(MEMBERS | {name: b""})) == f"a.zip: {name[:255]!r} {reason}"


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("names", COLLIDING)
def test_names_that_collide_are_refused(names: list[str]) -> None:
    reason = "differ only by case or Unicode form" if names in FOLDERS else "collides with"
    for each in (names, names[::-1]):
        assert reason in refusal(zipped([(name, b"") for name in each]))


def test_names_that_only_look_alike_are_accepted() -> None:
    names = ["a", "ab", "a.b", "a-/b", "a b", "b/a", "b/A1", "c/Ä", "c/A", "d/\u0430", "d/a"]
    assert set(read(zipped(dict.fromkeys(names, b"")))) == set(names)


# Archives of one fault.

KINDS = (stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFDIR)
HEADERS = [
    (6, "<H", 100, "not a whole zip archive: zip file version 10.0"),
    *((8, "<H", flag, "is encrypted") for flag in (0x1, 0x41)),
    (8, "<H", 0x20, "is a patch"),
    (10, "<H", 12, "is packed by method 12, neither stored nor deflated"),
    (20, "<L", 2, "its last member overlaps the directory"),
    (34, "<H", 3, "is on disk 3 of an archive of several"),
]
THREE = {"a": b"AAAA", "b": b"BBBB", "c": b"CCCC"}
NOT_DEFLATED = zipped({"a": b"\xff" * 9})
SIZES = product((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED), (0, 5, 999, 1001, 30_000))


def renamed(name: bytes) -> bytes:
    """Return a zip with a name of three bytes that zipfile does not write."""
    return zipped({"aXb": b"x" * 10}).replace(b"aXb", name)


def empty_name() -> bytes:
    """Return a zip whose only name has become a byte of the extra field."""
    archive = patched(zipped({"a": b"x"}), 26, "<L", 1 << 16, where=LOCAL)
    return patched(archive, 28, "<L", 1 << 16, where=DIRECTORY)


def special(kind: int) -> bytes:
    return zipped([("a", b""), (entry("x", external_attr=(kind | 0o777) << 16), b"/etc/passwd")])


def wrong_size(method: int, size: int) -> bytes:
    archive = zipped({"a": bytes(range(250)) * 4}, compression=method)
    return patched(archive, 24, "<L", size, where=DIRECTORY)


def counting(members: int) -> bytes:
    return patched(zipped(THREE), 10, "<H", members, where=END)


def far(members: int) -> bytes:
    """Return a zip with the end record that holds large counts, which says `members`."""
    archive = zipped(THREE)
    end = archive.rindex(END)
    size, offset = struct.unpack_from("<LL", archive, end + 12)
    record = struct.pack("<4sQHHLLQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, 3, members, size, offset)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, end, 1)
    return archive[:end] + record + locator + patched(archive[end:], 10, "<H", 0xFFFF, where=END)


def test_an_end_record_for_large_counts_is_read() -> None:
    assert read(far(3)) == THREE


REFUSED = [
    *((counting(each), f"its end counts {each} members, its directory 3") for each in (0, 2, 9)),
    (far(4), "its end counts 4 members, its directory 3"),
    (renamed(b"a\0b"), "'a\\x00b' has control characters"),
    (renamed(b"\0ab"), "'\\x00ab' has control characters"),
    (renamed(b"a\xffb"), "'a\\xa0b' has control characters"),  # of CP437
    (
        patched(
            zipped({"é": b"x"}).replace("é".encode(), b"\xff\xfe"), 6, "<H", 0x800, where=LOCAL
        ),
        r"the name b'\xff\xfe' is not UTF-8",
    ),
    (renamed(b"ab/"), "'ab/' is a folder with content"),
    (empty_name(), "'' is not a path within a folder"),
    *((special(kind), "'x' is a link, a device or another special file") for kind in KINDS),
    *((patched(zipped({"a": b"x"}), *x[:3], where=DIRECTORY), x[3]) for x in HEADERS),
    (b"0123456789" + zipped(MEMBERS), "10 bytes before the first"),
    (zipped(MEMBERS, io.BytesIO(b"0123456789"), "a"), "10 bytes before the first"),
    # David Fifield's bomb: the headers of many members point at the data of one.
    (patched(zipped(THREE), 42, "<L", 0, where=DIRECTORY), "'b' overlaps another member; 'c' "),
    (patched(NOT_DEFLATED, 10, "<H", 8, where=DIRECTORY), "'a' is corrupt (Error -3"),
    *((wrong_size(*each), "'a' is corrupt") for each in SIZES),
    *((zipped(x), "a.zip: no file in it") for x in ({}, {"a/": b""}, {"__MACOSX/a": b""})),
    *((x, "not a whole zip archive") for x in (b"", b"PK", b"no" * 500, b"<html>" * 100, END)),
    (zipped({"a": bytes(10**6)}, **DEFLATED), "over unzip.max_ratio"),
]


@pytest.mark.parametrize(("archive", "reason"), REFUSED)
def test_a_faulty_archive_is_refused(archive: bytes, reason: str) -> None:
    assert reason in refusal(archive)


SPECIAL = (tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)
PLAIN_TAR = tarred(MEMBERS)
FAULTY_TARS: list[tuple[bytes, str]] = [
    *((tarred({"x": b""}, each), "'x' is a link, a device or another special") for each in SPECIAL),
    *((tarred({each: b""}), "is not a path within a folder") for each in ("../x", "/x", "a//x")),
    (tarred({"a": b"", "A": b""}), "'A' collides with 'a'"),
    (tarred({"a\nb": b""}), "has control characters in its name"),
    (tarred({"a/": b""}), "no file in it"),
    (PLAIN_TAR[:1300], "not a whole tar archive: no header at byte 1,024"),
    (PLAIN_TAR[:600], "not a whole tar archive: unexpected end of data"),
    (PLAIN_TAR[:1024] + b"x" * 10 + PLAIN_TAR[1034:], "not a whole tar archive: no header at byte"),
    (tarred({"a": bytes(10**6)}), "over unzip.max_bytes"),
    (gzip.compress(tarred({"a": bytes(10**7)})), "more bytes than unzip.max_bytes"),
    (gzip.compress(PLAIN_TAR)[:-9], "not a whole"),
    (tarred({"a" * 3_000_000: b""}, format=tarfile.GNU_FORMAT), "larger than unzip.max_members"),
]


@pytest.mark.parametrize(("archive", "reason"), FAULTY_TARS)
def test_a_faulty_tar_is_refused_and_its_members_stay_within_a_folder(
    archive: bytes, reason: str
) -> None:
    with bounded(memory=9_000_000):
        assert reason in refusal({"a.tar": archive}, max_bytes=900_000)


def test_the_members_of_a_tar_are_counted() -> None:
    assert "4 members, over unzip.max_members" in refusal(
        {"a": tarred(dict.fromkeys("abcde", b""))}, max_members=3
    )


def test_where_nothing_is_extracted_names_do_not_matter_and_members_say_their_problem() -> None:
    names = ["../x", "/y", "A", "a", "c:d", "e\\f", "g\nh", "i" * 300]
    tar = tarred({"link": b""}, tarfile.SYMTYPE)[:512] + tarred(dict.fromkeys(names, b"x"))
    for content, problems in ((zipped([(name, b"x") for name in names]), 0), (tar, 1)):
        Path("a").write_bytes(content)
        with opened([Path("a")], Limits(**LIMITS), strict=False) as members:
            good = [each for each in members if not each.problem]
            assert len(members) - len(good) == problems
            assert {each.path for each in good} == {*names}
            assert all(b"".join(each.chunks()) == b"x" for each in good)
        with pytest.raises(InputError, match="is not a path within a folder"), opens(content):
            pass
    few = Limits(**LIMITS | {"max_bytes": 3})
    with pytest.raises(InputError, match="max_bytes"), opened([Path("a")], few, strict=False):
        pass


def test_twenty_problems_are_listed() -> None:
    names = [f"../{i}" for i in range(22)]
    listed = "; ".join(f"'{name}' is not a path within a folder" for name in names[:20])
    assert refusal(zipped(dict.fromkeys(names[:20], b""))) == f"a.zip: {listed}"
    assert refusal(zipped(dict.fromkeys(names, b""))) == f"a.zip: {listed}; and 2 more"


def test_an_unknown_or_missing_file_is_refused() -> None:
    assert "readme.txt: not a whole zip archive" in refusal({"readme.txt": b"x", "a.gz": IDX})
    with pytest.raises(InputError, match=r"b\.zip: there is no such file"):
        content_digest(Path("b.zip"), Limits(**LIMITS))


def test_a_truncated_zip_is_refused_at_any_length() -> None:
    archive = zipped(MEMBERS)
    for end in range(0, len(archive), 3):
        assert refusal(archive[:end])


def test_every_corrupt_member_is_named() -> None:
    message = refusal(zipped(THREE).replace(b"AAAA", b"AAAX").replace(b"CCCC", b"XCCC"))
    assert all(f"'{name}' is corrupt (Bad CRC-32" in message for name in "ac")
    assert "'b' is corrupt" not in message


DAMAGED = [
    *((each, "cut off before its end") for each in (IDX[:-1], IDX[:20], b"")),
    (IDX[:200] + IDX[-4:], "is corrupt"),
    *((IDX + x, "incorrect header check") for x in (b"\0" * 4, b"\0" * 8 + IDX[-4:])),
    (IDX + IDX[:-1], "cut off before its end"),
    (IDX[:-8] + b"\0" * 4 + IDX[-4:], "incorrect data check"),
    *((IDX[:-4] + x, "incorrect length check") for x in (b"\1\0\0\0", b"\0\xff\0\0")),
    *((each * 10, "incorrect header check") for each in (b"plain", b"\0\1\0\0")),
]


@pytest.mark.parametrize(("content", "reason"), DAMAGED)
def test_a_damaged_gzip_is_refused(content: bytes, reason: str) -> None:
    message = refusal({"images.gz": content}, max_ratio=10_000)
    assert message.startswith("images.gz: 'images' is corrupt (")
    assert reason in message


# Zip bombs.


@pytest.mark.parametrize("most", [{"max_bytes": 120}, {"max_members": 3}])
def test_a_limit_is_exact(most: dict[str, int]) -> None:
    archive, ((limit, number),) = zipped(dict.fromkeys("abc", bytes(40))), most.items()
    found = "it declares 120 bytes" if limit == "max_bytes" else "3 members"
    assert read(archive, **most)
    assert f"{found}, over unzip.{limit}" in refusal(archive, **{limit: number - 1})


def test_a_large_directory_is_not_read() -> None:
    archive = zipped({f"{i:0200}": b"" for i in range(5000)})
    with bounded(memory=len(archive) + 2_000_000):
        assert "its directory is larger" in refusal(archive, max_members=10)


LIES: dict[str, dict[str, int]] = {
    "over unzip.max_ratio": {},
    "over unzip.max_bytes": {"max_bytes": 10_000_000},
    "'a' is corrupt (Error -3 while decompressing data: incorrect length": {"max_ratio": 2000},
}


@pytest.mark.parametrize("reason", LIES)
def test_a_gzip_that_hides_its_size_is_refused(reason: str) -> None:
    with bounded(memory=5_000_000):
        assert reason in refusal({"a.gz": BOMB[:-4] + bytes([100, 0, 0, 0])}, **LIES[reason])
