"""From the bytes of one image file to the uint8 square that the networks see.

Everything here is integer arithmetic or correctly rounded: the same pixels on every platform.
"""

import hashlib
import io
import struct
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from kornia_rs.imgproc import gray_from_rgb
from kornia_rs.io import decode_image_jpegturbo, decode_image_png_u8
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from handwriting.core.errors import InputError

Pixels = NDArray[np.uint8]
Found = TypeVar("Found")

MAX_PIXELS = 50_000_000  # of one image: a decompression bomb is refused before it is decoded
_FORMATS = ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM")  # all that Pillow may try
_INK = 64  # of 255: a pixel this far from the paper is ink, less is noise of paper or JPEG
_PLAIN = 32  # of 255: darker than this, the ground of an image of the network's size is MNIST's
_NOISE = 4  # median deviations of the paper from itself that are noise: 2.7 standard deviations
_SLIP = 6  # a slip of the pen has less than a 6th of the character's ink ...
_FAR = 4  # ... and is further from it than a 4th of its longer side

# What may make Pillow see other pixels than the bare ones: transparency, orientation, animation.
_SPECIAL_CHUNKS = (b"tRNS", b"eXIf", b"zTXt", b"iTXt", b"Raw profile", b"XML:", b"acTL")
# Segments before a JPEG's frame that change no pixel: APP0 and APP2-13, tables, comments. APP1 may
# tell an orientation, APP14 a colour space.
_HARMLESS_SEGMENTS = {0xE0, *range(0xE2, 0xEE), 0xC4, 0xDB, 0xDD, 0xFE}
_SEGMENT = struct.Struct(">BBH")  # 0xFF, what it is, how long from here on


@dataclass(frozen=True, slots=True)
class Framed:
    """One character as a network takes it."""

    image: Pixels  # uint8 [size, size], bright ink on dark
    # The ink's height, width, centre y and centre x, as shares of the canvas's height and width.
    place: tuple[float, float, float, float]
    key: bytes  # sha256 of the ink and its place: equal for equal pictures only


def prepare(content: bytes, name: str, size: int, box: int) -> Framed:
    """The image file `content`, of any mode, size and polarity, framed for a network.

    An image of exactly size x size is framed already, as MNIST's are: only its polarity is settled.
    Others get MNIST's own framing: the ink scaled to a box x box square with its aspect kept, then
    centred by its centre of mass (LeCun, Cortes and Burges, yann.lecun.com/exdb/mnist). Of an
    animation the first frame is taken; what is transparent is paper.
    Raises InputError, with `name` in it, for what is not an image, damaged, blank or too large.
    """
    return _framed(_gray(content, name), name, size, box)


def prepare_all(
    files: Iterable[tuple[str, bytes]], size: int, box: int
) -> tuple[list[Framed], list[str]]:
    """What prepare() returns for some of many files, (name, content), and says of the others.

    Images of exactly size x size wait until they can be framed together, which takes a sixth of the
    time that it takes one by one; of the others no two are in memory at once.
    """
    names: list[str] = []
    found: list[Framed | Pixels | str] = []
    for name, content in files:
        names.append(name)
        found.append(_tried(_framed_or_square, content, name, size, box))
    squares = {i: each for i, each in enumerate(found) if isinstance(each, np.ndarray)}
    for i, easy in zip(squares, _easily_framed(list(squares.values())), strict=True):
        found[i] = _tried(_framed, squares[i], names[i], size, box) if easy is None else easy
    good = [each for each in found if isinstance(each, Framed)]
    return good, [each for each in found if isinstance(each, str)]


def _tried(function: Callable[..., Found], *arguments: object) -> Found | str:
    """What `function` returns, or the message of its InputError."""
    try:
        return function(*arguments)
    except InputError as error:
        return str(error)


def _framed_or_square(content: bytes, name: str, size: int, box: int) -> Framed | Pixels:
    """As prepare() has it; an image of size x size as it is."""
    ink = _gray(content, name)
    return ink if ink.shape == (size, size) else _framed(ink, name, size, box)


def _easily_framed(squares: Sequence[Pixels]) -> list[Framed | None]:
    """What _framed() makes of images of the network's size, uint8 [size, size], all at once.

    None for those that need a look of their own: the ground is not as dark as MNIST's, there is no
    ink, or there are clear columns in it, so that a part may be a slip of the pen.
    """
    if not squares:
        return []
    inks = np.array(squares)
    border = np.concatenate([inks[:, 0], inks[:, -1], inks[:, :, 0], inks[:, :, -1]], axis=1)
    paper = _median(border)
    bright = paper >= 128
    inks[bright], paper[bright] = 255 - inks[bright], 255 - paper[bright]
    columns, rows = inks.max(axis=1), inks.max(axis=2)
    boxes = np.concatenate([_ends(rows >= _INK), _ends(columns >= _INK)], axis=1)
    whole = (columns >= _INK).sum(axis=1) == boxes[:, 3] - boxes[:, 2]
    easy = (paper < _PLAIN) & (rows.max(axis=1) - paper >= _INK) & whole
    ends = boxes.tolist()
    ink_boxes = [(slice(top, bottom), slice(left, right)) for top, bottom, left, right in ends]
    return [
        Framed(ink, _place(ink, each), _key(ink, each)) if is_easy else None
        for ink, each, is_easy in zip(inks, ink_boxes, easy.tolist(), strict=True)
    ]


