"""Two branches with other params: what DVC says of their difference, and their merge."""

import csv
import json
from pathlib import Path

import pytest

from tests import workspace
from tests.test_sources import copied, files, ran, records, up_to_date
from tests.workspace import run

pytestmark = pytest.mark.slow

SEEDS = {"seed-2": 2, "seed-3": 3}  # branch: the split seed of question one's folds
PARAM = "sample.crossvalidation.split_seed"
METRICS = "metrics/sample/characters.json"
CURVES = "metrics/sample/characters/curves.csv"
OF_QUESTION_ONE = ("crossvalidate", "train", "evaluate", "export", "report")
RERUN = [*(f"{name}@sample" for name in OF_QUESTION_ONE), "sample"]


@pytest.fixture(scope="module")
def branches(committed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a branch for each of SEEDS, reproduced; `main` is checked out."""
    folder = copied(committed, tmp_path_factory.mktemp("branches"))
    for branch, seed in SEEDS.items():
        run(folder, "git", "checkout", "--quiet", "-b", branch, "main")
        run(folder, "dvc", "checkout", "--with-deps", "dvc.yaml")
        params = workspace.read_params(folder)
        params["sample"]["crossvalidation"]["split_seed"] = seed
        workspace.write_params(folder, params)
        stages = [name.rpartition(":")[2] for name in ran(folder, "repro")]
        assert stages == RERUN
        workspace.commit(folder, branch)
    run(folder, "git", "checkout", "--quiet", "main")
    run(folder, "dvc", "checkout", "--with-deps", "dvc.yaml")
    return folder


def of(folder: Path, branch: str, path: str) -> str:
    return run(folder, "git", "show", f"{branch}:{path}").stdout


def test_metrics_diff_has_what_git_has_of_both_branches(branches: Path) -> None:
    found = json.loads(run(branches, "dvc", "metrics", "diff", *SEEDS, "--json").stdout)
    old, new = (json.loads(of(branches, branch, METRICS)) for branch in SEEDS)
    assert {key for key in old if old[key] != new[key]} == set(found[METRICS])
    for key, entry in found[METRICS].items():
        assert (entry["old"], entry["new"]) == (old[key], new[key])
    assert all(path.startswith("metrics/sample/characters") for path in found)
    lines = run(branches, "dvc", "metrics", "diff", *SEEDS, "--md").stdout.splitlines()
    assert {line.split()[1] for line in lines if "/" in line} == set(found)


def test_params_diff_has_what_was_edited_and_nothing_else(branches: Path) -> None:
    found = json.loads(run(branches, "dvc", "params", "diff", *SEEDS, "--json").stdout)
    assert found == {"params.yaml": {PARAM: {"old": 2, "new": 3, "diff": 1}}}


def test_plots_diff_draws_both_branches_from_their_own_files(branches: Path) -> None:
    plots = json.loads(run(branches, "dvc", "plots", "diff", *SEEDS, "--json").stdout)["data"]
    points = [
        point
        for plot in plots.values()
        for each in plot
        if each["type"] == "vega"
        for point in each["content"]["data"]["values"]
        if point.get("filename", CURVES).endswith("curves.csv")
    ]
    for branch in SEEDS:
        expected = {
            row["accuracy"] for row in csv.DictReader(of(branches, branch, CURVES).splitlines())
        }
        assert {str(p["accuracy"]) for p in points if p["rev"] == branch} >= expected
    assert run(branches, "git", "status", "--porcelain").stdout == ""


def test_a_merge_of_both_is_mended_by_repro(branches: Path) -> None:
    """With our lock files, DVC runs what their half of params.yaml changes, and nothing else."""
    before = files(branches, "real"), records(branches, "real")
    run(branches, "git", "checkout", "--quiet", "-b", "other", "main")
    params = workspace.read_params(branches)
    params["naive"]["epochs"] = 1
    workspace.write_params(branches, params)
    ran(branches, "repro")
    workspace.commit(branches, "other")
    run(branches, "git", "merge", "seed-2", check=False)
    conflicts = run(branches, "git", "diff", "--name-only", "--diff-filter=U").stdout.split()
    assert conflicts
    assert all(each.endswith("dvc.lock") for each in conflicts)
    run(branches, "git", "checkout", "--ours", *conflicts)
    stages = [each.rpartition(":")[2] for each in ran(branches, "repro")]
    assert stages  # nothing of what both have made is made again
    assert not [each for each in stages if each.startswith(("pretrain", "finetune", "naive"))]
    workspace.commit(branches, "merged")
    assert up_to_date(branches, "dvc.yaml")
    assert (files(branches, "real"), records(branches, "real")) == before
    merged = json.loads((branches / METRICS).read_text())
    assert merged == json.loads(of(branches, "seed-2", METRICS))
