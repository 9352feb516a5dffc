"""`handwriting diagnose`: what it says of people's own labels, what it writes, and its errors."""

import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image, ImageDraw

import handwriting
from handwriting import InputError, cli, labels_command, labels_report
from handwriting.labels import Diagnosed
from handwriting.labels_command import CLEAN, FAULTS, UNREADABLE
from handwriting.noise import examination, ranking
from handwriting.noise.diagnosis import Diagnosis
from handwriting.noise.ranking import Row
from handwriting.training import checkpoint, model
from handwriting.training.checkpoint import Run, Saved
from tests import digits, networks, pictures, workspace
from tests.raw.packing import zipped
from tests.test_labelled import table, unpacked

FILES = ("cleaned.csv", "diagnosis.json", "images.csv", "report.html")
ODD = 'it\'s "1" & <i>\x07\x1b[31m.png'  # a name of a file
USUAL = {name: getattr(examination, name) for name in ("fresh_network", "usual_effort")}
Draw = Callable[[ImageDraw.ImageDraw, tuple[int, ...]], None]
SHAPES: dict[str, Draw] = {
    "<b>bold": lambda draw, box: draw.rectangle(box, outline=0, width=4),
    "ö ü": lambda draw, box: draw.ellipse(box, fill=0),
    "cross": lambda draw, box: draw.line((*box, box[2], box[1], box[0], box[3]), fill=0, width=5),
}


def shape(name: str, rng: np.random.Generator) -> Image.Image:
    """A shape of some size somewhere, turned a little, on paper with specks."""
    image = Image.new("L", (64, 64), 255)
    x, y = rng.integers(4, 16, 2).tolist()
    width, height = rng.integers(28, 44, 2).tolist()
    SHAPES[name](ImageDraw.Draw(image), (x, y, x + width, y + height))
    return image.rotate(rng.uniform(-15, 15), fillcolor=255)


def drawn(each: int, seed: int = 0) -> dict[str, bytes]:
    """So many files of each shape, in a folder for it."""
    rng = np.random.default_rng(seed)
    return {
        f"{name}/{i:03d}.png": pictures.encoded(shape(name, rng))
        for name in SHAPES
        for i in range(each)
    }


