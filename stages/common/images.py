"""From the bytes of one image file to the uint8 square that the networks see.

Everything here is integer arithmetic or correctly rounded: the same pixels on every platform.
"""

import hashlib
import io
import struct
import warnings
from dataclasses import dataclass

import numpy as np
from kornia_rs.imgproc import gray_from_rgb
from kornia_rs.io import decode_image_jpegturbo, decode_image_png_u8
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from stages.common.errors import InputError

Pixels = NDArray[np.uint8]

MAX_PIXELS = 50_000_000  # of one image: a decompression bomb is refused before it is decoded
_INK = 64  # of 255: a pixel this far from the paper is ink, less is noise of paper or JPEG


@dataclass(frozen=True, slots=True)
class Framed:
    """One character as a network takes it."""

    image: Pixels  # uint8 [size, size], bright ink on dark
    place: tuple[
        float, float, float, float
    ]  # the ink's height, width, centre y, x, of the canvas's
    key: bytes  # sha256 of the ink and its place: equal for equal pictures only


def prepare(content: bytes, name: str, size: int, box: int) -> Framed:
    """The image file `content`, of any mode, size and polarity, framed for a network.

    An image of exactly size x size is framed already, as MNIST's are: only its polarity is settled.
    Others get MNIST's own framing: the ink scaled to a box x box square with its aspect kept, then
    centred by its centre of mass (LeCun, Cortes and Burges, yann.lecun.com/exdb/mnist).
    Raises InputError, with `name` in it, for what is not an image, damaged, blank or too large.
    """
    gray = _gray(content, name)
    border = np.concatenate([gray[0], gray[-1], gray[:, 0], gray[:, -1]])
    paper = int(np.median(border))
    ink = gray if paper < 128 else 255 - gray
    paper = min(paper, 255 - paper)
    strongest = int(ink.max())
    if strongest - paper < _INK:
        raise InputError(f"{name}: a blank image, no ink on it")
    if ink.shape == (size, size):
        return Framed(ink, _place(ink, ink_box := _ink_box(ink)), _key(ink, ink_box))
    if (paper, strongest) != (0, 255):  # grey paper or pale ink: stretched to the full range
        levels = np.arange(256)
        stretch = ((levels - paper).clip(0) * 255 // (strongest - paper)).clip(0, 255)
        ink = stretch.astype(np.uint8)[ink]
    ink_box = _ink_box(ink)
    image = _centred(_scaled(ink[ink_box], box), size)
    return Framed(image, _place(ink, ink_box), _key(ink, ink_box))


Box = tuple[slice, slice]  # rows, columns


def _ink_box(ink: Pixels) -> Box:
    """The smallest box that holds all ink."""
    rows = np.flatnonzero(ink.max(axis=1) >= _INK)
    columns = np.flatnonzero(ink[rows[0] : rows[-1] + 1].max(axis=0) >= _INK)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _place(ink: Pixels, ink_box: Box) -> tuple[float, float, float, float]:
    (height, width), (rows, columns) = ink.shape, ink_box
    return (
        (rows.stop - rows.start) / height,
        (columns.stop - columns.start) / width,
        (rows.stop + rows.start) / 2 / height,
        (columns.stop + columns.start) / 2 / width,
    )


def _key(ink: Pixels, ink_box: Box) -> bytes:
    rows, columns = ink_box
    where = struct.pack("<6I", *ink.shape, rows.start, rows.stop, columns.start, columns.stop)
    return hashlib.sha256(where + ink[ink_box].tobytes()).digest()


def _scaled(crop: Pixels, box: int) -> Pixels:
    """`crop` with its longer side `box` pixels long."""
    height, width = crop.shape
    longer = max(height, width)
    target = (max(1, round(width * box / longer)), max(1, round(height * box / longer)))
    scaled = Image.fromarray(crop).resize(target, Image.Resampling.BILINEAR)
    return np.asarray(scaled)


def _centred(scaled: Pixels, size: int) -> Pixels:
    """`scaled` on a dark size x size square, its centre of mass in the middle, cut off nowhere."""
    height, width = scaled.shape
    mass = scaled.astype(np.int64)
    total = int(mass.sum())
    y = int((mass.sum(axis=1) * (2 * np.arange(height) + 1)).sum())  # twice the centre, times total
    x = int((mass.sum(axis=0) * (2 * np.arange(width) + 1)).sum())
    top = min(max((size * total - y) // (2 * total), 0), size - height)
    left = min(max((size * total - x) // (2 * total), 0), size - width)
    square = np.zeros((size, size), np.uint8)
    square[top : top + height, left : left + width] = scaled
    return square


def _gray(content: bytes, name: str) -> Pixels:
    """The luminance of an image file: uint8 [height, width].

    The two plain formats of the archives go to decoders that are several times faster; these give
    Pillow's pixels, and what they refuse is Pillow's to read or to explain.
    """
    try:
        if shape := _plain_png(content):
            return _luminance(decode_image_png_u8(content, shape, "rgb"))
        if _plain_jpeg(content):
            return np.asarray(decode_image_jpegturbo(content, "mono"))[..., 0]
    except Exception:  # noqa: S110 - the library raises bare Exceptions
        pass
    return _gray_by_pillow(content, name)


def _plain_png(content: bytes) -> tuple[int, int] | None:
    """(height, width) of an 8-bit RGB PNG without transparency or orientation, else None."""
    if content[:8] != b"\x89PNG\r\n\x1a\n" or content[12:16] != b"IHDR" or len(content) < 33:
        return None
    width, height, depth, colour = struct.unpack(">IIBB", content[16:26])
    special = b"tRNS" in content or b"eXIf" in content
    plain = (depth, colour) == (8, 2) and not special and 0 < width * height <= MAX_PIXELS
    return (height, width) if plain else None


def _plain_jpeg(content: bytes) -> bool:
    """Whether this is a baseline JPEG of one 8-bit component, without an orientation."""
    frame = content.find(b"\xff\xc0\x00\x0b\x08")
    if content[:3] != b"\xff\xd8\xff" or frame < 0 or len(content) < frame + 9:
        return False
    height, width = struct.unpack(">HH", content[frame + 5 : frame + 9])
    return b"Exif" not in content and 0 < width * height <= MAX_PIXELS


def _luminance(rgb: Pixels) -> Pixels:
    """uint8 [H, W, 3] -> uint8 [H, W]."""
    return np.asarray(gray_from_rgb(rgb))[..., 0]


def _gray_by_pillow(content: bytes, name: str) -> Pixels:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # oddities that Pillow warns of and reads all the same
            with Image.open(io.BytesIO(content)) as opened:
                if opened.width * opened.height > MAX_PIXELS:
                    raise InputError(f"{name}: {opened.width} x {opened.height} pixels: too large")
                image = ImageOps.exif_transpose(opened)
                if image.mode.startswith("I;16"):  # else conversion clips at 255
                    return (np.asarray(image) >> 8).astype(np.uint8)
                if image.has_transparency_data:
                    image = image.convert("RGBA")
                    paper = Image.new("RGBA", image.size, "white")
                    image = Image.alpha_composite(paper, image)
                return _luminance(np.asarray(image.convert("RGB")))
    except InputError:
        raise
    except UnidentifiedImageError:
        raise InputError(f"{name}: not an image") from None
    except Exception as error:
        raise InputError(f"{name}: a damaged image: {error}") from None
