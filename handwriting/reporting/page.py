"""The report as HTML: charts, pictures and tables, every name escaped."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

FOLDER = Path(__file__).parent
TEXTS = tomllib.loads((FOLDER / "texts.toml").read_text(encoding="utf-8"))


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the page; its words are those of its identity in texts.toml.

    `variant` among its numbers is the name of a table there whose words replace some of them.
    """

    identity: str  # of its HTML element
    numbers: dict[str, Any]  # that the text names

    def say(self, name: str) -> str:
        """Return some of its words, the numbers filled in."""
        words = TEXTS[self.identity]
        words = words | words.get(self.numbers.get("variant", ""), {})
        return str(words.get(name, "")).format_map(self.numbers)

    @property
    def title(self) -> str:
        return self.say("title")

    @property
    def text(self) -> str:
        """Return the takeaway."""
        return self.say("text")


@dataclass(frozen=True, slots=True)
class Chart(Part):
    """A figure and its numbers."""

    still: Markup  # the figure, or nothing for numbers alone
    table: pd.DataFrame
    figure: str = ""  # plotly's JSON, where a figure gains by exploring it
    sheet: str = ""  # the images that its points stand for, in their order, 24 a row


@dataclass(frozen=True, slots=True)
class Sheet(Part):
    """A picture of many tiles with a caption each, or, for rows of tiles, a name for each row."""

    picture: str  # a data: URI
    columns: int
    captions: Sequence[tuple[str, str]] = ()  # on the page, and for screen readers
    rows: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Section(Part):
    """A question: its card, its answer, the figures that carry it, and all others."""

    picture: Markup  # of the card
    parts: Sequence[Part]
    folded: Sequence[Part]


def render(template: str, **content: Any) -> str:
    """Return the template, a file of this folder, with all of `content` but Markup escaped.

    Styles and scripts are files of this folder too; templates include them with `inline`.
    """
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(markdown=markdown, script=script, cell=cell)
    return environment.get_template(template).render(inline=inline, **content)


def inline(name: str) -> Markup:
    """Return a file of this folder unescaped."""
    return Markup((FOLDER / name).read_text(encoding="utf-8"))  # noqa: S704


def script(text: str) -> Markup:
    """Return JSON for a script element: no `<` can end it early."""
    return Markup(text.replace("<", "\\u003c"))  # noqa: S704


def markdown(text: str) -> Markup:
    """Return Markdown as HTML; HTML in it is escaped."""
    return Markup(MarkdownIt("js-default").render(text))  # noqa: S704


def cell(value: Any) -> str:
    """Return a value of a table as text: five significant digits, nothing if it is missing."""
    if pd.isna(value):
        return ""
    return f"{value:.5g}" if isinstance(value, float) else str(value)