def diagnose(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command in this process."""
    out, err = io.StringIO(), io.StringIO()
    argv = ["handwriting", "diagnose", *map(str, words)]
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", argv)
        with pytest.raises(SystemExit) as ended:
            cli.main()
    assert isinstance(ended.value.code, int), ended.value.code
    return subprocess.CompletedProcess(argv, ended.value.code, out.getvalue(), err.getvalue())


@pytest.fixture(autouse=True, scope="module")
def small() -> Iterator[None]:
    """Networks that fit a test's time; the slow tests are of those that users get."""
    tiny = replace(networks.SHAPE, widths=(16, 16, 32))
    usual = examination.usual_effort
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(labels_command, "cpu_count", lambda: 1)
        patch.setattr(examination, "usual_effort", lambda *x: replace(usual(*x), folds=2))
        patch.setattr(
            examination,
            "fresh_network",
            lambda split: model.fresh(replace(tiny, classes=split.classes), "labels", 0),
        )
        yield


@pytest.fixture
def real_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What users get."""
    for name, value in USUAL.items():
        monkeypatch.setattr(examination, name, value)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return [*csv.DictReader(file)]


class Examined(NamedTuple):
    """A set with faults, what was said of it and what was written."""

    folder: Path
    output: Path
    done: subprocess.CompletedProcess[str]
    wrong: set[str]  # paths in the set

    def table(self) -> dict[str, dict[str, str]]:
        start = f"{self.folder}/"
        return {each["path"].removeprefix(start): each for each in rows(self.output / "images.csv")}

    def page(self) -> str:
        return (self.output / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def examined(tmp_path_factory: pytest.TempPathFactory) -> Examined:
    """Shapes: four of them in the folder of another, and all kinds of files that are none."""
    at = tmp_path_factory.mktemp("labels")
    files, wrong = drawn(60), set[str]()
    for i, (name, other) in enumerate([("cross", "ö ü"), ("ö ü", "<b>bold")] * 2):
        content = files.pop(f"{name}/{i:03d}.png")
        files[moved := f"{other}/moved {i}.png"] = content
        wrong.add(moved)
    files[f"cross/{ODD}"] = files.pop("cross/050.png")
    files["cross/blank.png"] = pictures.encoded(Image.new("L", (64, 64), 255))
    files["cross/broken.png"] = b"\x89PNG\r\n\x1a\n and no more"
    files["stray.png"] = files.pop("cross/051.png")
    files |= dict.fromkeys(("cross/.DS_Store", "cross/Thumbs.db", "readme.txt"), b"not an image")
    folder = unpacked(files, at / "set")
    output = at / "out"
    return Examined(folder, output, diagnose(folder, "--output", output), wrong)


def test_faults_are_exit_status_3_and_the_verdict_is_the_first_line(examined: Examined) -> None:
    assert examined.done.returncode == FAULTS == 3
    assert examined.done.stderr == ""
    verdict, *more = examined.done.stdout.splitlines()
    assert verdict == json.loads((examined.output / "diagnosis.json").read_text())["sentence"] + "."
    assert any(line.startswith("What cannot be known: no network that knows") for line in more)
    assert any(line.startswith("Listed: ") and " images. To look at: " in line for line in more)
    assert "\x1b" not in examined.done.stdout


def test_four_files_are_written_and_nothing_else(examined: Examined) -> None:
    assert sorted(path.name for path in examined.output.iterdir()) == [*FILES]


def test_every_image_is_in_the_table_once_and_junk_is_not(examined: Examined) -> None:
    listed = [each["path"] for each in rows(examined.output / "images.csv")]
    junk = {"readme.txt", ".DS_Store", "Thumbs.db"}
    files = (each for each in examined.folder.rglob("*") if each.is_file())
    assert sorted(listed) == sorted(str(each) for each in files if each.name not in junk)


def test_the_table_has_the_wrong_labels_first_with_what_they_should_be(examined: Examined) -> None:
    table = examined.table()
    assert next(iter(table)) == "cross/blank.png"
    read = [path for path, row in table.items() if row["suggested"]]
    assert {*read[:4]} == examined.wrong
    suggested = {"ö ü/moved 0.png": "cross", "<b>bold/moved 1.png": "ö ü"}
    for path, label in suggested.items():
        assert table[path]["suggested"] == label
        assert table[path]["given"] == path.split("/")[0]
        assert table[path]["reason"] == "label"
        assert float(table[path]["p_wrong"]) > 0.5
    header = (examined.output / "images.csv").read_text().splitlines()[0]
    assert header == "path,given,suggested,p_wrong,p_suggested,reason"


def test_images_that_are_blank_or_broken_or_in_no_folder_are_rows_with_a_reason(
    examined: Examined,
) -> None:
    table = examined.table()
    assert table["cross/blank.png"]["reason"] == "blank"
    assert table["cross/blank.png"]["given"] == "cross"
    assert table["cross/broken.png"]["reason"]
    assert "broken.png" not in table["cross/broken.png"]["reason"]
    assert table["stray.png"]["reason"] == "without a label"
    for path in ("cross/broken.png", "stray.png", "cross/blank.png"):
        assert table[path]["suggested"] == ""


def test_the_cleaned_table_has_what_is_worth_training_on(examined: Examined) -> None:
    cleaned = {
        row["path"].removeprefix(f"{examined.folder}/"): row["label"]
        for row in rows(examined.output / "cleaned.csv")
    }
    table = examined.table()
    assert not {"cross/blank.png", "cross/broken.png", "stray.png"} & {*cleaned}
    for path, label in cleaned.items():
        wrong = float(table[path]["p_wrong"]) > 0.5
        assert label == table[path]["suggested" if wrong else "given"]
    assert len(cleaned) >= 3 * 60 - 2 - len(examined.wrong)
    assert [*cleaned] == sorted(cleaned)


def test_the_cleaned_table_is_a_set_that_is_diagnosed_in_turn(
    examined: Examined, tmp_path: Path
) -> None:
    done = diagnose(examined.output / "cleaned.csv", "--output", tmp_path / "again")
    assert done.returncode == CLEAN, done.stdout
    assert len(rows(tmp_path / "again/images.csv")) == len(rows(examined.output / "cleaned.csv"))


def test_the_diagnosis_says_kind_classes_matrix_and_interval(examined: Examined) -> None:
    found = json.loads((examined.output / "diagnosis.json").read_text())
    keys = (
        "version images reasons to_look_at limits kind sentence concerned clean_fraction low high"
    )
    assert {*keys.split(), "bic", "classes", "matrix", "estimated"} == {*found}
    assert found["classes"] == sorted(SHAPES)
    assert np.sum(found["matrix"], 1) == pytest.approx([1] * 3, abs=1e-3)
    assert found["images"] == len(rows(examined.output / "images.csv"))
    table = rows(examined.output / "images.csv")
    reasons = [each["reason"].partition(":")[0] for each in table]
    assert found["reasons"] == {each: reasons.count(each) for each in {*reasons} - {""}}
    assert found["low"] <= found["clean_fraction"] <= found["high"]
    assert [*found["to_look_at"]] == ["0.8", "0.95", "0.99"]
    assert sorted(found["to_look_at"].values()) == [*found["to_look_at"].values()]


class Page(HTMLParser):
    """The tags of a page, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_report_is_one_file_that_asks_nobody_for_anything(examined: Examined) -> None:
    page = Page(examined.page())
    assert not {tag for tag, _ in page.tags} & {"script", "iframe", "object", "form", "base"}
    for tag, about in page.tags:
        for name in ("src", "href", "srcset", "action"):
            assert (about.get(name) or "data:").startswith("data:"), tag
        assert not [name for name in about if name.startswith("on")]
    assert not re.search(r"url\(|@import|https?://", examined.page())
    policy = [about for tag, about in page.tags if about.get("http-equiv")]
    assert "default-src 'none'" in str(policy[0]["content"])


def test_the_report_shows_verdict_matrix_and_the_worst_images(examined: Examined) -> None:
    page = Page(examined.page())
    assert json.loads((examined.output / "diagnosis.json").read_text())["sentence"] in page.text
    images = [about for tag, about in page.tags if tag == "img"]
    assert {"moved 0.png", "moved 1.png"} <= {str(each["alt"]).split("/")[-1] for each in images}
    assert page.text.count("ö ü") >= 3
    assert "Called ö ü, likely cross" in page.text
    assert "Blank, not read or without a label" in page.text
    for share in ("80%", "95%", "99%"):
        assert share in page.text


@pytest.mark.parametrize("count", [3, 41])
def test_a_class_without_images_has_no_row_of_the_matrix(count: int) -> None:
    classes, matrix = tuple(f"class {i}" for i in range(count)), np.full((count, count), 1 / count)
    table = [Row(f"{each}.png", each, classes[0], 0.1, 0.1, "") for each in classes[1:]]
    table[1] = Row("moved.png", classes[2], classes[1], 0.9, 0.9, "label")
    diagnosis = Diagnosis("clean", matrix, matrix, 1, (1, 1), {})
    pixels = {"moved.png": np.zeros((28, 28), np.uint8)}
    found = Diagnosed(classes, table, diagnosis, [], pixels)
    written, page = labels_report.summary(found), labels_report.page(found, "a set")
    for name in ("matrix", "estimated"):
        assert [each is None for each in written[name]] == [each in (0, 2) for each in range(count)]
    assert page.count(">no images</td>") == (2 if count == 3 else 0)
    assert ("An empty row: no images" in page) == (count == 41)


def test_the_report_escapes_names_of_classes_and_files(examined: Examined) -> None:
    page = examined.page()
    assert "<b>" not in page
    assert "&lt;b&gt;bold" in page
    parsed = Page(page)
    assert "<b>bold" in parsed.text
    assert not {tag for tag, _ in parsed.tags} & {"b", "i"}


def test_names_with_control_characters_are_shown_without_them(tmp_path: Path) -> None:
    files = drawn(12) | {f"cross/{ODD}": b"\x89PNG\r\n\x1a\n and no more"}
    done = diagnose(unpacked(files, tmp_path / "s\x1b[1met"), "--output", tmp_path / "out")
    page = (tmp_path / "out/report.html").read_text(encoding="utf-8")
    assert [each for each in done.stdout + page if not each.isprintable() and each != "\n"] == []
    assert 'it\'s "1" & <i>' in Page(page).text
    assert "<i>" not in page
    (row,) = (each for each in rows(tmp_path / "out/images.csv") if "it's" in each["path"])
    assert row["path"].endswith(ODD)


@pytest.mark.parametrize("kind", ["folder", "zip", "csv"])
def test_clean_labels_are_exit_status_0_however_they_are_packed(kind: str, tmp_path: Path) -> None:
    files, path = drawn(30), tmp_path / kind
    if kind == "zip":
        path.write_bytes(zipped(files))
    else:
        unpacked(files, tmp_path if kind == "csv" else path)
    if kind == "csv":
        table(path, [(name, name.split("/")[0]) for name in files], ("path", "label"))
    done = diagnose(path)
    assert done.returncode == CLEAN == 0, done.stdout
    assert done.stdout.startswith("The labels are clean: ")
    assert {each.name for each in tmp_path.iterdir()} <= {kind, *SHAPES}


def test_a_folder_that_cannot_be_written_to_is_said_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    done = diagnose(unpacked(drawn(4), tmp_path / "set"), "--output", tmp_path / "file/out")
    problem = f"diagnose: {tmp_path}/file/out: not a folder that can be written to\n"
    assert (done.returncode, done.stdout, done.stderr) == (UNREADABLE, "", problem)


@pytest.mark.parametrize("what", ["no folders", "missing label", "one class", "nothing there"])
def test_what_cannot_be_examined_is_exit_status_2_one_line_and_no_file(
    what: str, tmp_path: Path
) -> None:
    files, words = drawn(4), list[str | Path]()
    if what == "no folders":
        files = {Path(name).name: content for name, content in files.items()}
    if what == "one class":
        files = {name: content for name, content in files.items() if "cross" in name}
        files = {f"{name}/x.png": next(iter(files.values())) for name in ("cross",)} | files
    folder = unpacked(files, tmp_path / "set")
    if what == "missing label":
        words = [
            "--labels",
            table(tmp_path / "few.csv", [("cross/000.png", "x")], ("path", "label")),
        ]
    if what == "nothing there":
        folder = tmp_path / "gone"
    done = diagnose(folder, *words, "--output", tmp_path / "out")
    assert done.returncode == UNREADABLE == 2
    assert done.stdout == ""
    assert done.stderr.startswith("diagnose: ")
    assert done.stderr.count("\n") == 1
    assert not [*tmp_path.glob("out/*")]
    assert not (tmp_path / "out").exists()


def test_a_set_of_no_images_that_can_be_read_is_an_error(tmp_path: Path) -> None:
    files = {f"{name}/{i}.png": b"\x89PNG\r\n\x1a\n" for name in "ab" for i in range(5)}
    done = diagnose(unpacked(files, tmp_path / "set"))
    assert done.returncode == UNREADABLE
    assert "0 images that can be read" in done.stderr


@pytest.fixture
def digits_model(tmp_path: Path) -> Path:
    """A checkpoint of a network of the ten digits, with random weights."""
    network = model.fresh(replace(networks.SHAPE, widths=(8, 8, 8)), "a test", 0).eval()
    checkpoint.save([Saved(network, Run(data="test"), {})], tmp_path / "digits.pt", tmp_path)
    return tmp_path / "digits.pt"


def test_a_model_that_does_not_know_the_classes_is_an_error_that_names_them(
    digits_model: Path, tmp_path: Path
) -> None:
    done = diagnose(unpacked(drawn(4), tmp_path / "set"), "--model", digits_model)
    assert done.returncode == UNREADABLE
    assert ": the network knows no class <b>bold, cross, " in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_model_that_is_none_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "model.pt").write_bytes(b"none")
    done = diagnose(unpacked(drawn(4), tmp_path / "set"), "--model", tmp_path / "model.pt")
    assert (done.returncode, done.stdout) == (UNREADABLE, "")
    assert done.stderr.startswith(f"diagnose: {tmp_path}/model.pt: ")


