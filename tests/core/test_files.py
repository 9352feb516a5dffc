"""files: the old content or the new, nothing between, in one form."""

from pathlib import Path
from typing import Any

import pytest

from handwriting.core import files

pytestmark = pytest.mark.usefixtures("tmp_dir")


@pytest.mark.parametrize("error", [RuntimeError("a defect"), OSError(28, "No space left")])
def test_a_file_is_replaced_and_a_block_that_fails_leaves_it_or_nothing(error: Exception) -> None:
    path = Path("a/result.txt")

    def fail() -> None:
        with files.replacing(path, Path()) as temporary:
            temporary.write_text("half of the n")
            raise error

    message = "a defect" if isinstance(error, RuntimeError) else "No space left: 'a/result.txt'"
    with pytest.raises(type(error), match=message):
        fail()
    assert not list(Path().iterdir())
    for content in (b"older", b"old"):
        files.write_bytes(path, content, Path())
    with pytest.raises(type(error)):
        fail()
    assert path.read_text() == "old"
    assert list(Path().rglob("*")) == [path.parent, path]  # and no temporary file


def test_a_link_is_replaced_and_its_target_left_alone() -> None:
    """DVC's cache may be linked into the workspace, and must never be written through."""
    cached, path = Path("cached"), Path("result.txt")
    cached.write_text("in the cache")
    path.symlink_to(cached)
    files.write_bytes(path, b"new", Path())
    assert cached.read_text() == "in the cache"
    assert not path.is_symlink()
    assert path.read_text() == "new"


def test_json_is_rounded_and_diffs_by_line() -> None:
    content = {"b": 0.123456789, "a": [1, 2.0, {"é": (1e-7, True, None, "0.123456789")}]}
    files.write_json(Path("a.json"), content, Path())
    assert Path("a.json").read_text(encoding="utf-8") == (
        '{\n  "b": 0.12346,\n  "a": [\n    1,\n    2.0,\n    {\n      "é": [\n        0.0,\n'
        '        true,\n        null,\n        "0.123456789"\n      ]\n    }\n  ]\n}\n'
    )


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_json_has_only_numbers(number: Any) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(Path("a.json"), {"a": [number]}, Path())
    assert not Path("a.json").exists()


def test_csv_is_rounded_and_quoted() -> None:
    rows: list[list[Any]] = [[1, 0.123456789, "a,b"], [2, None, "é\n"]]
    files.write_csv(Path("a.csv"), ["n", "x", "text"], rows, Path())
    expected = 'n,x,text\n1,0.12346,"a,b"\n2,,"é\n"\n'
    assert Path("a.csv").read_bytes() == expected.encode()
