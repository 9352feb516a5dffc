"""Fuzzing: a damaged or hostile archive is refused in one line, or read exactly within limits."""

import gzip
import io
import struct
import tarfile
import zipfile
from itertools import combinations, product
from pathlib import Path
from random import Random
from unicodedata import normalize

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from handwriting.core.errors import InputError
from handwriting.raw import tars
from handwriting.raw.archives import Limits, collisions, opened
from tests.raw.packing import Unseekable, bounded, entry, zipped

LIMITS = Limits(max_bytes=2_000_000, max_ratio=50.0, max_members=100)
SECONDS = 10  # an archive may take, on a very busy machine
MEMORY = 5_000_000  # bytes it may take, a chunk of a million at every step included
NUMBERS = [0, 1, 2, 8, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF]

# The same failing archive on every machine; nothing of it is kept between the runs.
FUZZ = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
pytestmark = pytest.mark.usefixtures("tmp_dir")


def build(*, method: int, folders: bool, streamed: bool, wide: bool) -> bytes:
    """Return a valid zip; a `wide` one has 64-bit numbers in its headers."""
    random = Random(0)
    file = io.BytesIO()
    target = Unseekable(file) if streamed else file
    with zipfile.ZipFile(target, "w", method) as archive:
        if folders:
            archive.writestr("train/", b"")
        for i in range(4):
            with archive.open(f"train/{i % 2}/é{i}.png", "w", force_zip64=wide) as member:
                member.write(random.randbytes(200) * (i + 1) + bytes(500 * i))
        archive.comment = b"comment" * folders
    return file.getvalue()


ZIPS = [
    build(method=method, folders=folders, streamed=streamed, wide=wide)
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    for folders, streamed, wide in product([False, True], repeat=3)
]
GZIPS = [
    gzip.compress(Random(1).randbytes(300) + bytes(2000), mtime=0),
    gzip.compress(bytes(range(256)) * 8, 1, mtime=7),
    gzip.compress(b"", mtime=0),
]


@st.composite
def mutated(draw: st.DrawFn, originals: list[bytes]) -> bytes:
    """Return one of the originals, damaged in a few ways."""
    content = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(1, 4))):
        mutate(content, draw)
    return bytes(content)


def mutate(content: bytearray, draw: st.DrawFn) -> None:
    """Damage `content`, mostly in its headers, where the interesting bytes are."""
    signatures = [i for i in range(len(content)) if content.startswith(b"PK", i)]
    anywhere = st.integers(0, max(0, len(content) - 1))
    header = st.builds(
        lambda at, offset: min(at + offset, max(0, len(content) - 1)),
        st.sampled_from(signatures or [0]),
        st.integers(4, 60),
    )
    at = draw(st.one_of(anywhere, header, header))
    kind = draw(st.sampled_from(["bit", "number", "number", "cut", "drop", "insert", "splice"]))
    end, new = at, b""
    if kind == "bit" and content:
        end, new = at + 1, bytes([content[at] ^ 1 << draw(st.integers(0, 7))])
    elif kind == "number":
        form = draw(st.sampled_from(["<B", "<H", "<L"]))
        number = draw(st.one_of(st.sampled_from(NUMBERS), st.integers(0, 5000)))
        new = struct.pack(form, number % 256 ** struct.calcsize(form))
        end = at + len(new)
    elif kind == "cut":
        end = len(content)
    elif kind == "drop":
        end = at + draw(st.integers(1, 100))
    elif kind == "insert":
        new = draw(st.binary(max_size=50))
    elif kind == "splice":
        start, length = draw(anywhere), draw(st.integers(1, 300))
        new = bytes(content[start : start + length])
        end = at + draw(st.sampled_from([0, length]))  # inserted, or over what is there
    content[at:end] = new


def convert(name: str, content: bytes) -> dict[str, bytes] | None:
    """Return what an archive becomes in a tar; None if it was refused as it should be."""
    archive, tar = Path(name), Path("a.tar")
    archive.write_bytes(content)
    tar.unlink(missing_ok=True)
    try:
        with bounded(MEMORY, SECONDS), opened([archive], LIMITS) as members:
            tars.write(tar, members)
    except InputError as error:
        event("refused")
        message = str(error)
        assert name in message
        assert message.isprintable()
        return None
    finally:
        assert {path.name for path in Path().iterdir()} <= {name, tar.name}
    event("read")
    return contents(tar)


def contents(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        members = tar.getmembers()
        assert all(each.isreg() for each in members)
        names = [each.name for each in members]
        assert names == sorted(set(names), key=str.encode)
        return {each.name: tar.extractfile(each).read() for each in members}  # type: ignore[union-attr]


def plainly_read(content: bytes) -> dict[str, bytes]:
    """Return the files in a harmless zip."""
    with zipfile.ZipFile(io.BytesIO(content), metadata_encoding="utf-8") as archive:
        return {
            each.filename: archive.read(each) for each in archive.infolist() if not each.is_dir()
        }


@settings(FUZZ, max_examples=1500)
@given(mutated(ZIPS))
def test_a_damaged_zip_is_refused_or_read_exactly(content: bytes) -> None:
    found = convert("a.zip", content)
    if found is not None:
        assert found == plainly_read(content)


@settings(FUZZ, max_examples=700)
@given(mutated(GZIPS))
def test_a_damaged_gzip_is_refused_or_read_exactly(content: bytes) -> None:
    found = convert("a.gz", content)
    if found is not None:
        assert found == {"a": gzip.decompress(content)}


PIECES = st.sampled_from(
    ["a", "A", "b", "é", "e\u0301", "ß", "ss", "..", ".", "", "C:", "\\", "\n", "\u202e", "~"]
)
NAMES = st.lists(PIECES, min_size=1, max_size=4).map("/".join) | st.text(
    st.characters(codec="utf-8"), min_size=1, max_size=30
)


@settings(FUZZ, max_examples=700)
@given(st.lists(NAMES, min_size=1, max_size=5, unique=True), st.integers(0, 2**32 - 1))
def test_names_are_refused_or_stay_within_their_folder(names: list[str], kind: int) -> None:
    archive = zipped(
        [
            (
                entry("x", filename=name or "x", external_attr=kind * (i == 0)),
                b"" if name.endswith("/") else b"content",
            )
            for i, name in enumerate(names)
        ]
    )
    found = convert("a.zip", archive)
    if found is not None:
        extract(Path("a.tar"), Path("out/in"), set(found))


PATHS = st.lists(
    st.sampled_from(["a", "A", "b", "B", "a!", "é", "e\u0301"]), min_size=1, max_size=3
)


@settings(FUZZ, max_examples=500)
@given(st.lists(PATHS.map("/".join), max_size=5))
def test_collisions_are_those_of_any_two_paths(paths: list[str]) -> None:
    found = bool(list(collisions(paths)))
    assert found == any(collide(*pair) for pair in combinations(paths, 2))


def collide(one: str, other: str) -> bool:
    """Return whether a file or folder of one path cannot coexist with one of the other."""
    for a, b in zip(one.split("/"), other.split("/"), strict=False):
        if normalize("NFC", a).lower() != normalize("NFC", b).lower():
            return False
        if a != b:
            return True
    return True


def extract(tar: Path, folder: Path, names: set[str]) -> None:
    """Extract all members, and check that they are in `folder` and nowhere else."""
    folder.mkdir(parents=True)
    with tarfile.open(tar) as archive:
        archive.extractall(folder, filter="data")
    files = {path for path in Path("out").rglob("*") if not path.is_dir()}
    assert files == {folder / name for name in names}
    for path in sorted(Path("out").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    Path("out").rmdir()
