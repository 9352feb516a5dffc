"""The environments that people have: editors, systems, git's settings, Python's, two hosts."""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import workspace
from tests.pages import PAGES
from tests.workspace import ENVIRONMENT, ROOT, run

STAGE = """
import time
from pathlib import Path
from handwriting.core import cli, files, params

def main(scratch, source):
    rate = params.load("rate", float)
    if Path("pause").exists():
        Path("pause").rename("begun")
        while Path("begun").exists():
            time.sleep(0.01)
    files.write_json(Path("out.json"), rate, scratch)

if __name__ == "__main__":
    cli.run(main)
"""
DVC_YAML = """
stages:
  work:
    wdir: ..
    cmd: python -m stages.work sample
    deps: [stages/work.py, handwriting/core, data]
    params: [rate]
    outs: [out.json]
"""
# What vim, emacs, nano, Kate, Jupyter, JetBrains, GNOME, office programs, git, macOS, Windows, KDE,
# NFS, FUSE, a NAS, Python and mypy leave.
JUNK = re.findall(
    r"\S+",
    """
.x.py.swp .x.py.swo .x.py.svz x.swp .x.py.un~ 4913 x.py~ #x.py# .#x.py .x.py.kate-swp
.ipynb_checkpoints/x-checkpoint.ipynb .ipynb_checkpoints/x-checkpoint.py x.py___jb_tmp___
x.py___jb_old___ .goutputstream-A1B2C3 .~lock.x.csv# ~$x.xlsx x.py.orig x.py.rej x.py.bak x.tmp
.DS_Store ._x.py .AppleDouble/x .Spotlight-V100/x .Trashes/x .fseventsd/x Thumbs.db ehthumbs.db
desktop.ini .directory .Trash-1000/x .nfs000000000123 .fuse_hidden0000123 @eaDir/x
.syncthing.x.tmp __pycache__/x.cpython-311.pyc .mypy_cache/x
""",
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with one stage, which has run: with our core and our files for DVC and git."""
    folder = tmp_path_factory.mktemp("made") / "project"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "handwriting/core", folder / "handwriting/core", ignore=ignored)
    for name in (".dvcignore", ".gitattributes", ".gitignore"):
        shutil.copy(ROOT / name, folder)
    texts = {"stages/__init__.py": "", "stages/work.py": STAGE, "stages/dvc.yaml": DVC_YAML}
    texts |= {"params.yaml": "rate: 1.0\nother: 1\n", "data/a": "a"}
    for path, text in texts.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text)
    run(folder, "git", "init", "--quiet")
    run(folder, "dvc", "init", "--quiet")
    run(folder, "dvc", "repro", "stages/dvc.yaml")
    workspace.commit(folder, "run")
    return folder


@pytest.fixture
def project(made: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(made, tmp_path / "project"))


def status(folder: Path) -> str:
    return run(folder, "dvc", "status").stdout


def test_what_programs_leave_in_a_folder_is_not_committed_and_makes_no_stage_stale(
    project: Path,
) -> None:
    before = (project / "stages/dvc.lock").read_bytes()
    for path in (f"{folder}/{name}" for name in JUNK for folder in ("handwriting/core", "data")):
        (project / path).parent.mkdir(exist_ok=True)
        (project / path).touch()
    assert run(project, "git", "status", "--porcelain").stdout == ""
    assert "up to date" in status(project)
    run(project, "dvc", "repro", "--force", "stages/dvc.yaml")
    assert (project / "stages/dvc.lock").read_bytes() == before
    (project / "data/b").touch()
    assert "modified:           data" in status(project)


@pytest.mark.parametrize(
    ("path", "old", "new", "said", "out"),
    [
        ("params.yaml", "rate: 1.0", "rate: 2.0", "params.yaml: rate", "2.0\n"),
        ("stages/work.py", "rate, scratch", "rate + 2, scratch", "stages/work.py", "3.0\n"),
    ],
)
def test_what_is_edited_while_a_stage_runs_is_not_recorded_as_what_it_ran_with(
    project: Path, path: str, old: str, new: str, said: str, out: str
) -> None:
    (project / "pause").touch()
    command = ["dvc", "repro", "--force", "stages/dvc.yaml"]
    started = subprocess.Popen(
        command, cwd=project, env=ENVIRONMENT, text=True, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 60
    while not (project / "begun").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    (project / path).write_text((project / path).read_text().replace(old, new))
    (project / "begun").unlink()
    _, errors = started.communicate(timeout=60)
    assert started.returncode != 0
    assert f"work: {said} changed while this stage ran: run it again\n" in errors
    assert "up to date" not in status(project)
    run(project, "dvc", "repro", "stages/dvc.yaml")
    assert (project / "out.json").read_text() == out


def test_hosts_that_share_the_cache_run_a_stage_once(project: Path, tmp_path: Path) -> None:
    (project / "params.yaml").write_text("rate: 3.0\n")
    workspace.commit(project, "another rate")
    for name, said in (("one", "Running stage"), ("other", "is cached")):
        run(tmp_path, "git", "clone", "--quiet", str(project), name)
        run(tmp_path / name, "dvc", "config", "--local", "cache.dir", str(tmp_path / "cache"))
        assert said in run(tmp_path / name, "dvc", "repro", "stages/dvc.yaml").stdout
    assert (tmp_path / "other/out.json").read_text() == "3.0\n"


def test_git_checks_out_the_same_bytes_whatever_it_does_to_line_ends(tmp_path: Path) -> None:
    (tmp_path / "project").mkdir()
    workspace.copy_project(tmp_path / "project")
    settings = ["-c", "core.autocrlf=true", "-c", "core.eol=crlf"]
    clone = tmp_path / "clone"
    run(tmp_path, "git", "clone", "--quiet", *settings, str(tmp_path / "project"), str(clone))
    paths = run(clone, "git", "ls-files").stdout.splitlines()
    assert ".ci/run" in paths
    for path in paths:
        assert (clone / path).read_bytes() == (tmp_path / "project" / path).read_bytes(), path
    run(clone, "git", "add", "--renormalize", ".")
    assert run(clone, "git", "status", "--porcelain").stdout == ""


def test_make_finds_the_modules_whatever_python_is_told_of_safe_paths() -> None:
    environment = {**ENVIRONMENT, "PYTHONSAFEPATH": "1"}
    module = ["-m", "stages.data.download"]
    plain = subprocess.run(
        [sys.executable, *module], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert (plain.returncode, plain.stderr.count("\n")) == (1, 1)
    assert "No module named 'stages'" in plain.stderr
    rules = f"include Makefile\nshown: ; @python {' '.join(module)}\n"
    command = ["make", "-f", "-", f"VENV={sys.prefix}", "shown"]
    made = subprocess.run(
        command, cwd=ROOT, env=environment, input=rules, capture_output=True, text=True
    )
    assert "usage: python -m stages.data.download SOURCE DATASET\n" in made.stderr


@pytest.mark.parametrize("page", PAGES)
def test_no_page_deletes_a_lock_file_or_runs_dvc_beside_itself(page: str) -> None:
    text = (ROOT / page).read_text()
    assert not re.search(r"(?i)\b(rm|delete|remove)\b[^.\n]*dvc\.lock", text)
    assert not re.search(r"(?m)^dvc .* & ", text)
