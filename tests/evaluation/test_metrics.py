"""Metrics against independent counts."""

import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from handwriting.data.alphabet import CHARACTERS
from handwriting.evaluation import characters, metrics
from handwriting.evaluation.metrics import Predictions


def predictions(truth: str, predicted: str, confidence: float = 5) -> Predictions:
    """Predictions among the 62 classes."""
    rows = [[CHARACTERS.index(each) for each in text] for text in (truth, predicted)]
    logits = torch.nn.functional.one_hot(torch.tensor(rows[1]), len(CHARACTERS)).float()
    return Predictions(confidence * logits, torch.tensor(rows[0]))


def test_confusable_classes_count_as_one_and_no_others_do() -> None:
    found = predictions("0Oo0cCx", "0o09CCY")
    groups = ["0Oo", "Cc"]
    same = metrics.confusable(CHARACTERS, groups)
    assert metrics.measure([found], same=same)["folded"] == 5 / 7
    table = characters.confusable({"one": found}, CHARACTERS, groups)
    assert table.to_numpy().tolist() == [["one", "0Oo", 4, 1, 2], ["one", "Cc", 2, 1, 1]]
    [row] = characters.details({"one": found}, CHARACTERS, ["a"] * 7).to_dict("records")
    assert row["case_insensitive"] == 4 / 7
    assert (row["digits_accuracy"], row["digit_images"], row["context_mean"]) == (0.5, 2, 0)


def test_classes_and_pairs_are_counted() -> None:
    found = predictions("cCC0", "CCcO")
    assert metrics.confusions(found, CHARACTERS).to_numpy().tolist() == [
        ["C", "c", 2],
        ["0", "O", 1],
    ]
    rows = metrics.per_class(found, CHARACTERS).to_numpy().tolist()
    assert ["C", 2, 0.5, 0.5, 0.5] in rows
    assert ["c", 1, 0, 0, 0] in rows


def test_every_network_has_the_same_metrics_in_the_same_order(tmp_dir: Path) -> None:
    metrics.write("sample", "one", metrics.measure([predictions("abc", "abd")]), tmp_dir)
    found = json.loads(Path("metrics/sample/one.json").read_text())
    assert " ".join(found) == "accuracy low high sd loss ece folded runs images writers"
    assert found["accuracy"] == found["folded"] == 0.66667
    assert (found["sd"], found["runs"], found["images"], found["writers"]) == (0, 1, 3, 0)


def test_folds_of_different_size_count_by_their_images() -> None:
    found = metrics.measure(
        [predictions("a" * 40, "b" * 5 + "a" * 35)], np.minimum(np.arange(40) // 10, 1)
    )
    assert (found["accuracy"], found["runs"], found["images"]) == (35 / 40, 2, 40)
    assert found["sd"] == pytest.approx(0.35355, abs=1e-4)


def test_an_interval_is_over_the_images_however_many_seeds_share_them() -> None:
    runs = [predictions("a" * 100, "a" * 90 + "b" * 10)] * 3
    found = metrics.measure(runs)
    assert (found["low"], found["high"]) == pytest.approx((0.8256, 0.9448), abs=1e-4)  # Wilson's
    assert (found["runs"], found["images"]) == (3, 100)


@pytest.mark.parametrize(
    ("writers", "low", "high", "count"),
    [
        ([i // 5 for i in range(20)], 0, 1, 4),  # 0.75 -+ 3.182 x 0.25, within the bounds
        (range(20), 0.75 - 0.2079, 0.75 + 0.2079, 20),  # 2.093 x 0.4443 / sqrt(20)
        ([0] * 20, 0.5313, 0.8881, 0),  # one writer: over images
    ],
)
def test_an_interval_over_writers_is_wider_where_a_writers_images_are_alike(
    writers: list[int], low: float, high: float, count: int
) -> None:
    names = [str(each) for each in writers]
    found = metrics.measure([predictions("a" * 20, "a" * 15 + "b" * 5)], writers=names)
    assert (found["low"], found["high"]) == pytest.approx((low, high), abs=1e-3)
    assert found["writers"] == count


def test_calibration_is_of_all_folds_together_and_of_each_seed() -> None:
    half = torch.zeros(200, 2)
    truth = torch.arange(200) // 100
    found = metrics.measure([Predictions(half, truth)], truth.numpy())
    assert found["ece"] == pytest.approx(0, abs=1e-6)
    assert found["loss"] == pytest.approx(np.log(2))
    seeds = [Predictions(half, torch.full((200,), each)) for each in (0, 1)]
    assert metrics.measure(seeds)["ece"] == pytest.approx(0.5)
    sure = Predictions(half + torch.tensor([20.0, 0.0]), truth)
    assert metrics.calibration_error(sure) == pytest.approx(0.5, abs=1e-3)
    assert metrics.brier(sure) == pytest.approx(1, abs=1e-3)


def test_calibration_bins_count_every_image_once() -> None:
    sure = torch.tensor([[5.0, 0.0], [0.0, 0.0], [0.1, 0.0], [0.0, 5.0]])
    table = metrics.calibration(Predictions(sure, torch.tensor([0, 0, 1, 0])))
    assert table["images"].tolist() == [2, 2]
    assert table["accuracy"].tolist() == [0.5, 0.5]
    assert table["confidence"].between(table["low"], table["high"]).all()


def test_learning_curves_are_averaged_point_by_point() -> None:
    rows = [("a", 0, 0, 4, 0), ("a", 0, 5, 2, 0.5), ("a", 1, 0, 2, 0.5), ("a", 1, 6, 1, 1)]
    rows.append(("b", 0, 0, 7, 0))
    curves = pd.DataFrame(rows, columns=["init", "seed", "step", "loss", "accuracy"])
    curves["images_seen"] = 10 * curves["step"]
    found = metrics.mean_curves(curves, "init").to_numpy().tolist()
    assert found == [["a", 0, 0, 3, 0.25], ["a", 5, 50, 1.5, 0.75], ["b", 0, 0, 7, 0]]


def test_a_smaller_context_is_a_part_of_a_larger_one() -> None:
    context = torch.tensor([[*range(1, 9)], [0, 2, -1, -1, -1, -1, -1, -1], [-1] * 8])
    sets = [
        [{*row} - {-1} for row in characters.context_subset(context, count).tolist()]
        for count in (0, 1, 2, 4, 64)
    ]
    assert [sum(map(len, rows)) for rows in sets] == [0, 2, 4, 6, 10]
    for smaller, larger in itertools.pairwise(sets):
        assert all(one <= other for one, other in zip(smaller, larger, strict=True))
