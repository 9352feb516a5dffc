"""What a newcomer meets first: the wrong Python, the README, the Makefile."""

import json
import re
import sys
from pathlib import Path

import pytest

from handwriting.reporting.networks import NETWORKS
from tests.pages import PAGES, anchors
from tests.workspace import ROOT, run

README = (ROOT / "README.md").read_text()
CARDS = ["data/real/README.md", "data/sample/README.md"]
TOPS = ("handwriting", "stages", "tools", "bench", "docs", "tests", "real", ".github")


def test_a_python_without_the_packages_says_so_in_one_line(tmp_path: Path) -> None:
    run(tmp_path, sys.executable, "-m", "venv", "--without-pip", "bare")
    python = str(tmp_path / "bare/bin/python")
    done = run(ROOT, python, "-m", "stages.characters.train", "sample", check=False)
    assert done.returncode != 0
    assert len(done.stderr.strip().splitlines()) == 1
    assert "make setup" in done.stderr


@pytest.mark.parametrize("page", [*PAGES, *CARDS])
def test_a_page_names_only_files_that_exist(page: str) -> None:
    text = (ROOT / page).read_text()
    for name in re.findall(r"`([\w./-]+)`", text):
        if name.split("/")[0] in TOPS or re.fullmatch(r"[\w-]+\.(py|yaml|toml|txt)", name):
            assert (ROOT / name).exists() or (ROOT / page).with_name(name).exists(), name


@pytest.mark.parametrize("page", [*PAGES, *CARDS, "CHANGELOG.md"])
def test_the_links_of_a_page_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text()
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", text):
        found = (ROOT / page).parent.joinpath(target) if target else ROOT / page
        assert found.exists(), target
        assert not anchor or anchor in anchors(str(found.resolve().relative_to(ROOT))), anchor


def test_the_results_page_has_the_committed_metrics_of_every_network() -> None:
    page = (ROOT / "docs/results.md").read_text()
    table = page.partition("<!-- networks -->")[2].partition("<!-- end -->")[0]
    rows = re.findall(r"(?m)^\| `([\w-]+)` \| [^|]+ \| (.*) \|$", table)
    assert {name for name, _ in rows} == {n for n, each in NETWORKS.items() if each.question < 4}
    for name, cells in rows:
        m = json.loads((ROOT / f"metrics/real/{name}.json").read_text())
        shown = {key: f"{100 * m[key]:.2f}" for key in ("accuracy", "sd", "low", "high", "folded")}
        expected = "{accuracy} ± {sd} | {low} to {high} | {folded}".format(**shown)
        expected += f" | {m['loss']:.3f} | {100 * m['ece']:.2f}"
        assert cells == f"{expected} | {m['runs']} | {m['images']:,}"


def test_the_readme_fits_130_lines() -> None:
    assert len(README.splitlines()) <= 130


def test_the_example_image_gets_the_answer_that_the_readme_shows() -> None:
    [shown] = re.findall(r"(?ms)^```console\n\$ python (.*?)\n(.*?)^```$", README)
    answer = run(ROOT, sys.executable, *shown[0].split()).stdout
    # The last digits are others on a CPU of another kind.
    assert [line.split(",")[:2] for line in answer.splitlines()] == [
        line.split(",")[:2] for line in shown[1].splitlines()
    ]
