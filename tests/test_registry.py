"""The shipped networks as artifacts: released as the page says, and fetched by others."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests import pages, workspace
from tests.servers import Server
from tests.workspace import run

HOST = "https://host/team/three-questions"


def artifacts() -> dict[str, dict[str, object]]:
    content = yaml.safe_load((workspace.ROOT / "dvc.yaml").read_text())
    known: dict[str, dict[str, object]] = content["artifacts"]
    return known


def test_every_shipped_network_is_an_artifact_with_type_description_and_labels() -> None:
    content = yaml.safe_load((workspace.ROOT / "dvc.yaml").read_text())
    made = {
        out.replace("${item.source}", "${source}")
        for stage in content["stages"].values()
        for out in stage.get("outs", [])
        if isinstance(out, str) and out.count("/") == 2 and out.endswith(".pt")
    }
    named = {path for path in made if "${item." not in path}
    known = {entry["path"] for entry in artifacts().values()}
    assert named <= known
    for entry in artifacts().values():
        assert entry["type"] == "model"
        assert entry["desc"]
        assert entry["labels"]


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
    # the real archives are not here: the sample is released, by an edit that changes nothing of it
    words = {"source: dropbox/": "source: sample  #/"}
    for command in pages.sections("docs/own.md")["Release a network"]:
        paste(owner, command, words)

    other.mkdir()
    run(other, "git", "init", "--quiet")
    run(other, "dvc", "init", "--quiet")
    url = f"file://{origin}"
    for command in pages.sections("docs/run.md")["Only a trained network"]:
        paste(other, command, {HOST: url})
    network = (committed / "artifacts/sample/characters.pt").read_bytes()
    assert (other / "characters.pt").read_bytes() == network
    assert (other / "first.pt").read_bytes() == network
    opened = (
        "import dvc.api, sys\n"
        "with dvc.api.open(sys.argv[1], repo=sys.argv[2], rev=sys.argv[3], mode='rb') as file:\n"
        "    open('opened.pt', 'wb').write(file.read())\n"
        "print(dvc.api.artifacts_show('characters', repo=sys.argv[2])['path'])\n"
    )
    asked = ("artifacts/sample/characters.pt", url, "characters@v1.0.0")
    said = run(other, sys.executable, "-c", opened, *asked).stdout
    assert said == "artifacts/sample/characters.pt\n"
    assert (other / "opened.pt").read_bytes() == network

    image = next((workspace.ROOT / "data/sample").glob("trainPart1.zip"))
    done = subprocess.run(
        [sys.executable, "-m", "handwriting.classifier", str(other / "characters.pt"), str(image)],
        cwd=workspace.ROOT,
        env={**workspace.ENVIRONMENT, "PYTHONPATH": os.fspath(workspace.ROOT)},
        capture_output=True,
        text=True,
    )
    assert len(done.stdout.splitlines()) == 1 + 992, done.stderr
