"""The shipped networks as artifacts: released as the page says, and fetched by others."""

import re
import sys
from pathlib import Path

import pytest
import yaml

from tests import pages, workspace
from tests.workspace import run

HOST = "https://host/team/three-questions"


@pytest.mark.parametrize(("source", "page"), [("sample", "dvc.yaml"), ("real", "real/dvc.yaml")])
def test_every_shipped_network_is_an_artifact(source: str, page: str) -> None:
    content = yaml.safe_load((workspace.ROOT / page).read_text())
    known = {entry["path"].removeprefix("../") for entry in content["artifacts"].values()}
    shipped = re.compile(r"artifacts/\$\{item\.source\}/([a-zA-Z0-9-]+(\$\{item\.init\})?\.pt)")
    made = {
        f"artifacts/{source}/{match[1]}".replace("${item.init}", init)
        for path in workspace.ROOT.glob("stages/[!d]*/dvc.yaml")  # not of people's own sources
        for match in shipped.finditer(path.read_text())
        for init in ("random", "digits", "characters")
    }
    assert made == known
    for entry in content["artifacts"].values():
        assert entry["type"] == "model"
        assert entry["desc"]


@pytest.mark.slow
def test_a_released_network_predicts_in_another_repository(committed: Path, tmp_path: Path) -> None:
    origin, owner, other = (tmp_path / name for name in ("origin", "owner", "other"))
    run(tmp_path, "git", "clone", "--quiet", "--bare", str(committed), str(origin))
    run(tmp_path, "git", "clone", "--quiet", str(origin), str(owner))
    run(owner, "dvc", "config", "--local", "cache.dir", str(committed / ".dvc/cache"))
    run(owner, "dvc", "remote", "add", "--default", "storage", str(tmp_path / "server"))
    workspace.commit(owner, "remote")
    for command in pages.sections("CONTRIBUTING.md")["Release a network"]:
        run(owner, "bash", "-e", "-c", command)

    other.mkdir()
    run(other, "git", "init", "--quiet")
    run(other, "dvc", "init", "--quiet")
    url = f"file://{origin}"
    for command in pages.sections("docs/dvc.md")["Fetch a released network"]:
        run(other, "bash", "-e", "-c", command.replace(HOST, url))
    network = (committed / "artifacts/real/characters.pt").read_bytes()
    assert (other / "characters.pt").read_bytes() == network
    assert (other / "first.pt").read_bytes() == network
    words = ("predict", "--model", str(other / "characters.pt"), "data/sample/trainPart1.zip")
    done = run(workspace.ROOT, sys.executable, "-m", "handwriting", *words)
    assert len(done.stdout.splitlines()) == 1 + 992, done.stderr
