"""preprocess: the pixels decide what is in the tensors and where, and every fault is named."""

import csv
import json
import os
import random
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image, ImageDraw

from handwriting.core import cores
from handwriting.core.errors import InputError
from handwriting.data import alphabet, dataset
from handwriting.data.dataset import Split
from handwriting.preprocessing import framing as images
from stages.data import preprocess
from tests.pictures import Pixels, encoded, letter

ROOT = Path(__file__).parent.parent
IMAGES, TENSORS = Path("data/images/sample"), Path("data/tensors/sample")
FOLDERS = [f"mnistTask/{digit}" for digit in range(10)]
RECIPE = {"images": 60, "test_images": 0, "size": 28, "box": 20, "validation": 0.2}

pytestmark = pytest.mark.usefixtures("tmp_dir")


def picture(i: int) -> Image.Image:
    """Strokes that no other number has."""
    rng = np.random.default_rng(i)
    image = Image.new("L", (60, 45), 255)
    points = [tuple(point) for point in rng.integers(5, 40, (4, 2)).tolist()]
    ImageDraw.Draw(image).line(points, fill=0, width=4)
    return image


def files(per_class: int = 6, kind: str = "PNG") -> dict[str, bytes]:
    """Files in ten folders, by their paths."""
    return {
        f"{folder}/image_{10 * i + label:06d}.png": encoded(picture(10 * i + label), kind)
        for i in range(per_class)
        for label, folder in enumerate(FOLDERS)
    }


