"""A git repository of the project in another folder, with a small cut of the sample in it."""

import gzip
import os
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import yaml

from handwriting.raw import archives

ROOT = Path(__file__).parent.parent
CHARACTERS_PER_CLASS = 5
DIGITS = {"train": 300, "t10k": 100}

# The interpreter of the tests is the one that the stages find, and nothing of this checkout is.
ENVIRONMENT = {
    **{key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "DATA_MIRROR")},
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "GIT_AUTHOR_NAME": "test",
    "GIT_AUTHOR_EMAIL": "test@localhost",
    "GIT_COMMITTER_NAME": "test",
    "GIT_COMMITTER_EMAIL": "test@localhost",
}


def run(folder: Path, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command there; its output is captured, and shown if it fails against expectation."""
    done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def copy_project(folder: Path) -> None:
    """What git has of this checkout, or would take, as a repository of its own in `folder`."""
    listed = run(ROOT, "git", "ls-files", "-co", "--exclude-standard").stdout.splitlines()
    for name in listed:
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    run(folder, "git", "init", "--quiet", "--initial-branch", "main")
    commit(folder, "start")


def commit(folder: Path, message: str) -> None:
    run(folder, "git", "add", "--all")
    run(folder, "git", "commit", "--quiet", "--message", message)


def make_small(folder: Path) -> None:
    """Cut the sample and the trainings down to what a test has time for, and commit that."""
    sample = folder / "data/sample"
    kept = {f"-{writer:03d}.png" for writer in range(1, 56)}
    count = _cut_zip(sample / "trainPart1.zip", CHARACTERS_PER_CLASS, kept)
    for split, size in DIGITS.items():
        _cut_idx(sample / f"{split}-images-idx3-ubyte.gz", size, 784)
        _cut_idx(sample / f"{split}-labels-idx1-ubyte.gz", size, 1)
    wrong = _cut_zip(sample / "mnistTask3.zip", DIGITS["train"] // 10, {".jpg"})
    params = read_params(folder)
    _digests(folder, params)
    sizes = params["preprocess"]["sample"]
    sizes["characters"]["images"] = sizes["bases"]["images"] = count
    sizes["mnist"] |= {"images": DIGITS["train"], "test_images": DIGITS["t10k"]}
    sizes["mnistTask3"]["images"] = wrong
    params["strengths"]["fast"] |= {"widths": [16, 16, 16, 16, 32], "epochs": 2}
    for use in params["digits"]["sample"].values():
        use["bases"] = 2
    params["correct"]["seeds"] = params["naive"]["seeds"] = params["audit"]["bases"] = 2
    params["pretrain"]["epochs"]["sample"] = {"random": 0, "digits": 20, "characters": 2}
    params["train"]["network"] |= {"widths": [8, 8, 8, 8, 16], "place": 8}
    params["train"]["epochs"]["sample"] = 2
    params["naive"]["epochs"] = 2
    params["test_archives"] = []  # whatever is being looked at in the working tree
    params["finetune"]["full"]["sample"] |= {"seeds": 2, "times": 1}
    budgets = [{"images": 5, "seeds": 2, "epochs": 2}, {"images": 10, "seeds": 2, "epochs": 1}]
    params["transfer"]["smallest"]["5"] = 0.01
    params["finetune"]["budgets"]["sample"] = budgets
    params["finetune"]["ways"] |= {"budgets": [10, "all"], "seeds": 2}
    params["correct"]["rounds"]["sample"] = [2, 1]
    params["audit"]["epochs"]["sample"] = 15  # enough to tell what is wrong
    write_params(folder, params)
    commit(folder, "a small cut")


def read_params(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((folder / "params.yaml").read_text())
    return content


def write_params(folder: Path, params: dict[str, Any]) -> None:
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def read_lock(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.load((folder / "dvc.lock").read_text(), yaml.CSafeLoader)
    return content


def metric_owners(folder: Path) -> list[str]:
    """The stage instances that write into git rather than into DVC's cache."""
    return [
        name
        for name, stage in read_lock(folder)["stages"].items()
        if any(out["path"].startswith("metrics/") for out in stage.get("outs", []))
    ]


def _cut_zip(path: Path, per_folder: int, suffixes: set[str]) -> int:
    """Keep the first images of each class; how many these are."""
    chosen: dict[str, list[str]] = {}
    with zipfile.ZipFile(path) as archive:
        for name in sorted(archive.namelist()):
            if any(name.endswith(suffix) for suffix in suffixes):
                members = chosen.setdefault(name.rsplit("/", 1)[0], [])
                if len(members) < per_folder:
                    members.append(name)
        contents = {name: archive.read(name) for names in chosen.values() for name in names}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(name, content)
    return len(contents)


def _cut_idx(path: Path, count: int, item: int) -> None:
    content = bytearray(gzip.decompress(path.read_bytes()))
    struct.pack_into(">I", content, 4, count)
    header = 16 if item > 1 else 8
    path.write_bytes(gzip.compress(bytes(content[: header + count * item]), mtime=0))


def _digests(folder: Path, params: dict[str, Any]) -> None:
    limits = archives.Limits(**params["unzip"])
    for dataset in params["archives"]["sample"].values():
        for file in dataset["files"]:
            file["digest"] = archives.content_digest(folder / "data/sample" / file["name"], limits)


def make_environment(folder: Path) -> Path:
    """The environment of the tests under another name, which `make` finds made: for its VENV."""
    folder.mkdir()
    for path in Path(sys.prefix).iterdir():
        (folder / path.name).symlink_to(path)
    mark = folder / "installed"
    mark.unlink(missing_ok=True)
    mark.touch()  # younger than the requirements.txt of a fresh clone
    return folder
