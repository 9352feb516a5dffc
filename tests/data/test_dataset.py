"""dataset: what is stored comes back; the same split is the same bytes; nothing else is read."""

import json
from dataclasses import replace
from mmap import mmap
from multiprocessing import Pipe
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from handwriting.core.errors import InputError
from handwriting.data import dataset
from handwriting.data.dataset import Split
from handwriting.training import engine  # noqa: F401 - which says how arrays are sent

PATH, SCRATCH = Path("here/train.safetensors"), Path("scratch")


@pytest.fixture(autouse=True)
def folders(tmp_dir: Path) -> None:
    (tmp_dir / SCRATCH).mkdir()


def split(count: int = 5, geometry: int = 4) -> Split:
    rng = np.random.default_rng(0)
    return Split(
        rng.integers(0, 256, (count, 1, 28, 28), dtype=np.uint8),
        rng.integers(0, 3, count),
        rng.random((count, geometry), np.float32),
        ("a", "é", "字"),
        20,
    )


def assert_equal(one: Split, other: Split) -> None:
    for name in ("images", "labels", "geometry"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), strict=True)
    assert (one.classes, one.ink_size) == (other.classes, other.ink_size)


@pytest.mark.parametrize(("count", "geometry"), [(5, 4), (5, 0), (1, 4), (0, 0)])
def test_what_is_stored_is_loaded(count: int, geometry: int) -> None:
    dataset.store(split(count, geometry), PATH, SCRATCH)
    assert_equal(dataset.load(PATH), split(count, geometry))
    assert not list(SCRATCH.iterdir())


@pytest.mark.parametrize(("count", "geometry"), [(5, 4), (5, 0), (123, 4), (0, 0)])
@pytest.mark.parametrize("classes", [("a", "é", "字"), ('"', "\\", "\x1f\x7f\n")])
def test_the_bytes_are_those_of_the_safetensors_library(
    count: int, geometry: int, classes: tuple[str, ...]
) -> None:
    whole = replace(split(count, geometry), classes=classes)
    columns = {name: getattr(whole, name) for name in ("images", "labels", "geometry")}
    about = json.dumps({"classes": classes, "ink_size": whole.ink_size})
    save_file(columns, "expected", {"about": about})
    blocks = (whole.images[start : start + 2] for start in range(0, count, 2))
    for given in (None, blocks):
        dataset.store(whole, PATH, SCRATCH, given)
        assert PATH.read_bytes() == Path("expected").read_bytes()


def test_equal_splits_are_equal_bytes() -> None:
    other = Path("elsewhere/validation.safetensors")
    for path in (PATH, other):
        dataset.store(split(), path, SCRATCH)
    assert other.read_bytes() == PATH.read_bytes()


def test_rows_that_do_not_lie_in_order_in_memory_are_stored_in_order() -> None:
    chosen = split().rows(np.array([4, 0, 2]))
    images = np.asfortranarray(chosen.images)[::-1]
    odd = chosen.rows(slice(None, None, -1))
    dataset.store(replace(odd, images=images), PATH, SCRATCH)
    assert_equal(dataset.load(PATH), split().rows(np.array([2, 0, 4])))


def test_a_missing_or_cut_file_and_other_tensors_are_named() -> None:
    dataset.store(split(), PATH, SCRATCH)
    content = PATH.read_bytes()
    PATH.unlink()
    cut = [content[:end] for end in (0, 7, 100, -1)]
    for found in None, *cut, content.replace(b'"labels"', b'"lapels"'):
        if found is not None:
            PATH.write_bytes(found)
        with pytest.raises(InputError, match=r"^here/train\.safetensors: not a split of tensors"):
            dataset.load(PATH)


def test_a_folder_that_takes_no_file_ends_in_an_error_that_names_the_file() -> None:
    SCRATCH.rmdir()
    with pytest.raises(InputError, match=r"^here/train\.safetensors: cannot be written"):
        dataset.store(split(), PATH, SCRATCH)


@pytest.mark.parametrize(
    "changes",
    [
        {"images": np.zeros((5, 1, 28, 28), np.float32)},
        {"images": np.zeros((5, 1, 28, 27), np.uint8)},
        {"labels": np.full(5, 3)},
        {"labels": np.zeros(4, np.int64)},
    ],
)
def test_columns_of_other_types_or_lengths_are_refused(changes: dict[str, Any]) -> None:
    dataset.store(replace(split(), **changes), PATH, SCRATCH)
    with pytest.raises(InputError, match=str(PATH)):
        dataset.load(PATH)


def test_more_labels_per_class_of_a_seed_include_the_fewer() -> None:
    labels = np.arange(90) % 3
    few, more = (dataset.per_class(labels, count, 5) for count in (4, 9))
    assert np.bincount(labels[few]).tolist() == [4, 4, 4]
    assert set(few) < set(more)
    assert set(dataset.per_class(labels, 4, 6)) != set(few)
    with pytest.raises(InputError, match="31 images of each class are asked for"):
        dataset.per_class(labels, 31, 0)


def test_writers_are_read_in_order_and_another_table_is_refused() -> None:
    PATH.parent.mkdir()
    PATH.write_text("split,row,writer\ntrain,0,7\ntrain,1,3\n")
    assert dataset.load_writers(PATH) == ["7", "3"]
    PATH.write_text("split,row\ntrain,0\n")
    with pytest.raises(InputError, match="no column 'writer'"):
        dataset.load_writers(PATH)


def test_a_split_on_disk_takes_no_memory_and_goes_to_another_process_by_its_name() -> None:
    dataset.store(split(5000), PATH, SCRATCH)
    loaded = dataset.load(PATH)
    assert isinstance(loaded.images.base, mmap)
    assert len(ForkingPickler.dumps(loaded)) < 5000 < loaded.images.nbytes
    loaded.images[0] += 1
    assert np.array_equal(dataset.load(PATH).images, split(5000).images)  # nothing is written


def test_a_part_of_a_split_goes_to_another_process_as_it_is() -> None:
    dataset.store(split(9), PATH, SCRATCH)
    for part in (dataset.load(PATH), dataset.load(PATH).rows(slice(2, 4))):
        ours, theirs = Pipe()
        with ours, theirs:
            ours.send(part)
            there = theirs.recv()
        both = zip(values(part), values(there), strict=True)
        assert [np.array_equal(*each) for each in both] == [True] * 3


def values(one: Split) -> list[Any]:
    return [one.images, one.labels, one.geometry]


def test_rows_of_a_large_file_are_those_of_the_array(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset.store(split(90), PATH, SCRATCH)
    images, rows = dataset.load(PATH).images, np.array([7, 0, 89, 7])
    assert not dataset.is_large(images)
    monkeypatch.setattr(dataset, "_LARGE", 0)
    assert dataset.is_large(images)
    assert np.array_equal(dataset.take(images, rows), split(90).images[rows])
    assert not dataset.is_large(images[1:])  # whose place in the file it does not know
