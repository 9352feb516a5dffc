"""The whole pipeline on a small cut of the sample, with real git and real DVC."""

import csv
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from handwriting.data import dataset
from tests import workspace
from tests.workspace import run

NETWORKS = 14
KEYS = ["accuracy", "low", "high", "sd", "loss", "ece", "folded", "runs", "images", "writers"]


@cache
def instances() -> list[str]:
    """The stage instances of the sample's pipeline."""
    dag = run(workspace.ROOT, "dvc", "dag", "--dot", "dvc.yaml").stdout.splitlines()
    nodes = [line.strip('";') for line in dag if line.startswith('"') and "->" not in line]
    assert len(nodes) > 20
    return sorted(nodes)


def scores(folder: Path, source: str = "sample") -> dict[str, dict[str, float]]:
    """The metrics of each network."""
    paths = sorted((folder / "metrics" / source).glob("*.json"))
    return {path.stem: json.loads(path.read_text()) for path in paths}


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def test_dvc_repro_touches_nothing_but_the_locks_and_the_metrics(reproduced: Path) -> None:
    changed = run(reproduced, "git", "status", "--porcelain", "-uall").stdout.splitlines()
    others = {line[3:] for line in changed if not line[3:].startswith("metrics/sample/")}
    assert others <= set(workspace.locks(reproduced))


@pytest.mark.usefixtures("alone")
def test_a_second_repro_runs_nothing(reproduced: Path) -> None:
    printed = run(reproduced, "dvc", "repro").stdout
    assert "Running stage" not in printed
    assert "up to date" in printed


def test_the_default_path_has_at_most_31_stage_instances_and_no_ablation() -> None:
    assert len(instances()) <= 31
    assert not [name for name in instances() if "ablation" in name]


@pytest.mark.slow
def test_mnists_labels_do_not_reach_what_is_said_of_mnist_task_3(
    reproduced: Path, tmp_path: Path
) -> None:
    for name in ("stages", "handwriting", "data/tensors/sample", "artifacts/sample/pretrained"):
        shutil.copytree(reproduced / name, tmp_path / name)
    shutil.copy(reproduced / "params.yaml", tmp_path)
    path = tmp_path / "data/tensors/sample/mnist/train.safetensors"
    split = dataset.load(path)
    dataset.store(replace(split, labels=split.labels[::-1].copy()), path, tmp_path)
    same = {}
    for name in ("mnist", "mnistTask3"):
        run(tmp_path, "python", "-m", "stages.mnistTask3.diagnose", "sample", name)
        out = f"artifacts/sample/label_noise/{name}.json"
        same[name] = (reproduced / out).read_bytes() == (tmp_path / out).read_bytes()
    assert same == {"mnist": False, "mnistTask3": True}


def test_metrics_are_the_same_few_numbers_of_each_network(committed: Path) -> None:
    for source in ("sample", "real"):
        assert len(scores(committed, source)) == NETWORKS
        for name, metrics in scores(committed, source).items():
            assert list(metrics) == KEYS
            assert 0 <= metrics["low"] <= metrics["accuracy"] <= metrics["high"] <= 1, name
            assert metrics["accuracy"] <= metrics["folded"] <= 1
            assert metrics["runs"] == 2
            assert (metrics["writers"] > 0) == name.startswith("characters")
            assert all(value == round(value, 5) for value in metrics.values())


def test_metrics_of_both_sources_fit_a_terminal(committed: Path) -> None:
    lines = run(committed, "dvc", "metrics", "show").stdout.splitlines()
    assert 2 * NETWORKS < len(lines) <= 40
    assert max(map(len, lines)) <= 160
    assert run(committed, "dvc", "metrics", "diff", "main").stdout == ""
    assert run(committed, "dvc", "params", "diff", "main").stdout == ""


def test_the_accuracy_of_each_run_is_that_of_its_predictions(reproduced: Path) -> None:
    folder = reproduced / "artifacts/sample"
    predictions = {
        question: rows(folder / f"evaluation/{question}/predictions.csv")
        for question in ("characters", "mnist", "mnistTask3")
    }
    folds = rows(folder / "crossvalidation/folds.csv")
    for name, metrics in scores(reproduced).items():
        table = predictions[name.partition("-")[0]]
        assert len(table) == metrics["images"]
        if name == "mnistTask3-naive-argmin":  # has no predictions of its own in the table
            assert metrics["accuracy"] > scores(reproduced)["mnistTask3-naive"]["accuracy"]
            continue
        correct = [row["actual"] == row[name] for row in table]
        share = sum(correct) / len(correct)
        if name.startswith("characters"):  # every fold is in the table, of the digits the first run
            assert metrics["accuracy"] == pytest.approx(share, abs=1e-5)
            protocol = "unseen-writers" if "unseen" in name else "seen-writers"
            assert {fold[protocol] for fold in folds} == {"0", "1"}
        else:
            assert abs(metrics["accuracy"] - share) <= 3 * metrics["sd"] + 1e-5


@pytest.mark.slow
def test_two_clones_in_two_folders_give_the_same_locks(reproduced: Path, tmp_path: Path) -> None:
    folder = tmp_path / "somewhere" / "else"
    folder.parent.mkdir()
    run(tmp_path, "git", "clone", "--quiet", str(reproduced), str(folder))
    run(folder, "dvc", "repro")
    assert workspace.locks(folder) == workspace.locks(reproduced)
    assert scores(folder) == scores(reproduced)


def files_in(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield str(path.relative_to(folder))


def params_of(entry: dict[str, Any]) -> dict[str, Any]:
    """The params of a lock entry, as params.yaml has them."""
    params: dict[str, Any] = {}
    for key, value in entry.get("params", {}).get("params.yaml", {}).items():
        section = params
        *parents, last = key.split(".")
        for parent in parents:
            section = section.setdefault(parent, {})
        section[last] = value
    return params


def marked() -> Iterator[Any]:
    """The instances, the last of each stage fast, the others slow: their deps are one list."""
    last = {name.split("@")[0]: name for name in instances()}.values()
    for name in instances():
        yield pytest.param(name, marks=() if name in last else pytest.mark.slow)


@pytest.mark.parametrize("name", list(marked()))
def test_a_stage_alone_needs_what_it_declares_and_leaves_what_it_declares(
    name: str, reproduced: Path, tmp_path: Path
) -> None:
    entry = workspace.read_lock(reproduced)[name]
    for dep in entry["deps"]:
        source, target = reproduced / dep["path"], tmp_path / dep["path"]
        target.parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, target)
    if ":download-" in name:  # it checks the digests of params.yaml
        shutil.copytree(reproduced / "data/sample", tmp_path / "data/sample")
    if params := params_of(entry):
        workspace.write_params(tmp_path, params)
    before = set(files_in(tmp_path))
    run(tmp_path, *entry["cmd"].split())
    expected: set[str] = set()
    for out in entry.get("outs", []):
        path = reproduced / out["path"]
        inside = [f"{out['path']}/{each}" for each in files_in(path)]
        expected |= set(inside if path.is_dir() else [out["path"]])
    assert set(files_in(tmp_path)) - before == expected
    for each in expected:
        assert (tmp_path / each).read_bytes() == (reproduced / each).read_bytes(), each
