"""The prose of the pages: short sentences, and for whom a page is."""

import re
from collections.abc import Iterator

import pytest

from tests.pages import BLOCK, PAGES
from tests.workspace import ROOT

READ = [*PAGES, "CHANGELOG.md"]
MEAN, LONGEST = 20, 35  # words of a sentence
# What is no prose: code, comments, which frame generated tables, tables and headings.
APART = re.compile(r"(?ms)<!--.*?-->|^ *\|.*?$|^#.*?$")
ITEM = re.compile(r"(?m)^ *(?:[-*>]|\d+\.) +")
END = re.compile(r"""(?<=[.!?])["')*\]]*\s+(?=["'(*\[]*[A-Z0-9])|:\n\n""")


def sentences(text: str) -> Iterator[str]:
    """The sentences of a page; of code within them one word is left, of a link its text."""
    text = APART.sub("", re.sub(r"`[^`]+`", "Code", BLOCK.sub("", text)))
    text = re.sub(r"!?\[([^]]*)\]\([^)]*\)", r"\1", text)
    text = re.sub(r"<[^>]+>", "", text).replace("et al.", "et al").replace("e.g.", "eg")
    for paragraph in re.split(r"\n\s*\n", ITEM.sub("\n\n", text)):
        yield from (" ".join(each.split()) for each in END.split(paragraph) if each.strip())


def words(sentence: str) -> int:
    return sum(any(map(str.isalnum, word)) for word in sentence.split())


@pytest.mark.parametrize("page", READ)
def test_sentences_are_short(page: str) -> None:
    found = [*sentences((ROOT / page).read_text())]
    assert [each for each in found if words(each) > LONGEST] == [], page
    assert sum(map(words, found)) / len(found) <= MEAN, page


@pytest.mark.parametrize("page", READ)
def test_semicolons_are_not_chained(page: str) -> None:
    text = (ROOT / page).read_text()
    assert [each for each in sentences(text) if each.count(";") > 1] == [], page


@pytest.mark.parametrize("page", [page for page in READ if page != "README.md"])
def test_a_page_says_first_for_whom_it_is(page: str) -> None:
    assert re.match(r"# [^\n]+\n\nFor whoever [^\n]+\.\n", (ROOT / page).read_text()), page


def test_sentences_are_counted() -> None:
    page = "# A title\n\nOne `<!-- two -->` [four five](x). Six (see. Seven):\n\n- Eight.\n| a |\n"
    assert [words(each) for each in sentences(page)] == [4, 2, 1, 1]
