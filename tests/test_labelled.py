"""Images with their labels, in all the ways that people have them."""

import csv
import gzip
import io
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from handwriting import InputError, labelled
from tests import pictures
from tests.raw.packing import zipped
from tests.test_cli import idx, tarred

LETTER = pictures.encoded(pictures.letter())
DIGIT = np.asarray(pictures.letter(28, 28).resize((28, 28)))
TREE = {"a/1.png": LETTER, "a/2.png": LETTER, "b/1.png": LETTER, "b/deeper/3.png": LETTER}
LABELS = ["a", "a", "b", "b"]


def unpacked(files: dict[str, bytes], folder: Path) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def table(path: Path, rows: Sequence[tuple[str, ...]], columns: tuple[str, ...]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])
    return path


def labels_of(path: Path, labels: Path | None = None) -> dict[str, str | None]:
    named, found = labelled.read(path, labels)
    return dict(zip((name for name, _ in named), found, strict=True))


def test_the_folder_of_an_image_is_its_class(tmp_path: Path) -> None:
    found, pairs = labels_of(unpacked(TREE, tmp_path / "set")), zip(TREE, LABELS, strict=True)
    assert found == {f"{tmp_path}/set/{name}": label for name, label in pairs}


@pytest.mark.parametrize("root", ["", "root/", "very/deep/"])
@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "folder"])
def test_archives_and_folders_have_classes_below_what_all_images_share(
    kind: str, root: str, tmp_path: Path
) -> None:
    files = {root + name: content for name, content in TREE.items()}
    path = tmp_path / f"set.{kind}"
    if kind == "folder":
        unpacked(files, path)
    else:
        mode = "w:gz" if kind == "tar.gz" else "w"
        path.write_bytes(zipped(files) if kind == "zip" else tarred(files, mode))
    named, labels = labelled.read(path, None)
    assert labels == LABELS
    assert [name.removeprefix(f"{path}/") for name, _ in named] == [*files]


def test_a_tar_as_tar_writes_it_with_entries_of_folders(tmp_path: Path) -> None:
    unpacked(TREE, tmp_path / "set")
    with tarfile.open(tmp_path / "set.tar", "w") as archive:
        archive.add(tmp_path / "set", "./set")
    assert sorted(map(str, labels_of(tmp_path / "set.tar").values())) == LABELS


@pytest.mark.parametrize("classes", [("ä", "ö ü"), ("日本", "中"), ("A b", " c"), ("é", "e\u0301")])
def test_class_names_are_of_any_characters(classes: tuple[str, str], tmp_path: Path) -> None:
    files = {f"{name}/1.png": LETTER for name in classes}
    assert {*labels_of(unpacked(files, tmp_path / "set")).values()} == {*classes}
    (tmp_path / "set.zip").write_bytes(zipped(files))
    assert {*labels_of(tmp_path / "set.zip").values()} == {*classes}


def test_files_beside_the_folders_of_classes_have_no_label_and_junk_is_passed_over(
    tmp_path: Path,
) -> None:
    junk = ("__MACOSX/a/._1.png", "a/.DS_Store", "b/Thumbs.db", ".git/config", "a/._2.png")
    files = TREE | dict.fromkeys(junk, b"x") | {"stray.png": LETTER}
    expected = {**dict(zip(TREE, LABELS, strict=True)), "stray.png": None}
    folder = unpacked(files, tmp_path / "set")
    assert {k.removeprefix(f"{folder}/"): v for k, v in labels_of(folder).items()} == expected
    (tmp_path / "set.zip").write_bytes(zipped(files))
    assert labels_of(tmp_path / "set.zip") == expected


@pytest.mark.parametrize("end", ["", ".gz"])
@pytest.mark.parametrize(
    "names",
    [
        ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
        ("t10k-images.idx3-ubyte", "t10k-labels.idx1-ubyte"),
    ],
)
def test_idx_files_of_images_have_their_labels_beside_them(
    names: tuple[str, str], end: str, tmp_path: Path
) -> None:
    contents = idx(np.stack([DIGIT] * 3)), idx(np.array([7, 0, 7], np.uint8))
    for name, content in zip(names, contents, strict=True):
        (tmp_path / (name + end)).write_bytes(gzip.compress(content) if end else content)
    named, labels = labelled.read(tmp_path / (names[0] + end), None)
    assert labels == ["7", "0", "7"]
    assert [name[-3:] for name, _ in named] == ["[0]", "[1]", "[2]"]


