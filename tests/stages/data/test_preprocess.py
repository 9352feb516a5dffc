"""preprocess: the pixels alone decide what is in the tensors and where; every fault is named."""

import random
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import yaml
from PIL import Image, ImageDraw

from handwriting.core import files
from handwriting.core.errors import InputError
from handwriting.data import alphabet, dataset, duplicates
from handwriting.data.dataset import Split
from handwriting.preprocessing import folders, framing, idx, pixels, tables
from stages.data import preprocess
from tests import memory
from tests.pictures import Pixels, encoded, letter
from tests.raw.packing import write_tar

Files = dict[str, bytes]  # by their paths
SPLITS = ("train", "validation")
IMAGES, TENSORS = Path("data/images/sample"), Path("data/tensors/sample")

pytestmark = pytest.mark.usefixtures("tmp_dir")


def picture(i: int) -> Image.Image:
    """Return strokes that no other number has."""
    rng = np.random.default_rng(i)
    image = Image.new("L", (60, 45), 255)
    ImageDraw.Draw(image).line(rng.integers(5, 40, 8).tolist(), fill=0, width=4)
    return image


def digits(per_class: int = 6) -> Files:
    """Return files in ten folders by their paths."""
    numbers = range(10 * per_class)
    return {f"mnistTask/{i % 10}/image_{i:06d}.png": encoded(picture(i)) for i in numbers}


def characters(per_class: int = 2) -> Files:
    return {
        f"train/{folder}/img{label:03d}-{i:03d}.png": encoded(picture(100 * i + label))
        for folder, label in alphabet.CHARACTER_FOLDERS.items()
        for i in range(per_class)
    }


def prepare(members: Iterable[tuple[str, bytes]], name: str, size: int, **images: Any) -> None:
    """Write params.yaml and the archive of a data set."""
    archive = "characters" if name == "characters28" else name
    squares = {"characters": (36, 28), "digits": (size, 20)}
    framings = {each: {"image_size": s, "ink_size": ink} for each, (s, ink) in squares.items()}
    params = {"framing": framings, "sample": {"images": {archive: images}}}
    Path("params.yaml").write_text(yaml.safe_dump(params))
    Path("scratch").mkdir(exist_ok=True)
    IMAGES.mkdir(parents=True, exist_ok=True)
    write_tar(IMAGES / f"{archive}.tar", members)


def run(members: Files, name: str = "mnistTask3", size: int = 28, **images: Any) -> Files:
    """Run the stage in the current folder and return the files that it wrote."""
    share = {} if name.startswith("characters") else {"validation": 0.2}
    prepare(sorted(members.items()), name, size, **({"train": len(members)} | share | images))
    preprocess.main(Path("scratch"), "sample", name)
    return {path.name: path.read_bytes() for path in (TENSORS / name).iterdir()}


def refusal(members: Files, name: str = "mnistTask3", **images: Any) -> str:
    """Return the error that the archive ends in, which leaves no file."""
    with pytest.raises(InputError) as caught:
        run(members, name, **images)
    assert not TENSORS.exists()
    assert not list(Path("scratch").iterdir())
    archive, _, message = str(caught.value).partition(": ")
    assert archive == f"{IMAGES}/{name}.tar"
    assert "\n" not in message
    return message


def load(split: str, name: str = "mnistTask3") -> Split:
    return dataset.load(TENSORS / name / f"{split}.safetensors")


def column(split: str, name: str = "mnistTask3", column: str = "source") -> list[str]:
    """Return "source" of sources.csv, or "writer" of writers.csv."""
    rows = files.read_csv(TENSORS / name / f"{column}s.csv")
    rows = [row for row in rows if row["split"] == split]
    assert [row["row"] for row in rows] == [str(i) for i in range(len(rows))]
    return [row[column] for row in rows]


# What is written.


