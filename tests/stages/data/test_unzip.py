"""unzip: one tar for one content, and nothing left behind by a refusal."""

import gzip
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from handwriting.core.errors import InputError
from stages.data import unzip
from tests.raw.packing import bounded, zipped

RAW = Path("data/raw/sample/characters")
TAR = Path("data/images/sample/characters.tar")
MEMBERS = {"train/b/2": b"two" * 100, "train/a": b"", "train/b/10": b"ten"}
ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.usefixtures("tmp_dir")


def put(archives: dict[str, bytes], **limits: Any) -> None:
    """Write the inputs of the stage."""
    RAW.mkdir(parents=True, exist_ok=True)
    for name, content in archives.items():
        (RAW / name).write_bytes(content)
    settings = {"max_bytes": 100_000_000, "max_ratio": 1000, "max_members": 1000} | limits
    Path("params.yaml").write_text(yaml.safe_dump({"unzip": settings}))
    Path("scratch").mkdir(exist_ok=True)


def run(archives: dict[str, bytes], **limits: Any) -> bytes:
    """Run the stage, and return the tar."""
    put(archives, **limits)
    unzip.main(Path("scratch"), "sample", "characters")
    return TAR.read_bytes()


def test_the_tar_holds_names_and_bytes_only() -> None:
    run({"a.zip": zipped(MEMBERS)})
    with tarfile.open(TAR) as tar:
        for each, (name, content) in zip(tar, sorted(MEMBERS.items()), strict=True):
            assert (each.name, each.isreg(), each.mode) == (name, True, 0o644)
            assert (each.mtime, each.uid, each.gid, each.uname, each.gname) == (0, 0, 0, "", "")
            assert not each.pax_headers
            file = tar.extractfile(each)
            assert file is not None
            assert file.read() == content


@pytest.mark.parametrize("name", ["a.zip", "b.gz"])
def test_large_members_need_little_memory(name: str) -> None:
    content = bytes(range(256)) * 200_000
    deflated = zipped({"a": content}, compression=zipfile.ZIP_DEFLATED)
    put({name: gzip.compress(content) if name == "b.gz" else deflated})
    with bounded(memory=8_000_000):
        unzip.main(Path("scratch"), "sample", "characters")
    assert TAR.stat().st_size > len(content)


def test_a_missing_folder_is_named() -> None:
    put({})
    RAW.rmdir()
    with pytest.raises(InputError, match=f"{RAW}: nothing there"):
        run({})


@pytest.mark.parametrize("damage", ["truncated", "corrupt"])
def test_a_refusal_leaves_the_earlier_tar_and_nothing_else(damage: str) -> None:
    archive = zipped(MEMBERS)
    damaged = archive[:-1] if damage == "truncated" else archive.replace(b"ten", b"two")
    earlier = run({"a.zip": zipped(MEMBERS)})
    with pytest.raises(InputError):
        run({"a.zip": damaged})
    assert TAR.read_bytes() == earlier
    assert {path.name for path in Path().iterdir()} == {"data", "params.yaml", "scratch"}
    assert not list(Path("scratch").iterdir())


def test_an_error_ends_the_program_in_one_line(tmp_dir: Path) -> None:
    put({"a.zip": zipped({"../a": b""})})
    found = subprocess.run(
        [sys.executable, "-m", "stages.data.unzip", "sample", "characters"],
        cwd=tmp_dir,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr == f"data.unzip: {RAW}/a.zip: '../a' is not a path within a folder\n"
    assert not TAR.exists()
