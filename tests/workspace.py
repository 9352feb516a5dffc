"""A git repository of the project in another folder, with a small cut of the sample in it."""

import copy
import gzip
import os
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import ruamel.yaml
import yaml

from handwriting.raw import archives

ROOT = Path(__file__).parent.parent
CHARACTERS_PER_CLASS = 5
DIGITS = {"train": 300, "t10k": 100}
# What a source's section has instead.
SMALL: dict[str, Any] = {
    "characters": {"epochs": 2},
    "crossvalidation": {"folds": 2, "split_seed": 1},
    "pretrain": {"digits": 20, "characters": 2},
    "labels": {"5": 2, "10": 1},
    "seeds": {
        "full_data": 2,
        "labels": {"5": 2, "10": 2},
        **dict.fromkeys(("methods", "mnistTask3", "naive", "diagnosis"), 2),
    },
    "methods": {"labels": ["10", "all"], "epochs": 2},
    "diagnose_labels": {"epochs": [15, 15]},  # enough to tell what is wrong
    "finetune_mnistTask3": {"epochs": [2, 1]},
}
YAML = ruamel.yaml.YAML()
YAML.default_flow_style = False

# The interpreter of the tests is the one that the stages find, and nothing of this checkout is.
ENVIRONMENT = {
    **{key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "DATA_MIRROR")},
    "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    "PYTHONHASHSEED": "0",  # as in the Makefile: else the order of new lock entries is random
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
    """Cut both sources and their trainings down to what a test has time for, and commit that.

    `real` is the same cut of the sample under another name, of other images.
    """
    sample = folder / "data/sample"
    kept = {f"-{writer:03d}.png" for writer in range(1, 56)}
    count = _cut_zip(sample / "trainPart1.zip", CHARACTERS_PER_CLASS, kept)
    for split, size in DIGITS.items():
        _cut_idx(sample / f"{split}-images-idx3-ubyte.gz", size, 784)
        _cut_idx(sample / f"{split}-labels-idx1-ubyte.gz", size, 1)
    wrong = _cut_zip(sample / "mnistTask3.zip", DIGITS["train"] // 10, {".jpg"})
    params = read_params(folder)
    section = params["sample"]
    limits = archives.Limits(**params["unzip"])
    for dataset in section["archives"].values():
        for name in dataset["files"]:
            dataset["files"][name] = archives.content_digest(sample / name, limits)
    images = section["images"]
    images["characters"]["train"] = count
    images["mnist"] |= {"train": DIGITS["train"], "test": DIGITS["t10k"]}
    images["mnistTask3"]["train"] = wrong
    section |= SMALL
    section["full_data"] |= {"epochs": 2}
    section["digits"] |= {"epochs": 2}
    params["model_sizes"]["small"]["widths"] = [16, 16, 16, 16, 32]
    params["characters"]["model"] |= {"widths": [8, 8, 8, 8, 16], "geometry_channels": 8}
    params["compare_inits"]["smallest_effect"]["5"] = 0.01
    params["naive"]["epochs"] = 2
    params["test_archives"] = []  # whatever is being looked at in the working tree
    params["real"] = copy.deepcopy(section)
    write_params(folder, params)
    for source in params["sources"]:  # of all the images, as the locks are
        shutil.rmtree(folder / "metrics" / source)
    for path in locks(folder):
        (folder / path).unlink()
    commit(folder, "a small cut")


def copy_results(folder: Path) -> None:
    """Make the sample's results those of `real`, which has its settings, and record them.

    The reports and the shipped digit networks, which no stage reads, differ: each source has
    objects of its own in the cache.
    """
    for place in ("data/raw", "data/images", "data/tensors", "artifacts", "metrics"):
        shutil.copytree(folder / place / "sample", folder / place / "real")
    for pattern in ("*.html", "mnist*.pt"):
        for path in (folder / "artifacts/real").glob(pattern):
            path.write_bytes(path.read_bytes() + b"real")
    run(folder, "dvc", "commit", "--force", "--with-deps", "real/dvc.yaml")


def read_params(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = YAML.load(folder / "params.yaml")
    return content


def write_params(folder: Path, params: dict[str, Any]) -> None:
    """Write it in the style that DVC writes it in."""
    YAML.dump(params, folder / "params.yaml")


def locks(folder: Path) -> dict[str, bytes]:
    """The lock files of DVC, by their paths."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for pattern in ("dvc.lock", "*/dvc.lock", "stages/*/dvc.lock")
        for path in sorted(folder.glob(pattern))
    }


def read_lock(folder: Path) -> dict[str, Any]:
    """The stages of all lock files, by the names that DVC's commands take."""
    stages: dict[str, Any] = {}
    for path, content in locks(folder).items():
        prefix = "" if path == "dvc.lock" else f"{path.removesuffix('lock')}yaml:"
        entries = yaml.load(content, yaml.CSafeLoader)["stages"]
        stages |= {prefix + name: entry for name, entry in entries.items()}
    return stages


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


def make_environment(folder: Path) -> Path:
    """The environment of the tests under another name, which `make` finds made: for its VENV."""
    folder.mkdir()
    for path in Path(sys.prefix).iterdir():
        (folder / path.name).symlink_to(path)
    mark = folder / "installed"
    mark.unlink(missing_ok=True)
    mark.touch()  # younger than the requirements.txt of a fresh clone
    return folder