@pytest.mark.parametrize("root", ["mnistTask/", ""])
def test_every_image_is_in_one_split_with_its_label_and_source(root: str) -> None:
    members = {path.replace("mnistTask/", root): content for path, content in digits().items()}
    run(members)
    assert sorted(column("train") + column("validation")) == sorted(members)
    assert Counter(load("validation").labels.tolist()) == dict.fromkeys(range(10), 1)
    for split in SPLITS:
        loaded = load(split)
        assert [int(path.split("/")[-2]) for path in column(split)] == loaded.labels.tolist()
        expected = [framing.prepare(members[path], path, 28, 20) for path in column(split)]
        assert np.array_equal(loaded.images[:, 0], [each.image for each in expected])
        geometry = np.array([each.geometry for each in expected], np.float32)
        of_sheets = np.isfinite(geometry).all(1)
        assert of_sheets.sum() > 0
        assert np.array_equal(loaded.geometry[of_sheets], geometry[of_sheets])
        assert np.isnan(loaded.geometry[~of_sheets]).all()  # a size alone too


@pytest.mark.parametrize(("name", "size"), [("characters", 36), ("characters28", 28)])
def test_characters_are_one_split_with_writers_in_the_order_of_ink(name: str, size: int) -> None:
    members = characters()
    written = {"sources.csv", "summary.json", "train.safetensors", "writers.csv"}
    assert run(members, name).keys() == written
    loaded, paths = load("train", name), column("train", name)
    assert loaded.images.shape == (len(members), 1, size, size)
    assert loaded.classes == alphabet.CHARACTERS
    labels = [alphabet.CHARACTER_FOLDERS[path.split("/")[1]] for path in paths]
    assert labels == loaded.labels.tolist()
    assert column("train", name, "writer") == [path[-7:-4] for path in paths]
    keys = [framing.prepare(members[path], path, 28, 20).key for path in paths]
    assert keys == sorted(keys)


@pytest.mark.parametrize(
    ("writer", "writers"),
    [(None, 60), (r"_by(\w)", 2), ("by.", 2)],
    ids=["unknown", "by the first group", "by the whole match"],
)
def test_an_added_source_has_its_own_classes_folders_and_writers(
    writer: str | None, writers: int
) -> None:
    classes = ["star fish", "0", "NA"]
    members = {
        f"{each}/{i:02d}_by{'ab'[i % 2]}.png": encoded(picture(20 * j + i))
        for j, each in enumerate(classes)
        for i in range(20)
    }
    images: dict[str, Any] = {"classes": classes} | ({"writer": writer} if writer else {})
    run(members, "characters", **images)
    loaded, paths = load("train", "characters"), column("train", "characters")
    assert loaded.classes == tuple(classes)
    assert [path.split("/")[0] for path in paths] == [classes[i] for i in loaded.labels]
    found = column("train", "characters", "writer")
    assert len({*found}) == writers if writer else found == paths


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ({"classes": ["a"]}, "sample.images.characters.classes: Tuple should have at least 2"),
        ({"classes": ["a", "b"], "writer": "(1"}, "writer: Value error, not a regular expression"),
        ({"classes": ["a", "b"], "writer": "x(.)"}, "no writer in the name: a/1.png, b/1.png"),
        (
            {"classes": ["a", "c"]},
            "not in the folder of a class: b/1.png; no image of the class: c",
        ),
    ],
)
def test_settings_of_an_added_source_that_cannot_be_are_an_error(
    images: dict[str, Any], message: str
) -> None:
    members = {"a/1.png": encoded(picture(1)), "b/1.png": encoded(picture(2))}
    with pytest.raises(InputError, match=re.escape(message)):
        run(members, "characters", **images)
    assert not TENSORS.exists()


def test_the_summary_counts_images_repetitions_and_near_duplicates() -> None:
    run(digits())
    squares = dict(zip(column("train"), load("train").images[:, 0], strict=True))
    first, second, third, *_ = squares
    squares[second] = squares[first].copy()
    squares[second][13, 13] ^= 0xFF  # one pixel of 784 differs
    squares[f"{third[:12]}again.png"] = squares[third]
    run({path: encoded(Image.fromarray(square)) for path, square in squares.items()})
    counts = files.read_json(TENSORS / "mnistTask3/summary.json")
    split = {path: name for name in SPLITS for path in column(name)}
    for name in SPLITS:
        labels = Counter(map(str, load(name).labels.tolist()))
        assert counts["images"][name] == len(load(name).labels)
        assert counts["of_class"][name] == {str(i): labels[str(i)] for i in range(10)}
    assert counts["repeated"] == {"train": 1, "validation": 0}
    pairs = counts["near_duplicates"]["pairs"]
    assert sum(pairs.values()) == pairs[" ".join(sorted([split[first], split[second]]))] == 1


