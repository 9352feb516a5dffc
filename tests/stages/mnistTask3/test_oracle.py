"""What is looked up after the fact: an image's original, and how correct the labels were."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from handwriting.data import dataset
from handwriting.evaluation import oracle
from handwriting.noise import self_training

COUNT = 40
PARTS = ("train", "validation")


def test_an_image_is_matched_to_its_original_whatever_the_order() -> None:
    random = np.random.default_rng(1)
    originals = random.integers(0, 256, (COUNT, 1, 28, 28), dtype=np.uint8)
    order, noise = random.permutation(COUNT), random.integers(-6, 7, originals.shape)
    images = np.clip(originals[order] + noise, 0, 255).astype(np.uint8)
    rows, differences = oracle.match(images, originals)
    assert (rows == order).all()
    assert (differences < oracle.CLOSE).all()
    assert np.allclose(differences, np.abs(images - originals[order].astype(int)).mean((1, 2, 3)))


def test_the_label_of_each_row_is_that_of_its_original(reproduced: Path) -> None:
    tensors = reproduced / "data/tensors/sample"
    paths = (tensors / name for name in ("mnistTask3", "mnist"))
    splits = [dataset.load(p / f"{part}.safetensors") for p in paths for part in PARTS]
    given, mnist = dataset.join(*splits[:2]), dataset.join(*splits[2:])
    rows = pd.read_csv(reproduced / "artifacts/sample/evaluation/oracle/labels.csv")
    assert rows["row"].tolist() == list(range(len(given.labels)))
    assert (rows["label"] == mnist.labels[rows["mnist_row"]]).all()
    differences = np.abs(given.images.astype(int) - mnist.images[rows["mnist_row"]]).mean((1, 2, 3))
    assert (differences < oracle.CLOSE).mean() > 0.8  # the small cut lacks some originals
    counts = pd.read_csv(reproduced / "metrics/sample/oracle/transitions.csv", index_col=0)
    assert counts.to_numpy().sum() == len(given.labels)
    summary = json.loads((reproduced / "metrics/sample/oracle/summary.json").read_text())
    assert summary["labels_correct"] == (rows["label"] == given.labels).sum()
    wrong = (rows["label"] != given.labels)[: summary["train_images"]]
    assert summary["wrong_labels"] == wrong.sum()
    assert 0 <= summary["auroc_of_wrong"] <= 1
    assert 0 <= summary["suggestions_correct"] <= summary["wrong_labels"]
    believed = pd.read_csv(reproduced / "metrics/sample/oracle/believed_correct.csv")
    assert len(believed) == summary["believed_correct"]
    assert (believed["true"] == rows["label"][believed["row"]].to_numpy()).all()
    assert (believed["given"] == given.labels[believed["row"]]).all()


def test_the_counts_of_labels_and_the_distance_of_a_matrix_from_them() -> None:
    counts = oracle.transitions(np.array([0, 0, 1, 1]), np.array([1, 1, 0, 1]), 2)
    assert counts.tolist() == [[0, 2], [1, 1]]
    rows, differences = np.array([3, 3, 1, 0]), np.array([0.0, 1.0, 2.0, 37.0])
    found = oracle.summary(rows, differences, counts, np.array([[0.0, 1.0], [0.75, 0.25]]))
    assert list(found.values()) == [4, 3, 3, 10.0, 1, 0.25]


def test_pseudo_labels_are_counted_by_round_and_seed_and_missing_ones_are_no_mistakes() -> None:
    none = self_training.NONE
    labels = np.array([[[1, 2, none], [1, 2, 3]], [[none] * 3, [3, 2, none]]], np.int8)
    found = oracle.pseudo_label_counts("random", labels, np.array([1, 2, 4])).drop(columns="init")
    first, second = [[1, 0, 3, 2, 2], [1, 1, 3, 0, 0]], [[2, 0, 3, 3, 2], [2, 1, 3, 2, 1]]
    assert found.to_numpy().tolist() == first + second


def test_images_are_shown_below_their_originals_and_above_the_differences() -> None:
    originals, images = np.full((2, 1, 4, 4), 100, np.uint8), np.full((2, 1, 4, 4), 90, np.uint8)
    assert oracle.jpeg_rows(images, originals)[:, 0, 0, 0].tolist() == [100, 100, 90, 90, 40, 40]


def ranked(**columns: list[object]) -> pd.DataFrame:
    given = {"row": [2, 0, 3, 1], "given": [7, 1, 2, 3], "suggested": [1, 7, 3, 2]}
    return pd.DataFrame(given | {"p_wrong": [0.9, 0.8, 0.3, 0.1]} | columns)


def test_the_ranked_table_is_judged_by_the_true_labels_of_its_rows() -> None:
    found = oracle.judged(ranked(), np.array([9, 3, 1, 2]))
    assert found["true"].tolist() == [1, 9, 2, 3]
    expected = {"wrong_labels": 2, "auroc_of_wrong": 1.0, "suggestions_correct": 1}
    assert oracle.ranking(found) == expected
    found = oracle.judged(ranked(p_wrong=[0.1, 0.2, 0.3, 0.4]), np.array([9, 3, 1, 2]))
    assert oracle.ranking(found)["auroc_of_wrong"] == 0


@pytest.mark.parametrize("truth", [[1, 3, 7, 2], [9, 9, 9, 9]])
def test_labels_that_are_all_right_or_all_wrong_are_no_error(truth: list[int]) -> None:
    found = oracle.ranking(oracle.judged(ranked(), np.array(truth)))
    assert found["wrong_labels"] in (0, 4)
    json.dumps(found, allow_nan=False)
