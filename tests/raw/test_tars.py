"""tars: the bytes that tarfile writes, and a listing of any tar."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from handwriting.core.errors import InputError
from handwriting.raw import tars
from handwriting.raw.archives import Member
from tests.raw.packing import write_tar

pytestmark = pytest.mark.usefixtures("tmp_dir")

TAR = Path("a.tar")
PLAIN = {f"folder/{i}.png": bytes([i]) * (i * 173) for i in range(20)}
PATHS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=150)


@settings(deadline=None)  # the machine may be busy
@given(st.dictionaries(PATHS, st.binary(max_size=2000), max_size=4))
def test_a_tar_is_the_one_that_tarfile_writes(members: dict[str, bytes]) -> None:
    expected = write_tar(TAR, members.items())
    tars.write(TAR, [Member(path, len(x), [x].__iter__) for path, x in members.items()])
    assert TAR.read_bytes() == expected


@pytest.mark.parametrize("odd", ["a", "é.png", "long/" * 30, "a\u3000b"])
@pytest.mark.parametrize("mtime", [0, 5])
def test_every_file_is_found_and_a_part_is_of_the_files_in_order(odd: str, mtime: int) -> None:
    members = PLAIN | {f"{odd}x": b"content"}
    content, whole = write_tar(TAR, members.items(), mtime), tars.listing(TAR)
    found = {path: content[start : start + size] for path, start, size in whole.members()}
    assert found == members
    assert list(whole.part(slice(3, 7)).members()) == list(whole.members())[3:7]


@pytest.mark.parametrize("kept", [0, 100, 512 * 5 + 10])
def test_a_truncated_tar_is_refused(kept: int) -> None:
    content = write_tar(TAR, {"a.png": b"1" * 4000, "b.png": b"2" * 4000}.items())
    TAR.write_bytes(content[:kept])
    with pytest.raises(InputError, match=r"^a\.tar: not a tar file: "):
        tars.listing(TAR)