# The pixels alone decide.


def test_names_and_order_in_the_folders_have_no_influence() -> None:
    members = digits(12)
    members["mnistTask/4/copy.png"] = members["mnistTask/4/image_000014.png"]
    # One picture with two labels.
    members["mnistTask/1/a.png"] = members["mnistTask/7/z.png"] = encoded(picture(999))
    before = run(members)
    contents = list(members.items())
    random.Random(0).shuffle(contents)
    after = run({f"{path[:12]}{i}.png": content for i, (path, content) in enumerate(contents)})
    assert before.keys() == after.keys()
    assert {name for name in before if before[name] != after[name]} == {"sources.csv"}


def test_the_number_of_processes_has_no_influence(monkeypatch: pytest.MonkeyPatch) -> None:
    members, written = digits(20), []
    monkeypatch.setattr(folders, "_WORKER_BYTES", 1)
    for count in (1, 2, 3):
        monkeypatch.setattr(joblib, "cpu_count", lambda count=count: count)
        written.append(run(members))
    assert written[0] == written[1] == written[2]


@pytest.mark.parametrize("name", ["mnistTask3", "mnist"])
def test_the_memory_for_pixels_has_no_influence(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    members, written, images = digits(20), [], {}
    if name == "mnist":
        members, images = mnist(), MNIST
    for count in (1, 7, 1000):
        monkeypatch.setattr(pixels, "_RUN", count * 28 * 28)
        monkeypatch.setattr(pixels, "_BLOCK", count * 28 * 28)
        monkeypatch.setattr(idx, "_CHUNK", count * 28 * 28)
        written.append(run(members, name, **images))
    assert written[0] == written[1] == written[2]


def test_of_many_images_near_duplicates_are_found_among_those_of_the_lowest_digests(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    members = digits(3)
    monkeypatch.setattr(tables, "COMPARED", len(members))
    run(members)
    every = files.read_json(TENSORS / "mnistTask3/summary.json")
    assert "examined" not in every["near_duplicates"]
    squares = np.concatenate([load(split).images for split in SPLITS])
    lowest = np.argsort(duplicates.digests(squares))[:12]
    capsys.readouterr()
    monkeypatch.setattr(tables, "COMPARED", 12)
    monkeypatch.setattr(duplicates, "tolerance", lambda pixels: pixels)  # all are alike
    run(members)
    near = files.read_json(TENSORS / "mnistTask3/summary.json")["near_duplicates"]
    held_out = int((lowest >= len(load("train").labels)).sum())
    trained = 12 - held_out
    assert near["examined"] == 12
    assert near["pairs"]["validation validation"] == held_out * (held_out - 1) // 2
    assert near["pairs"]["train validation"] == held_out * trained
    assert near["like_one_of_train"] == {"train": trained, "validation": held_out}
    assert "looked for among 12" in capsys.readouterr().out


def test_repeated_images_are_in_train_and_the_size_of_the_square_changes_no_split() -> None:
    members = digits()
    run(members)
    before = column("validation")
    run(members, size=40)
    assert column("validation") == before
    assert load("train").images.shape[1:] == (1, 40, 40)
    held_out = before[0]
    moved = Image.new("L", (80, 80), 255)  # the same ink elsewhere on a larger canvas
    moved.paste(Image.open(BytesIO(members[held_out])), (20, 30))
    copy = f"{held_out[:12]}copy.png"
    for content in (members[held_out], encoded(moved)):
        run(members | {copy: content})
        assert {held_out, copy} <= set(column("train"))


# What is refused.


def test_all_faults_of_the_layout_and_of_images_are_in_one_error() -> None:
    members = {path: content for path, content in digits().items() if "Task/8/" not in path}
    bad = {f"mnistTask/0/{i:03d}.png": b"" for i in range(150)}
    misplaced = dict.fromkeys(("README.txt", "copy/mnistTask/3/x.png", "mnistTask/3"), b"")
    members |= bad | misplaced | {"mnistTask/ten/a.png": encoded(letter())}
    members["mnistTask/0/blank.png"] = encoded(Image.new("L", (9, 9), 255))
    members["mnistTask/5/cut.png"] = encoded(letter())[:-40]
    message = refusal(members, train=60)
    listed = ", ".join([*misplaced, "mnistTask/ten/a.png"])
    assert message.startswith(f"not in the folder of a class: {listed}; no image of the class: 8; ")
    assert "wrong number of images: 210, where params.yaml expects 60" in message
    assert "mnistTask/0/blank.png: a blank image" in message
    assert "mnistTask/5/cut.png: a damaged image" in message
    assert all(f"{path}: not an image" in message for path in bad)


def test_images_of_characters_without_a_writer_in_the_name_are_refused() -> None:
    members = characters(1)
    members["train/Sample005/a.png"] = members["train/Sample062/12.png"] = encoded(letter())
    faults = "no writer in the name: train/Sample005/a.png, train/Sample062/12.png"
    assert refusal(members, "characters") == faults


MISFITS: dict[str, dict[str, Any]] = {
    "wrong number of images: 60, where params.yaml expects 59": {"train": 59},
    "wrong number of images: 60, where params.yaml expects 61": {"train": 61},
    "splits without an image: validation": {"validation": 0.01},
    "splits without an image: train": {"validation": 0.99},
    "splits without an image: test": {"test": 10},
}


@pytest.mark.parametrize("message", MISFITS)
def test_numbers_that_do_not_fit_the_archive_are_refused(message: str) -> None:
    assert refusal(digits(), **MISFITS[message]) == message


def test_ink_larger_than_the_square_is_an_error_that_names_the_key() -> None:
    with pytest.raises(InputError, match=r"^params\.yaml: framing\.digits: .*ink_size is 20"):
        run(digits(), size=19)


# MNIST.


def idx_file(array: Pixels) -> bytes:
    header = (0x0800 + array.ndim, *array.shape)
    return b"".join(number.to_bytes(4, "big") for number in header) + array.tobytes()


def mnist(**replaced: bytes) -> Files:
    """Return the four files of 50 and 20 images, five and two of each digit, but empty ones."""
    files = {}
    for prefix, count in ("train", 50), ("t10k", 20):
        pixels = np.random.default_rng(count).integers(0, 256, (count, 28, 28), dtype=np.uint8)
        files[f"{prefix}-images-idx3-ubyte"] = idx_file(pixels)
        files[f"{prefix}-labels-idx1-ubyte"] = idx_file((np.arange(count) % 10).astype(np.uint8))
    files |= {f"{name.replace('_', '-')}-ubyte": content for name, content in replaced.items()}
    return {name: content for name, content in files.items() if content}


MNIST = {"train": 50, "test": 20}


def test_the_pixels_of_idx_files_are_unchanged() -> None:
    members = mnist()
    run(members, "mnist", **MNIST)
    for split, prefix in (("train", "train"), ("validation", "train"), ("test", "t10k")):
        pixels = np.frombuffer(members[f"{prefix}-images-idx3-ubyte"][16:], np.uint8)
        loaded, paths = load(split, "mnist"), column(split, "mnist")
        assert loaded.geometry.shape == (len(loaded.labels), 0)
        rows = [int(path.rstrip("]").partition("[")[2]) for path in paths]
        assert paths == [f"{prefix}-images-idx3-ubyte[{row}]" for row in rows]
        assert np.array_equal(loaded.images[:, 0], pixels.reshape(-1, 28, 28)[rows])
        assert np.array_equal(loaded.labels, np.array(rows) % 10)
    counts = files.read_json(TENSORS / "mnist/summary.json")
    assert counts["images"] == {"train": 40, "validation": 10, "test": 20}


def test_a_test_image_among_the_training_images_is_refused() -> None:
    members = mnist()
    test, train = members["t10k-images-idx3-ubyte"], members["train-images-idx3-ubyte"]
    copied = test[: 16 + 2 * 784] + train[16 + 7 * 784 :][:784] + test[16 + 3 * 784 :]
    message = refusal(mnist(t10k_images_idx3=copied), "mnist", **MNIST)
    assert message.startswith("images in two splits: train-images-idx3-ubyte[7] of ")
    assert message.endswith(" is t10k-images-idx3-ubyte[2] of test")


def of(value: int, *shape: int) -> bytes:
    return idx_file(np.full(shape, value, np.uint8))


NOT_IDX = (b"", b"\0\0\x08\x03", of(1, 9), of(1, 20, 28, 28)[:-1])
BAD = [
    *(("images_idx3", x, "not a valid idx file") for x in NOT_IDX),
    ("images_idx3", of(1, 20, 9, 9), "[20, 9, 9] where params.yaml expects [20, 28, 28]"),
    ("images_idx3", of(63, 20, 28, 28), f"without ink: {', '.join(map(str, range(20)))}"),
    ("images_idx3", of(255, 20, 28, 28), "t10k: dark ink on a light background"),
    ("labels_idx1", of(1, 19), "t10k-labels-idx1-ubyte: [19] where params.yaml expects [20]"),
    ("labels_idx1", of(12, 20), "t10k: no image of: 0, 1, 2, 3, 4, 5, 6, 7, 8, 9; labels over"),
]


def test_bad_idx_files_are_named() -> None:
    for kind, content, message in BAD:
        assert message in refusal(mnist(**{f"t10k_{kind}": content}), "mnist", **MNIST)


# Memory.


def prepare_alone() -> None:  # a plain function, which another process can import
    joblib.cpu_count = lambda: 1
    [archive] = IMAGES.iterdir()
    preprocess.main(Path("scratch"), "sample", archive.stem)


def growth(name: str, archives: Mapping[int, Sequence[tuple[str, bytes]]], **images: Any) -> float:
    """Return the bytes that each image more takes, of two archives by their numbers of images."""
    peaks = []
    for count, members in archives.items():
        prepare(members, name, 28, train=count, validation=0.2, **images)
        peaks.append(memory.growth(prepare_alone))
    fewer, more = archives
    return (peaks[1] - peaks[0]) / (more - fewer)


def test_memory_grows_with_the_tensors_alone() -> None:
    pixels = np.zeros((36_000, 28, 28), np.uint8)
    pixels[:, 5:23, 5:23] = np.random.default_rng(0).integers(0, 256, (36_000, 18, 18))
    files = [encoded(Image.fromarray(each), "JPEG", quality=98) for each in pixels]
    members = [(f"mnistTask/{i % 10}/image_{i:06d}.jpg", file) for i, file in enumerate(files)]
    # Per image: a path, digests and a TarInfo of half a kilobyte; some buffers.
    assert growth("mnistTask3", {12_000: members[:12_000], 36_000: members}) < 1.4 * 28 * 28


def test_memory_grows_with_the_tensors_alone_from_idx_files() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (80_000, 28, 28), dtype=np.uint8)
    kinds = {"images-idx3": pixels, "labels-idx1": (np.arange(80_000) % 10).astype(np.uint8)}
    archives = {
        count: [
            (f"{split}-{kind}-ubyte", idx_file(each[rows]))
            for split, rows in (("train", slice(count)), ("t10k", slice(-20, None)))
            for kind, each in kinds.items()
        ]
        for count in (20_000, 79_980)
    }
    assert growth("mnist", archives, test=20) < 1.4 * 28 * 28


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_large_pages() -> None:
    page, members = Image.new("RGB", (1200, 900), "white"), []
    for i in range(320):
        strokes = page.copy()
        strokes.paste(picture(i).resize((600, 450)), (200, 200))
        content = encoded(strokes, compress_level=1)
        members.append((f"mnistTask/{i % 10}/image_{i:06d}.png", content))
    more = growth("mnistTask3", {64: members[:64], 320: members}) * 256
    assert more < 10 * 1200 * 900 * 3  # of 256 pages more, not even ten
