"""What the tests share: an empty folder to work in, and a clone in which the pipeline has run."""

from pathlib import Path

import pytest

from tests import workspace


@pytest.fixture
def tmp_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def reproduced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with a small cut of the sample, in which `dvc repro` has run: only to be read.

    Tests that use it are in the xdist group "pipeline": one worker, and one run for all of them.
    """
    folder = tmp_path_factory.mktemp("clone")
    workspace.copy_project(folder)
    workspace.make_small(folder)
    workspace.run(folder, "dvc", "repro")
    return folder
