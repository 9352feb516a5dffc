"""Two branches with other params, told apart by DVC's verbs."""

import csv
import json
from pathlib import Path

import pytest

from tests import workspace
from tests.workspace import run

pytestmark = pytest.mark.slow

DRAWS = {"draw-2": 2, "draw-3": 3}  # branch: how the folds of question one are drawn
PARAM = "crossvalidate.sample.draw"
METRICS = ["metrics/sample/characters.json", "metrics/sample/characters-new-hands.json"]
CURVE = "metrics/sample/characters/known-hands-mean.csv"


@pytest.fixture(scope="module")
def branches(committed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone with a branch for each of DRAWS, reproduced and committed; `main` is checked out."""
    folder = tmp_path_factory.mktemp("branches") / "clone"
    run(folder.parent, "git", "clone", "--quiet", str(committed), str(folder))
    run(folder, "dvc", "config", "--local", "cache.dir", str(committed / ".dvc/cache"))
    run(folder, "dvc", "checkout")
    for branch, draw in DRAWS.items():
        run(folder, "git", "checkout", "--quiet", "-b", branch, "main")
        params = workspace.read_params(folder)
        params["crossvalidate"]["sample"]["draw"] = draw
        workspace.write_params(folder, params)
        said = run(folder, "dvc", "repro", "evaluate-characters@sample").stdout
        ran = {line.split("'")[1] for line in said.splitlines() if line.startswith("Running stage")}
        assert ran == {"crossvalidate@sample", "evaluate-characters@sample"}
        workspace.commit(folder, branch)
    run(folder, "git", "checkout", "--quiet", "main")
    run(folder, "dvc", "checkout")
    return folder


def numbers(folder: Path, branch: str, path: str) -> dict[str, float]:
    """The metrics that git has of a file, lists apart, which DVC does not compare."""
    content = json.loads(run(folder, "git", "show", f"{branch}:{path}").stdout)
    return {key: value for key, value in content.items() if isinstance(value, (int, float))}


def table(markdown: str) -> list[dict[str, str]]:
    """The rows of a Markdown table, by its header."""
    lines = [line.strip("| ").split("|") for line in markdown.splitlines() if line.startswith("|")]
    header, _, *rows = [[cell.strip() for cell in line] for line in lines]
    return [dict(zip(header, row, strict=True)) for row in rows]


def test_metrics_diff_says_what_git_has_of_both_branches(branches: Path) -> None:
    said = json.loads(run(branches, "dvc", "metrics", "diff", *DRAWS, "--json").stdout)
    for path in METRICS:
        old, new = (numbers(branches, branch, path) for branch in DRAWS)
        changed = {key for key in old if old[key] != new[key]}
        differences = said.get(path, {})
        assert set(differences) == changed
        for key in changed:
            assert differences[key]["old"] == old[key]
            assert differences[key]["new"] == new[key]
    assert METRICS[0] in said
    assert not any("mnist" in path for path in said), "nothing of the other questions has changed"


def test_metrics_diff_in_markdown_is_the_same_table(branches: Path) -> None:
    rows = table(run(branches, "dvc", "metrics", "diff", *DRAWS, "--md").stdout)
    said = json.loads(run(branches, "dvc", "metrics", "diff", *DRAWS, "--json").stdout)
    assert {(row["Path"], row["Metric"]) for row in rows} == {
        (path, metric) for path, metrics in said.items() for metric in metrics
    }
    for row in rows:
        entry = said[row["Path"]][row["Metric"]]
        assert [float(row[branch]) for branch in DRAWS] == pytest.approx(
            [entry["old"], entry["new"]]
        )
        assert float(row["Change"]) == pytest.approx(entry["diff"], abs=1e-5)


def test_params_diff_says_what_was_edited_and_nothing_else(branches: Path) -> None:
    said = json.loads(run(branches, "dvc", "params", "diff", *DRAWS, "--json").stdout)
    assert said == {"params.yaml": {PARAM: {"old": 2, "new": 3, "diff": 1}}}
    (row,) = table(run(branches, "dvc", "params", "diff", *DRAWS, "--md").stdout)
    assert row == {"Path": "params.yaml", "Param": PARAM, "draw-2": "2", "draw-3": "3"}
    assert table(run(branches, "dvc", "params", "diff", "main", "main", "--md").stdout) == []


def curve_of(folder: Path, branch: str) -> list[float]:
    """The accuracies of a learning curve, as the branch has it."""
    content = run(folder, "git", "show", f"{branch}:{CURVE}").stdout
    return [float(row["accuracy"]) for row in csv.DictReader(content.splitlines())]


def test_plots_diff_draws_both_branches_from_their_own_files(branches: Path) -> None:
    said = json.loads(run(branches, "dvc", "plots", "diff", *DRAWS, "--json").stdout)
    (plot,) = said["data"]["Learning curves on characters"]
    assert plot["revisions"] == list(DRAWS)
    curves = {branch: curve_of(branches, branch) for branch in DRAWS}
    assert curves["draw-2"] != curves["draw-3"]
    for branch, curve in curves.items():
        drawn = [
            float(point["accuracy"])
            for point in plot["content"]["data"]["values"]
            if point["rev"] == branch and point["filename"].startswith("known-hands")
        ]
        assert drawn == curve
    page = run(branches, "dvc", "plots", "diff", *DRAWS).stdout.strip().removeprefix("file://")
    assert all(branch in Path(page).read_text() for branch in DRAWS)
    assert run(branches, "git", "status", "--porcelain").stdout == ""
