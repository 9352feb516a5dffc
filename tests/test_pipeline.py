"""The whole road on a small cut of the sample, with real git and real DVC."""

import csv
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from handwriting.core.errors import InputError
from handwriting.data import dataset
from tests import workspace
from tests.workspace import run
from tools import repro


def instances() -> list[str]:
    """The names of all stage instances of the default path."""
    listed = run(workspace.ROOT, "dvc", "stage", "list", "--name-only").stdout.split()
    assert len(listed) > 20
    return listed


def test_dvc_repro_touches_nothing_but_the_lock_and_the_metrics(reproduced: Path) -> None:
    changed = run(reproduced, "git", "status", "--porcelain").stdout.splitlines()
    assert {line[3:].split("/")[0] for line in changed} <= {"dvc.lock", "metrics"}


@pytest.mark.usefixtures("alone")
def test_a_second_repro_runs_nothing(reproduced: Path) -> None:
    said = run(reproduced, "dvc", "repro").stdout
    assert "Running stage" not in said
    assert "up to date" in said


@pytest.mark.usefixtures("alone")
def test_another_source_is_named_in_memory_and_leaves_params_yaml_alone(reproduced: Path) -> None:
    before = (reproduced / "params.yaml").read_bytes()
    words = ("python", "-m", "tools.repro", "--source", "dropbox", "stage", "list", "--name-only")
    assert "finetune@dropbox-random" in run(reproduced, *words).stdout
    assert (reproduced / "params.yaml").read_bytes() == before


def test_a_source_that_is_none_is_one_clear_line(reproduced: Path) -> None:
    done = run(reproduced, "python", "-m", "tools.repro", "--source", "moon", check=False)
    assert done.returncode != 0
    assert done.stderr == "repro: params.yaml: source: moon is none of sample, dropbox\n"