def _ends(marks: NDArray[np.bool_]) -> NDArray[np.intp]:
    """[N, 2]: the first place that is true in each row of bool [N, L], and that after the last."""
    return np.stack([marks.argmax(axis=1), marks.shape[1] - marks[:, ::-1].argmax(axis=1)], axis=1)


def _framed(ink: Pixels, name: str, size: int, box: int) -> Framed:
    """What prepare() makes of an image's luminance, uint8 [H, W]."""
    border = np.concatenate([ink[0], ink[-1], ink[:, 0], ink[:, -1]])
    paper = int(_median(border))
    if paper >= 128:  # most of the border is bright: dark ink on bright paper
        ink, border, paper = 255 - ink, 255 - border, 255 - paper
    framed = ink.shape == (size, size) and paper < _PLAIN
    if not framed and (border.any() or ink.max() < 255):
        ink, paper = _cleaned(ink, paper), 0
    if int(ink.max()) - paper < _INK:
        raise InputError(f"{name}: a blank image, no ink on it")
    ink_box = _ink_box(ink)
    image = ink if framed else _centred(_scaled(ink[ink_box], box), size)
    return Framed(image, _place(ink, ink_box), _key(ink, ink_box))


def _median(values: Pixels) -> Pixels:
    """The upper median of each row of uint8 [..., N]."""
    middle = values.shape[-1] // 2
    return np.asarray(np.partition(values, middle)[..., middle])


