"""What is published of digit networks, and what a comparison of them needs."""

import json
from pathlib import Path

import pandas as pd
import pytest
import torch

from handwriting.core.errors import InputError
from handwriting.evaluation import digits, study
from handwriting.evaluation.metrics import Predictions
from tests import networks


def predictions(wrong: int, count: int = 40) -> Predictions:
    """Predictions for networks.split(), the first ones wrong."""
    truth = torch.arange(count) % 10
    predicted = (truth + (torch.arange(count) < wrong)) % 10
    return Predictions(5 * torch.nn.functional.one_hot(predicted, 10).float(), truth)


def test_the_metrics_are_of_all_seeds_and_the_pictures_of_the_first(tmp_dir: Path) -> None:
    runs = {"mnist-random": [predictions(4), predictions(0)], "mnist-digits": [predictions(1)]}
    digits.write("sample", "mnist", networks.split(40), runs, "mnist-random", tmp_dir)
    found = json.loads(Path("metrics/sample/mnist-random.json").read_text())
    assert (found["accuracy"], found["runs"], found["images"]) == (0.95, 2, 40)
    table = pd.read_csv("artifacts/sample/evaluation/mnist/predictions.csv")
    wrong = {name: int((table[name] != table["actual"]).sum()) for name in runs}
    assert wrong == {"mnist-random": 4, "mnist-digits": 1}
    assert len(pd.read_csv("artifacts/sample/evaluation/mnist/tiles.csv")) == 4
    [bin_] = pd.read_csv("metrics/sample/mnist/calibration.csv").to_dict("records")
    assert (bin_["images"], bin_["accuracy"]) == (40, 0.9)


def test_the_diagnoses_are_a_row_for_each_set(tmp_path: Path) -> None:
    (tmp_path / "label_noise").mkdir()
    found = {"kind": "clean", "images": 9, "clean_fraction": 1, "low": 0.9, "high": 1, "bic": {}}
    content = json.dumps(found | {"believed_correct": 9})
    (tmp_path / "label_noise/mnist.json").write_text(content)
    assert digits.label_noise(tmp_path).to_numpy().tolist() == [["mnist", "clean", 9, 1, 0.9, 1, 9]]


def measured(init: str, method: str, seed: int, labels: str = "10") -> study.Measured:
    row = {"init": init, "method": method, "labels": labels, "seed": seed}
    return study.Measured(row, pd.DataFrame(), 0, predictions(seed), [])


def test_arms_are_paired_by_seed_and_a_method_of_checkpoints_with_training_from_scratch() -> None:
    arms = {("random", "full"): 3, ("digits", "full"): 2, ("digits", "layerwise_decay"): 2}
    found = study.pairs(measured(*arm, i) for arm, n in arms.items() for i in reversed(range(n)))
    assert list(found) == [
        ("10", "full", "digits", "random", "full"),
        ("10", "layerwise_decay", "digits", "random", "full"),
    ]
    for one, other in found.values():
        assert (~one).sum(1).tolist() == (~other).sum(1).tolist() == [0, 1]
    sizes = [measured("random", "full", 0, "all"), measured("digits", "layerwise_decay", 0, "all")]
    assert not study.pairs(sizes)  # which differ with all labels


def test_a_number_of_labels_without_a_smallest_effect_is_named() -> None:
    primary = study.Primary(init="digits", against="random", method="full")
    declared = study.Declared(primary=primary, smallest_effect={"100": 0.01})
    runs = [measured(init, "full", seed) for init in ("random", "digits") for seed in (0, 1)]
    with pytest.raises(InputError, match=r"compare_inits\.smallest_effect\.10 is missing"):
        study.comparisons(runs, declared)
