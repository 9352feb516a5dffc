"""What is known of wrong labels: the committed study, the table, and what is then trained."""

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.label_noise import FAULTS
from handwriting.core.errors import InputError
from handwriting.data import dataset
from handwriting.noise.ranking import LABEL, NO_CLASS, OTHER_LABEL, WRONG
from stages.mnistTask3 import finetune
from tests import workspace

STUDY = workspace.ROOT / "bench/results/diagnosis-real.json"
COLUMNS = ["row", "given", "suggested", "p_wrong", "p_suggested", "reason"]
DATASETS = ("mnist", "mnistTask3")


@pytest.fixture(scope="module")
def cases() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(STUDY.read_text())["cases"]
    return found


def test_the_committed_study_has_every_fault_three_times_of_both_sizes(
    cases: list[dict[str, Any]],
) -> None:
    found = {(case["fault"], case["images"], case["seed"]) for case in cases}
    assert found == {*product([*FAULTS, "garbage", "copies"], (2000, 6000), range(3))}
    trained = {case["fault"] for case in cases if case.get("accuracy")}
    assert trained == {*FAULTS, "garbage", "copies"}


def test_the_committed_study_named_every_fault_correctly(cases: list[dict[str, Any]]) -> None:
    assert [case for case in cases if not case["named_correctly"]] == []
    for case in cases:
        kinds = FAULTS[case["fault"]].kinds if case["fault"] in FAULTS else {"clean"}
        assert case["kind"] in kinds


def test_19_of_20_intervals_of_the_committed_study_hold_the_true_share(
    cases: list[dict[str, Any]],
) -> None:
    held = [case["low"] <= case["true_share"] <= case["high"] for case in cases]
    assert held == [case["interval_covers"] for case in cases]
    assert np.mean(held) >= 0.95


def test_the_matrices_of_the_committed_study_are_as_good_as_counted_ones(
    cases: list[dict[str, Any]],
) -> None:
    for case in cases:
        assert case["matrix_error"] <= max(0.01, 1.1 * case["matrix_error_counted"]), case["fault"]


def test_the_committed_study_told_wrong_labels_from_right_ones(
    cases: list[dict[str, Any]],
) -> None:
    ranked = [case for case in cases if case["ours"]["auroc"]]
    assert {case["fault"] for case in ranked} >= {"symmetric 40", "two exchanged", "garbage"}
    assert [case for case in ranked if case["ours"]["auroc"] < 0.99] == []
    assert [x for x in ranked if x["ours"]["auroc"] < x["cleanlab"]["auroc"]] == []
    for case in cases:
        listed = case["ours"].get("listed_in_first_5%")
        assert (listed is not None) == (case["fault"] in ("garbage", "copies"))
        assert listed is None or listed >= 0.95


@pytest.mark.parametrize("name", DATASETS)
def test_the_table_has_each_image_once_the_likeliest_to_be_wrong_first(
    reproduced: Path, name: str
) -> None:
    folder = reproduced / "artifacts/sample/label_noise"
    table = pd.read_csv(folder / f"{name}.csv", keep_default_na=False)
    split = dataset.load(reproduced / f"data/tensors/sample/{name}/train.safetensors")
    assert [*table.columns] == COLUMNS
    assert sorted(table["row"]) == [*range(len(split.labels))]
    given = np.array(split.classes)[split.labels[table["row"]]]
    assert (table["given"].astype(str) == given).all()
    assert (table["given"] != table["suggested"]).all()
    alone = table[table["reason"] != OTHER_LABEL]["p_wrong"]
    assert alone.is_monotonic_decreasing
    assert alone.between(0, 1).all()
    assert {*table["reason"]} <= {"", LABEL, NO_CLASS, OTHER_LABEL}
    summary = json.loads((folder / f"{name}.json").read_text())
    assert summary["images"] == len(table)
    assert abs(summary["believed_correct"] - (table["p_wrong"] < WRONG).sum()) <= 1  # rounded


def test_the_diagnosis_tells_complementary_labels_from_clean_ones(reproduced: Path) -> None:
    found = {
        name: json.loads((reproduced / f"artifacts/sample/label_noise/{name}.json").read_text())
        for name in DATASETS
    }
    assert "complementary" in found["mnistTask3"]["kind"]
    assert found["mnist"]["clean_fraction"] > 0.9
    assert found["mnistTask3"]["clean_fraction"] < 0.1
    for each in found.values():
        assert np.sum(each["matrix"], 1) == pytest.approx([1] * 10, abs=1e-3)
        assert each["sentence"].startswith(("The labels", "Some labels", "Labels"))


def test_nothing_is_trained_on_labels_that_say_nothing() -> None:
    matrix = np.full((10, 10), 0.1).tolist()
    found = {"kind": "random", "sentence": "The labels say nothing", "matrix": matrix}
    with pytest.raises(InputError, match="nothing can be learned: The labels say nothing"):
        finetune.objective_of(found)
    found["kind"] = "general"
    assert finetune.objective_of(found).matrix == tuple(map(tuple, matrix))
