"""Experiments as the page has them: one, a queue of two at a time, and one that is applied."""

import csv
import io
import json
import re
import shutil
from pathlib import Path

import pytest

from tests import pages, workspace
from tests.workspace import run

pytestmark = pytest.mark.slow

RECIPE = pages.sections("docs/change.md")["Many numbers at once"]
# As on the page, with a param whose change costs seconds here.
CHEAP = {"train.smoothing=0.05": "crossvalidate.sample.draw=2", "train.smoothing=0,0.1": "QUEUED"}
QUEUED = "crossvalidate.sample.draw=3,4"
OTHER = "metrics/dropbox"  # of the source that the experiments do not run


def recipe(*names: str) -> list[str]:
    """The command of the recipe that starts with these words."""
    start = f"{' '.join(names)} "
    (command,) = (each for each in RECIPE if f"{each} ".startswith(start))
    for param, cheap in CHEAP.items():
        command = command.replace(param, QUEUED if cheap == "QUEUED" else cheap)
    return command.split()


def table(folder: Path) -> dict[str, dict[str, str]]:
    """`dvc exp show`, by the name of the experiment or the branch."""
    said = run(folder, "dvc", "exp", "show", "--csv", "--precision", "10").stdout
    rows = list(csv.DictReader(io.StringIO(said)))
    return {row["Experiment"] or row["rev"] or "workspace": row for row in rows}


def tracked(folder: Path, path: str) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted((folder / path).glob("*.json"))}


def test_the_recipe_of_the_page(committed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "clone"
    run(tmp_path, "git", "clone", "--quiet", str(committed), str(folder))
    cache = tmp_path / "cache"
    shutil.copytree(committed / ".dvc/cache", cache)
    run(folder, "dvc", "config", "--local", "cache.dir", str(cache))
    run(folder, "dvc", "checkout")
    others = tracked(folder, OTHER)
    assert others

    run(folder, *recipe("dvc", "exp", "run", "--set-param"))
    run(folder, *recipe("git", "checkout", "params.yaml"))
    run(folder, *recipe("dvc", "exp", "run", "--queue"))
    run(folder, *recipe("dvc", "queue", "start"))
    wait(folder)
    status = run(folder, *recipe("dvc", "queue", "status")).stdout
    assert status.count("Success") == 2, status
    run(folder, *recipe("dvc", "exp", "show"))
    shown = {
        row["crossvalidate.sample.draw"]: name
        for name, row in table(folder).items()
        if name not in ("workspace", "main")
    }
    assert set(shown) == {"2", "3", "4"}

    name = shown["4"]
    expected = run(folder, "git", "show", f"{ref(folder, name)}:metrics/sample/characters.json")
    run(folder, "dvc", "exp", "apply", name)
    for command in ("git checkout metrics", "dvc repro"):
        assert command in RECIPE
        said = run(folder, *command.split()).stdout
        assert "Running stage 'crossvalidate" not in said
    assert workspace.read_params(folder)["crossvalidate"]["sample"]["draw"] == 4
    metrics = (folder / "metrics/sample/characters.json").read_text()
    assert json.loads(metrics) == json.loads(expected.stdout)
    assert tracked(folder, OTHER) == others
    assert not [line for line in changed(folder) if line.startswith(OTHER)]


def wait(folder: Path) -> None:
    """Until no experiment is queued or running."""
    for task in re.findall(r"(?m)^([0-9a-f]{7})", run(folder, "dvc", "queue", "status").stdout):
        run(folder, "dvc", "queue", "logs", "--follow", task)


def ref(folder: Path, name: str) -> str:
    listed = run(folder, "git", "for-each-ref", "--format=%(refname)", "refs/exps").stdout.split()
    (found,) = (each for each in listed if each.endswith(f"/{name}"))
    return found


def changed(folder: Path) -> list[str]:
    return [line[3:] for line in run(folder, "git", "status", "--porcelain").stdout.splitlines()]