def write_tar(path: Path, members: Iterable[tuple[str, bytes]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, BytesIO(content))


def run(members: dict[str, bytes], name: str = "mnistTask3", **recipe: Any) -> dict[str, bytes]:
    """The stage in the current folder; the files that it wrote."""
    write_tar(IMAGES / f"{name}.tar", sorted(members.items()))
    section = RECIPE | {"images": len(members)} | recipe
    Path("params.yaml").write_text(yaml.safe_dump({"preprocess": {"sample": {name: section}}}))
    Path("scratch").mkdir(exist_ok=True)
    preprocess.main(Path("scratch"), "sample", name)
    return {
        str(path.relative_to(TENSORS)): path.read_bytes()
        for path in sorted(TENSORS.rglob("*"))
        if path.is_file()
    }


def refusal(members: dict[str, bytes], name: str = "mnistTask3", **recipe: Any) -> str:
    """The error that the archive ends in, which leaves nothing behind."""
    with pytest.raises(InputError) as caught:
        run(members, name, **recipe)
    assert not TENSORS.exists()
    assert not list(Path("scratch").iterdir())
    message = str(caught.value)
    assert message.startswith(f"{IMAGES}/{name}.tar: ")
    assert "\n" not in message
    return message.removeprefix(f"{IMAGES}/{name}.tar: ")


def load(split: str, name: str = "mnistTask3") -> Split:
    return dataset.load(TENSORS / name / f"{split}.safetensors")


def sources(split: str, name: str = "mnistTask3") -> list[str]:
    with (TENSORS / f"{name}-sources.csv").open() as file:
        return [row["source"] for row in csv.DictReader(file) if row["split"] == split]


def summary(name: str = "mnistTask3") -> dict[str, Any]:
    content: dict[str, Any] = json.loads((TENSORS / f"{name}-summary.json").read_text())
    return content


# What is written.


def test_every_image_is_in_one_split_with_its_label_and_source() -> None:
    members = files()
    run(members)
    found = sources("train") + sources("validation")
    assert sorted(found) == sorted(members)
    for split in ("train", "validation"):
        loaded = load(split)
        assert [int(path.split("/")[1]) for path in sources(split)] == loaded.labels.tolist()
        assert loaded.images.shape == (len(loaded.labels), 1, 28, 28)
        assert loaded.place.shape == (len(loaded.labels), 4)
        for path, image in zip(sources(split), loaded.images, strict=True):
            expected = images.prepare(members[path], path, 28, 20)
            assert np.array_equal(image[0], expected.image)


def test_each_class_gives_the_same_share_to_validation() -> None:
    run(files(10), validation=0.3)
    assert Counter(load("validation").labels.tolist()) == dict.fromkeys(range(10), 3)


def test_characters_are_in_the_order_of_their_folders() -> None:
    members = {
        f"train/{folder}/img{label:03d}-{i:03d}.png": encoded(picture(100 * i + label))
        for folder, label in alphabet.CHARACTER_FOLDERS.items()
        for i in range(2)
    }
    run(members, "characters", validation=0.5)
    loaded = load("train", "characters")
    assert loaded.classes == alphabet.CHARACTERS
    names = [path.split("/")[1] for path in sources("train", "characters")]
    assert [alphabet.CHARACTER_FOLDERS[name] for name in names] == loaded.labels.tolist()


def test_archives_without_a_folder_above_the_classes_are_read() -> None:
    run({path.removeprefix("mnistTask/"): content for path, content in files().items()})
    assert len(load("train").labels) == 40 + 10


def test_the_summary_counts_what_is_in_the_tensors() -> None:
    members = files()
    same = "mnistTask/3/image_000003.png"
    members["mnistTask/3/again.png"] = members[same]
    run(members)
    counts = summary()
    for split in ("train", "validation"):
        labels = Counter(map(str, load(split).labels.tolist()))
        assert counts["images"][split] == len(load(split).labels)
        assert counts["of_class"][split] == {str(i): labels[str(i)] for i in range(10)}
    assert counts["repeated"] == {"train": 1, "validation": 0}
    assert counts["near_duplicates"]["differing_at_most"] == 3


def test_near_duplicates_are_counted_by_split() -> None:
    members = files()
    run(members, validation=0.2)
    chosen = {split: sources(split)[0] for split in ("train", "validation")}
    image = dict(zip(sources("train"), load("train").images, strict=True))
    plain = {path: encoded(Image.fromarray(image[path][0])) for path in sources("train")}
    assert chosen["validation"] in members
    first, second = list(plain)[:2]
    changed = np.array(Image.open(BytesIO(plain[first])))
    changed[0, 0] = 200  # one pixel of 784 is another
    plain[second] = encoded(Image.fromarray(changed))
    run(plain)
    pairs = summary()["near_duplicates"]["pairs"]
    assert sum(pairs.values()) == 1
    split = {path: split for split in ("train", "validation") for path in sources(split)}
    names = " ".join(sorted([split[first], split[second]]))
    assert pairs[names] == 1


def small(seed: int) -> Image.Image:
    """A picture of the network's size: any ground and ink, noise, and marks that lie apart."""
    rng = np.random.default_rng(seed)
    ground, ink = rng.choice([0, 20, 31, 32, 100, 223, 224, 255]), rng.integers(0, 256)
    pixels = np.full((28, 28), ground, np.uint8)
    for _ in range(rng.integers(0, 4)):
        top, left, height, width = rng.integers([0, 0, 1, 1], [26, 26, 20, 8])
        pixels[top : top + height, left : left + width] = ink
    return Image.fromarray(pixels ^ rng.integers(0, rng.choice([1, 9]), (28, 28), dtype=np.uint8))


def test_images_that_are_framed_together_are_framed_as_each_alone() -> None:
    """And what is no image among them, or of another size, keeps its place."""
    contents = [encoded(small(i), "JPEG" if i % 2 else "PNG") for i in range(1000)]
    contents[::50] = [encoded(picture(i)) for i in range(20)]
    contents[25::50] = [contents[i][: i // 2] for i in range(25, 1000, 50)]
    expected, errors = [], []
    for i, content in enumerate(contents):
        try:
            expected.append(images.prepare(content, str(i), 28, 20))
        except InputError as error:
            errors.append(str(error))
    assert min(len(expected), len(errors)) > 100
    framed, told = images.prepare_all(zip(map(str, range(1000)), contents, strict=True), 28, 20)
    assert told == errors
    for one, other in zip(framed, expected, strict=True):
        assert np.array_equal(one.image, other.image)
        assert (one.place, one.key) == (other.place, other.key)
    assert images.prepare_all([], 28, 20) == ([], [])


@pytest.mark.parametrize("count", [1, 6, 7, 8, 100])
def test_images_change_places_block_by_block(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preprocess, "_BLOCK", 7)
    rng = np.random.default_rng(count)
    before = rng.integers(0, 256, (count, 1, 3, 3), dtype=np.uint8)
    rows = np.arange(count)
    for order in (rows, rows[::-1], np.roll(rows, 1), *(rng.permutation(count) for _ in range(20))):
        after = before.copy()
        preprocess._arrange(after, order)
        assert np.array_equal(after, before[order])


# The pixels alone decide.


def test_names_and_order_in_the_folders_decide_nothing() -> None:
    members = files(12)
    members["mnistTask/4/twin.png"] = members["mnistTask/4/image_000014.png"]
    before = run(members)
    contents = list(members.items())
    random.Random(0).shuffle(contents)
    renamed = {
        f"{path.rpartition('/')[0]}/{i}.png": content for i, (path, content) in enumerate(contents)
    }
    after = run(renamed)
    assert before.keys() == after.keys()
    for name in before:
        assert (before[name] == after[name]) == (not name.endswith("sources.csv")), name


def test_one_picture_with_two_labels_is_in_the_same_order_under_all_names() -> None:
    members = files()
    members["mnistTask/1/a.png"] = members["mnistTask/7/z.png"] = encoded(picture(999))
    before = run(members)
    members["mnistTask/7/a.png"] = members.pop("mnistTask/7/z.png")
    members["mnistTask/1/z.png"] = members.pop("mnistTask/1/a.png")
    after = run(members)
    assert before["mnistTask3/train.safetensors"] == after["mnistTask3/train.safetensors"]


def test_the_number_of_processes_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    members = files(20)
    written = []
    monkeypatch.setattr(preprocess, "_WORTH", 1)
    for count in (1, 2, 3):
        monkeypatch.setattr(cores, "available", lambda count=count: count)
        written.append(run(members))
    assert written[0] == written[1] == written[2]


def test_a_picture_that_occurs_twice_is_for_training() -> None:
    members = files()
    run(members)
    held_out = sources("validation")[0]
    folder = held_out.rpartition("/")[0]
    moved = Image.new("L", (80, 80), 255)  # the same ink elsewhere on a larger canvas
    moved.paste(Image.open(BytesIO(members[held_out])), (20, 30))
    twin = f"{folder}/twin.png"
    for copy in (members[held_out], encoded(moved)):
        run(members | {twin: copy})
        assert {held_out, twin} <= set(sources("train"))


def test_validation_does_not_depend_on_the_size_of_the_square() -> None:
    run(files())
    before = sources("validation")
    run(files(), size=40, box=32)
    assert sources("validation") == before
    assert load("train").images.shape[1:] == (1, 40, 40)


# What is refused.


def test_every_image_that_cannot_be_used_is_named() -> None:
    members = files()
    bad = {
        "mnistTask/0/blank.png": encoded(Image.new("L", (9, 9), 255)),
        "mnistTask/5/cut.png": encoded(letter())[:-40],
        "mnistTask/9/empty.png": b"",
    }
    message = refusal(members | bad)
    assert message.startswith("images that cannot be used: ")
    assert "mnistTask/0/blank.png: a blank image" in message
    assert "mnistTask/5/cut.png: a damaged image" in message
    assert "mnistTask/9/empty.png: not an image" in message


def test_a_long_list_is_whole() -> None:
    bad = {f"mnistTask/0/{i:03d}.png": b"" for i in range(150)}
    message = refusal(files() | bad)
    assert all(f"{path}: not an image" in message for path in bad)


def test_all_faults_of_the_layout_and_of_images_are_told_at_once() -> None:
    members = {path: content for path, content in files().items() if "Task/8/" not in path}
    members |= {
        "mnistTask/ten/a.png": b"",
        "README.txt": b"",
        "mnistTask/3": b"",
        "copy/mnistTask/3/x.png": b"",
    }
    message = refusal(members, images=60)
    assert "not in the folder of a class: README.txt, mnistTask/3, mnistTask/ten/a.png" in message
    assert "no image of the class: 8" in message
    assert "class folders in more than one place: copy/mnistTask, mnistTask" in message
    assert "a wrong number of images: 58, where params.yaml expects 60" in message
    assert "images that cannot be used: README.txt: not an image" in message


def test_images_of_characters_whose_names_tell_no_writer_are_refused() -> None:
    image = encoded(letter())
    members = {f"train/{folder}/img-001.png": image for folder in alphabet.CHARACTER_FOLDERS}
    members["train/Sample005/a.png"] = members["train/Sample062/12.png"] = image
    message = refusal(members, "characters")
    assert message.endswith(
        "no number of a writer in the names: train/Sample005/a.png, train/Sample062/12.png"
    )


def test_folders_have_no_test_split() -> None:
    with pytest.raises(InputError, match=r"params\.yaml: preprocess: mnistTask3: it has no test"):
        run(files(), test_images=10)


@pytest.mark.parametrize("number", [59, 61])
def test_a_wrong_count_is_refused(number: int) -> None:
    assert f"60, where params.yaml expects {number}" in refusal(files(), images=number)


@pytest.mark.parametrize("content", [b"", b"not a tar" * 100])
@pytest.mark.parametrize("name", ["mnistTask3", "mnist"])
def test_what_is_no_tar_is_called_so(content: bytes, name: str) -> None:
    Path("params.yaml").write_text(yaml.safe_dump({"preprocess": {"sample": {name: RECIPE}}}))
    IMAGES.mkdir(parents=True)
    (IMAGES / f"{name}.tar").write_bytes(content)
    with pytest.raises(InputError, match=rf"^{IMAGES}/{name}\.tar: not a tar file"):
        preprocess.main(Path("scratch"), "sample", name)


def test_a_share_that_leaves_a_split_empty_is_refused() -> None:
    assert refusal(files(), validation=0.01) == "splits without an image: validation"
    assert refusal(files(), validation=0.99) == "splits without an image: train"


def test_a_box_larger_than_the_square_is_an_error_that_names_the_key() -> None:
    with pytest.raises(InputError, match=r"^params\.yaml: preprocess\.sample\.mnistTask3: .*box"):
        run(files(), box=29)


# MNIST.


def idx(array: Pixels) -> bytes:
    header = (0x0800 + array.ndim, *array.shape)
    return b"".join(number.to_bytes(4, "big") for number in header) + array.tobytes()


def mnist(**replaced: bytes) -> dict[str, bytes]:
    """The four files: 50 and 20 images, five and two of each digit. An empty one is left out."""
    rng = np.random.default_rng(0)
    files = {}
    for prefix, count in (("train", 50), ("t10k", 20)):
        pixels = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        files[f"{prefix}-images-idx3-ubyte"] = idx(pixels)
        files[f"{prefix}-labels-idx1-ubyte"] = idx((np.arange(count) % 10).astype(np.uint8))
    renamed = {name.replace("_", "-"): content for name, content in replaced.items()}
    assert renamed.keys() <= files.keys()
    return {name: content for name, content in (files | renamed).items() if content}


MNIST = {"images": 50, "test_images": 20}


def test_the_pixels_of_idx_files_are_taken_as_they_are() -> None:
    members = mnist()
    run(members, "mnist", **MNIST)
    for split, prefix in (("train", "train"), ("validation", "train"), ("test", "t10k")):
        pixels = np.frombuffer(members[f"{prefix}-images-idx3-ubyte"][16:], np.uint8)
        loaded = load(split, "mnist")
        assert loaded.place.shape == (len(loaded.labels), 0)
        for path, image, label in zip(
            sources(split, "mnist"), loaded.images, loaded.labels, strict=True
        ):
            name, _, number = path.rstrip("]").partition("[")
            assert name == f"{prefix}-images-idx3-ubyte"
            assert np.array_equal(image[0], pixels.reshape(-1, 28, 28)[int(number)])
            assert label == int(number) % 10
    assert summary("mnist")["images"] == {"train": 40, "validation": 10, "test": 20}


def test_a_test_image_among_the_training_images_is_refused() -> None:
    members = mnist()
    pixels = bytearray(members["t10k-images-idx3-ubyte"])
    train = members["train-images-idx3-ubyte"]
    for there, here in ((2, 7), (9, 11)):
        pixels[16 + there * 784 :][:784]
        pixels[16 + there * 784 : 16 + (there + 1) * 784] = train[16 + here * 784 :][:784]
    message = refusal(mnist(t10k_images_idx3_ubyte=bytes(pixels)), "mnist", **MNIST)
    assert message.startswith("images in two splits: ")
    for there, here in ((2, 7), (9, 11)):
        pair = (f"train-images-idx3-ubyte[{here}] of ", f"t10k-images-idx3-ubyte[{there}] of test")
        assert all(part in message for part in pair)


@pytest.mark.parametrize(
    ("files", "reasons"),
    [
        ({"train_labels_idx1_ubyte": b""}, ["there is no train-labels-idx1-ubyte"]),
        (
            {"train_labels_idx1_ubyte": b"", "t10k_images_idx3_ubyte": b"\0\0\x08\x03"},
            ["there is no train-labels", "t10k-images-idx3-ubyte is no idx file"],
        ),
        ({"t10k_images_idx3_ubyte": idx(np.zeros(9, np.uint8))}, ["is no idx file of 3"]),
        ({"t10k_images_idx3_ubyte": idx(np.ones((20, 28, 28), np.uint8))[:-1]}, ["15,695 bytes"]),
        ({"t10k_labels_idx1_ubyte": idx(np.arange(19).astype(np.uint8))}, ["19 labels where"]),
        ({"t10k_images_idx3_ubyte": idx(np.ones((20, 9, 9), np.uint8))}, ["(20, 9, 9) pixels"]),
        (
            {"t10k_labels_idx1_ubyte": idx(np.full(20, 12, np.uint8))},
            ["no image of: 0, 1, 2, 3", "labels over 9: 12"],
        ),
        (
            {"t10k_images_idx3_ubyte": idx(np.full((20, 28, 28), 63, np.uint8))},
            [f"no ink in images: {', '.join(map(str, range(20)))}"],
        ),
        (
            {"t10k_images_idx3_ubyte": idx(np.full((20, 28, 28), 255, np.uint8))},
            ["t10k-images-idx3-ubyte: dark ink on a light ground"],
        ),
    ],
)
def test_bad_idx_files_are_all_named(files: dict[str, bytes], reasons: list[str]) -> None:
    message = refusal(mnist(**files), "mnist", **MNIST)
    for reason in reasons:
        assert reason in message


# Memory.

PEAK = """
import sys
from pathlib import Path
from stages.data import preprocess
from handwriting.core import cores
from tests import memory
cores.available = lambda: 1
preprocess.main(Path("scratch"), "sample", sys.argv[1])
print("peak", memory.peak())
"""


def peak(name: str) -> int:
    """Bytes that the stage took at most, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, name],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]},
    )
    return int(done.stdout.split()[-1])


ALLOWED = (
    1.4  # bytes of memory for each of the tensors: paths, hashes and some buffers are the rest
)


def peak_of(name: str, files: dict[str, bytes], **recipe: int) -> int:
    """Bytes that the stage takes at most for these members."""
    write_tar(IMAGES / f"{name}.tar", files.items())
    recipes = {"preprocess": {"sample": {name: RECIPE | recipe}}}
    Path("params.yaml").write_text(yaml.safe_dump(recipes))
    Path("scratch").mkdir(exist_ok=True)
    return peak(name)


def slope(name: str, members: dict[int, dict[str, bytes]], **recipe: int) -> float:
    """Bytes of peak memory that a further byte of tensors costs."""
    peaks, sizes = [], []
    for count, files in members.items():
        peaks.append(peak_of(name, files, **recipe, images=count))
        sizes.append(sum(path.stat().st_size for path in (TENSORS / name).iterdir()))
    return (peaks[1] - peaks[0]) / (sizes[1] - sizes[0])


def test_memory_grows_with_the_tensors_alone() -> None:
    rng = np.random.default_rng(0)
    pixels = np.zeros((36_000, 28, 28), np.uint8)
    pixels[:, 8:20, 8:20] = rng.integers(0, 256, (36_000, 12, 12))
    content = [encoded(Image.fromarray(each), "JPEG") for each in pixels]
    paths = [f"mnistTask/{i % 10}/image_{i:06d}.jpg" for i in range(36_000)]
    members = {n: dict(zip(paths[:n], content[:n], strict=True)) for n in (12_000, 36_000)}
    assert slope("mnistTask3", members) < ALLOWED


def test_memory_grows_with_the_tensors_alone_from_idx_files() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (80_000, 28, 28), dtype=np.uint8)
    labels = (np.arange(80_000) % 10).astype(np.uint8)
    kinds = {"images-idx3-ubyte": pixels, "labels-idx1-ubyte": labels}
    test = {f"t10k-{kind}": idx(each[-20:]) for kind, each in kinds.items()}
    members = {
        n: test | {f"train-{kind}": idx(each[:n]) for kind, each in kinds.items()}
        for n in (20_000, 79_980)
    }
    assert slope("mnist", members, test_images=20) < ALLOWED


def test_memory_does_not_grow_with_the_number_of_large_pages() -> None:
    page = Image.new("RGB", (1200, 900), "white")
    members = {}
    for i in range(320):
        strokes = page.copy()
        strokes.paste(picture(i).resize((600, 450)), (200, 200))
        members[f"mnistTask/{i % 10}/image_{i:06d}.png"] = encoded(strokes, compress_level=1)
    some = dict(list(members.items())[:64])
    few, many = (peak_of("mnistTask3", each, images=len(each)) for each in (some, members))
    assert many - few < 10 * 1200 * 900 * 3  # of 256 pages more, not even ten
