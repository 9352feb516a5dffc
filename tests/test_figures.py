"""The pictures of README and docs: of today's metrics, small, and whole by themselves."""

import base64
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from handwriting.core.errors import InputError
from handwriting.reporting import ink
from handwriting.reporting.results import Results
from tests import workspace
from tools import figures

ROOT = workspace.ROOT


@pytest.mark.parametrize("name", figures.FIGURES)
def test_a_figure_is_of_the_metrics_in_git_and_says_its_source(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    text = (figures.FOLDER / f"{name}.svg").read_text()
    drawn = re.search(r"<metadata>(.*?)</metadata>", text)
    assert drawn
    assert drawn[1] == f"real {figures.digest(name, 'real')}", "make figures SOURCE=real"
    assert "source: real" in text
    if sheet := re.search(r'href="data:image/png;base64,(.*?)"', text):
        drawn_from = ink.pixels(base64.b64decode(sheet[1]))
        monkeypatch.setattr(Results, "pixels", lambda *_: drawn_from)
    if name != "mistakes":  # whose probabilities are no metrics
        assert text == figures.draw(name, Results("real")), "make figures SOURCE=real"


@pytest.mark.parametrize("name", figures.FIGURES)
def test_a_figure_is_small_and_shows_itself_on_pages_of_both_themes(name: str) -> None:
    path = ROOT / figures.FOLDER / f"{name}.svg"
    assert path.stat().st_size <= 100_000
    text = path.read_text()
    assert "prefers-color-scheme: dark" in text
    assert 'fill="var(--surface)"' in text
    assert not re.findall(r'(?:href|src)="(?!data:image/png)', text)
    tags = [each.tag.rpartition("}")[2] for each in ElementTree.fromstring(text)]  # noqa: S314
    assert tags[:2] == ["title", "desc"]


def test_there_is_no_figure_that_nothing_draws() -> None:
    found = {path.stem for path in (ROOT / figures.FOLDER).glob("*.svg")}
    assert found == figures.FIGURES.keys()


def test_figures_of_the_sample_are_the_same_bytes_each_time(
    reproduced: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(reproduced)
    results = Results("sample")
    for name in figures.FIGURES:
        assert "source: sample" in figures.draw(name, results)
        assert figures.draw(name, results) == figures.draw(name, results)


def test_a_missing_sheet_of_images_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"artifacts/real/figures/characters/worst\.png"):
        figures.sheet_of(Results("real"), "figures/characters/worst")
