"""From the bytes of an image file to its pixels."""

import io
import struct
import warnings

import numpy as np
from kornia_rs.io import decode_image_jpegturbo, decode_image_png_u8
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from handwriting.core.errors import InputError, one_line

Pixels = NDArray[np.uint8]

MAX_PIXELS = 50_000_000  # of an image: a decompression bomb is refused before it is decoded
_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")  # all that Pillow may try
_CONTRAST = 64  # of 255: less is not seen on white

# Chunks that may change what Pillow sees: transparency, orientation, animation.
_SPECIAL_CHUNKS = (b"tRNS", b"eXIf", b"zTXt", b"iTXt", b"Raw profile", b"XML:", b"acTL")
# JPEG segments before the frame that change no pixel: APP0, APP2-13, tables, comments. APP1 may
# hold an orientation, APP14 a colour space.
_HARMLESS_SEGMENTS = {0xE0, *range(0xE2, 0xEE), 0xC4, 0xDB, 0xDD, 0xFE}


def decode(content: bytes, name: str) -> Pixels:
    """Return the pixels of an image file: uint8 [H, W] of a grey image, else [H, W, 3].

    Of an animation the first frame counts. Transparent pixels are paper.
    The two plain formats of the archives go to decoders that are several times faster and give
    Pillow's pixels. Pillow reads or refuses the rest.
    Raises InputError with `name` for a file that is not an image, damaged or too large.
    """
    try:
        if shape := _plain_png(content):
            return np.asarray(decode_image_png_u8(content, shape, "rgb"))
        if _plain_jpeg(content):
            return np.asarray(decode_image_jpegturbo(content, "mono"))[..., 0]
    except Exception:  # noqa: S110 - the library raises bare Exceptions
        pass
    return _by_pillow(content, name)


def _plain_png(content: bytes) -> tuple[int, int] | None:
    """Return (height, width) of an 8-bit RGB PNG with nothing but pixels, else None."""
    if content[:8] != b"\x89PNG\r\n\x1a\n" or content[12:16] != b"IHDR" or len(content) < 33:
        return None
    width, height, depth, colour = struct.unpack(">IIBB", content[16:26])
    special = any(chunk in content for chunk in _SPECIAL_CHUNKS)
    plain = (depth, colour) == (8, 2) and not special and 0 < width * height <= MAX_PIXELS
    return (height, width) if plain else None


def _plain_jpeg(content: bytes) -> bool:
    """Return whether this is a baseline JPEG of one 8-bit component with nothing but pixels."""
    at = 2 if content[:2] == b"\xff\xd8" else len(content)
    while at + 10 <= len(content):
        start, kind, length = struct.unpack_from(">BBH", content, at)  # the length from here on
        if start == 0xFF and kind == 0xC0:
            depth, height, width, components = struct.unpack_from(">BHHB", content, at + 4)
            return (depth, components) == (8, 1) and 0 < width * height <= MAX_PIXELS
        if start != 0xFF or kind not in _HARMLESS_SEGMENTS:
            return False
        at += 2 + length
    return False


def _by_pillow(content: bytes, name: str) -> Pixels:
    """Return the pixels of any image.

    Raises InputError for what Pillow refuses, and for two faults that it ignores: wrong checksums
    in a PNG and errors in the data of a JPEG, which it fills with grey.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # of oddities that Pillow reads all the same
            with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise Image.DecompressionBombError
                bands = image.getbands()
                image.verify()
            if content[:2] == b"\xff\xd8" and len(bands) in (1, 3):
                decode_image_jpegturbo(content, "mono")
            with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
                ImageOps.exif_transpose(image, in_place=True)
                return _pixels(image)
    except Image.DecompressionBombError:
        raise InputError(f"{name}: more than {MAX_PIXELS:,} pixels: too large") from None
    except MemoryError:  # the fault of this machine, not of the image
        raise
    except UnidentifiedImageError:
        raise InputError(f"{name}: not an image") from None
    except Exception as error:  # whatever its decoders raise
        raise InputError(f"{name}: a damaged image: {one_line(error)}") from None


def _pixels(image: Image.Image) -> Pixels:
    """Return uint8 [H, W] or [H, W, 3]. Raises ValueError for a mode without a known range."""
    if image.mode == "I" or image.mode.startswith("I;16"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 0xFFFF:
            raise ValueError("more than 16 bits a pixel")
        return (values >> 8).astype(np.uint8)
    if image.mode == "F":
        raise ValueError("pixels that are fractions")
    if not image.has_transparency_data:
        return np.asarray(image if image.mode in ("L", "RGB") else image.convert("RGB"))
    image = image.convert("RGBA")
    for colour in ("white", "black"):  # on black, if it shows nothing on white
        paper = Image.new("RGBA", image.size, colour)
        pixels = np.asarray(Image.alpha_composite(paper, image).convert("RGB"))
        if np.ptp(pixels) >= _CONTRAST:
            break
    return pixels
