"""Matrices: square cells in greys, rows from the top, every class labelled."""

from collections.abc import Sequence
from zlib import crc32

import pandas as pd
from markupsafe import Markup

from handwriting.reporting.svg import wide

_FEW, _SMALL = 12, 13  # classes whose cells have room for a number; side of a cell without


def matrix(
    z: pd.DataFrame, titles: Sequence[str], form: str = "", diagonal: str = "", picture: str = ""
) -> Markup:
    """Return a table as cells; titles are of the columns and of the rows.

    Cells have their value as text by `form`, if any. Those of the diagonal are outlined in the
    colour `diagonal`. A picture, a data: URI of a tile for each cell, takes the place of greys.
    """
    names = [str(name) for name in [*z.index, *z.columns]]
    longest, small = max(map(len, names)), max(z.shape) > _FEW
    cell = _SMALL if small else max(30, 8 * longest + 8 if longest > 2 else 30)
    left, top = 14 + 8 * longest, 8 + 8 * longest if small and longest > 2 else 20
    drawn = [_labels(names, len(z), cell, left, top)]
    if picture:
        drawn.append(_masked(picture, left, top, cell * z.shape[1], cell * len(z)))
    most = float(z.to_numpy().max()) or 1.0
    for i, (row, values) in enumerate(z.iterrows()):
        for j, (column, value) in enumerate(values.items()):
            outline = diagonal if row == column else ""
            if value or outline or form:
                shade = 0 if picture else round(0.55 * (max(0.0, float(value)) / most) ** 0.5, 3)
                about = f"{titles[1]} {row}, {titles[0]} {column}: {value:,.4g}"
                text = form.format(value) if form else ""
                drawn.append(
                    _cell(left + cell * j, top + cell * i, cell, shade, about, text, outline)
                )
    width, height = left + cell * z.shape[1] + 2, top + cell * len(z) + 2
    whole = (
        '<p class="axis-title">{} ↓ &ensp; {} →</p><svg class="matrix{}" style="max-width:{}px"'
        ' viewBox="0 0 {} {}" aria-hidden="true">{}</svg>'
    )
    size = " small" * small, width if small else round(1.45 * width), width, height
    shown = Markup(whole).format(titles[1], titles[0], *size, Markup().join(drawn))
    return wide(shown, width) if small else shown


def _labels(names: Sequence[str], rows: int, cell: int, left: int, top: int) -> Markup:
    """Return the names of the rows and of the columns; long ones over small cells are turned."""
    drawn, turned = Markup(), top > 20
    across = Markup('<text x="{}" y="{}" class="c m">{}</text>')
    up = Markup('<text transform="translate({} {}) rotate(-90)" class="m">{}</text>')
    down = Markup('<text x="{}" y="{}" dy=".35em" class="e m">{}</text>')
    for number, name in enumerate(names[rows:]):
        middle = left + cell * (number + 0.5)
        drawn += up.format(middle + 3, top - 6, name) if turned else across.format(middle, 14, name)
    for number, name in enumerate(names[:rows]):
        drawn += down.format(left - 6, top + cell * (number + 0.5), name)
    return drawn


def _cell(x: int, y: int, side: int, shade: float, about: str, text: str, outline: str) -> Markup:
    form = '<g><title>{}</title><rect x="{}" y="{}" width="{}" height="{}" fill-opacity="{}"/>'
    drawn = Markup(form).format(about, x, y, side - 1, side - 1, shade)
    if outline:
        frame = '<rect class="outline" x="{}" y="{}" width="{}" height="{}" stroke="var(--{})"/>'
        drawn += Markup(frame).format(x + 1.5, y + 1.5, side - 4, side - 4, outline)
    if text:
        middle = '<text x="{}" y="{}" dy=".35em" class="c">{}</text>'
        drawn += Markup(middle).format(x + side / 2, y + side / 2, text)
    return drawn + Markup("</g>")


def _masked(picture: str, x: int, y: int, width: int, height: int) -> Markup:
    """Return a picture, whose opaque pixels are ink, in the colour of the page's ink."""
    name, box = f"mask-{crc32(picture.encode())}", Markup('x="{}" y="{}" width="{}" height="{}"')
    box = box.format(x, y, width, height)
    form = (
        '<mask id="{}" maskUnits="userSpaceOnUse" {} style="mask-type:alpha">'
        '<image {} href="{}"/></mask><rect {} mask="url(#{})"/>'
    )
    return Markup(form).format(name, box, box, picture, box, name)
