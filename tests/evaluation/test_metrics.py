"""Metrics against independent counts."""

import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.typing import NDArray

from handwriting.data.alphabet import CHARACTERS
from handwriting.evaluation import characters, digits, metrics
from handwriting.evaluation.metrics import Predictions
from tests import networks

FOLD = np.repeat(np.arange(4), 250)
WRITERS = [f"{i % 50:03}" for i in range(1000)]


def predictions(truth: str, predicted: str, confidence: float = 5) -> Predictions:
    """Predictions among the 62 classes."""
    rows = [[CHARACTERS.index(each) for each in text] for text in (truth, predicted)]
    logits = torch.nn.functional.one_hot(torch.tensor(rows[1]), len(CHARACTERS)).float()
    return Predictions(confidence * logits, torch.tensor(rows[0]))


def test_confusable_classes_count_as_one_and_no_others_do() -> None:
    found = predictions("0Oo0cCx", "0o09CCY")
    pairs = [["O", "o"], ["C", "c"]]
    same = metrics.confusable(CHARACTERS, pairs)
    assert metrics.measure([found], same=same)["folded"] == 4 / 7
    table = characters.confusable({"one": found}, CHARACTERS, pairs)
    assert table.to_numpy().tolist() == [["one", "O o", 2, 0, 1], ["one", "C c", 2, 1, 1]]
    [row] = characters.details({"one": found}, CHARACTERS, ["a"] * 7).to_dict("records")
    assert row["case_insensitive"] == 4 / 7
    assert (row["digits_accuracy"], row["digit_images"], row["context_mean"]) == (0.5, 2, 0)


def test_classes_and_pairs_are_counted() -> None:
    found = predictions("cCC0", "CCcO")
    pairs = metrics.confusions(found, CHARACTERS).to_numpy().tolist()
    assert pairs == [["C", "c", 2], ["0", "O", 1]]
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
    folds = np.minimum(np.arange(40) // 10, 1)
    found = metrics.measure([predictions("a" * 40, "b" * 5 + "a" * 35)], folds)
    assert (found["accuracy"], found["runs"], found["images"]) == (35 / 40, 2, 40)
    assert found["sd"] == pytest.approx(0.35355, abs=1e-4)


def test_an_interval_is_over_the_images_however_many_seeds_share_them() -> None:
    found = metrics.measure([predictions("a" * 100, "a" * 90 + "b" * 10)] * 3)
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
    one = predictions("a" * 20, "a" * 15 + "b" * 5)
    found = metrics.measure([one], writers=[str(each) for each in writers])
    assert (found["low"], found["high"]) == pytest.approx((low, high), abs=1e-3)
    assert found["writers"] == count


def test_calibration_is_of_all_folds_together_and_of_each_seed() -> None:
    half, truth = torch.zeros(200, 2), torch.arange(200) // 100
    found = metrics.measure([Predictions(half, truth)], truth.numpy())
    assert (found["ece"], found["loss"]) == pytest.approx((0, np.log(2)), abs=1e-6)
    seeds = [Predictions(half, torch.full((200,), each)) for each in (0, 1)]
    assert metrics.measure(seeds)["ece"] == pytest.approx(0.5)
    sure = Predictions(half + torch.tensor([20.0, 0.0]), truth)
    assert metrics.calibration_error(sure) == pytest.approx(0.5, abs=1e-3)
    assert metrics.brier(sure) == pytest.approx(1, abs=1e-3)


def test_calibration_bins_count_every_image_once() -> None:
    sure = torch.tensor([[5.0, 0.0], [0.0, 0.0], [0.1, 0.0], [0.0, 5.0]])
    table = metrics.calibration(Predictions(sure, torch.tensor([0, 0, 1, 0])))
    assert table[["images", "accuracy"]].to_numpy().tolist() == [[2, 0.5], [2, 0.5]]
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
    subsets = [characters.context_subset(context, n).tolist() for n in (0, 1, 2, 4, 64)]
    sets = [[{*row} - {-1} for row in subset] for subset in subsets]
    assert [sum(map(len, rows)) for rows in sets] == [0, 2, 4, 6, 10]
    for smaller, larger in itertools.pairwise(sets):
        assert all(one <= other for one, other in zip(smaller, larger, strict=True))


def random(accuracy: float, seed: int) -> NDArray[np.bool_]:
    return np.random.default_rng(seed).random(1000) < accuracy


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    pairs = ((random(0.88, 2 * seed), random(0.9, 2 * seed + 1)) for seed in range(400))
    found = [metrics.difference(*pair, FOLD, WRITERS) for pair in pairs]
    assert 0.92 <= np.mean([each.low <= 0.02 <= each.high for each in found]) <= 0.98


def test_images_of_a_writer_that_change_together_widen_the_interval() -> None:
    both = np.repeat([True, False], 500), np.tile(np.repeat([True, False], 20), 25)
    alone, groups = ([str(i // n) for i in range(1000)] for n in (1, 20))  # images of a writer
    narrow, wide = (metrics.difference(*both, FOLD, names) for names in (alone, groups))
    assert narrow.mean == wide.mean
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low)


def test_the_spread_is_between_the_folds() -> None:
    one = np.repeat([True, False, True, True], 250)
    assert metrics.difference(one, one, FOLD, WRITERS) == (0, 0, 0, 0)
    assert metrics.fold_accuracy(one, FOLD) == pytest.approx((0.75, 0.5))
    assert metrics.difference(~one, one, FOLD, WRITERS).deviation == pytest.approx(1.0)


def test_the_metrics_are_of_all_seeds_and_the_pictures_of_the_first(tmp_dir: Path) -> None:
    right = "0123456789" * 4
    seeds = {"mnist-random": ["1239" + right[4:], right], "mnist-digits": ["1" + right[1:]]}
    runs = {name: [predictions(right, each) for each in found] for name, found in seeds.items()}
    digits.write("sample", "mnist", networks.split(40), runs, "mnist-random", tmp_dir)
    found = json.loads(Path("metrics/sample/mnist-random.json").read_text())
    assert (found["accuracy"], found["runs"], found["images"]) == (0.95, 2, 40)
    table = pd.read_csv("artifacts/sample/evaluation/mnist/predictions.csv")
    assert [(table[name] != table["actual"]).sum() for name in runs] == [4, 1]
    assert len(pd.read_csv("artifacts/sample/evaluation/mnist/tiles.csv")) == 4
    [bin_] = pd.read_csv("metrics/sample/mnist/calibration.csv").to_dict("records")
    assert (bin_["images"], bin_["accuracy"]) == (40, 0.9)


def test_the_diagnoses_are_a_row_for_each_set(tmp_path: Path) -> None:
    (tmp_path / "label_noise").mkdir()
    found = {"kind": "clean", "images": 9, "clean_fraction": 1, "low": 0.9, "high": 1}
    found |= {"believed_correct": 9}
    (tmp_path / "label_noise/mnist.json").write_text(json.dumps(found | {"bic": {}}))
    assert digits.label_noise(tmp_path).to_numpy().tolist() == [["mnist", *found.values()]]


def test_two_classes_that_are_no_characters_are_measured() -> None:
    found = Predictions(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 1]))
    [row] = characters.details({"one": found}, ["circle", "Square"], ["a"] * 2).to_dict("records")
    assert (row["top3"], row["case_insensitive"], row["digit_images"]) == (1, 0.5, 0)
