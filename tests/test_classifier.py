"""The classifier, by every kind of network and of image, on networks that the pipeline made."""

import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from handwriting import Classifier, InputError
from handwriting.core import files
from handwriting.data import dataset
from handwriting.training import checkpoint
from tests import pictures, workspace

LETTER = pictures.encoded(pictures.letter())
PIXELS = np.asarray(pictures.letter())
KINDS = pytest.mark.parametrize("kind", ["onnx", "pt"])


def network(reproduced: Path, kind: str) -> Path:
    return reproduced / f"artifacts/sample/characters.{kind}"


@KINDS
def test_an_answer_has_label_index_probabilities_top_and_confusable_classes(
    kind: str, reproduced: Path
) -> None:
    classifier = Classifier(network(reproduced, kind))
    found = classifier.predict(LETTER)
    assert classifier.classes[found.class_index] == found.label
    assert found.probabilities.shape == (62,)
    assert found.probabilities.sum() == pytest.approx(1, abs=1e-5)
    assert found.probability == found.probabilities.max()
    assert found.top(3)[0] == (found.label, found.probability)
    assert [each for _, each in found.top(62)] == sorted(found.probabilities.tolist(), reverse=True)
    pairs = confusable(reproduced)
    same = {each for pair in pairs if found.label in pair for each in pair} - {found.label}
    assert found.confusable == tuple(sorted(same))


def confusable(reproduced: Path) -> list[list[str]]:
    """The pairs of confusable classes that cross-validation has found."""
    path = reproduced / "artifacts/sample/crossvalidation/confusable.json"
    return [*map(list, files.read_json(path))]


@KINDS
def test_every_network_of_question_one_knows_its_confusable_classes(
    kind: str, reproduced: Path
) -> None:
    ends = np.eye(62, dtype=np.float32)
    classifiers = [Classifier(network(reproduced, kind))]
    if kind == "pt":
        folder = reproduced / "artifacts/sample"
        classifiers += [Classifier(folder / "characters-ensemble.pt")]
        classifiers += Classifier.all_of(folder / "crossvalidation/unseen-writers.pt")
    for each in classifiers:
        answers = map(each._prediction, ends)
        found = {tuple(sorted((one.label, x))) for one in answers for x in one.confusable}
        assert found == {*map(tuple, confusable(reproduced))} != set()


def test_a_network_of_digits_has_no_confusable_classes(reproduced: Path) -> None:
    classifier = Classifier(reproduced / "artifacts/sample/mnist-random.pt")
    assert classifier.predict(LETTER).confusable == ()


def test_onnxruntime_and_torch_give_the_same_labels_and_probabilities(reproduced: Path) -> None:
    one, other = (Classifier(network(reproduced, kind)) for kind in ("onnx", "pt"))
    with zipfile.ZipFile(reproduced / "data/sample/trainPart1.zip") as archive:
        contents = [archive.read(each) for each in archive.namelist()[:60]]
    for content in [*contents, *pictures.exact().values()]:
        first, second = one.predict(content), other.predict(content)
        assert first.label == second.label
        assert np.abs(first.probabilities - second.probabilities).max() < 1e-5
    pixels = np.stack([one.prepare(each, "it").image for each in contents])[:, None]
    sizes = np.full((len(pixels), 4), [0.4, 0.3, np.nan, np.nan], np.float32)
    for unknown in (None, sizes):  # a size alone says nothing of a single image
        pairs = [each.probabilities(pixels, unknown) for each in (one, other)]
        assert np.abs(np.subtract(*pairs)).max() < 1e-5
        assert np.array_equal(pairs[1], other.probabilities(pixels))


def test_networks_that_do_not_answer_alike_are_refused_together(reproduced: Path) -> None:
    folder = reproduced / "artifacts/sample"
    mixed = checkpoint.load(folder / "characters.pt") + checkpoint.load(folder / "mnist-random.pt")
    with pytest.raises(InputError, match="different classes"):
        Classifier(mixed)


def test_the_answer_does_not_depend_on_polarity_mode_or_format(reproduced: Path) -> None:
    classifier = Classifier(network(reproduced, "onnx"))
    expected = classifier.predict(LETTER).probabilities
    for name, content in pictures.exact().items():
        assert np.allclose(classifier.predict(content).probabilities, expected, atol=1e-5), name


GIVEN: dict[str, Any] = {
    "path": Path("letter.png"),
    "str": "letter.png",
    "bytes": LETTER,
    "grey": PIXELS,
    "grey with a channel": PIXELS[..., None],
    "floats": PIXELS / 255,
    "float32": (PIXELS / 255).astype(np.float32),
    "bool": PIXELS > 127,
    "RGB": np.asarray(pictures.letter().convert("RGB")),
    "RGBA": np.asarray(pictures.transparent(pictures.letter(), 0)),
    "a part of an array": PIXELS.repeat(2, axis=0)[::2],
    **{mode: pictures.letter().convert(mode) for mode in ("1", "L", "P", "RGB", "RGBA", "I")},
    "transparent": pictures.transparent(pictures.letter(), 255),
}


