"""unzip: one tar for one content, and a refusal of all that is not a plain tree of files."""

import gzip
import io
import stat
import struct
import subprocess
import sys
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from handwriting.core.errors import InputError
from handwriting.raw import archives
from stages.data import unzip

LIMITS = {"max_bytes": 100_000_000, "max_ratio": 400, "max_members": 1000}
RAW = Path("data/raw/sample/characters")
TAR = Path("data/images/sample/characters.tar")
MEMBERS = {"train/b/2": b"two" * 100, "train/a": b"", "train/b/10": b"ten"}
ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.usefixtures("tmp_dir")


def zipped(
    members: dict[str, bytes] | Sequence[tuple[zipfile.ZipInfo | str, bytes]], **how: Any
) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **how) as archive:
        for name, content in members.items() if isinstance(members, dict) else members:
            archive.writestr(name, content)
    return file.getvalue()


def run(packed: dict[str, bytes] | bytes, **limits: Any) -> dict[str, bytes]:
    """The stage in the current folder; what the tar holds, in its order."""
    RAW.mkdir(parents=True, exist_ok=True)
    named = {"a.zip": packed} if isinstance(packed, bytes) else packed
    for name, content in named.items():
        (RAW / name).write_bytes(content)
    Path("params.yaml").write_text(yaml.safe_dump({"unzip": LIMITS | limits}))
    Path("scratch").mkdir(exist_ok=True)
    unzip.main(Path("scratch"), "sample", "characters")
    with tarfile.open(TAR) as tar:
        return {each.name: read(tar, each) for each in tar}


