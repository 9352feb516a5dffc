"""What is looked up after the fact: an image's twin, and how right was what was learnt from."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from handwriting.core.errors import InputError
from handwriting.data import alphabet, dataset
from handwriting.data.dataset import Split
from handwriting.noise import self_training as pseudo_labels
from stages.mnistTask3 import oracle as match

COUNT = 40


@pytest.fixture
def split() -> Split:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (COUNT, 1, 28, 28), dtype=np.uint8)
    place = np.empty((COUNT, 0), np.float32)
    return Split(images, np.arange(COUNT) % 10, place, alphabet.DIGITS, 20)


def test_an_image_is_matched_to_the_one_it_was_made_of_whatever_the_order(split: Split) -> None:
    rng = np.random.default_rng(1)
    order = rng.permutation(COUNT)
    noise = rng.integers(-6, 7, split.images.shape)
    changed = np.clip(split.images[order] + noise, 0, 255).astype(np.uint8)
    rows, differences = match.nearest(replace(split.rows(order), images=changed), split)
    assert (rows == order).all()
    assert (differences < match._CLOSE).all()
    assert np.allclose(
        differences, np.abs(changed - split.images[order].astype(int)).mean((1, 2, 3))
    )


def test_what_is_written_of_each_row_is_the_label_of_its_twin(reproduced: Path) -> None:
    tensors = reproduced / "data/tensors/sample"
    wrong, right = (dataset.load_all(tensors / name) for name in ("mnistTask3", "mnist"))
    with (reproduced / "artifacts/sample/matched.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["row"]) for row in rows] == list(range(len(wrong.labels)))
    twins = np.array([int(row["mnist_row"]) for row in rows])
    assert [int(row["label"]) for row in rows] == right.labels[twins].tolist()
    apart = np.abs(wrong.images.astype(int) - right.images[twins]).mean((1, 2, 3))
    assert (apart < match._CLOSE).mean() > 0.8  # not every image is among those of the small cut
    train = dataset.load(tensors / "mnistTask3/train.safetensors")
    assert (wrong.images[: len(train.labels)] == train.images).all()  # so transfer reads its labels


def test_the_counts_of_labels_and_the_distance_of_a_matrix_from_them() -> None:
    counts = match.transitions(np.array([0, 0, 1, 1]), np.array([1, 1, 0, 1]), 2)
    assert counts.tolist() == [[0, 2], [1, 1]]
    estimated = np.array([[0.0, 1.0], [0.75, 0.25]])
    assert match.matrix_error(estimated, counts) == 0.25


def test_pseudo_labels_are_counted_by_round_and_seed_and_the_unsure_are_no_mistakes() -> None:
    none = pseudo_labels.NONE
    labels = np.array([[[1, 2, none], [1, 2, 3]], [[none] * 3, [3, 2, none]]], np.int8)
    truth = np.array([1, 2, 4])
    assert match.rightness(labels, truth) == [
        *((1, 0, 3, 2, 2), (1, 1, 3, 0, 0)),
        *((2, 0, 3, 3, 2), (2, 1, 3, 2, 1)),
    ]


def test_pseudo_labels_are_the_likeliest_classes_of_those_answers_that_there_are(
    tmp_path: Path,
) -> None:
    answers = torch.tensor([[0.1, 0.9], [0.0, 0.0], [0.8, 0.2]])
    labels = pseudo_labels.of_answers(answers)
    assert labels.tolist() == [1, pseudo_labels.NONE, 0]
    path = tmp_path / "labels.npy"
    pseudo_labels.store(labels[None, None], path, tmp_path)
    assert (pseudo_labels.load(path) == labels).all()


@pytest.mark.parametrize("content", [b"", b"nonsense", None])
def test_a_file_that_holds_no_pseudo_labels_is_named(content: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "labels.npy"
    if content is None:
        np.save(path, np.array([["a string"]], object), allow_pickle=True)  # never unpickled
    else:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"labels\.npy: not a file of pseudo-labels"):
        pseudo_labels.load(path)
