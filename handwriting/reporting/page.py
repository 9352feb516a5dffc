"""The report as HTML: charts, pictures and tables, every name escaped."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markdown_it import MarkdownIt
from markupsafe import Markup

FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under a header."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Chart:
    """A figure with what it says in one sentence, and its numbers."""

    identity: str  # of the HTML element
    title: str
    takeaway: str
    figure: str  # plotly's JSON
    table: Table
    sheet: bytes = b""  # PNG of the images that its points are, in their order
    columns: int = 24  # of that sheet


@dataclass(frozen=True, slots=True)
class Sheet:
    """A picture of many tiles with what each is, or, for rows of tiles, what each row is."""

    identity: str
    title: str
    takeaway: str
    png: bytes
    columns: int
    captions: Sequence[tuple[str, str]]  # for the eye, for the ear; none: a row each in `rows`
    rows: Sequence[str] = ()


Part = Chart | Sheet | str


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page: its answer first."""

    identity: str
    title: str
    answer: str
    parts: list[Part]


def table_of(rows: Sequence[Mapping[str, Any]], columns: Iterable[str] = ()) -> Table:
    """The rows of a CSV file as a table, of some columns or all."""
    chosen = list(columns) or list(rows[0] if rows else ())
    return Table(chosen, [[row[name] for name in chosen] for row in rows])


def render(template: str, **content: Any) -> str:
    """The template, a file beside this one, with all that is not Markup in `content` escaped.

    Styles and scripts are files beside it, which templates include with `inline`.
    """
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"data_uri": data_uri, "markdown": markdown, "script": script}
    environment.filters["library"] = Markup
    environment.tests["chart"] = lambda part: isinstance(part, Chart)
    environment.tests["sheet"] = lambda part: isinstance(part, Sheet)
    environment.globals["inline"] = inline
    return environment.get_template(template).render(**content)


def inline(name: str) -> Markup:
    """A file beside this one as it is: it is ours."""
    return Markup((FOLDER / name).read_text(encoding="utf-8"))  # noqa: S704


def script(text: str) -> Markup:
    """JSON for a script element: no `<` can end it early."""
    return Markup(text.replace("<", "\\u003c"))  # noqa: S704


def data_uri(png: bytes) -> str:
    """A picture as an address that holds it."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def markdown(text: str) -> Markup:
    """Markdown as HTML; HTML in it is shown, not obeyed."""
    return Markup(MarkdownIt("js-default").render(text))  # noqa: S704