def read(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    assert file is not None
    return file.read()


def refusal(packed: dict[str, bytes] | bytes, **limits: Any) -> str:
    """The error that the archives end in, which leaves nothing behind."""
    with pytest.raises(InputError) as caught:
        run(packed, **limits)
    assert not TAR.exists()
    assert {path.name for path in Path().iterdir()} <= {"data", "params.yaml", "scratch"}
    message = str(caught.value)
    assert "\n" not in message
    return message


def entry(name: str, **attributes: Any) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    for attribute, value in attributes.items():
        setattr(info, attribute, value)
    return info


def patched(archive: bytes, field: int, form: str, value: int, *, where: bytes) -> bytes:
    """`archive` with a field changed in every header that starts with the signature `where`."""
    patched = bytearray(archive)
    at = -1
    while (at := patched.find(where, at + 1)) >= 0:
        struct.pack_into(form, patched, at + field, value)
    return bytes(patched)


DIRECTORY, LOCAL, END = b"PK\1\2", b"PK\3\4", b"PK\5\6"

# What is written.


def test_the_members_come_out_sorted_by_their_bytes() -> None:
    assert list(run(zipped(MEMBERS)).items()) == sorted(MEMBERS.items())


def test_the_tar_tells_nothing_but_names_and_bytes() -> None:
    run(zipped(MEMBERS))
    with tarfile.open(TAR) as tar:
        for each in tar:
            assert each.isreg()
            assert (each.mtime, each.uid, each.gid, each.uname, each.gname) == (0, 0, 0, "", "")
            assert each.mode == 0o644
            assert not each.pax_headers


def test_the_tar_is_the_same_however_the_zip_is_packed() -> None:
    run(zipped(MEMBERS))
    tar = TAR.read_bytes()
    backwards = [
        (entry(name, date_time=(2021, 3, 31, 1, 2, 4), external_attr=0o100600 << 16), content)
        for name, content in reversed(MEMBERS.items())
    ]
    folders = [(entry("train/"), b""), (entry("train/b/"), b""), *backwards]
    run(zipped(MEMBERS, compression=zipfile.ZIP_DEFLATED, compresslevel=9))
    assert TAR.read_bytes() == tar
    run(zipped(folders, compression=zipfile.ZIP_DEFLATED) + b"")
    assert TAR.read_bytes() == tar
    streamed = io.BytesIO()
    with zipfile.ZipFile(Unseekable(streamed), "w") as archive:
        archive.comment = b"with data descriptors and a comment"
        for name, content in MEMBERS.items():
            archive.writestr(name, content)
    run(streamed.getvalue())
    assert TAR.read_bytes() == tar


class Unseekable(io.RawIOBase):
    """Has zipfile write sizes behind the data."""

    def __init__(self, file: io.BytesIO) -> None:
        self.file = file

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        return self.file.write(content)


def test_what_desktops_add_is_left_out() -> None:
    junk = ("__MACOSX/train/._a", ".DS_Store", "train/.DS_Store", "train/b/Thumbs.db")
    assert run(zipped(MEMBERS | dict.fromkeys(junk, b"junk"))) == MEMBERS


def test_names_are_utf_8_with_and_without_the_flag() -> None:
    flagged = zipped({"é/字": b"x"})
    unflagged = patched(patched(flagged, 8, "<H", 0, where=DIRECTORY), 6, "<H", 0, where=LOCAL)
    assert run(flagged) == {"é/字": b"x"}
    tar = TAR.read_bytes()
    assert run(unflagged) == {"é/字": b"x"}
    assert TAR.read_bytes() == tar


def test_idx_files_are_gunzipped() -> None:
    plain = {"train-images": bytes(1000), "t10k-images": b"", "t10k-labels": b"x" * 3_000_000}
    found = run({f"{name}.gz": gzip.compress(each) for name, each in plain.items()}, max_ratio=1100)
    assert list(found.items()) == sorted(plain.items())
    tar = TAR.read_bytes()
    run({f"{name}.gz": gzip.compress(each, 1, mtime=0) for name, each in plain.items()})
    assert TAR.read_bytes() == tar


def test_the_tar_is_the_one_that_tarfile_writes() -> None:
    members = {f"{'long/' * 30}{i}é": bytes([i]) * i * 100 for i in range(40)}
    run(zipped(members))
    expected = io.BytesIO()
    with tarfile.open(fileobj=expected, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in sorted(members, key=str.encode):
            info = tarfile.TarInfo(name)
            info.size = len(members[name])
            tar.addfile(info, io.BytesIO(members[name]))
    assert TAR.read_bytes() == expected.getvalue()


def test_large_members_pass_through_little_memory() -> None:
    content = bytes(range(256)) * 200_000
    archive = zipped({"a": content}, compression=zipfile.ZIP_DEFLATED)
    for packed in ({"a.zip": archive}, {"b.gz": gzip.compress(content)}):
        for path in RAW.glob("*"):
            path.unlink()
        RAW.mkdir(parents=True, exist_ok=True)
        tracemalloc.start()
        with pytest.raises(InputError, match="max_members"):
            run(packed | {"c.zip": zipped({"1": b"", "2": b""})}, max_ratio=1000, max_members=1)
        (RAW / "c.zip").unlink()
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        unzip_only(max_ratio=1000)
        peak = tracemalloc.get_traced_memory()[1] - before
        tracemalloc.stop()
        assert peak < 8_000_000
        assert TAR.stat().st_size > len(content)


def unzip_only(**limits: Any) -> None:
    Path("params.yaml").write_text(yaml.safe_dump({"unzip": LIMITS | limits}))
    unzip.main(Path("scratch"), "sample", "characters")


# What is refused.


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../x", "is not a path within a folder"),
        ("a/../../x", "is not a path within a folder"),
        ("a/..", "is not a path within a folder"),
        ("a/./x", "is not a path within a folder"),
        ("a//x", "is not a path within a folder"),
        ("/etc/passwd", "is not a path within a folder"),
        ("//host/share", "is not a path within a folder"),
        ("/", "is not a path within a folder"),
        ("../", "is not a path within a folder"),
        ("C:/x", "has a drive letter or a backslash in its name"),
        ("C:x", "has a drive letter or a backslash in its name"),
        ("..\\x", "has a drive letter or a backslash in its name"),
        ("\\\\host\\share", "has a drive letter or a backslash in its name"),
        ("a\nb", "has control characters in its name"),
        ("a\x1b[31m", "has control characters in its name"),
        ("a\u202egnp", "has control characters in its name"),
        ("a" * 256, "is longer than 255 characters"),
        ("/".join("a" * 2000), "is longer than 255 characters"),
    ],
)
def test_a_name_that_is_no_plain_path_is_refused(name: str, reason: str) -> None:
    message = refusal(zipped(MEMBERS | {name: b""}))
    assert message == f"{RAW}/a.zip: {name[:255]!r} {reason}"


