"""README.md and docs/design-choices.md say what the metrics say, and explain what was changed."""

import json
import re
from pathlib import Path

import pytest

from handwriting.core import files
from tests import workspace
from tools import choices, results

ROOT = workspace.ROOT


@pytest.fixture(autouse=True)
def _root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_the_page_is_in_step_with_the_metrics() -> None:
    text = choices.PAGE.read_text()
    assert choices.page(text) == text, "python -m tools.choices"
    measured = (choices.METRICS / "rates.csv").exists()
    assert choices.CURVE.exists() == measured
    assert not measured or choices.CURVE.read_text() == choices.curve()


def test_the_readme_is_in_step_with_the_metrics() -> None:
    text = results.PAGE.read_text()
    assert results.page(text) == text, "python -m tools.results"


def test_a_measured_row_is_on_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = "recipe,0.99163,0.01,4,1984,0,0,0,0,0.9,0.3"
    columns = "choice,accuracy,sd,folds,images,difference,low,high,difference_sd,same_hand,loss"
    (tmp_path / "ablation.csv").write_text(f"{columns}\n{row}\n")
    monkeypatch.setattr(choices, "METRICS", tmp_path)
    page = choices.page(choices.PAGE.read_text())
    assert "| 99.16 ± 1.00 |" in page
    assert "| not run yet |" in page


def test_every_choice_has_its_reason_its_source_and_its_row() -> None:
    study = workspace.read_params(ROOT)["ablation"]
    reasons = json.loads(Path("ablation/reasons.json").read_text())
    assert set(reasons) == set(study["choices"]) | set(study["framings"])
    for name, about in reasons.items():
        assert about["change"], name
        assert about["why"], name
        assert re.search(r"\b(19|20)\d\d\b", about["source"]), name
    if not (choices.METRICS / "ablation.csv").exists():
        return  # the page says so
    measured = {row["choice"]: row for row in files.read_csv(choices.METRICS / "ablation.csv")}
    assert list(measured) == [name for name in reasons if name in measured]
    for name, row in measured.items():
        assert (row["why"], row["source"]) == (reasons[name]["why"], reasons[name]["source"])


def test_every_augmentation_of_the_recipe_is_taken_away_in_a_row_of_its_own() -> None:
    params = workspace.read_params(ROOT)
    off = [each.get("augmentation", {}) for each in params["ablation"]["choices"].values()]
    for name, strength in params["train"]["augmentation"].items():
        assert strength == 0 or {name: 0} in off
