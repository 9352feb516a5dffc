"""Fuzzing: a damaged or hostile archive is refused in one line, or read exactly within limits."""

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import combinations, product
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from unicodedata import normalize

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import report
from handwriting.core.errors import InputError
from handwriting.raw import tars
from handwriting.raw.archives import Limits, collisions, opened
from tests.fuzzing import FUZZ, mutated
from tests.raw.packing import Unseekable, bounded, entry, zipped

LIMITS = Limits(max_bytes=2_000_000, max_ratio=50.0, max_members=100)
SECONDS = 10  # an archive may take, on a very busy machine
MEMORY = 5_000_000  # bytes it may take, a chunk of a million at every step included

pytestmark = pytest.mark.usefixtures("tmp_dir")


def build(method: int, folders: bool, streamed: bool, wide: bool) -> bytes:
    """Return a valid zip; a `wide` one has 64-bit numbers in its headers."""
    random, file = Random(0), Unseekable() if streamed else io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        if folders:
            archive.writestr("train/", b"")
        for i in range(4):
            with archive.open(f"train/{i % 2}/é{i}.png", "w", force_zip64=wide) as member:
                member.write(random.randbytes(200) * (i + 1) + bytes(500 * i))
        archive.comment = b"comment" * folders
    return file.getvalue()


METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
ZIPS = [build(x, *options) for x in METHODS for options in product([False, True], repeat=3)]
GZIPS = [
    gzip.compress(Random(1).randbytes(300) + bytes(2000), mtime=0),
    gzip.compress(bytes(range(256)) * 8, 1, mtime=7),
    gzip.compress(b"", mtime=0),
]


def pack(format: int, packer: Callable[[bytes], bytes]) -> bytes:
    """Return a valid tar of a folder and files, one of them with a long name."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=format) as tar:
        for name, size in ("./", 0), ("./train/", 0), ("train/a.png", 700), ("é" * 60, 3), ("b", 0):
            info = tarfile.TarInfo(name)
            info.size, info.type = size, tarfile.DIRTYPE if name[-1] == "/" else tarfile.REGTYPE
            tar.addfile(info, io.BytesIO(Random(size).randbytes(size)))
    return packer(file.getvalue())


FORMATS = (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT)
PACKERS: tuple[Callable[[bytes], bytes], ...] = (bytes, partial(gzip.compress, mtime=0))
TARS = [pack(format, packer) for format in FORMATS for packer in PACKERS]


def convert(name: str, content: bytes) -> dict[str, bytes] | None:
    """Return what an archive becomes in a tar; None if it was refused as it should be."""
    archive, tar = Path(name), Path("a.tar")
    archive.write_bytes(content)
    tar.unlink(missing_ok=True)
    try:
        with bounded(MEMORY, SECONDS), opened([archive], LIMITS) as members:
            tars.write(tar, members)
    except InputError as error:
        message = str(error)
        assert name in message
        assert message.isprintable()
        return None
    finally:
        assert {path.name for path in Path().iterdir()} <= {name, tar.name}
    return contents(tar)


def contents(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        assert all(each.isreg() for each in tar)
        names = tar.getnames()
        assert names == sorted(set(names), key=str.encode)
        return {name: tar.extractfile(name).read() for name in names}  # type: ignore[union-attr]


def plainly_read(content: bytes) -> dict[str, bytes]:
    """Return the files in a harmless archive, as the standard library reads them."""
    if content[:2] == b"\x1f\x8b" and (content := gzip.decompress(content))[257:262] != b"ustar":
        return {"a": content}
    if content[257:262] == b"ustar":
        with tarfile.open(fileobj=io.BytesIO(content), errors="replace") as tar:
            files = {each.name: tar.extractfile(each) for each in tar if each.isreg()}
        return {plain(name): file.read() for name, file in files.items() if file}
    with suppress(UnicodeDecodeError):
        return zip_content(io.BytesIO(content), "utf-8")
    return zip_content(io.BytesIO(content), None)


def zip_content(file: io.BytesIO, encoding: str | None) -> dict[str, bytes]:
    with zipfile.ZipFile(file, metadata_encoding=encoding) as archive:
        return {plain(name): archive.read(name) for name in archive.namelist() if name[-1] != "/"}


def plain(name: str) -> str:
    return "/".join(part for part in name.split("/") if part != ".")


def check(name: str, content: bytes) -> None:
    found = convert(name, content)
    assert found is None or found == plainly_read(content)


DAMAGED = [("a.zip", ZIPS), ("a.gz", GZIPS), ("in.tar", TARS)]
EXAMPLES = [150, pytest.param(2000, marks=pytest.mark.slow)]


@pytest.mark.parametrize(("name", "originals"), DAMAGED, ids=["zip", "gzip", "tar"])
@pytest.mark.parametrize("examples", EXAMPLES)
def test_a_damaged_archive_is_refused_or_read_exactly(
    name: str, originals: list[bytes], examples: int
) -> None:
    for original in originals:
        assert convert(name, original) == plainly_read(original)
    damaged = mutated(originals, ["little"], header=60)
    settings(FUZZ, max_examples=examples)(given(damaged)(lambda content: check(name, content)))()


PIECES = ["a", "A", "b", "é", "e\u0301", "ß", "ss", "..", ".", "", "C:", "\\", "\n", "\u202e", "~"]
NAMES = st.lists(st.sampled_from(PIECES), min_size=1, max_size=4).map("/".join)
NAMES |= st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)


def check_names(names: list[str], kind: int) -> None:
    entries = [entry("x", filename=name or "x") for name in names]
    entries[0].external_attr = kind
    archive = zipped([(x, b"" if x.filename.endswith("/") else b"content") for x in entries])
    if (found := convert("a.zip", archive)) is None:
        return
    with TemporaryDirectory(dir=".") as out:
        report.unpack(Path("a.tar"), Path(out, "in"))
        files = {path for path in Path(out).rglob("*") if not path.is_dir()}
    assert files == {Path(out, "in", name) for name in found}


@pytest.mark.parametrize("examples", EXAMPLES)
def test_names_are_refused_or_stay_within_their_folder(examples: int) -> None:
    lists = st.lists(NAMES, min_size=1, max_size=5, unique=True)
    settings(FUZZ, max_examples=examples)(given(lists, st.integers(0, 2**32 - 1))(check_names))()


PARTS = st.sampled_from(["a", "A", "b", "B", "a!", "é", "e\u0301"])
PATHS = st.lists(PARTS, min_size=1, max_size=3).map("/".join)


@settings(FUZZ, max_examples=200)
@given(st.lists(PATHS, max_size=5))
def test_collisions_are_those_of_any_two_paths(paths: list[str]) -> None:
    found = bool(list(collisions(paths)))
    assert found == any(collide(*pair) for pair in combinations(paths, 2))


def collide(one: str, other: str) -> bool:
    """Return whether a file or folder of one path cannot coexist with one of the other."""
    pairs = zip(one.split("/"), other.split("/"), strict=False)
    a, b = next((pair for pair in pairs if pair[0] != pair[1]), ("", ""))
    return normalize("NFC", a).lower() == normalize("NFC", b).lower()
