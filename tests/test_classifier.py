"""The classifier and its command, on networks that the pipeline made."""

import csv
import io
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from handwriting.classifier import Classifier
from handwriting.core.errors import InputError
from handwriting.data import dataset
from handwriting.training import checkpoint
from tests import workspace


def drawing(ink: str, paper: str, mode: str = "RGB", size: tuple[int, int] = (300, 200)) -> bytes:
    """A thick slanted stroke, as a PNG."""
    image = Image.new("RGB", size, paper)
    ImageDraw.Draw(image).line([(120, 160), (170, 40)], fill=ink, width=16)
    buffer = io.BytesIO()
    image.convert(mode).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def model_file(reproduced: Path, tmp_dir: Path) -> Path:
    """A checkpoint, alone in an empty folder."""
    return Path(shutil.copy(reproduced / "artifacts/sample/characters.pt", tmp_dir / "letters.pt"))


def predict(*arguments: str | Path, check: bool = True) -> tuple[int, str, str]:
    """(exit status, output, errors) of the command line, run in the project's root."""
    words = [
        str(Path(each).absolute()) if not str(each).startswith("-") else str(each)
        for each in arguments
    ]
    done = workspace.run(
        workspace.ROOT, "python", "-m", "handwriting", "predict", *words, check=check
    )
    return done.returncode, done.stdout, done.stderr


def test_a_checkpoint_alone_answers_label_index_and_probabilities(model_file: Path) -> None:
    classifier = Classifier(model_file)
    label, index, probabilities = classifier.predict(drawing("black", "white"))
    assert classifier.classes[index] == label
    assert probabilities.shape == (62,)
    assert probabilities.sum() == pytest.approx(1, abs=1e-5)


def test_several_networks_in_a_file_answer_by_the_mean_of_their_probabilities(
    reproduced: Path,
) -> None:
    path = reproduced / "artifacts/sample/characters-ensemble.pt"
    image = drawing("black", "white")
    together = Classifier(path).predict(image).probabilities
    apart = [each.predict(image).probabilities for each in Classifier.all_of(path)]
    assert len(apart) == 5  # the shipped network, and those of two folds in two protocols
    assert np.allclose(together, np.mean(apart, axis=0), atol=1e-6)


def test_networks_that_do_not_answer_alike_are_refused_together(reproduced: Path) -> None:
    folder = reproduced / "artifacts/sample"
    mixed = checkpoint.load(folder / "characters.pt") + checkpoint.load(folder / "mnist-random.pt")
    with pytest.raises(InputError, match="different classes"):
        Classifier(mixed)


def test_the_answer_does_not_depend_on_polarity_or_mode(model_file: Path) -> None:
    classifier = Classifier(model_file)
    expected = classifier.predict(drawing("black", "white")).probabilities
    for content in (
        drawing("white", "black"),
        drawing("black", "white", mode="L"),
        drawing("black", "white", mode="1"),
        drawing("black", "white", mode="P"),
    ):
        assert np.allclose(classifier.predict(content).probabilities, expected, atol=1e-5)


def test_a_file_is_answered_as_evaluate_answers_its_row(reproduced: Path) -> None:
    classifier = Classifier(reproduced / "artifacts/sample/characters.pt")
    tensors = reproduced / "data/tensors/sample/characters"
    split = dataset.load(tensors / "train.safetensors")
    with (tensors / "sources.csv").open() as file:
        rows = list(csv.DictReader(file))[:5]
    with zipfile.ZipFile(reproduced / "data/sample/trainPart1.zip") as archive:
        for row in rows:
            answer = classifier.predict(archive.read(row["source"]))
            i = slice(int(row["row"]), int(row["row"]) + 1)
            expected = classifier.probabilities(split.images[i], split.geometry[i])[0]
            assert np.array_equal(expected, answer.probabilities)


def test_files_folders_and_zips_become_sorted_rows(model_file: Path) -> None:
    Path("folder/inner").mkdir(parents=True)
    for name in ("folder/b.png", "folder/a.PNG", "folder/inner/c.jpg", "single.png"):
        Path(name).write_bytes(drawing("black", "white"))
    Path("folder/notes.txt").write_text("not an image")
    with zipfile.ZipFile("letters.zip", "w") as archive:
        archive.write("single.png", "in/it.png")
    _, out, _ = predict(model_file, "single.png", "folder", "letters.zip")
    header, *rows = csv.reader(out.splitlines())
    assert header == ["path", "label", "confidence"]
    names = [row[0] for row in rows]
    assert names == sorted(names)
    assert sorted(name.rsplit("/", 1)[-1] for name in names) == [
        "a.PNG",
        "b.png",
        "c.jpg",
        "it.png",
        "single.png",
    ]
    assert all(0 < float(row[2]) <= 1 for row in rows)


def test_rows_of_several_zips_tell_them_apart(model_file: Path) -> None:
    for name in ("a.zip", "b.zip"):
        with zipfile.ZipFile(name, "w") as archive:
            archive.writestr("in/it.png", drawing("black", "white"))
    _, out, _ = predict(model_file, "a.zip", "b.zip")
    paths = [row[0] for row in csv.reader(out.splitlines())][1:]
    assert paths == [str(Path(name, "in/it.png").absolute()) for name in ("a.zip", "b.zip")]
    _, alone, _ = predict(model_file, "a.zip")
    assert alone.splitlines()[1].startswith("in/it.png,")


