"""One picture, black on white and the same in no mirror, in every way that files may hold it."""

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
    """A mode L picture of something like an F, a little to the left."""
    image = Image.new("L", (width, height), 255)
    x, y, pen = width // 4, height // 6, max(2, height // 9)
    draw = ImageDraw.Draw(image)
    draw.rectangle((x, y, x + pen, y + height // 2), fill=0)
    draw.rectangle((x, y, x + width // 3, y + pen), fill=0)
    draw.rectangle((x, y + height // 4, x + width // 5, y + height // 4 + pen), fill=0)
    return image


def encoded(image: Image.Image, kind: str = "PNG", **how: Any) -> bytes:
    """The bytes of a file of the picture."""
    file = io.BytesIO()
    image.save(file, kind, **how)
    return file.getvalue()


def oriented(image: Image.Image, kind: str = "JPEG") -> bytes:
    """A file whose pixels lie on their side and whose EXIF says so."""
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise to look at it
    how = {"quality": 95} if kind == "JPEG" else {}
    return encoded(image.transpose(Image.Transpose.ROTATE_90), kind, exif=exif, **how)


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def png(rows: Pixels, depth: int, colour: int, extra: Iterable[bytes] = ()) -> bytes:
    """A PNG whose rows, uint8 [height, bytes of a row], are as given; `extra` chunks precede them.

    For what Pillow does not write: 16-bit colours, chunks that are too much.
    """
    channels = {0: 1, 2: 3, 4: 2, 6: 4}[colour]
    width = rows.shape[1] * 8 // (depth * channels)
    header = struct.pack(">IIBBBBB", width, len(rows), depth, colour, 0, 0, 0)
    data = zlib.compress(np.pad(rows, ((0, 0), (1, 0))).tobytes())
    chunks = [chunk(b"IHDR", header), *extra, chunk(b"IDAT", data), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def see_through(image: Image.Image, ink: int) -> Image.Image:
    """The picture as RGBA: ink of one grey, and paper that is not there."""
    plain = Image.new("L", image.size, ink)
    return Image.merge("RGBA", (plain, plain, plain, Image.eval(image, lambda value: 255 - value)))


def exact() -> dict[str, bytes]:
    """Files, of as many modes and formats as there are, that hold the very same picture."""
    gray = letter()
    rgb = gray.convert("RGB")
    wide = np.asarray(gray).repeat(2, axis=1)  # of 16 bits, the upper and the lower 8 are the same
    with_alpha = Image.merge("LA", (gray, Image.new("L", gray.size, 255)))
    two_colours = Image.eval(gray, lambda value: value // 255).convert("P")
    two_colours.putpalette([0, 0, 0, 255, 255, 255])
    third = {"compression": "tiff_lzw"}
    return {
        "png RGB": encoded(rgb),
        "png RGB interlaced": encoded(rgb, interlace=True),
        "png L": encoded(gray),
        "png 1": encoded(gray.convert("1")),
        "png LA": encoded(with_alpha),
        "png P": encoded(two_colours),
        "png P with a see-through colour": encoded(two_colours, transparency=1),
        "png RGB with a see-through colour": encoded(rgb, transparency=(255, 255, 255)),
        "png RGBA": encoded(rgb.convert("RGBA")),
        "png RGBA, black on nothing": encoded(see_through(gray, 0)),
        "png RGBA, white on nothing": encoded(see_through(gray, 255)),
        "png L 16": png(wide, 16, 0),
        "png RGB 16": png(np.asarray(rgb).repeat(2, axis=2).reshape(gray.height, -1), 16, 2),
        "png LA 16": png(np.asarray(with_alpha).repeat(2, axis=2).reshape(gray.height, -1), 16, 4),
        "png on its side": oriented(rgb, "PNG"),
        "png L on its side": oriented(gray, "PNG"),
        "png animated": encoded(rgb, save_all=True, append_images=[Image.new("RGB", rgb.size)]),
        "png white on black": encoded(Image.eval(rgb, lambda value: 255 - value)),
        "gif": encoded(gray, "GIF"),
        "gif with a see-through colour": encoded(two_colours, "GIF", transparency=1),
        "gif animated": encoded(
            gray, "GIF", save_all=True, append_images=[Image.new("L", gray.size)]
        ),
        "bmp L": encoded(gray, "BMP"),
        "bmp 1": encoded(gray.convert("1"), "BMP"),
        "bmp RGB": encoded(rgb, "BMP"),
        "tiff RGB": encoded(rgb, "TIFF"),
        "tiff L packed": encoded(gray, "TIFF", **third),
        "tiff 1 as fax": encoded(gray.convert("1"), "TIFF", compression="group4"),
        "tiff L 16": encoded(Image.fromarray(np.asarray(gray).astype(np.uint16) * 257), "TIFF"),
        "tiff I": encoded(Image.fromarray(np.asarray(gray).astype(np.int32) * 257), "TIFF"),
        "tiff CMYK": encoded(rgb.convert("CMYK"), "TIFF", **third),
        "tiff on its side": oriented(rgb, "TIFF"),
        "pgm": encoded(gray, "PPM"),
        "webp": encoded(rgb, "WEBP", lossless=True),
        "webp see-through": encoded(see_through(gray, 0), "WEBP", lossless=True, exact=True),
    }


def lossy() -> dict[str, bytes]:
    """Files that hold nearly the same picture."""
    gray = letter()
    rgb = gray.convert("RGB")
    return {
        "jpeg L": encoded(gray, "JPEG", quality=95),
        "jpeg L progressive": encoded(gray, "JPEG", quality=95, progressive=True),
        "jpeg RGB": encoded(rgb, "JPEG", quality=95),
        "jpeg RGB coarse colours": encoded(rgb, "JPEG", quality=90, subsampling=2),
        "jpeg CMYK": encoded(rgb.convert("CMYK"), "JPEG", quality=95),
        "jpeg on its side": oriented(rgb),
        "jpeg L on its side": oriented(gray),
        "webp lossy": encoded(rgb, "WEBP", quality=95),
        "tiff jpeg": encoded(rgb, "TIFF", compression="jpeg", quality=95),
    }
