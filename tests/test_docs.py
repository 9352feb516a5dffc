"""Every command on every page, in blocks and in sentences, is run in a fresh clone, or what is
declared to be its equal."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import (
    test_experiments,
    test_install,
    test_own_data,
    test_registry,
    test_workflows,
    workspace,
)
from tests.pages import PAGES, inline, sections
from tests.training import test_ray_cluster
from tests.workspace import ROOT, run

# Sections that another test runs, word by word.
ELSEWHERE = {
    "A Ray cluster": test_ray_cluster,
    "Experiments": test_experiments,
    "Release a network": test_registry,
    "Fetch a released network": test_registry,
    "A runner with a GPU": test_workflows,
}
OWN_LABELS = "python -m handwriting diagnose data/shapes/doubtful.zip"
# What a test has not: the real archives, hours, a GPU, a team's servers.
INSTEAD = {
    # Nobody has edited anything here.
    'git commit --all --message "Wider networks"': 'git commit --allow-empty -am "Wider networks"',
    "dvc repro real/dvc.yaml": "dvc repro --dry --allow-missing dvc.yaml",
    "make repro SOURCE=real": "make repro SOURCE=sample",
    "DATA_MIRROR=/mnt/archives make repro SOURCE=real": (
        "DATA_MIRROR=data/sample make repro SOURCE=sample"
    ),
    "make test": "python -m pytest -q tests/test_architecture.py",
    # A server, which does not end by itself.
    "make report": "timeout -s INT 30 make report PORT=0 | grep 'The report is at http://127.0.0.1:'",
    "make report SOURCE=shapes": "test -s artifacts/shapes/report.html",
    # Status 3: something is wrong with these labels.
    "python -m handwriting diagnose folder/ --output examined/": (
        "python -m handwriting diagnose data/sample/mnistTask3.zip --output examined/"
        " --model artifacts/sample/mnist-characters.pt || test $? = 3"
    ),
    f"{OWN_LABELS} --model artifacts/shapes/characters.pt --output examined": (
        f"{OWN_LABELS} --model artifacts/shapes/characters.pt --output examined || test $? = 3"
    ),
    "dvc exp run -S compute.device=cuda": "dvc exp run -S compute.device=cpu",
    "make weights SOURCE=real": "make --dry-run weights SOURCE=real",
    "make ablation SOURCE=real": "dvc stage list stages/ablation/dvc.yaml",  # see test_ablation
    "dvc remote add --default storage /mnt/shared/three-questions": (
        "dvc remote add --default storage ../store && mkdir ../store"
    ),
    "dvc config --local cache.dir /mnt/shared/dvc-cache": (
        "cp -R ../cache ../shared-cache && dvc config --local cache.dir ../shared-cache"
    ),
}
# The same of commands within sentences; a module is a test that runs it.
WITHIN = {
    "dvc artifacts get": test_registry,
    "dvc dag real/dvc.yaml": "dvc dag dvc.yaml",
    "dvc exp run real/dvc.yaml": test_experiments,
    "dvc get https://host/team/three-questions artifacts/sample/characters.pt --rev BRANCH": (
        "dvc get . artifacts/sample/characters.pt --rev main --out got.pt"
    ),
    "dvc gc -w": "dvc gc -w --force",  # which asks
    "dvc pull": "dvc pull -d dvc.yaml",  # the real archives have not run in the tests' repository
    "dvc pull --with-deps real/dvc.yaml": "dvc pull -d dvc.yaml",
    "dvc push": "dvc push --with-deps dvc.yaml",
    "dvc push --run-cache": "dvc push --run-cache --with-deps dvc.yaml",
    "dvc remote modify --local storage ask_password true": "dvc remote modify --help",
    "dvc remote modify --local storage keyfile ~/.ssh/id_ed25519": "dvc remote modify --help",
    "make bench": (  # whose seeds take an hour; 300 images are too few to name every fault
        "python -m bench.training --seeds 1 --model-sizes large --alone --name training-large;"
        " rm -f bench/results/diagnosis-sample.json;"
        " python -m bench.diagnosis --images 250 --seeds 1 --trained 0"
        " || test -s bench/results/diagnosis-sample.json;"
        " python -m bench.scale --images 600 1200;"
        " python -m bench.cluster --trainings 2 --sleepers 16"
    ),
    "make figures SOURCE=real": "make --dry-run figures SOURCE=real",
    "make clean": "make clean && dvc checkout -d dvc.yaml",
    "make lock": "make --dry-run lock",  # it would choose new versions
    "make repro SOURCE=shapes": "make repro SOURCE=sample",
    "make repro-pull SOURCE=real": "make repro-pull SOURCE=sample",
    "make setup PYTHON=python3.12": "make --dry-run setup PYTHON=python3.12",
    "make test-all": "make --dry-run test-all",  # this is one of its tests
    "make verify STORE=/mnt/shared/three-questions/files/md5": (
        "make verify STORE=../cache/files/md5"
    ),
    "pip install .": test_install,
    "pip install '.[train]'": test_install,
    "pip install -r requirements.txt && dvc repro": "dvc repro",
    # No registry that a test can reach has conda.
    (
        "conda create -n handwriting python=3.12 && conda activate handwriting"
        " && pip install -r requirements.txt && dvc repro"
    ): "dvc repro",
    "uv venv && uv pip install -r requirements.txt && . .venv/bin/activate && dvc repro": (
        "uv venv ../uv && . ../uv/bin/activate && uv pip install --dry-run -r requirements.txt"
    ),
    "pip install -r requirements.txt": "pip install --dry-run -r requirements.txt",
    "pip install dvc-gs": "pip install --dry-run dvc-gs",
    "python -m handwriting source add NAME --characters ARCHIVE": test_own_data,
    "python -m bench.cluster": "python -m bench.cluster --trainings 2 --sleepers 16",
    "python -m bench.scale": "python -m bench.scale --images 600",
}


def commands() -> Iterator[tuple[str, str]]:
    """(heading, command) of all in blocks that this file runs."""
    for page in PAGES:
        for heading, lines in sections(page).items():
            if heading not in ELSEWHERE:
                yield from ((heading, line) for line in lines)


def within() -> list[str]:
    """The commands in sentences that stand in no block."""
    blocks = {line for page in PAGES for lines in sections(page).values() for line in lines}
    return sorted({command for page in PAGES for command in inline(page)} - blocks - INSTEAD.keys())


def test_what_is_declared_here_is_on_a_page() -> None:
    headings = {heading for page in PAGES for heading in sections(page)}
    assert set(ELSEWHERE) <= headings
    every = {command for _, command in commands()} | {c for page in PAGES for c in inline(page)}
    assert {*INSTEAD, *WITHIN} - every == set()


def test_commands_are_of_programs_targets_and_modules_that_there_are() -> None:
    targets = set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text()))
    for command in [*(command for _, command in commands()), *within()]:
        assert subprocess.run(["bash", "-n", "-c", command]).returncode == 0, command
        for target in re.findall(r"\bmake ([a-z-]+)", command):
            assert target in targets, command
        for module in re.findall(r"python -m ((?:handwriting|tools|bench)[\w.]*)", command):
            path = ROOT / module.replace(".", "/")
            assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), command


@pytest.fixture
def clone(committed: Path, tmp_path: Path) -> Path:
    """A fresh clone with its environment, the cache of a run, and the files that a page names."""
    folder, cache = tmp_path / "clone", tmp_path / "cache"
    run(tmp_path, "git", "clone", "--quiet", str(committed), str(folder))
    workspace.make_environment(folder / ".venv")
    shutil.copytree(committed / ".dvc/cache", cache)
    run(folder, "dvc", "config", "--local", "cache.dir", str(cache))
    run(folder, "dvc", "checkout", "-d", "dvc.yaml")
    run(folder, "dvc", "remote", "add", "--local", "--default", "team", str(tmp_path / "team"))
    shutil.unpack_archive(folder / "data/sample/trainPart1.zip", tmp_path / "unpacked")
    (folder / "folder").mkdir()
    for image in sorted((tmp_path / "unpacked").rglob("*.png"))[:3]:
        shutil.copy(shutil.copy(image, folder / "folder"), folder / "letter.png")
    shutil.make_archive(str(folder / "archive"), "zip", folder / "folder")
    return folder


def paste(clone: Path, lines: list[str]) -> None:
    """Run lines as in a shell into which a reader pastes them."""
    environment = {**workspace.ENVIRONMENT, "VENV": str(clone / ".venv"), "BROWSER": "true"}
    command = ["bash", "-e", "-x", "-c", "\n".join(lines)]
    done = subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, (lines, done.stdout[-3000:], done.stderr[-3000:])


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_run(page: str, clone: Path) -> None:
    for heading, lines in sections(page).items():
        if heading not in ELSEWHERE:
            paste(clone, [INSTEAD.get(line, line) for line in lines])


@pytest.mark.slow
def test_the_commands_within_sentences_run(clone: Path) -> None:
    for command in within():
        instead = WITHIN.get(command, command)
        if isinstance(instead, str):
            paste(clone, [instead])
