"""DVC's verbs on one source: they neither touch, nor lose, nor ask for anything of the other."""

import hashlib
import re
import shutil
from pathlib import Path

import pytest

from tests import workspace
from tests.workspace import run

TARGETS = {"sample": "dvc.yaml", "real": "real/dvc.yaml"}
SOURCES = pytest.mark.parametrize(
    ("source", "other"), [("sample", "real"), ("real", "sample")], ids=list(TARGETS)
)


def files(folder: Path, source: str) -> dict[str, str]:
    """The digests of all files of a source."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for place in ("data/raw", "data/images", "data/tensors", "artifacts", "metrics")
        for path in sorted((folder / place / source).rglob("*"))
        if path.is_file()
    }


def results(folder: Path, source: str) -> dict[str, str]:
    """The same without what git has."""
    return {path: each for path, each in files(folder, source).items() if path[:7] != "metrics"}


def records(folder: Path, source: str) -> dict[str, object]:
    """The entries of a source in the lock files."""
    lock = workspace.read_lock(folder).items()
    return {name: each for name, each in lock if re.search(rf"\b{source}\b", name)}


def objects(store: Path) -> set[str]:
    return {path.parent.name + path.name for path in store.glob("files/md5/??/*")}


def copied(committed: Path, tmp_path: Path) -> Path:
    """A copy of the repository with a cache of its own."""
    return Path(shutil.copytree(committed, tmp_path / "copy"))


def up_to_date(folder: Path, target: str) -> bool:
    return run(folder, "dvc", "status", "--quiet", "-d", target, check=False).returncode == 0


def ran(folder: Path, *command: str) -> list[str]:
    """The stages that a command runs."""
    done = run(folder, "dvc", *command)
    return re.findall(r"Running stage '(.*)'", done.stdout + done.stderr)


def cloned(folder: Path, tmp_path: Path, *pushed: str) -> Path:
    """A fresh clone of the repository, with a remote at tmp_path / "store" to which it pushes."""
    run(folder, "dvc", "remote", "add", "--default", "storage", str(tmp_path / "store"))
    workspace.commit(folder, "remote")
    run(folder, "dvc", "push", *pushed)
    run(tmp_path, "git", "clone", "--quiet", str(folder), "clone")
    return tmp_path / "clone"


@SOURCES
def test_push_fetch_checkout_pull_and_gc(
    source: str, other: str, committed: Path, tmp_path: Path
) -> None:
    folder, target = copied(committed, tmp_path), TARGETS[source]
    clone = cloned(folder, tmp_path, "--with-deps", target)
    pushed = objects(tmp_path / "store")
    assert 20 < len(pushed) < len(objects(folder / ".dvc/cache"))
    assert ran(clone, "repro", "--pull", "--allow-missing", target) == []
    assert results(clone, source) == {}  # nothing has changed, nothing is needed
    run(clone, "dvc", "fetch", "--with-deps", target)
    assert objects(clone / ".dvc/cache") == pushed
    run(clone, "dvc", "checkout", "--with-deps", target)
    run(clone, "dvc", "pull", "--with-deps", target)
    assert results(clone, source) == results(folder, source)
    assert results(clone, other) == {}
    assert up_to_date(clone, target)
    run(clone, "dvc", "gc", "--workspace", "--force")
    assert objects(clone / ".dvc/cache") == pushed
    assert files(clone, source) == files(folder, source)
    assert run(clone, "git", "status", "--porcelain").stdout == ""

    for each in TARGETS:
        shutil.rmtree(folder / "artifacts" / each)  # the cache has them
    run(folder, "dvc", "gc", "--workspace", "--force")
    run(folder, "dvc", "checkout", "--with-deps", target)
    assert files(folder, source) == files(committed, source)
    assert not (folder / "artifacts" / other).exists()
    run(folder, "dvc", "checkout", "--with-deps", TARGETS[other])
    assert files(folder, other) == files(committed, other)


@SOURCES
def test_dag_and_status_say_nothing_of_the_other(
    source: str, other: str, committed: Path, tmp_path: Path
) -> None:
    folder, target = copied(committed, tmp_path), TARGETS[source]
    dag = run(folder, "dvc", "dag", "--dot", target).stdout
    assert f"report@{source}" in dag
    assert other not in dag
    shutil.rmtree(folder / "artifacts" / other)
    assert up_to_date(folder, target)
    assert not up_to_date(folder, TARGETS[other])
    assert ran(folder, "repro", target) == []
    assert results(folder, source) == results(committed, source)


@pytest.mark.slow
@SOURCES
def test_a_change_in_a_fresh_clone_pulls_and_runs_what_it_needs(
    source: str, other: str, committed: Path, tmp_path: Path
) -> None:
    folder, target = copied(committed, tmp_path), TARGETS[source]
    clone = cloned(folder, tmp_path)
    params = workspace.read_params(clone)
    params[source]["crossvalidation"]["split_seed"] = 3
    workspace.write_params(clone, params)
    stages = ran(clone, "repro", "--pull", "--allow-missing", target)
    names = ["crossvalidate", "train", "evaluate", "export", "report", source]  # other pairs
    ran_ones = [re.split("[:@]", each)[-2 if "@" in each else -1] for each in stages]
    assert sorted(ran_ones) == sorted(names)
    assert results(clone, other) == {}
    assert records(clone, other) == records(folder, other)
    run(clone, "dvc", "pull", "--with-deps", target)
    assert up_to_date(clone, target)
    assert files(clone, other).items() <= files(folder, other).items()
