"""The shipped networks as artifacts: released as the page says, and fetched by others."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests import pages, workspace
from tests.servers import Server
from tests.workspace import run

HOST = "https://host/team/three-questions"


@pytest.mark.parametrize(("source", "page"), [("sample", "dvc.yaml"), ("real", "real/dvc.yaml")])
def test_every_shipped_network_is_an_artifact(source: str, page: str) -> None:
    content = yaml.safe_load((workspace.ROOT / page).read_text())
    known = {entry["path"].removeprefix("../") for entry in content["artifacts"].values()}
    shipped = re.compile(r"artifacts/\$\{item\.source\}/([a-zA-Z0-9-]+(\$\{item\.init\})?\.pt)")
    made = {
        f"artifacts/{source}/{match[1]}".replace("${item.init}", init)
        for path in workspace.ROOT.glob("stages/*/dvc.yaml")
        for match in shipped.finditer(path.read_text())
        for init in ("random", "digits", "characters")
    }
    assert made == known
    for entry in content["artifacts"].values():
        assert entry["type"] == "model"
        assert entry["desc"]


def paste(folder: Path, command: str, words: dict[str, str]) -> None:
    """Run a command of a page, with what it names replaced by what there is here."""
    for name, meaning in words.items():
        command = command.replace(name, meaning)
    done = subprocess.run(
        ["bash", "-e", "-c", command],
        cwd=folder,
        env=workspace.ENVIRONMENT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, (command, done.stdout, done.stderr)


@pytest.mark.slow
def test_a_released_network_predicts_in_another_repository(committed: Path, tmp_path: Path) -> None:
    origin, owner, other = (tmp_path / name for name in ("origin", "owner", "other"))
    run(tmp_path, "git", "clone", "--quiet", "--bare", str(committed), str(origin))
    run(tmp_path, "git", "clone", "--quiet", str(origin), str(owner))
    run(owner, "dvc", "config", "--local", "cache.dir", str(committed / ".dvc/cache"))
    run(owner, "python", "-m", "tools.remote", str(Server(tmp_path / "server").store))
    workspace.commit(owner, "remote")
    for command in pages.sections("docs/own.md")["Release a network"]:
        paste(owner, command, {})

    other.mkdir()
    run(other, "git", "init", "--quiet")
    run(other, "dvc", "init", "--quiet")
    url = f"file://{origin}"
    for command in pages.sections("docs/run.md")["Only a trained network"]:
        paste(other, command, {HOST: url})
    network = (committed / "artifacts/real/characters.pt").read_bytes()
    assert (other / "characters.pt").read_bytes() == network
    assert (other / "first.pt").read_bytes() == network
    opened = (
        "import dvc.api, sys\n"
        "with dvc.api.open(sys.argv[1], repo=sys.argv[2], rev=sys.argv[3], mode='rb') as file:\n"
        "    open('opened.pt', 'wb').write(file.read())\n"
        "print(dvc.api.artifacts_show('real:characters', repo=sys.argv[2])['path'])\n"
    )
    asked = ("artifacts/real/characters.pt", url, "real=characters@v1.0.0")
    assert run(other, sys.executable, "-c", opened, *asked).stdout == f"{asked[0]}\n"
    assert (other / "opened.pt").read_bytes() == network

    image = next((workspace.ROOT / "data/sample").glob("trainPart1.zip"))
    done = subprocess.run(
        [sys.executable, "-m", "handwriting", "predict", str(other / "characters.pt"), str(image)],
        cwd=workspace.ROOT,
        env={**workspace.ENVIRONMENT, "PYTHONPATH": os.fspath(workspace.ROOT)},
        capture_output=True,
        text=True,
    )
    assert len(done.stdout.splitlines()) == 1 + 992, done.stderr