def test_a_model_of_more_classes_than_there_are_is_of_use(digits_model: Path) -> None:
    split = digits.split(200)
    kept = np.flatnonzero(split.labels < 3)
    images = [split.images[i, 0] for i in kept]
    found = handwriting.diagnose(images, split.labels[kept].tolist(), digits_model)
    assert {"0", "1", "2"} <= {*found.classes}
    assert len(found.rows) == len(kept)


def test_a_model_that_takes_geometry_is_of_use_for_its_own_classes(tmp_path: Path) -> None:
    shape_of = replace(networks.SHAPE, widths=(8, 8, 8), geometry_channels=4)
    network = model.fresh(shape_of, "a test", 0).eval()
    path = tmp_path / "characters.pt"
    checkpoint.save([Saved(network, Run(data="test"), {})], path, tmp_path)
    split = digits.split(200)
    found = handwriting.diagnose([*split.images[:, 0]], split.labels.tolist(), path)
    assert found.classes == shape_of.classes
    assert len(found.rows) == 200


def test_arrays_and_labels_of_any_type_are_diagnosed_from_python() -> None:
    rng = np.random.default_rng(0)
    given = [np.asarray(shape(name, rng)) for _ in range(100) for name in ("cross", "ö ü")]
    truth, wrong = np.array([1, 0] * 100), rng.choice(np.arange(1, 200), 20, replace=False)
    labels_ = truth.copy()
    labels_[wrong] = 1 - truth[wrong]
    found = handwriting.diagnose(given, labels_)
    assert found.classes == ("0", "1")
    assert len({row.path for row in found.rows[:20]} & {f"image {i}" for i in wrong}) >= 17
    assert not found.clean
    assert len(found.rows) == 200
    assert "are correct" in found.sentence
    assert dict(found.cleaned())["image 0"] == "1"
    assert found.to_look_at()[0.8] <= found.to_look_at()[0.99] <= 200