def test_a_name_with_a_nul_is_refused() -> None:
    archive = zipped({"aXb": b"x"}).replace(b"aXb", b"a\0b")
    assert "'a\\x00b' has control characters" in refusal(archive)
    assert "'\\x00ab' has control characters" in refusal(archive.replace(b"a\0b", b"\0ab"))


def test_an_empty_name_is_refused() -> None:
    archive = zipped({"a": b"x"})  # to become a byte of the extra field
    for where, lengths in ((LOCAL, 26), (DIRECTORY, 28)):
        archive = patched(archive, lengths, "<L", 1 << 16, where=where)
    assert "'' is not a path within a folder" in refusal(archive)


def test_a_name_that_is_not_utf_8_is_refused() -> None:
    archive = zipped({"aXb": b"x"}).replace(b"aXb", b"a\xffb")
    assert "can't decode byte 0xff" in refusal(archive)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["a", "A"], "is in the way of"),
        (["d/a", "D/A"], "is in the way of"),
        (["straße", "STRASSE"], "is in the way of"),
        (["e\u0301", "é"], "is in the way of"),
        (["\u212b", "å"], "is in the way of"),
        (["a", "a/b"], "is in the way of"),
        (["x/a", "x/A/b/c", "x/a!", "x/a-"], "is in the way of"),
        (["a", "a/"], "is in the way of"),
        (["d/1", "D/2"], "differ by case or Unicode form alone"),
        (["d/e/1", "d/f", "d/E/2"], "differ by case or Unicode form alone"),
    ],
)
def test_names_that_collide_are_refused(names: list[str], reason: str) -> None:
    assert reason in refusal(zipped(dict.fromkeys(names, b"")))
    assert reason in refusal(zipped(dict.fromkeys(reversed(names), b"")))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_given_twice_is_refused() -> None:
    assert "'a' is in the way of 'a'" in refusal(zipped([("a", b"1"), ("b", b""), ("a", b"2")]))


def test_names_that_only_look_alike_are_taken() -> None:
    names = ["a", "ab", "a.b", "a-/b", "a b", "b/a", "b/A1", "c/Ä", "c/A", "d/\u0430", "d/a"]
    assert set(run(zipped(dict.fromkeys(names, b"")))) == set(names)


@pytest.mark.parametrize(
    "kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFDIR]
)
def test_only_regular_files_are_taken(kind: int) -> None:
    link = entry("link", external_attr=(kind | 0o777) << 16)
    message = refusal(zipped([("a", b""), (link, b"/etc/passwd")]))
    assert "'link' is a link, a device or another special file" in message


@pytest.mark.parametrize(
    ("field", "form", "value", "reason"),
    [
        (8, "<H", 0x1, "is encrypted"),
        (8, "<H", 0x41, "is encrypted"),
        (8, "<H", 0x20, "is a patch"),
        (10, "<H", 12, "is packed by method 12, neither stored nor deflated"),
        (10, "<H", 99, "is packed by method 99"),
        (34, "<H", 3, "is on disk 3 of an archive of several"),
    ],
)
def test_a_member_of_another_kind_is_refused(
    field: int, form: str, value: int, reason: str
) -> None:
    assert reason in refusal(patched(zipped({"a": b"x"}), field, form, value, where=DIRECTORY))


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_without_a_bound_are_refused(method: int) -> None:
    assert "neither stored nor deflated" in refusal(zipped({"a": bytes(10**6)}, compression=method))


def test_a_folder_with_content_is_refused() -> None:
    archive = zipped({"aX": b"x" * 10}).replace(b"aX", b"a/")
    assert "is a folder with content" in refusal(archive)


def test_all_offenders_are_listed_up_to_ten() -> None:
    names = [f"../{i}" for i in range(12)]
    message = refusal(zipped(dict.fromkeys(names[:10], b"") | {"a": b""}))
    assert all(f"'{name}'" in message for name in names[:10])
    message = refusal(zipped(dict.fromkeys(names, b"") | {"a": b""}))
    assert message.count("is not a path") == 10
    assert message.endswith("; and 2 more")