def test_make_repro_writes_the_lock_that_dvc_writes(reproduced: Path, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    shutil.copytree(reproduced, folder, symlinks=True)
    lock = folder / "dvc.lock"
    written = []
    for words in (["dvc"], ["python", "-m", "tools.repro"]):
        content = workspace.read_lock(folder)
        content["stages"]["unzip@sample-mnist"] = {"cmd": "is replaced"}
        lock.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        run(folder, *words, "commit", "--force", "unzip@sample-mnist")
        written.append(lock.read_bytes())
    assert written[0] == written[1]
    before = lock.stat().st_mtime_ns
    run(folder, "python", "-m", "tools.repro", "commit", "--force", "unzip@sample-mnist")
    assert lock.stat().st_mtime_ns == before  # nothing has changed, nothing is written


def test_a_param_that_no_stage_reads_is_one_clear_line(reproduced: Path, tmp_path: Path) -> None:
    params = workspace.read_params(reproduced)
    params["train"]["epoch"] = 5
    params["correct"]["rounds"]["sample"] = "is for the stage to judge"
    workspace.write_params(tmp_path, params | {"colour": {"red": 1}})
    shutil.copy(reproduced / "dvc.yaml", tmp_path)
    for folder in ("tools", "stages", "ablation"):
        shutil.copytree(reproduced / folder, tmp_path / folder)
    done = run(tmp_path, "python", "-m", "tools.repro", "repro", "--dry", check=False)
    assert done.returncode != 0
    assert done.stderr == "repro: params.yaml: no stage reads train.epoch, colour\n"


def test_mnists_labels_do_not_reach_what_is_said_of_mnist_task_3(
    reproduced: Path, tmp_path: Path
) -> None:
    for name in ("stages", "data/tensors/sample", "artifacts/sample/bases"):
        shutil.copytree(reproduced / name, tmp_path / name)
    shutil.copy(reproduced / "params.yaml", tmp_path)
    path = tmp_path / "data/tensors/sample/mnist/train.safetensors"
    split = dataset.load(path)
    dataset.store(replace(split, labels=split.labels[::-1].copy()), path, tmp_path)
    run(tmp_path, "python", "-m", "stages.mnistTask3.diagnose", "sample")
    folders = (folder / "artifacts/sample/audit" for folder in (reproduced, tmp_path))
    (mnist, task3), (other_mnist, other_task3) = (
        [(folder / f"{name}.json").read_bytes() for name in ("mnist", "mnistTask3")]
        for folder in folders
    )
    assert task3 == other_task3
    assert mnist != other_mnist


def test_a_gpu_that_is_not_here_is_one_clear_line_and_changes_nothing(reproduced: Path) -> None:
    before = (reproduced / "params.yaml").read_bytes()
    words = ("python", "-m", "tools.repro", "--device", "cuda")
    done = run(reproduced, "env", "CUDA_VISIBLE_DEVICES=", *words, check=False)  # as without a GPU
    assert done.returncode != 0
    assert done.stderr == "repro: torch finds no GPU here: params.yaml is as it was\n"
    assert (reproduced / "params.yaml").read_bytes() == before


def test_a_device_that_is_written_in_another_way_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for text in ("compute: {device: cuda}\n", 'compute:\n  device: "cuda"\n'):
        Path("params.yaml").write_text(text)
        with pytest.raises(InputError, match=r"set compute\.device to cpu by hand"):
            repro.set_device("cpu")
        assert Path("params.yaml").read_text() == text
    Path("params.yaml").write_text("compute:\n  device: cuda  # or cpu\n")
    repro.set_device("cpu")
    assert Path("params.yaml").read_text() == "compute:\n  device: cpu  # or cpu\n"


@pytest.mark.parametrize("archives", ["testPart1", ["characters"], ["nonsense"]])
def test_test_archives_that_are_none_are_one_clear_line(
    archives: object, reproduced: Path, tmp_path: Path
) -> None:
    params = workspace.read_params(reproduced) | {"test_archives": archives}
    workspace.write_params(tmp_path, params)
    for folder in ("tools", "stages"):
        shutil.copytree(reproduced / folder, tmp_path / folder)
    done = run(tmp_path, "python", "-m", "tools.repro", "repro", "--dry", check=False)
    assert done.returncode != 0
    assert re.fullmatch(r"repro: params\.yaml: test_archives: .*\n", done.stderr)


@pytest.mark.usefixtures("alone")
def test_a_record_that_a_killed_dvc_left_half_written_is_no_obstacle(reproduced: Path) -> None:
    rwlock = reproduced / ".dvc/tmp/rwlock"
    rwlock.write_text('{"half')
    assert run(reproduced, "dvc", "repro", check=False).returncode != 0
    assert "up to date" in run(reproduced, "python", "-m", "tools.repro").stdout


def scores(folder: Path) -> list[Path]:
    """The metrics of networks."""
    return [
        path
        for path in (folder / "metrics/sample").glob("*.json")
        if path.stem not in ("audit", "match", "transfer")
    ]


def test_metrics_are_rounded_numbers_with_their_counts(reproduced: Path) -> None:
    for path in scores(reproduced):
        metrics = json.loads(path.read_text())
        assert metrics["images"] > 0
        runs, times = len(metrics["correct"]), metrics.get("seeds", 1)
        assert runs == metrics.get("seeds", metrics.get("folds")) == 2
        accuracy = sum(metrics["correct"]) / times / metrics["images"]
        assert metrics["accuracy"] == pytest.approx(accuracy, abs=1e-5)


def test_the_accuracy_of_each_run_is_that_of_its_predictions(reproduced: Path) -> None:
    said = {}
    for kind in ("characters", "digits"):
        with (reproduced / f"artifacts/sample/predictions/{kind}.csv").open() as file:
            said[kind] = list(csv.DictReader(file))
    with (reproduced / "artifacts/sample/folds/folds.csv").open() as file:
        folds = list(csv.DictReader(file))
    for path in scores(reproduced):
        name, metrics = path.stem, json.loads(path.read_text())
        rows = said["characters" if name.startswith("characters") else "digits"]
        assert len(rows) == metrics["images"]
        if name.endswith("-argmin"):  # of which nothing but this is written down
            assert (
                metrics["accuracy"]
                > json.loads(path.with_stem(name.removesuffix("-argmin")).read_text())["accuracy"]
            )
            continue
        right = [row["actual"] == row[name] for row in rows]
        if "seeds" in metrics:  # of which only the first is written down
            assert sum(right) == metrics["correct"][0]
            continue
        way = "new-hands" if "new-hands" in name else "known-hands"
        counts = [0] * metrics["folds"]
        for each, fold in zip(right, folds, strict=True):
            counts[int(fold[way])] += each
        assert counts == metrics["correct"]


@pytest.mark.usefixtures("alone")
def test_metrics_params_and_plots_are_shown(reproduced: Path) -> None:
    shown = run(reproduced, "dvc", "metrics", "show").stdout
    assert "metrics/sample/mnist-random.json" in shown
    assert run(reproduced, "dvc", "metrics", "diff", "main").returncode == 0
    assert run(reproduced, "dvc", "params", "diff", "main").returncode == 0
    page = Path(run(reproduced, "dvc", "plots", "show").stdout.strip().removeprefix("file://"))
    text = page.read_text()
    for each in yaml.safe_load((reproduced / "dvc.yaml").read_text())["plots"]:
        if isinstance(each, str):
            assert Path(each).name in text  # a picture, by its path
        else:
            [plot] = each.values()
            assert f'"text": {json.dumps(plot["title"])}' in text
    assert len(list((page.parent / "static").glob("*.png"))) == 6
    assert "accuracy" in run(reproduced, "dvc", "plots", "diff", "main", "--json").stdout


@pytest.mark.slow
def test_two_clones_in_two_folders_give_the_same_lock(reproduced: Path, tmp_path: Path) -> None:
    folder = tmp_path / "somewhere" / "else"
    folder.parent.mkdir()
    run(tmp_path, "git", "clone", "--quiet", str(reproduced), str(folder))
    run(folder, "dvc", "repro")
    assert (folder / "dvc.lock").read_bytes() == (reproduced / "dvc.lock").read_bytes()
    for path in scores(reproduced):
        assert (folder / "metrics/sample" / path.name).read_bytes() == path.read_bytes()


def files_in(folder: Path) -> Iterator[str]:
    for path in sorted(folder.rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            yield str(path.relative_to(folder))


@pytest.mark.parametrize("name", instances())
def test_a_stage_alone_needs_what_it_declares_and_leaves_what_it_declares(
    name: str, reproduced: Path, tmp_path: Path
) -> None:
    entry: dict[str, Any] = yaml.safe_load((reproduced / "dvc.lock").read_text())["stages"][name]
    for dep in entry["deps"]:
        source, target = reproduced / dep["path"], tmp_path / dep["path"]
        target.parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, target)
    params: dict[str, Any] = {}
    for key, value in entry.get("params", {}).get("params.yaml", {}).items():
        section = params
        *parents, last = key.split(".")
        for parent in parents:
            section = section.setdefault(parent, {})
        section[last] = value
    if params:
        workspace.write_params(tmp_path, params)
    before = set(files_in(tmp_path))
    for command in entry["cmd"] if isinstance(entry["cmd"], list) else [entry["cmd"]]:
        run(tmp_path, *command.split())
    expected: set[str] = set()
    for out in entry["outs"]:
        path = reproduced / out["path"]
        inside = [f"{out['path']}/{each}" for each in files_in(path)]
        expected |= set(inside if path.is_dir() else [out["path"]])
    assert set(files_in(tmp_path)) - before == expected
    for each in expected:
        assert (tmp_path / each).read_bytes() == (reproduced / each).read_bytes(), each
