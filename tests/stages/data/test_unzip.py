"""unzip: one tar for one content, and nothing left behind by a refusal."""

import gzip
import shutil
from pathlib import Path

import pytest
import yaml

from handwriting.core.errors import InputError
from stages.data import unzip
from tests.raw.packing import DEFLATED, bounded, write_tar, zipped

RAW = Path("data/raw/sample/characters")
TAR = Path("data/images/sample/characters.tar")
MEMBERS = {"train/b/2": b"two" * 100, "train/a": b"", "train/b/10": b"ten"}

pytestmark = pytest.mark.usefixtures("tmp_dir")


def run(name: str, content: bytes) -> None:
    """Run the stage for one archive."""
    RAW.mkdir(parents=True, exist_ok=True)
    Path("scratch").mkdir(exist_ok=True)
    (RAW / name).write_bytes(content)
    limits = {"max_bytes": 100_000_000, "max_ratio": 1000, "max_members": 1000}
    Path("params.yaml").write_text(yaml.safe_dump({"unzip": limits}))
    unzip.main(Path("scratch"), "sample", "characters")


def test_the_tar_holds_sorted_names_and_bytes_only() -> None:
    run("a.zip", zipped(MEMBERS))
    assert TAR.read_bytes() == write_tar(Path("expected.tar"), sorted(MEMBERS.items()))


@pytest.mark.parametrize("name", ["a.zip", "b.gz"])
def test_large_members_need_little_memory(name: str) -> None:
    content = bytes(range(256)) * 200_000
    packed = gzip.compress(content) if name == "b.gz" else zipped({"a": content}, **DEFLATED)
    with bounded(memory=8_000_000):
        run(name, packed)
    assert TAR.stat().st_size > len(content)


def test_a_missing_folder_is_named() -> None:
    run("a.zip", zipped(MEMBERS))
    shutil.rmtree(RAW)
    with pytest.raises(InputError, match=f"{RAW}: nothing there"):
        unzip.main(Path("scratch"), "sample", "characters")


def test_a_refusal_leaves_the_earlier_tar_and_nothing_else() -> None:
    archive = zipped(MEMBERS)
    run("a.zip", archive)
    earlier = TAR.read_bytes()
    for damaged in archive[:-1], archive.replace(b"ten", b"two"):
        with pytest.raises(InputError):
            run("a.zip", damaged)
        assert TAR.read_bytes() == earlier
        assert {path.name for path in Path().iterdir()} == {"data", "params.yaml", "scratch"}
        assert not list(Path("scratch").iterdir())
