"""What the tests share: an empty folder to work in, and clones in which the pipeline has run."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from tests import workspace


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what needs the pipeline's run: one worker makes it while the others go on."""
    items.sort(key=lambda item: "reproduced" not in getattr(item, "fixturenames", ()))


@pytest.fixture
def tmp_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def reproduced(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """A repository with a small cut of the sample, in which `dvc repro` has run: only to be read.

    One for all workers: the first makes it, the others wait.
    """
    shared = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        shared = shared.parent
    folder, done = shared / "clone", shared / "clone is done"
    with FileLock(shared / "clone.lock"):
        if not done.exists():
            folder.mkdir()
            workspace.copy_project(folder)
            workspace.make_small(folder)
            printed = workspace.run(folder, "dvc", "repro").stdout
            done.write_text(printed)
    return folder


@pytest.fixture(scope="session")
def committed(reproduced: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with both sources reproduced and committed, with its cache: only to be copied.

    The results of `real`, which has the settings of the sample here, are copies of the sample's.
    """
    folder = tmp_path_factory.mktemp("committed") / "repository"
    shutil.copytree(reproduced, folder, ignore=shutil.ignore_patterns("tmp"))
    workspace.copy_results(folder)
    workspace.commit(folder, "reproduced")
    return folder


@pytest.fixture
def alone(reproduced: Path) -> Iterator[None]:
    """No other worker runs DVC in the shared repository: it refuses to work beside itself."""
    with FileLock(reproduced.with_name("dvc.lock")):
        yield