def test_an_archive_of_nothing_is_refused() -> None:
    for archive in (zipped({}), zipped([(entry("a/"), b"")]), zipped({"__MACOSX/a": b""})):
        assert refusal(archive).endswith("a.zip: no file in it")


@pytest.mark.parametrize("content", [b"", b"PK", b"not a zip" * 100, b"<html>" * 100, END])
def test_what_is_no_zip_is_called_so(content: bytes) -> None:
    assert "not a whole zip archive" in refusal(content)


def test_a_zip_of_a_later_version_is_refused() -> None:
    later = patched(zipped({"a": b"x"}), 6, "<H", 100, where=DIRECTORY)
    assert "not a whole zip archive: zip file version 10.0" in refusal(later)


def test_a_cut_zip_is_refused_at_any_length() -> None:
    archive = zipped(MEMBERS)
    for end in range(0, len(archive), 3):
        assert refusal(archive[:end])


def test_bytes_before_a_zip_are_refused() -> None:
    archive = zipped(MEMBERS)
    assert "10 bytes before the first member" in refusal(b"0123456789" + archive)
    with io.BytesIO(b"0123456789") as file:
        file.seek(10)
        with zipfile.ZipFile(file, "a") as appended:
            appended.writestr("a", b"x")
        assert "10 bytes before the first member" in refusal(file.getvalue())


def test_every_corrupt_member_is_named() -> None:
    archive = zipped({"a": b"AAAA", "b": b"BBBB", "c": b"CCCC"})
    message = refusal(archive.replace(b"AAAA", b"AAAX").replace(b"CCCC", b"XCCC"))
    assert "'a' is corrupt (Bad CRC-32" in message
    assert "'c' is corrupt (Bad CRC-32" in message
    assert "'b' is corrupt" not in message


def test_a_broken_stream_is_refused() -> None:
    archive = bytearray(zipped({"a": b"x" * 1000}, compression=zipfile.ZIP_DEFLATED))
    archive[31] = 0xFF
    assert "'a' is corrupt (Error -3" in refusal(bytes(archive))


@pytest.mark.parametrize("size", [0, 5, 999, 1001, 30_000])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_size_that_is_a_lie_is_refused(size: int, method: int) -> None:
    archive = zipped({"a": bytes(range(250)) * 4}, compression=method)
    assert "'a' is corrupt" in refusal(patched(archive, 24, "<L", size, where=DIRECTORY))


# Bombs.


def test_too_many_bytes_are_refused() -> None:
    archive = zipped(dict.fromkeys("abc", bytes(40)))
    assert "it declares 120 bytes, over unzip.max_bytes" in refusal(archive, max_bytes=119)
    assert run(archive, max_bytes=120)


def test_too_good_a_ratio_is_refused() -> None:
    bomb = zipped({"a": bytes(10**6)}, compression=zipfile.ZIP_DEFLATED, compresslevel=9)
    assert "over unzip.max_ratio" in refusal(bomb)
    assert "over unzip.max_ratio" in refusal({"b.gz": gzip.compress(bytes(10**6))})


def test_too_many_members_are_refused() -> None:
    archive = zipped(dict.fromkeys("abc", b""))
    assert "3 members, over unzip.max_members" in refusal(archive, max_members=2)
    assert run(archive, max_members=3)


def test_too_large_a_directory_is_not_even_read() -> None:
    archive = zipped({f"{i:0200}": b"" for i in range(5000)})
    tracemalloc.start()
    assert "its directory is larger" in refusal(archive, max_members=10)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < len(archive) + 2_000_000


def test_members_that_share_their_bytes_are_refused() -> None:
    """David Fifield's bomb: many headers in the directory, one member's data for all of them."""
    archive = zipped({"a": b"kernel" * 100})
    start = archive.index(DIRECTORY)
    end = archive.index(END)
    header = archive[start:end]
    bomb = bytearray(archive[:start] + header * 3 + archive[end:])
    struct.pack_into("<HHL", bomb, len(bomb) - 14, 3, 3, 3 * len(header))
    assert "'a' overlaps another member" in refusal(bytes(bomb))


