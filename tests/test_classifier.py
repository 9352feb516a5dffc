"""The classifier and its command, on networks that the pipeline made."""

import csv
import io
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from handwriting.classifier import Classifier
from handwriting.core import files
from handwriting.core.errors import InputError
from handwriting.data import dataset
from handwriting.training import checkpoint
from tests import pictures, workspace

LETTER = pictures.encoded(pictures.letter())


def zipped(name: str, content: bytes) -> bytes:
    """A zip archive of one file."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr(name, content)
    return archive.getvalue()


@pytest.fixture
def model_file(reproduced: Path, tmp_dir: Path) -> Path:
    """A checkpoint in a folder with nothing else than the code."""
    (tmp_dir / "handwriting").symlink_to(workspace.ROOT / "handwriting")
    return Path(shutil.copy(reproduced / "artifacts/sample/characters.pt", "letters.pt"))


def predict(*words: Path | str, check: bool = True) -> subprocess.CompletedProcess[str]:
    command = ("python", "-m", "handwriting", "predict", *map(str, words))
    return workspace.run(Path(), *command, check=check)


def test_a_checkpoint_alone_answers_label_index_and_probabilities(model_file: Path) -> None:
    classifier = Classifier(model_file)
    label, index, probabilities = classifier.predict(LETTER)
    assert classifier.classes[index] == label
    assert probabilities.shape == (62,)
    assert probabilities.sum() == pytest.approx(1, abs=1e-5)


def test_networks_that_do_not_answer_alike_are_refused_together(reproduced: Path) -> None:
    folder = reproduced / "artifacts/sample"
    mixed = checkpoint.load(folder / "characters.pt") + checkpoint.load(folder / "mnist-random.pt")
    with pytest.raises(InputError, match="different classes"):
        Classifier(mixed)


def test_the_answer_does_not_depend_on_polarity_mode_or_format(model_file: Path) -> None:
    classifier = Classifier(model_file)
    expected = classifier.predict(LETTER).probabilities
    for name, content in pictures.exact().items():
        assert np.allclose(classifier.predict(content).probabilities, expected, atol=1e-5), name


def test_a_file_is_answered_as_evaluate_answers_its_row(reproduced: Path) -> None:
    classifier = Classifier(reproduced / "artifacts/sample/characters.pt")
    tensors = reproduced / "data/tensors/sample/characters"
    split = dataset.load(tensors / "train.safetensors")
    with zipfile.ZipFile(reproduced / "data/sample/trainPart1.zip") as archive:
        for row in files.read_csv(tensors / "sources.csv")[:5]:
            answer = classifier.predict(archive.read(row["source"]))
            i = slice(int(row["row"]), int(row["row"]) + 1)
            expected = classifier.probabilities(split.images[i], split.geometry[i])[0]
            assert np.array_equal(expected, answer.probabilities)


def test_files_folders_and_zips_become_sorted_rows(model_file: Path) -> None:
    Path("folder/inner").mkdir(parents=True)
    for name in ("folder/b.png", "folder/a.PNG", "folder/inner/c.jpg", "single.png"):
        Path(name).write_bytes(LETTER)
    Path("folder/notes.txt").write_text("not an image")
    Path("some.zip").write_bytes(zipped("in/it.png", LETTER))
    printed = predict(model_file, "single.png", "some.zip", "folder").stdout
    header, *rows = csv.reader(printed.splitlines())
    assert header == ["path", "label", "confidence"]
    names = " ".join(row[0] for row in rows)
    assert names == "folder/a.PNG folder/b.png folder/inner/c.jpg single.png some.zip/in/it.png"
    assert all(0 < float(row[2]) <= 1 for row in rows)
    assert predict(model_file, "some.zip").stdout.splitlines()[1].startswith("in/it.png,")


def test_pages_that_pack_well_are_read_and_what_is_too_large_is_not(model_file: Path) -> None:
    page = pictures.encoded(pictures.letter(1200, 900), "BMP")
    packed = zipped("page.bmp", page)
    assert len(page) > 200 * len(packed)
    Path("pages.zip").write_bytes(packed)
    assert "page.bmp," in predict(model_file, "pages.zip").stdout
    Path("bomb.zip").write_bytes(zipped("big.png", bytes((200 << 20) + 1)))
    done = predict(model_file, "bomb.zip", check=False)
    assert done.returncode == 1
    assert "bomb.zip: big.png: 209,715,201 bytes are too many for an image file" in done.stderr


def test_one_image_is_answered_the_same_with_its_writer_and_two_are_not(model_file: Path) -> None:
    Path("one.png").write_bytes(LETTER)
    ImageOps.expand(pictures.letter(), 200, 255).save("two.png")
    for images, same in ((["one.png"], True), (["one.png", "two.png"], False)):
        alone = predict(model_file, *images).stdout
        assert (alone == predict(model_file, *images, "--same-writer").stdout) == same


def test_networks_answer_by_their_mean_and_with_geometry_adapt_to_writers(reproduced: Path) -> None:
    tensors = reproduced / "data/tensors/sample/characters"
    split = dataset.load(tensors / "train.safetensors").rows(slice(200))
    writers = dataset.load_writers(tensors / "writers.csv")[:200]
    path = reproduced / "artifacts/sample/crossvalidation/seen-writers.pt"
    both, each = Classifier(path), Classifier.all_of(path)
    assert len(each) == 2
    single, adapted = (
        [one.probabilities(split.images, split.geometry, known) for one in (both, *each)]
        for known in (None, writers)
    )
    for together, *apart in (single, adapted):
        assert np.allclose(together, np.mean(apart, axis=0), atol=1e-6)
    assert not np.allclose(adapted[0], single[0], atol=1e-3)
    alone = both.probabilities(split.images)
    assert np.array_equal(both.probabilities(split.images, None, writers), alone)
    digits = Classifier(reproduced / "artifacts/sample/mnist-random.pt")
    size = digits.shape.size
    images = np.random.default_rng(0).integers(0, 256, (200, 1, size, size), np.uint8)
    said = digits.probabilities(images, split.geometry, writers)
    assert np.array_equal(said, digits.probabilities(images))


def test_the_output_file_is_the_table_that_is_printed(model_file: Path) -> None:
    Path("single.png").write_bytes(LETTER)
    before = set(Path().iterdir())
    predict(model_file, "single.png", "--output=table.csv")
    assert set(Path().iterdir()) - before == {Path("table.csv")}
    assert Path("table.csv").read_text() == predict(model_file, "single.png").stdout


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("blank.png", pictures.encoded(Image.new("L", (300, 200), 255)), "a blank image"),
        ("text.png", b"hello", "not an image"),
        ("half.png", LETTER[: len(LETTER) // 2], "a damaged image"),
        ("bad.zip", b"PK\x03\x04 nothing", "not a whole zip archive"),
        ("some.zip", zipped("folder/bad.png", b"hello"), "folder/bad.png: not an image"),
    ],
)
def test_bad_input_is_one_line_that_names_the_file_and_leaves_nothing(
    name: str, content: bytes, problem: str, model_file: Path
) -> None:
    Path(name).write_bytes(content)
    done = predict(model_file, name, "--output=table.csv", check=False)
    [line] = done.stderr.splitlines()
    assert done.returncode == 1
    assert line.startswith(f"predict: {name}: {problem}")
    assert not Path("table.csv").exists()


@pytest.mark.parametrize(
    ("word", "problem"),
    [
        ("", "empty path; use ./ for the current folder"),
        ("--output=folder", "--output folder: a folder, not a file"),
    ],
)
def test_an_empty_path_and_a_folder_as_output_are_refused(
    word: str, problem: str, model_file: Path
) -> None:
    Path("folder").mkdir()
    Path("one.png").write_bytes(LETTER)
    before = set(Path().iterdir())
    done = predict(model_file, "one.png", word, check=False)
    assert (done.returncode, done.stderr) == (1, f"predict: {problem}\n")
    assert set(Path().iterdir()) == before


def test_a_missing_image_is_named(model_file: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.png"):
        Classifier(model_file).predict("absent.png")
