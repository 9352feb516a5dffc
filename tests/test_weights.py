"""The networks inside the package: those of the run that the lock files hold, with true cards."""

import re
from hashlib import md5, sha256
from pathlib import Path

import pytest
import yaml

from handwriting import Classifier
from handwriting.classifier import NAMES, WEIGHTS
from handwriting.reporting.results import Results
from tests import pictures, workspace
from tools import weights

CARDS = (WEIGHTS / "README.md").read_text()


@pytest.fixture(autouse=True)
def _root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace.ROOT)


@pytest.mark.parametrize("name", NAMES)
def test_a_network_is_the_one_that_the_real_run_exported(name: str) -> None:
    content = (WEIGHTS / f"{name}.onnx").read_bytes()
    made = f"artifacts/real/{weights.MADE[name]}"
    locks = [yaml.safe_load(path.read_text()) for path in Path("stages").glob("*/dvc.lock")]
    stages = [stage for lock in locks for stage in lock["stages"].values()]
    [out] = [out for stage in stages for out in stage.get("outs", []) if out["path"] == made]
    digest = md5(content, usedforsecurity=False).hexdigest()
    assert (digest, len(content)) == (out["md5"], out["size"])


def test_they_are_3_megabytes_at_most_and_their_cards_have_their_digests() -> None:
    contents = {name: (WEIGHTS / f"{name}.onnx").read_bytes() for name in NAMES}
    assert sum(map(len, contents.values())) <= 3e6
    told = dict(re.findall(r"(?m)^\| `(\w+)` \|.*\| `([0-9a-f]{64})` \|$", CARDS))
    assert told == {name: sha256(each).hexdigest() for name, each in contents.items()}


def test_the_cards_have_the_committed_metrics() -> None:
    assert weights.cards(Results("real")) == CARDS


@pytest.mark.parametrize("name", NAMES)
def test_a_network_answers_as_the_checkpoint_of_a_real_run_that_is_here(name: str) -> None:
    checkpoint = Path("artifacts/real", weights.MADE[name]).with_suffix(".pt")
    if not checkpoint.exists():
        pytest.skip("no real run is here: make repro SOURCE=real")
    image = pictures.letter(300, 220)
    ours, torchs = (Classifier(each).predict(image).probabilities for each in (name, checkpoint))
    assert ours == pytest.approx(torchs, abs=1e-5)


def test_the_version_is_the_change_logs_first() -> None:
    project = Path("pyproject.toml").read_text()
    [version] = re.findall(r'(?m)^version = "(.*)"$', project)
    assert re.findall(r"(?m)^## (\S+):", Path("CHANGELOG.md").read_text())[0] == version
    assert Path(f".github/tags/v{version}.txt").read_text().startswith(f"handwriting {version}:")