def test_a_member_that_reaches_into_the_directory_is_refused() -> None:
    archive = patched(zipped({"a": b"x"}), 20, "<L", 2, where=DIRECTORY)
    assert "its last member overlaps the directory" in refusal(archive)


# gzip.


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda packed: packed[:-1], "is corrupt"),
        (lambda packed: packed[:20], "over unzip.max_bytes"),
        (lambda packed: packed[:200] + packed[-4:], "is corrupt"),
        (lambda _: b"", "is corrupt (cut off before its end)"),
        (lambda packed: packed + b"\0" * 4, "is corrupt"),
        (lambda packed: packed + b"\0" * 8 + packed[-4:], "is corrupt (bytes after its end)"),
        (lambda packed: packed + packed, "is corrupt (bytes after its end)"),
        (lambda packed: packed[:-8] + b"\0" * 4 + packed[-4:], "incorrect data check"),
        (lambda packed: packed[:-4] + b"\1\0\0\0", "is corrupt"),
        (lambda packed: packed[:-4] + b"\0\xff\0\0", "incorrect length check"),
        (lambda _: b"plain" * 10, "over unzip.max_ratio"),
        (lambda _: b"\0\1\0\0" * 10, "incorrect header check"),
    ],
)
def test_a_damaged_gzip_is_refused(change: Callable[[bytes], bytes], reason: str) -> None:
    packed = gzip.compress(bytes(range(256)) * 10)
    message = refusal({"images.gz": change(packed)}, max_ratio=10_000)
    assert reason in message
    assert "images" in message


def test_a_gzip_that_hides_its_size_is_refused() -> None:
    bomb = gzip.compress(bytes(50_000_000), 9)[:-4] + bytes([100, 0, 0, 0])
    tracemalloc.start()
    assert "'a' is corrupt (its size is not the one declared)" in refusal({"a.gz": bomb})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


# Where more is allowed than the size in a .gz can tell.


@pytest.mark.parametrize("cut", [-1, 20, 0])
def test_a_damaged_gzip_is_refused_where_its_size_is_counted(cut: int) -> None:
    packed = gzip.compress(bytes(range(256)) * 10)
    assert "'images' is corrupt" in refusal({"images.gz": packed[:cut]}, max_bytes=1 << 33)


def test_a_bomb_is_refused_where_its_size_is_counted() -> None:
    bomb = gzip.compress(bytes(50_000_000), 9)[:-4] + bytes([100, 0, 0, 0])
    assert "over unzip.max_ratio" in refusal({"a.gz": bomb}, max_bytes=1 << 33)


@pytest.mark.slow
def test_a_gzip_of_more_than_4_gib_is_read_whole() -> None:
    size = (1 << 32) + 5
    with gzip.open("a.gz", "wb", compresslevel=1) as file:
        for _ in range(1 << 12):
            file.write(bytes(1 << 20))
        file.write(bytes(5))
    limits = archives.Limits(max_bytes=1 << 33, max_ratio=2000, max_members=1)
    with archives.opened([Path("a.gz")], limits) as (member,):
        assert member.size == size == sum(len(chunk) for chunk in member.chunks())


# The folder.


def test_a_file_of_another_kind_is_refused() -> None:
    assert "readme.txt: neither a .zip nor a .gz file" in refusal({"readme.txt": b"", "a.gz": b""})


def test_a_missing_folder_is_named() -> None:
    with pytest.raises(InputError, match=f"{RAW}: nothing there"):
        unzip.listing(RAW)


def test_the_tar_of_an_earlier_run_stays_where_this_one_is_refused() -> None:
    run(zipped(MEMBERS))
    tar = TAR.read_bytes()
    with pytest.raises(InputError):
        run(zipped(MEMBERS)[:-1])
    assert TAR.read_bytes() == tar


def test_the_program_ends_in_one_line(tmp_dir: Path) -> None:
    refusal(zipped({"../a": b""}))
    found = subprocess.run(
        [sys.executable, "-m", "stages.data.unzip", "sample", "characters"],
        cwd=tmp_dir,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert found.returncode == 1
    assert found.stdout == ""
    assert found.stderr == f"unzip: {RAW}/a.zip: '../a' is not a path within a folder\n"
