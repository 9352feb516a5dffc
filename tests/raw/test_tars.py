"""tars: the headers are tarfile's, and so is what is found in any tar."""

import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handwriting.core.errors import InputError
from handwriting.raw import tars

pytestmark = pytest.mark.usefixtures("tmp_dir")

TAR = Path("a.tar")
PLAIN = {f"folder/{i}.png": bytes([i]) * (i * 173) for i in range(20)}


def write(members: dict[str, bytes], format: int = tarfile.PAX_FORMAT, mtime: int = 0) -> None:
    with tarfile.open(TAR, "w", format=format) as tar:
        for path, content in members.items():
            info = tarfile.TarInfo(path)
            info.size, info.mtime = len(content), mtime
            tar.addfile(info, io.BytesIO(content))


def found() -> dict[str, bytes]:
    content = TAR.read_bytes()
    return {
        path: content[offset : offset + size] for path, offset, size in tars.listing(TAR).members()
    }


@given(
    path=st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=150),
    size=st.integers(0, 1 << 34),
)
def test_headers_are_those_of_tarfile(path: str, size: int) -> None:
    info = tarfile.TarInfo(path)
    info.size = size
    assert tars.header(path, size) == info.tobuf(tarfile.PAX_FORMAT)


def test_every_file_is_found_with_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    write(PLAIN)
    monkeypatch.setattr(tars, "_any_listing", None)  # it is not needed
    assert found() == PLAIN


@pytest.mark.parametrize("odd", ["é.png", "long/" * 30, "a\u3000b"])
@pytest.mark.parametrize("mtime", [0, 5])
def test_tars_of_other_headers_are_read_by_tarfile(odd: str, mtime: int) -> None:
    members = PLAIN | {f"{odd}x": b"content"}
    write(members, mtime=mtime)
    assert found() == members


def test_a_part_is_of_the_files_in_order() -> None:
    write(PLAIN)
    whole = tars.listing(TAR)
    assert list(whole.part(slice(3, 7)).members()) == list(whole.members())[3:7]


@pytest.mark.parametrize("kept", [0, 100, 512 * 5 + 10])
def test_a_tar_that_is_cut_off_is_called_no_tar(kept: int) -> None:
    write({"a.png": b"1" * 4000, "b.png": b"2" * 4000})
    TAR.write_bytes(TAR.read_bytes()[:kept])
    with pytest.raises(InputError, match=r"^a\.tar: not a tar file: "):
        tars.listing(TAR)