def _cleaned(ink: Pixels, paper: int) -> Pixels:
    """`ink` with its paper at 0, be it grey, noisy or lit from one side, and the ink up to 255.

    uint8 [H, W] -> uint8 [H, W]. The paper is taken for the plane through the medians of the four
    sides; a side that ink covers tells nothing of it. What hardly leaves that plane is noise, as
    the border shows it. All zero if there is no ink.
    """
    height, width = ink.shape
    sides = [int(_median(side)) for side in (ink[0], ink[-1], ink[:, 0], ink[:, -1])]
    top, bottom, left, right = (each if abs(each - paper) < _INK else paper for each in sides)
    middle = (top + bottom + left + right) // 4
    down = (bottom - top) * (2 * np.arange(height) + 1 - height) // (2 * height)
    across = (right - left) * (2 * np.arange(width) + 1 - width) // (2 * width)
    plane = (middle + down).astype(np.int16)[:, None] + across.astype(np.int16)
    lifted = ink - plane
    around = np.concatenate([lifted[0], lifted[-1], lifted[:, 0], lifted[:, -1]])
    noise = int(np.median(np.abs(around)))
    lifted -= _NOISE * noise
    above = lifted.clip(0, 255).astype(np.uint8)
    strongest = int(above.max())
    if strongest < _INK:
        return np.zeros_like(ink)
    levels = (np.arange(256) * 255 // strongest).clip(0, 255).astype(np.uint8)
    return np.asarray(levels[above])


Box = tuple[slice, slice]  # rows, columns


def _ink_box(ink: Pixels) -> Box:
    """The smallest box that holds all ink, slips of the pen beside the character apart."""
    runs = _runs(ink.max(axis=0) >= _INK)
    boxes = [_rows_of(ink, run) for run in runs]
    if len(boxes) > 1:
        boxes = _without_slips(ink, boxes)
    top, bottom = min(rows.start for rows, _ in boxes), max(rows.stop for rows, _ in boxes)
    return slice(top, bottom), slice(boxes[0][1].start, boxes[-1][1].stop)


def _runs(marks: NDArray[np.bool_]) -> list[slice]:
    """Where neighbours of bool [N] are true, from left to right."""
    found, marked, stop = [], marks.tobytes() + b"\0", 0
    while (start := marked.find(1, stop)) >= 0:
        stop = marked.find(0, start)
        found.append(slice(start, stop))
    return found


def _rows_of(ink: Pixels, columns: slice) -> Box:
    """The smallest box that holds the ink of some columns."""
    rows = (ink[:, columns].max(axis=1) >= _INK).tobytes()
    return slice(rows.find(1), rows.rfind(1) + 1), columns


def _without_slips(ink: Pixels, boxes: list[Box]) -> list[Box]:
    """`boxes`, from left to right, without those at the ends that are no part of the character.

    Nothing but its dot may lie apart from a character, and that is above the stem: a small mark far
    off, with clear columns between, is where the pen touched the paper by mistake. In trainPart1
    that befell 6 of 2,480 images, and shrank the character to half of its size.
    """
    inks = [int((ink[box] >= _INK).sum()) for box in boxes]
    main = int(np.argmax(inks))

    def belongs(i: int) -> bool:
        reach = max(side.stop - side.start for side in boxes[main])
        gap = max(
            max(one.start - other.stop, other.start - one.stop)
            for one, other in zip(boxes[i], boxes[main], strict=True)
        )
        return inks[i] * _SLIP >= inks[main] or gap * _FAR <= reach

    kept = [i for i in range(len(boxes)) if i == main or belongs(i)]
    return boxes[kept[0] : kept[-1] + 1]


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
    """`crop` with its longer side `box` pixels long, and its brightest pixel at 255.

    A stroke thinner than a pixel of the result would otherwise fade away.
    """
    height, width = crop.shape
    longer = max(height, width)
    target = (max(1, round(width * box / longer)), max(1, round(height * box / longer)))
    scaled = np.asarray(Image.fromarray(crop).resize(target, Image.Resampling.BILINEAR))
    brightest = max(1, int(scaled.max()))
    if brightest == 255:
        return scaled
    return (scaled.astype(np.int64) * 255 // brightest).astype(np.uint8)


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
    """(height, width) of an 8-bit RGB PNG that is nothing but its pixels, else None."""
    if content[:8] != b"\x89PNG\r\n\x1a\n" or content[12:16] != b"IHDR" or len(content) < 33:
        return None
    width, height, depth, colour = struct.unpack(">IIBB", content[16:26])
    special = any(chunk in content for chunk in _SPECIAL_CHUNKS)
    plain = (depth, colour) == (8, 2) and not special and 0 < width * height <= MAX_PIXELS
    return (height, width) if plain else None


def _plain_jpeg(content: bytes) -> bool:
    """Whether this is a baseline JPEG of one 8-bit component that is nothing but its pixels."""
    at = 2 if content[:2] == b"\xff\xd8" else len(content)
    while at + 10 <= len(content):
        start, kind, length = _SEGMENT.unpack_from(content, at)
        if start == 0xFF and kind == 0xC0:
            depth, height, width, components = struct.unpack_from(">BHHB", content, at + 4)
            return (depth, components) == (8, 1) and 0 < width * height <= MAX_PIXELS
        if start != 0xFF or kind not in _HARMLESS_SEGMENTS:
            return False
        at += 2 + length
    return False


def _luminance(rgb: Pixels) -> Pixels:
    """uint8 [H, W, 3] -> uint8 [H, W]."""
    return np.asarray(gray_from_rgb(rgb))[..., 0]


def _gray_by_pillow(content: bytes, name: str) -> Pixels:
    """The same of any image. Raises InputError for what Pillow refuses, and for what it forgives:
    wrong checksums in a PNG, and errors in the data of a JPEG, in whose place it puts grey.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # oddities that Pillow warns of and reads all the same
            with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise Image.DecompressionBombError
                bands = image.getbands()
                image.verify()
            if content[:2] == b"\xff\xd8" and len(bands) in (1, 3):
                decode_image_jpegturbo(content, "mono")
            with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
                ImageOps.exif_transpose(image, in_place=True)
                return _gray_of(image)
    except Image.DecompressionBombError:
        raise InputError(f"{name}: more than {MAX_PIXELS:,} pixels: too large") from None
    except MemoryError:  # tells of this machine, not of the image
        raise
    except UnidentifiedImageError:
        raise InputError(f"{name}: not an image") from None
    except Exception as error:  # whatever its decoders raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{name}: a damaged image: {reason}") from None


def _gray_of(image: Image.Image) -> Pixels:
    """uint8 [H, W] of an image in any mode; raises ValueError for those without a known range."""
    if image.mode == "I" or image.mode.startswith("I;16"):
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 0xFFFF:
            raise ValueError("more than 16 bits a pixel")
        return (values >> 8).astype(np.uint8)
    if image.mode == "F":
        raise ValueError("pixels that are fractions")
    if not image.has_transparency_data:
        return _luminance(np.asarray(image if image.mode == "RGB" else image.convert("RGB")))
    image = image.convert("RGBA")
    for colour in ("white", "black"):  # on black, if it shows nothing on white
        paper = Image.new("RGBA", image.size, colour)
        gray = _luminance(np.asarray(Image.alpha_composite(paper, image).convert("RGB")))
        if int(gray.max()) - int(gray.min()) >= _INK:
            break
    return gray