def test_an_image_that_cannot_be_read_is_a_row_from_python_too() -> None:
    rng = np.random.default_rng(0)
    given: list[Any] = [shape(name, rng) for _ in range(12) for name in ("cross", "ö ü")]
    given[3] = np.zeros((0, 4))
    found = handwriting.diagnose(given, ["a", "b"] * 12)
    (row,) = (each for each in found.rows if each.path == "image 3")
    assert row.p_wrong is None
    assert "shape" in row.reason


@pytest.mark.parametrize(
    ("count", "labels_", "expected"),
    [
        (4, ["a"] * 3, "4 images and 3 labels"),
        (4, ["a"] * 4, "4 images that can be read, of 1 classes: 2 to 200 classes are needed"),
        (4, ["a", "b", "c", "d"], "4 images that can be read, of 4 classes"),
        (0, [], "0 images that can be read"),
        (402, [*range(201)] * 2, "402 images that can be read, of 201 classes"),
    ],
)
def test_too_few_or_too_many_classes_are_an_error(
    count: int, labels_: list[Any], expected: str
) -> None:
    rng = np.random.default_rng(0)
    given = [shape("cross", rng) for _ in range(count)]
    with pytest.raises(InputError, match=re.escape(expected)):
        handwriting.diagnose(given, labels_)


