"""The pages have the numbers of metrics/real/, and every choice of the ablation has its reason."""

import json
import re
from pathlib import Path

import pytest

from handwriting.core.errors import InputError
from handwriting.reporting.results import Results
from tests import workspace
from tools import tables

ROOT = workspace.ROOT


@pytest.fixture(autouse=True)
def _root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("page", tables.PAGES)
def test_the_pages_are_in_step_with_the_metrics(page: str) -> None:
    text = Path(page).read_text()
    filled = tables.filled(text, tables.PAGES[page], Results(tables.SOURCE))
    assert numberless(filled) == numberless(text), "python -m tools.tables"


def numberless(text: str) -> str:
    """A page whose output of the sample, which a CPU of another kind changes, has no numbers."""
    before, mark, rest = text.partition("<!-- expected -->")
    inside, end, after = rest.partition("<!-- end -->")
    return f"{before}{mark}{re.sub(r'[0-9]', '0', inside)}{end}{after}"


def test_a_page_without_its_block_is_an_error() -> None:
    with pytest.raises(InputError, match="<!-- labels -->"):
        tables.filled("<!-- speed -->\n<!-- end -->", {"labels": str}, Results(tables.SOURCE))


def test_every_choice_has_its_reason_its_source_and_its_row() -> None:
    choices = workspace.read_params(ROOT)["ablation"]["choices"]
    reasons = json.loads(tables.REASONS.read_text())
    assert set(reasons) == set(choices)
    for name, about in reasons.items():
        assert about["change"], name
        assert about["why"], name
        assert re.search(r"\b(19|20)\d\d\b", about["source"]), name
    measured = Results(f"ablation/{tables.SOURCE}").table("choices").set_index("choice")
    assert list(measured.index) == [name for name in reasons if name in measured.index]
    for name, row in measured.iterrows():
        assert (row["why"], row["source"]) == (reasons[name]["why"], reasons[name]["source"])


def test_every_augmentation_of_the_recipe_is_taken_away_in_a_row_of_its_own() -> None:
    params = workspace.read_params(ROOT)
    text = json.dumps(params["ablation"]["choices"])
    for name, magnitude in params["characters"]["augmentation"].items():
        assert magnitude == 0 or f'{{"augmentation": {{"{name}": 0}}}}' in text