def test_pages_that_pack_well_are_read_and_what_no_image_is_as_large_as_is_not(
    model_file: Path,
) -> None:
    page = Image.open(io.BytesIO(drawing("black", "white", size=(1200, 900))))
    page.save("page.bmp")
    with zipfile.ZipFile("pages.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write("page.bmp")
    assert Path("page.bmp").stat().st_size > 200 * Path("pages.zip").stat().st_size
    assert "page.bmp," in predict(model_file, "pages.zip")[1]
    with zipfile.ZipFile("bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("big.png", bytes((200 << 20) + 1))
    status, _, errors = predict(model_file, "bomb.zip", check=False)
    assert status != 0
    assert "bomb.zip: big.png: 209,715,201 bytes are too many for an image file" in errors


def test_one_image_is_answered_the_same_with_its_writer_and_two_are_not(model_file: Path) -> None:
    for name, size in (("one.png", (300, 200)), ("two.png", (900, 600))):
        Path(name).write_bytes(drawing("black", "white", size=size))
    alone, lone = (predict(model_file, "one.png", *flag)[1] for flag in ((), ("--same-writer",)))
    assert alone == lone
    apart, together = (
        predict(model_file, "one.png", "two.png", *flag)[1] for flag in ((), ("--same-writer",))
    )
    assert apart != together


def test_each_network_adapts_to_the_writer_and_one_without_geometry_does_not(
    reproduced: Path,
) -> None:
    tensors = reproduced / "data/tensors/sample/characters"
    split = dataset.load(tensors / "train.safetensors").rows(slice(200))
    writers = dataset.load_writers(tensors / "writers.csv")[:200]
    path = reproduced / "artifacts/sample/crossvalidation/seen-writers.pt"
    both, each = Classifier(path), Classifier.all_of(path)
    assert len(each) == 2
    together = both.probabilities(split.images, split.geometry, writers)
    apart = [one.probabilities(split.images, split.geometry, writers) for one in each]
    assert np.allclose(together, np.mean(apart, axis=0), atol=1e-6)
    assert not np.allclose(together, both.probabilities(split.images, split.geometry), atol=1e-3)
    alone = both.probabilities(split.images)
    assert np.array_equal(both.probabilities(split.images, None, writers), alone)
    digits = Classifier(reproduced / "artifacts/sample/mnist-random.pt")
    size = digits.shape.size
    images = np.random.default_rng(0).integers(0, 256, (200, 1, size, size), np.uint8)
    said = digits.probabilities(images, split.geometry, writers)
    assert np.array_equal(said, digits.probabilities(images))


def test_the_output_file_is_the_table_that_is_printed(model_file: Path) -> None:
    Path("single.png").write_bytes(drawing("black", "white"))
    _, printed, _ = predict(model_file, "single.png")
    predict(model_file, "single.png", f"--output={Path('table.csv').absolute()}")
    assert Path("table.csv").read_text() == printed
    assert sorted(path.name for path in Path().iterdir()) == [
        "letters.pt",
        "single.png",
        "table.csv",
    ]


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("blank.png", drawing("white", "white"), "a blank image"),
        ("text.png", b"hello", "not an image"),
        ("half.png", drawing("black", "white")[:200], "damaged"),
        ("bad.zip", b"PK\x03\x04 nothing", "zip"),
    ],
)
def test_bad_input_is_one_line_that_names_the_file_and_leaves_nothing(
    name: str, content: bytes, reason: str, model_file: Path
) -> None:
    Path(name).write_bytes(content)
    output = Path("table.csv").absolute()
    status, _, errors = predict(model_file, name, f"--output={output}", check=False)
    assert status != 0
    assert len(errors.strip().splitlines()) == 1
    assert name in errors
    assert reason in errors
    assert not output.exists()


def test_a_bad_image_of_a_zip_is_named_with_the_zip(model_file: Path) -> None:
    with zipfile.ZipFile("some.zip", "w") as archive:
        archive.writestr("folder/bad.png", b"hello")
    status, _, errors = predict(model_file, "some.zip", check=False)
    assert status != 0
    assert "some.zip: folder/bad.png: not an image" in errors


def test_a_missing_image_is_named(model_file: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.png"):
        Classifier(model_file).predict("absent.png")


def test_an_empty_path_is_refused(model_file: Path) -> None:
    words = ("python", "-m", "handwriting", "predict", str(model_file.absolute()), "")
    done = workspace.run(workspace.ROOT, *words, check=False)
    assert done.returncode != 0
    assert done.stderr == "predict: empty path; use ./ for the current folder\n"


def test_a_folder_is_no_output_and_nothing_is_left_beside_it(model_file: Path) -> None:
    folder = Path("answers").absolute()
    folder.mkdir()
    Path("one.png").write_bytes(drawing("black", "white"))
    status, _, errors = predict(model_file, "one.png", f"--output={folder}", check=False)
    assert status != 0
    assert errors == f"predict: --output {folder}: a folder, not a file\n"
    names = sorted(path.name for path in Path().iterdir())
    assert names == ["answers", "letters.pt", "one.png"]
