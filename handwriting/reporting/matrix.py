"""Matrices: square cells in greys, rows from the top, every class labelled."""

from collections.abc import Sequence
from zlib import crc32

import pandas as pd
from markupsafe import Markup

from handwriting.reporting.svg import html, wide

_FEW = 12  # classes whose cells have room for a number


def matrix(
    z: pd.DataFrame,
    titles: Sequence[str],
    form: str = "",
    *,
    diagonal: str = "",
    picture: str = "",
    least: float = 0,
) -> Markup:
    """Return a table as cells; titles are of the columns and of the rows.

    Cells have their value as text by `form`, if any; `least` is the value without a shade. Those of
    the diagonal are outlined in the colour `diagonal`. A picture, a data: URI of a tile for each
    cell, takes the place of greys.
    """
    rows, columns = ([str(name) for name in names] for names in (z.index, z.columns))
    small = max(z.shape) > _FEW
    cell, wide_name = 13 if small else 30, 8 * max(map(len, columns))
    left, top = 14 + 8 * max(map(len, rows)), 20 if wide_name <= cell + 3 else 8 + wide_name
    drawn = [_labels(rows, columns, cell, left, top)]
    if picture:
        drawn.append(_masked(picture, left, top, cell * len(columns), cell * len(rows)))
    most = float(z.to_numpy(float).max()) - least or 1.0
    for i, (row, values) in enumerate(zip(rows, z.to_numpy(float).tolist(), strict=True)):
        for j, (column, value) in enumerate(zip(columns, values, strict=True)):
            outline = diagonal if row == column else ""
            if value or outline or form:
                shade = 0 if picture else round(0.42 * (max(0.0, value - least) / most) ** 0.5, 3)
                about = f"{titles[1]} {row}, {titles[0]} {column}: {value:,.4g}"
                where = left + cell * j, top + cell * i, cell
                drawn.append(_cell(*where, shade, about, form.format(value), outline))
    width, height = left + cell * len(columns) + 2, top + cell * len(rows) + 2
    whole = (
        '<p class="axis-title">{} ↓ &ensp; {} →</p><svg class="matrix{}" style="max-width:{}px"'
        ' viewBox="0 0 {} {}" aria-hidden="true">{}</svg>'
    )
    size = " small" * small, width if small else round(1.4 * width), width, height
    shown = html(whole, titles[1], titles[0], *size, Markup().join(drawn))
    return wide(shown, width) if small else shown


def _labels(rows: Sequence[str], columns: Sequence[str], cell: int, left: int, top: int) -> Markup:
    """Return the names of the rows and of the columns; those wider than a cell are turned."""
    across = Markup('<text x="{0}" y="14" class="c m">{1}</text>')
    if top > 20:
        across = Markup(
            '<text transform="translate({0} {2}) rotate(-90)" dy=".35em" class="m">{1}</text>'
        )
    down = Markup('<text x="{}" y="{}" dy=".35em" class="e m">{}</text>')
    drawn = [
        across.format(left + cell * (i + 0.5), name, top - 6) for i, name in enumerate(columns)
    ]
    drawn += [down.format(left - 6, top + cell * (i + 0.5), name) for i, name in enumerate(rows)]
    return Markup().join(drawn)


def _cell(x: int, y: int, side: int, shade: float, about: str, text: str, outline: str) -> Markup:
    form = '<g><title>{}</title><rect x="{}" y="{}" width="{}" height="{}" fill-opacity="{}"/>'
    drawn = html(form, about, x, y, side - 1, side - 1, shade)
    if outline:
        frame = '<rect class="outline" x="{}" y="{}" width="{}" height="{}" stroke="var(--{})"/>'
        drawn += html(frame, x + 1.5, y + 1.5, side - 4, side - 4, outline)
    if text:
        middle = '<text x="{}" y="{}" dy=".35em" class="c">{}</text>'
        drawn += html(middle, x + side / 2, y + side / 2, text)
    return drawn + Markup("</g>")


def _masked(picture: str, x: int, y: int, width: int, height: int) -> Markup:
    """Return a picture, whose opaque pixels are ink, in the colour of the page's ink."""
    name, box = f"mask-{crc32(picture.encode())}", Markup('x="{}" y="{}" width="{}" height="{}"')
    box = box.format(x, y, width, height)
    form = (
        '<mask id="{}" maskUnits="userSpaceOnUse" {} style="mask-type:alpha">'
        '<image {} href="{}"/></mask><rect {} mask="url(#{})"/>'
    )
    return html(form, name, box, box, picture, box, name)