def test_classes_that_are_numbers_are_in_their_order_and_classes_of_few_images_are_said() -> None:
    rng = np.random.default_rng(0)
    given = [shape(name, rng) for _ in range(20) for name in SHAPES]
    found = handwriting.diagnose(given, [10, 9, "x"] * 3 + [10, 9, 9] * 17)
    assert found.classes == ("9", "10", "x")
    assert any(each.endswith("of which little can be said: x (3)") for each in found.limits)


@pytest.mark.slow
@pytest.mark.usefixtures("real_networks")
def test_200_classes_of_a_few_images_each_are_examined(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    patterns = rng.random((200, 7, 7)) > 0.5
    given = []
    for pattern in np.repeat(patterns, 6, axis=0):
        image = np.kron(pattern, np.ones((8, 8))) * 255
        image[rng.random(image.shape) < 0.02] = 255
        given.append(255 - np.pad(image, 6).astype(np.uint8))
    found = handwriting.diagnose(given, np.repeat(np.arange(200), 6))
    assert len(found.classes) == 200
    assert len(found.rows) == 1200
    labels_report.write(found, "many", tmp_path)
    assert "label matrix" in (tmp_path / "report.html").read_text()


@pytest.mark.slow
@pytest.mark.usefixtures("real_networks")
def test_a_set_of_digits_with_two_classes_exchanged_is_named_by_the_pipeline_s_network(
    reproduced: Path, tmp_path: Path
) -> None:
    split = digits.split(1000)
    target = np.arange(10)
    target[[3, 8]] = [8, 3]
    files = {
        f"{target[label]}/{i}.png": pictures.encoded(Image.fromarray(image[0]))
        for i, (image, label) in enumerate(zip(split.images, split.labels, strict=True))
    }
    network = reproduced / "artifacts/sample/mnist-characters.pt"
    done = diagnose(unpacked(files, tmp_path / "set"), "--model", network, "--output", tmp_path)
    assert done.returncode == FAULTS
    assert "3 and 8 are exchanged" in done.stdout


def test_the_command_says_what_is_missing_without_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "handwriting.labels", None)
    monkeypatch.delattr(handwriting, "labels", raising=False)
    done = diagnose(unpacked(drawn(2), tmp_path / "set"))
    assert done.returncode == UNREADABLE
    assert "pip install 'handwriting[train]'" in done.stderr


def test_the_command_is_in_the_help() -> None:
    done = workspace.run(workspace.ROOT, sys.executable, "-m", "handwriting", "diagnose", "--help")
    for word in ("--labels", "--output", "--model", "exit status 3"):
        assert word in done.stdout
    assert labels_command.CLEAN == 0
    assert 0.5 < ranking.SURE < 1
