"""Experiments on one source: run, queued, shown and applied, with the other source left alone."""

import csv
import io
import re
from pathlib import Path

import pytest

from tests import workspace
from tests.test_sources import SOURCES, TARGETS, copied, files, ran, records, up_to_date
from tests.workspace import run

pytestmark = pytest.mark.slow


def shown(folder: Path, param: str) -> dict[str, str]:
    """A param by the names of the experiments, as `dvc exp show` has it."""
    table = csv.DictReader(io.StringIO(run(folder, "dvc", "exp", "show", "--csv").stdout))
    return {row["Experiment"]: row[param] for row in table if row["Experiment"]}


def wait(folder: Path) -> None:
    """Until no experiment is queued or running."""
    for task in re.findall(r"(?m)^([0-9a-f]{7})", run(folder, "dvc", "queue", "status").stdout):
        run(folder, "dvc", "queue", "logs", "--follow", task)


@SOURCES
def test_experiments_of_a_source(source: str, other: str, committed: Path, tmp_path: Path) -> None:
    folder, target = copied(committed, tmp_path), TARGETS[source]
    param, metrics = f"{source}.crossvalidation.split_seed", f"metrics/{source}/characters.json"
    before = files(folder, other), records(folder, other)

    stages = ran(folder, "exp", "run", "--name", "one", "--set-param", f"{param}=2", target)
    assert len(stages) == 6  # train too: cross-validation confuses other classes
    changed = run(folder, "git", "diff", "--numstat", "params.yaml").stdout
    assert changed == "1\t1\tparams.yaml\n"
    assert up_to_date(folder, target)
    assert (files(folder, other), records(folder, other)) == before
    run(folder, "git", "checkout", ".")
    run(folder, "dvc", "checkout", "--with-deps", target)
    assert files(folder, source) == files(committed, source)

    run(folder, "dvc", "exp", "run", "--queue", "--set-param", f"{param}=3,4", target)
    run(folder, "dvc", "queue", "start", "--jobs", "2")
    wait(folder)
    status = run(folder, "dvc", "queue", "status").stdout
    assert status.count("Success") == 2, status
    assert files(folder, source) == files(committed, source)
    experiments = shown(folder, param)
    assert sorted(experiments.values()) == ["2", "3", "4"]

    [name] = [each for each, value in experiments.items() if value == "4"]
    # It also checks out what has never run here, the ablation, and complains of that alone.
    applied = run(folder, "dvc", "exp", "apply", name, check=False)
    missing = re.findall(r"(?m)^(?:artifacts|data|metrics)/\S+", applied.stderr)
    assert [path for path in missing if "/ablation/" not in path] == []
    assert workspace.read_params(folder)[source]["crossvalidation"]["split_seed"] == 4
    assert ran(folder, "repro", target) == []
    assert metrics in run(folder, "git", "status", "--porcelain").stdout
    assert (files(folder, other), records(folder, other)) == before
    assert up_to_date(folder, TARGETS[other])


def test_set_param_changes_one_line_of_params_yaml(tmp_path: Path) -> None:
    workspace.copy_project(tmp_path)
    run(tmp_path, "dvc", "exp", "run", "--queue", "--set-param", "compute.threads=2")
    stashed = run(
        tmp_path, "git", "diff", "--numstat", "HEAD", "refs/exps/celery/stash", "--", "params.yaml"
    )
    assert stashed.stdout == "1\t1\tparams.yaml\n"