def test_labels_of_an_idx_file_may_be_named(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(idx(np.stack([DIGIT] * 2)))
    (tmp_path / "y").write_bytes(idx(np.array([1, 2], np.uint8)))
    assert labelled.read(tmp_path / "x", tmp_path / "y")[1] == ["1", "2"]
    rows = [(f"{tmp_path}/x[{i}]", "cat") for i in range(2)]
    path = table(tmp_path / "labels.csv", rows, ("path", "label"))
    assert labelled.read(tmp_path / "x", path)[1] == ["cat", "cat"]


def test_a_csv_names_images_relative_to_its_folder_and_missing_ones_are_rows(
    tmp_path: Path,
) -> None:
    unpacked(TREE, tmp_path)
    rows = [("x", "a/1.png", "one"), ("y", "b/1.png", "two"), ("z", "gone.png", "two")]
    path = table(tmp_path / "list.csv", rows, ("other", "path", "label"))
    named, labels = labelled.read(path, None)
    assert labels == ["one", "two", "two"]
    assert [name for name, _ in named] == ["a/1.png", "b/1.png", "gone.png"]
    assert [type(image) for _, image in named[:2]] == [type(tmp_path)] * 2
    assert str(named[2][1]) == "gone.png: no such file"


@pytest.mark.parametrize("whole", [True, False])
def test_labels_come_from_a_csv_in_place_of_folders(whole: bool, tmp_path: Path) -> None:
    folder = unpacked({Path(name).name: LETTER for name in TREE}, tmp_path / "flat")
    rows = [(f"{folder}/{i}.png" if whole else f"{i}.png", f"class {i}") for i in (1, 2, 3)]
    path = table(tmp_path / "labels.csv", rows, ("path", "label"))
    assert [*labels_of(folder, path).values()] == ["class 1", "class 2", "class 3"]


def test_a_csv_as_a_spreadsheet_writes_it(tmp_path: Path) -> None:
    folder = unpacked(TREE, tmp_path / "set")
    text = io.StringIO(newline="")
    csv.writer(text).writerows([("path", "label"), *((name, "x, y") for name in TREE)])
    (tmp_path / "labels.csv").write_bytes(b"\xef\xbb\xbf" + text.getvalue().encode())
    assert {*labels_of(folder, tmp_path / "labels.csv").values()} == {"x, y"}


def test_an_archive_may_have_the_name_of_a_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a").write_bytes(zipped(TREE))
    assert [*labels_of(Path("a")).values()] == LABELS


def test_an_archive_that_is_cut_off_is_named(tmp_path: Path) -> None:
    (path := tmp_path / "set.tar").write_bytes(tarred(TREE)[:2500])
    with pytest.raises(InputError, match=r"set\.tar: not a whole tar archive"):
        labelled.read(path, None)


def cases(at: Path) -> dict[str, tuple[Path, Path | None, str]]:
    """What is wrong, what is given, and the error."""
    tree, flat = unpacked(TREE, at / "tree"), unpacked({"1.png": LETTER}, at / "flat")
    (at / "empty").mkdir()
    few = table(at / "few.csv", [("z/1.png", "a")], ("path", "label"))
    twice = table(at / "twice.csv", [("a/1.png", "a"), ("a/1.png", "b")], ("path", "label"))
    other = table(at / "other.csv", [("a/1.png", "a")], ("file", "class"))
    none = table(at / "none.csv", [], ("path", "label"))
    (at / "binary.csv").write_bytes(bytes(range(256)))
    (at / "short-images").write_bytes(idx(np.stack([DIGIT] * 3)))
    (at / "short-labels").write_bytes(idx(np.array([1, 2], np.uint8)))
    (at / "alone-images").write_bytes(idx(DIGIT[None]))
    (at / "cut.gz").write_bytes(gzip.compress(idx(np.array([1, 2, 3], np.uint8)))[:-9])
    (at / "letter.png").write_bytes(LETTER)
    return {
        "no folders": (flat, None, "flat: no folders of classes; or give --labels FILE.csv"),
        "an image": (at / "letter.png", None, "letter.png: no folders of classes"),
        "no label is of use": (tree, few, "few.csv: no label of any of 4 images: "),
        "two labels of a path": (twice, None, "twice.csv: a path with two labels: a/1.png"),
        "columns of other names": (tree, other, "other.csv: not a CSV with the columns path and"),
        "no CSV": (tree, at / "binary.csv", "binary.csv: not a CSV with the columns"),
        "no labels file": (tree, at / "gone.csv", "gone.csv: No such file or directory"),
        "a labels file that is a folder": (tree, tree, "tree: Is a directory"),
        "an empty table": (none, None, "none.csv: no rows"),
        "labels of another length": (
            at / "short-images",
            None,
            "short-labels: not an idx file",
        ),
        "no labels beside": (
            at / "alone-images",
            None,
            "alone-labels: no labels of the idx file",
        ),
        "labels that are cut off": (
            at / "short-images",
            at / "cut.gz",
            "cut.gz: no labels",
        ),
        "nothing there": (at / "gone", None, "gone: no such file or folder"),
        "an empty folder": (at / "empty", None, "empty: no images in this folder"),
    }


def test_what_has_no_labels_is_one_line_that_names_the_file(tmp_path: Path) -> None:
    for what, (path, labels, expected) in cases(tmp_path).items():
        with pytest.raises(InputError) as raised:
            labelled.read(path, labels)
        text = str(raised.value)
        assert expected in text, what
        assert text.startswith(str(tmp_path)), what
        assert "\n" not in text


def test_an_image_that_the_table_does_not_name_has_no_label(tmp_path: Path) -> None:
    tree = unpacked(TREE, tmp_path / "tree")
    some = table(tmp_path / "some.csv", [("a/1.png", " a ")], ("path", "label"))
    named, labels = labelled.read(tree, some)
    assert dict(zip((name for name, _ in named), labels, strict=True))[f"{tree}/a/1.png"] == "a"
    assert labels.count(None) == len(named) - 1


def test_this_folder_is_a_folder_as_any_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(unpacked(TREE, tmp_path / "tree"))
    assert {*labelled.read(Path(), None)[1]} == {name.split("/")[0] for name in TREE}
