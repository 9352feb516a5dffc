"""Pieces of the still figures: SVG in the colours of the page's theme, at percentages of its size.

Without a viewBox, lines and texts keep their size on a phone.
"""

from markupsafe import Markup

from handwriting.reporting.charts import SYMBOLS

_SHAPES = {
    "circle": "M-5 0a5 5 0 1 0 10 0a5 5 0 1 0-10 0z",
    "square": "M-4.5-4.5h9v9h-9z",
    "triangle-up": "M0-6l5.8 10h-11.6z",
    "diamond": "M0-6.2l6.2 6.2l-6.2 6.2l-6.2-6.2z",
}


def html(form: str, *values: object) -> Markup:
    """Return HTML with values in it, which are escaped."""
    return Markup(form).format(*values)  # noqa: S704


def marker(colour: str, hollow: bool = False, x: float = 50, y: float = 50) -> Markup:
    """Return the marker of a colour."""
    path, fill = _SHAPES[SYMBOLS.get(colour, "diamond")], "surface" if hollow else colour
    form = '<svg x="{:.4g}%" y="{:.4g}%"><path d="{}" fill="var(--{})" stroke="var(--{})"/></svg>'
    return html(form, x, y, path, fill, colour)


def line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    """Return a line of a class of the style sheet."""
    form = '<line x1="{:.4g}%" y1="{:.4g}%" x2="{:.4g}%" y2="{:.4g}%" class="{}"/>'
    return html(form, x1, y1, x2, y2, kind)


def wide(content: Markup, width: int) -> Markup:
    """Return content that is at least so many pixels wide, to be scrolled where it does not fit."""
    form = (
        '<div class="scroll" tabindex="0" role="group" aria-label="Figure, scrollable">'
        '<div style="min-width:{}px">{}</div></div>'
    )
    return html(form, width, content)
