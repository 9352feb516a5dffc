"""Thousands of damaged and hostile archives: refused in one line, or read exactly and in bounds."""

import gzip
import io
import signal
import struct
import tarfile
import tracemalloc
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import combinations, product
from pathlib import Path
from random import Random
from unicodedata import normalize

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from handwriting.core.errors import InputError
from handwriting.raw.archives import Limits, collisions
from stages.data import unzip

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
    """A valid zip. The headers of a `wide` one have 64 bits for each number."""
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


class Unseekable(io.RawIOBase):
    """Has zipfile write sizes behind the data."""

    def __init__(self, file: io.BytesIO) -> None:
        self.file = file

    def writable(self) -> bool:
        return True

    def write(self, content: bytes) -> int:  # type: ignore[override]
        return self.file.write(content)


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
    """One of the originals after a few of the things that go wrong, or are made to."""
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
    if kind == "bit" and content:
        content[at] ^= 1 << draw(st.integers(0, 7))
    elif kind == "number":
        form = draw(st.sampled_from(["<B", "<H", "<L"]))
        size = struct.calcsize(form)
        number = draw(st.one_of(st.sampled_from(NUMBERS), st.integers(0, 5000)))
        content[at : at + size] = struct.pack(form, number % 256**size)
    elif kind == "cut":
        del content[at:]
    elif kind == "drop":
        del content[at : at + draw(st.integers(1, 100))]
    elif kind == "insert":
        content[at:at] = draw(st.binary(max_size=50))
    elif kind == "splice":
        start, length = draw(anywhere), draw(st.integers(1, 300))
        target = at + draw(st.sampled_from([0, length]))  # over what is there, or beside it
        content[at:target] = content[start : start + length]


@contextmanager
def bounded() -> Iterator[None]:
    """Fail where the block takes too long or too much memory."""

    def out_of_time(*_: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, out_of_time)
    signal.alarm(SECONDS)
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()
        signal.alarm(0)


def convert(name: str, content: bytes) -> dict[str, bytes] | None:
    """What the tar holds that is made of an archive; None if it was refused as it should be."""
    archive, tar = Path(name), Path("a.tar")
    archive.write_bytes(content)
    tar.unlink(missing_ok=True)
    refusal = None
    try:
        with bounded():
            unzip.convert([archive], tar, LIMITS)
    except InputError as error:
        refusal = str(error)
    assert {path.name for path in Path().iterdir()} <= {name, tar.name}
    event("read" if refusal is None else "refused")
    if refusal is None:
        return contents(tar)
    assert name in refusal
    assert refusal.isprintable()
    return None


def contents(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        members = tar.getmembers()
        assert [each.name for each in members] == sorted(
            {each.name for each in members}, key=str.encode
        )
        return {each.name: read(tar, each) for each in members}


def read(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    assert member.isreg()
    file = tar.extractfile(member)
    assert file is not None
    return file.read()


def plainly_read(content: bytes) -> dict[str, bytes]:
    """The files in a zip that is known to be harmless."""
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
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for i, name in enumerate(names):
            info = zipfile.ZipInfo("x")
            info.filename = name or "x"
            info.external_attr = kind * (i == 0)
            archive.writestr(info, b"" if name.endswith("/") else b"content")
    found = convert("a.zip", file.getvalue())
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
    """The definition: a folder or file of both that is not the same, or cannot be shared."""
    for a, b in zip(one.split("/"), other.split("/"), strict=False):
        if normalize("NFC", a).lower() != normalize("NFC", b).lower():
            return False
        if a != b:
            return True
    return True


def extract(tar: Path, folder: Path, names: set[str]) -> None:
    """Make files of all members, which must be where their names say and nowhere else."""
    folder.mkdir(parents=True)
    with tarfile.open(tar) as archive:
        archive.extractall(folder, filter="data")
    files = {path for path in Path("out").rglob("*") if not path.is_dir()}
    assert files == {folder / name for name in names}
    for path in sorted(Path("out").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    Path("out").rmdir()
