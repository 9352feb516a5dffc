"""The pages have the numbers of metrics/real/, and every choice of the ablation has its reason."""

import json
import re
from pathlib import Path

import pytest

from handwriting.core.errors import InputError
from handwriting.reporting.results import Results
from tests import workspace
from tests.pages import PAGES
from tools import tables

ROOT = workspace.ROOT
GENERATED = re.compile(r"(?ms)<!-- ([\w-]+) -->.*?<!-- end -->")
NO_PROSE = re.compile(r"(?ms)^```.*?^```$|`[^`]*`|\]\([^)]*\)|<[^>]*>")
CITED = re.compile(r"arXiv [\d.]+|\b(?:19|20)\d\d(?:-\d\d)*\b")
NUMBER = re.compile(r"(?<![\w.,/-])\d[\d,_]*(?:\.\d+)*%?(?![\w/-])")
# Settings and code, beside what was measured.
STATED = [
    *("params.yaml", "pyproject.toml", ".github/workflows/*.yml", "data/*/README.md"),
    *("handwriting/**/*.py", "metrics/real/**/*.*", "bench/results/**/*.*"),
]
FACTS = {
    "1.5.1": "of KubeRay",
    "2.9": "of cleanlab",
    "99": "the accuracy that `bench.training` stops at, 0.99",
    "50000": "what 10,000 leave of MNIST's training images",
    "100000": "images whose label noise has a standard error of a tenth of a percent",
}


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


@pytest.fixture(scope="module")
def stated() -> set[str]:
    """The numbers of settings, code and measurements."""
    paths = [path for pattern in STATED for path in ROOT.glob(pattern) if path.suffix != ".js"]
    return {plain(each) for path in paths for each in NUMBER.findall(path.read_text())}


def plain(number: str) -> str:
    return number.rstrip("%").replace(",", "").replace("_", "")


@pytest.mark.parametrize("page", [page for page in PAGES if page != "CONTRIBUTING.md"])
def test_numbers_in_sentences_stand_in_settings_metrics_or_benches(
    page: str, stated: set[str]
) -> None:
    """Those in generated tables are compared with their files above."""
    text = GENERATED.sub(" ", (ROOT / page).read_text())
    found = NUMBER.findall(CITED.sub(" ", NO_PROSE.sub(" ", text)))
    told = [each for each in found if "%" in each or not plain(each).isdigit() or len(each) > 2]
    assert [each for each in told if plain(each) not in stated | FACTS.keys()] == []


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
