"""tars: the bytes that tarfile writes, and a listing of any tar."""

import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from handwriting.core.errors import InputError
from handwriting.raw import tars
from handwriting.raw.archives import Member

pytestmark = pytest.mark.usefixtures("tmp_dir")

TAR = Path("a.tar")
PLAIN = {f"folder/{i}.png": bytes([i]) * (i * 173) for i in range(20)}


def write(members: dict[str, bytes], mtime: int = 0) -> bytes:
    """Write a tar by tarfile, and return its bytes."""
    with tarfile.open(TAR, "w", format=tarfile.PAX_FORMAT) as tar:
        for path, content in members.items():
            info = tarfile.TarInfo(path)
            info.size, info.mtime = len(content), mtime
            tar.addfile(info, io.BytesIO(content))
    return TAR.read_bytes()


def found() -> dict[str, bytes]:
    content = TAR.read_bytes()
    return {
        path: content[offset : offset + size] for path, offset, size in tars.listing(TAR).members()
    }


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=150),
        st.binary(max_size=2000),
        max_size=4,
    )
)
def test_a_tar_is_the_one_that_tarfile_writes(members: dict[str, bytes]) -> None:
    expected = write(members)
    tars.write(TAR, [Member(path, len(x), [x].__iter__) for path, x in members.items()])
    assert TAR.read_bytes() == expected


@pytest.mark.parametrize("odd", ["a", "é.png", "long/" * 30, "a\u3000b"])
@pytest.mark.parametrize("mtime", [0, 5])
def test_every_file_is_found_with_its_bytes(odd: str, mtime: int) -> None:
    members = PLAIN | {f"{odd}x": b"content"}
    write(members, mtime)
    assert found() == members


def test_a_part_is_of_the_files_in_order() -> None:
    write(PLAIN)
    whole = tars.listing(TAR)
    assert list(whole.part(slice(3, 7)).members()) == list(whole.members())[3:7]


@pytest.mark.parametrize("kept", [0, 100, 512 * 5 + 10])
def test_a_truncated_tar_is_refused(kept: int) -> None:
    content = write({"a.png": b"1" * 4000, "b.png": b"2" * 4000})
    TAR.write_bytes(content[:kept])
    with pytest.raises(InputError, match=r"^a\.tar: not a tar file: "):
        tars.listing(TAR)
