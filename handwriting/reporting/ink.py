"""Pictures as ink: bright pixels become opaque, so that a style sheet can give them a colour."""

import base64
import io
from collections.abc import Iterable

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from handwriting.reporting.svg import html

Tiles = NDArray[np.uint8]  # [N, height, width]; a sheet of them is [H, W]


def pixels(png: bytes) -> Tiles:
    """Return a picture in greys, [H, W]."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("L"))


def tiles(sheet: Tiles, columns: int) -> Tiles:
    """Return the square tiles of a sheet, from left to right and from the top."""
    side = sheet.shape[1] // columns
    grid = sheet.reshape(-1, side, columns, side)
    return grid.swapaxes(1, 2).reshape(-1, side, side)


def data_uri(sheet: Tiles, floor: int = 0) -> str:
    """Return uint8 [H, W] as a PNG in a data: URI; pixels under `floor` are left out."""
    picture = Image.fromarray(sheet).convert("L")
    picture = Image.frombytes("P", picture.size, picture.tobytes())
    picture.putpalette([0] * 768)
    opacity = bytes(level if level >= floor else 0 for level in range(256))
    picture.save(buffer := io.BytesIO(), "PNG", transparency=opacity, optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def joined(images: Tiles, columns: int) -> Tiles:
    """Return a sheet of tiles, [H, W]; the last row is filled with nothing."""
    count, height, width = images.shape
    full = np.zeros((-(-count // columns) * columns, height, width), np.uint8)
    full[:count] = images
    return full.reshape(-1, columns, height, width).swapaxes(1, 2).reshape(-1, columns * width)


def strip(images: Tiles, names: Iterable[str], columns: int, floor: int = 0) -> Markup:
    """Return a few images for a card; one without a name is an empty frame."""
    form = '<span class="tile{}" style="--column:{}"></span>'
    shown = Markup().join(
        html(form, "" if name else " none", number) for number, name in enumerate(names)
    )
    whole = '<div class="strip" style="--sheet:url({});--columns:{};--wide:{}">{}</div>'
    sheet = data_uri(joined(images, len(images)), floor)
    return html(whole, sheet, len(images), columns, shown)
