"""What a newcomer meets first: the wrong Python, the README, the Makefile."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import workspace
from tools import results

ROOT = workspace.ROOT
README = (ROOT / "README.md").read_text()


def test_a_python_without_the_packages_says_so_in_one_line(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    done = workspace.run(
        ROOT,
        str(tmp_path / "bare/bin/python"),
        "-m",
        "stages.characters.train",
        "sample",
        "random",
        check=False,
    )
    assert done.returncode != 0
    assert len(done.stderr.strip().splitlines()) == 1
    assert "lacks" in done.stderr
    assert "make setup" in done.stderr


def test_the_readme_names_no_file_that_does_not_exist() -> None:
    made = (
        "artifacts",
        "scratch",
        "live",
        "data/raw",
        "data/images",
        "data/tensors",
        ".venv",
        ".dvc/tmp",
    )
    for name in re.findall(r"`([\w./-]+/[\w./-]*|[\w-]+\.(?:py|yaml|toml|lock|txt))`", README):
        if not name.startswith(made):
            assert (ROOT / name).exists(), name


@pytest.mark.parametrize("path", ["README.md", "data/dropbox/README.md", "data/sample/README.md"])
def test_links_between_our_pages_lead_somewhere(path: str) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", (ROOT / path).read_text()):
        assert (ROOT / path).parent.joinpath(target).exists(), target


def test_the_readme_names_only_targets_that_the_makefile_has() -> None:
    targets = set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text()))
    assert set(re.findall(r"(?m)(?:`|^)make ([a-z-]+)", README)) <= targets


def test_the_results_in_the_readme_are_those_of_the_committed_metrics() -> None:
    table = README.partition("<!-- networks -->")[2].partition("<!-- end -->")[0]
    rows = re.findall(
        r"(?m)^\| `([\w-]+)` .*\| ([\d.]+)% ± ([\d.]+) \| ([\d.]+) to ([\d.]+)%"
        r" \| (\d+) \| ([\d,]+) \|",
        table,
    )
    assert {network for network, *_ in rows} == set(results.NETWORKS)
    for network, accuracy, deviation, low, high, runs, images in rows:
        metrics = json.loads((ROOT / f"metrics/dropbox/{network}.json").read_text())
        assert f"{100 * metrics['accuracy']:.2f}" == accuracy
        assert f"{100 * metrics['accuracy_sd']:.2f}" == deviation
        assert f"{100 * metrics['accuracy_low']:.2f}" == low
        assert f"{100 * metrics['accuracy_high']:.2f}" == high
        assert len(metrics["correct"]) == int(runs)
        assert metrics["images"] == int(images.replace(",", ""))