@pytest.mark.parametrize("given", GIVEN.values(), ids=GIVEN.keys())
def test_paths_bytes_arrays_and_pillow_images_are_answered_alike(
    given: Any, reproduced: Path, tmp_dir: Path
) -> None:
    (tmp_dir / "letter.png").write_bytes(LETTER)
    classifier = Classifier(network(reproduced, "onnx"))
    found = classifier.predict(given).probabilities
    assert np.allclose(found, classifier.predict(LETTER).probabilities, atol=1e-5)


OPENED = [
    *("png P with a transparent colour", "png L on its side", "png L 16", "tiff I", "tiff CMYK"),
    *("gif with a transparent colour", "webp transparent", "jpeg RGB on its side", "jpeg CMYK"),
]


def test_a_pillow_image_is_answered_as_the_file_that_it_was_opened_from(
    reproduced: Path, tmp_dir: Path
) -> None:
    classifier = Classifier(network(reproduced, "onnx"))
    every = {**pictures.exact(), **pictures.lossy()}
    for name in OPENED:
        (tmp_dir / "file").write_bytes(content := every[name])
        with Image.open(tmp_dir / "file") as image:
            found = classifier.predict(image).probabilities
        assert np.allclose(found, classifier.predict(content).probabilities, atol=1e-3), name


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (PIXELS.astype(int), "an array of int64, not of uint8, bool or floats"),
        (PIXELS.astype(float), "floats outside 0 to 1"),
        (PIXELS * np.nan, "floats outside 0 to 1"),
        (PIXELS[None, None], "an array of shape [1, 1, 72, 96], not [H, W]"),
        (PIXELS[..., None].repeat(2, 2), "an array of shape [72, 96, 2], not [H, W]"),
        (PIXELS[:0], "an array of shape [0, 96], not [H, W]"),
        (None, "a NoneType, not a path, bytes, image or array"),
        (b"hello", "not an image"),
        (LETTER[: len(LETTER) // 2], "damaged"),
        (Image.new("L", (300, 200), 255), "a blank image"),
        ("absent.png", "absent.png: No such file or directory"),
        ("a\0b", "a\\x00b: embedded null byte"),
        ("", "empty path"),
        (b"", "not an image: empty"),
        (np.broadcast_to(np.uint8(4), (100_000, 100_000)), "more than 50,000,000 pixels"),
        (np.broadcast_to(np.float32(1), (100_000, 100_000, 3)), "more than 50,000,000 pixels"),
        (Image.new("1", (10_000, 5_001)), "more than 50,000,000 pixels"),
    ],
)
def test_what_is_no_image_is_an_error_alone_and_a_value_in_a_list(
    given: Any, problem: str, reproduced: Path, tmp_dir: Path
) -> None:
    assert list(tmp_dir.iterdir()) == []
    classifier = Classifier(network(reproduced, "onnx"))
    with pytest.raises(InputError, match=re.escape(problem)):
        classifier.predict(given)
    first, second, third = classifier.predict([LETTER, given, LETTER])
    assert isinstance(second, InputError)
    assert problem in str(second)
    for each in (first, third):
        assert not isinstance(each, InputError)
        assert each.label == classifier.predict(LETTER).label


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (None, "a network is a name, a path or what a checkpoint holds, not None"),
        ([], "a network is a name, a path or what a checkpoint holds, not []"),
        (3, "a network is a name, a path or what a checkpoint holds, not 3"),
        ("", "the network is an empty path"),
        ("a\0b", "a\\x00b: embedded null byte"),
    ],
)
def test_what_is_no_network_is_one_line(given: Any, problem: str) -> None:
    with pytest.raises(InputError, match=re.escape(problem)):
        Classifier(given)


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


def test_one_image_is_answered_the_same_with_its_writer_and_two_are_not(
    reproduced: Path, tmp_dir: Path
) -> None:
    pictures.letter(1200, 900).save("one.png")
    ImageOps.expand(pictures.letter(800, 600), (200, 150), 255).save("two.png")
    model = network(reproduced, "pt")
    command = ("env", f"PYTHONPATH={workspace.ROOT}", "python", "-m", "handwriting", "predict")
    for images, options in (
        (["one.png"], ["--same-writer"]),
        (
            ["one.png", "two.png"],
            ["--writer-regex", "[.]png"],
        ),
    ):
        words = (*command, "--model", str(model), *images)
        alone, adapted = (workspace.run(tmp_dir, *words, *more).stdout for more in ([], options))
        assert (alone == adapted) == (len(images) == 1)


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
    sizes = np.where([True, True, False, False], split.geometry, np.float32(np.nan))
    assert np.array_equal(both.probabilities(split.images, sizes), alone)
    assert not np.allclose(both.probabilities(split.images, sizes, writers), alone, atol=1e-3)
    digits = Classifier(reproduced / "artifacts/sample/mnist-random.pt")
    size = digits.size
    images = np.random.default_rng(0).integers(0, 256, (200, 1, size, size), np.uint8)
    said = digits.probabilities(images, split.geometry, writers)
    assert np.array_equal(said, digits.probabilities(images))
