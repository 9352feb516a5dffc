"""One picture, black on white and without symmetry, in every kind of file that may hold it."""

import io
import struct
import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

Pixels = NDArray[np.uint8]


def letter(width: int = 96, height: int = 72) -> Image.Image:
    """Return a mode L picture like an F, a little to the left."""
    image = Image.new("L", (width, height), 255)
    x, y, pen = width // 4, height // 6, max(2, height // 9)
    draw = ImageDraw.Draw(image)
    draw.rectangle((x, y, x + pen, y + height // 2), fill=0)
    draw.rectangle((x, y, x + width // 3, y + pen), fill=0)
    draw.rectangle((x, y + height // 4, x + width // 5, y + height // 4 + pen), fill=0)
    return image


def encoded(image: Image.Image, kind: str = "PNG", **how: Any) -> bytes:
    """Return the bytes of a file of the picture."""
    file = io.BytesIO()
    image.save(file, kind, **how)
    return file.getvalue()


def oriented(image: Image.Image, kind: str = "JPEG") -> bytes:
    """Return a file whose pixels lie on their side, as its EXIF says."""
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise to look at it
    return encoded(image.transpose(Image.Transpose.ROTATE_90), kind, exif=exif, quality=95)


def chunk(kind: bytes, content: bytes) -> bytes:
    """Return a chunk of a PNG."""
    return len(content).to_bytes(4) + kind + content + zlib.crc32(kind + content).to_bytes(4)


def png(rows: Pixels, depth: int, colour: int, extra: Iterable[bytes] = ()) -> bytes:
    """Return a PNG of rows, uint8 [height, bytes of a row], after `extra` chunks.

    Pillow writes neither 16-bit colours nor such chunks.
    """
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    width = rows.shape[1] * 8 // (depth * channels)
    header = struct.pack(">IIBBBBB", width, len(rows), depth, colour, 0, 0, 0)
    data = zlib.compress(np.pad(rows, ((0, 0), (1, 0))).tobytes())
    chunks = [chunk(b"IHDR", header), *extra, chunk(b"IDAT", data), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def transparent(image: Image.Image, ink: int) -> Image.Image:
    """Return the picture as RGBA: ink of one grey on transparent paper."""
    plain = Image.new("L", image.size, ink)
    return Image.merge("RGBA", (plain, plain, plain, Image.eval(image, lambda value: 255 - value)))


def wide(image: Image.Image) -> Pixels:
    """Return rows of 16 bits, of which the upper and the lower 8 are the same."""
    return np.asarray(image).repeat(2, -1).reshape(image.height, -1)


def exact() -> dict[str, bytes]:
    """Return files of many modes and formats that hold the very same picture."""
    gray, rgb = letter(), letter().convert("RGB")
    alpha = Image.merge("LA", (gray, Image.new("L", gray.size, 255)))
    colours = Image.eval(gray, lambda value: value // 255).convert("P")
    colours.putpalette([0, 0, 0, 255, 255, 255])
    modes = {0: gray, 2: rgb, 4: alpha}  # by the number that a PNG has for them
    frames = [Image.new("L", gray.size)]
    return {
        **{f"png {mode}": encoded(gray.convert(mode)) for mode in ("RGB", "L", "1", "RGBA")},
        "png RGB interlaced": encoded(rgb, interlace=True),
        **{f"png {each.mode}": encoded(each) for each in (alpha, colours)},
        "png P with a transparent colour": encoded(colours, transparency=1),
        "png RGB with a transparent colour": encoded(rgb, transparency=(255, 255, 255)),
        **{f"png RGBA, {ink} on nothing": encoded(transparent(gray, ink)) for ink in (0, 255)},
        **{f"png {each.mode} 16": png(wide(each), 16, colour) for colour, each in modes.items()},
        **{f"png {each.mode} on its side": oriented(each, "PNG") for each in (gray, rgb)},
        "png animated": encoded(gray, save_all=True, append_images=frames),
        "png white on black": encoded(Image.eval(rgb, lambda value: 255 - value)),
        "gif": encoded(gray, "GIF"),
        "gif with a transparent colour": encoded(colours, "GIF", transparency=1),
        "gif animated": encoded(gray, "GIF", save_all=True, append_images=frames),
        **{f"bmp {mode}": encoded(gray.convert(mode), "BMP") for mode in ("L", "1", "RGB")},
        "tiff RGB": encoded(rgb, "TIFF"),
        "tiff L packed": encoded(gray, "TIFF", compression="tiff_lzw"),
        "tiff 1 as fax": encoded(gray.convert("1"), "TIFF", compression="group4"),
        "tiff L 16": encoded(Image.fromarray(np.asarray(gray).astype(np.uint16) * 257), "TIFF"),
        "tiff I": encoded(Image.fromarray(np.asarray(gray).astype(np.int32) * 257), "TIFF"),
        "tiff CMYK": encoded(rgb.convert("CMYK"), "TIFF", compression="tiff_lzw"),
        "tiff on its side": oriented(rgb, "TIFF"),
        "pgm": encoded(gray, "PPM"),
        "webp": encoded(rgb, "WEBP", lossless=True),
        "webp transparent": encoded(transparent(gray, 0), "WEBP", lossless=True, exact=True),
    }


def lossy() -> dict[str, bytes]:
    """Return files that hold nearly the same picture."""
    gray, rgb = letter(), letter().convert("RGB")
    images = (gray, rgb, rgb.convert("CMYK"))
    return {
        **{f"jpeg {each.mode}": encoded(each, "JPEG", quality=95) for each in images},
        "jpeg L progressive": encoded(gray, "JPEG", quality=95, progressive=True),
        "jpeg RGB coarse colours": encoded(rgb, "JPEG", quality=90, subsampling=2),
        **{f"jpeg {each.mode} on its side": oriented(each) for each in (gray, rgb)},
        "webp lossy": encoded(rgb, "WEBP", quality=95),
        "tiff jpeg": encoded(rgb, "TIFF", compression="jpeg", quality=95),
    }
