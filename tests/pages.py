"""The commands on the project's pages: what a reader would paste into a shell."""

import re

from tests.workspace import ROOT

DOCS = [f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md"))]
PAGES = ["README.md", "CONTRIBUTING.md", *DOCS]
COMMENT = re.compile(r"(?:^| {2,})#.*$")
BLOCK = re.compile(r"(?ms)^```.*?^```$")
COMMAND = re.compile(
    r"`((?:conda|dvc|git|gto|make|pip|python|torchrun|uv)\s[^`]+)`"
)  # in a sentence


def sections(page: str) -> dict[str, list[str]]:
    """The commands in the sh blocks of a page, by the heading that they are under."""
    found: dict[str, list[str]] = {}
    heading, fence = "", ""
    for line in (ROOT / page).read_text().splitlines():
        if line.startswith("```"):
            fence = "" if fence else line
        elif fence == "```sh" and (command := COMMENT.sub("", line).strip()):
            found.setdefault(heading, []).append(command)
        elif not fence and line.startswith("#"):
            heading = line.lstrip("# ")
    return found


def anchors(page: str) -> set[str]:
    """What a link to a heading of a page may name, as GitHub makes it of the heading."""
    headings = re.findall(r"(?m)^#+ (.*)$", BLOCK.sub("", (ROOT / page).read_text()))
    return {re.sub(r"[^\w -]", "", each.lower()).replace(" ", "-") for each in headings}


def inline(page: str) -> list[str]:
    """The commands within the sentences of a page, each once."""
    prose = BLOCK.sub("", (ROOT / page).read_text())
    return list(dict.fromkeys(" ".join(found.split()) for found in COMMAND.findall(prose)))
