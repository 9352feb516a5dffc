"""From the bytes of an image file to the uint8 square that the networks see.

All arithmetic is integer or correctly rounded: the same pixels on every platform.
"""

import math
import struct
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cache
from typing import NamedTuple

import numpy as np
from kornia_rs.imgproc import gray_from_rgb
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from handwriting.core.errors import InputError
from handwriting.data import duplicates, geometry
from handwriting.data.geometry import UNKNOWN, Shares
from handwriting.preprocessing import writing
from handwriting.preprocessing.decoding import Pixels, decode

Box = tuple[slice, slice]  # rows, columns

_MAXIMUM = np.maximum.reduce  # max() of an array takes a microsecond more, of 27 an image
_INK = 64  # of 255: difference of ink from paper, above the noise of paper and JPEG
_DARK, _BRIGHT = 8, 200  # of 255: ground and ink of an image like MNIST's
_THINNEST = 0.08  # width of a stroke, of the longer side: trainPart1 has none thinner
_THIN = 0.13  # of 20% of its images the strokes are thinner
_SHEET = (900, 1200)  # pixels of trainPart1's sheets
_STRAY = 6  # a stray mark has less than a 6th of the character's ink ...
_FAR = 4  # ... and is further from it than a 4th of its longer side


class BlankError(InputError):
    """There is no ink in an image."""


class Framed(NamedTuple):
    """One character, ready for a network."""

    image: Pixels  # uint8 [size, size], bright ink on dark
    geometry: Shares  # on a sheet like trainPart1's; else of unknown position, in a unit unknown
    key: int  # digest of the ink and its position, equal for equal pictures only


def prepare(image: bytes | Pixels, name: str, size: int, ink_size: int) -> Framed:
    """Return the bytes of an image file, or its pixels, framed. Raises InputError with `name`."""
    try:
        pixels = decode(image, name) if isinstance(image, bytes) else image
        return frame(pixels, size, ink_size)
    except BlankError:
        raise InputError(f"{name}: a blank image, no ink on it") from None


def prepare_all(
    named: Iterable[tuple[str, bytes]], size: int, ink_size: int
) -> list[Framed | InputError]:
    """Return what prepare() does of image files, or its error, in their order.

    Images that stay as they are, as MNIST's, are told together, which takes half the time.
    """
    found: list[Framed | InputError | None] = []
    alike = dict[int, tuple[str, Pixels]]()
    for i, (name, content) in enumerate(named):
        try:
            pixels = decode(content, name)
            if pixels.shape == (size, size):
                alike[i] = name, pixels
            found.append(None if i in alike else prepare(pixels, name, size, ink_size))
        except InputError as error:
            found.append(error)
    together = _all_like_mnist([pixels for _, pixels in alike.values()], ink_size)
    for (i, (name, pixels)), each in zip(alike.items(), together, strict=True):
        try:
            found[i] = each or prepare(pixels, name, size, ink_size)
        except InputError as error:
            found[i] = error
    return [each for each in found if each is not None]


def stages(pixels: Pixels, size: int, ink_size: int) -> dict[str, Pixels]:
    """Return what is seen of an image on the way: ground, difference from it, ink, framed."""
    found = writing.find(pixels)
    seen = dict(zip(found._fields[:3], found[:3], strict=True)) if found else {}
    with suppress(BlankError):
        seen["framed"] = frame(pixels, size, ink_size).image
    return seen


def frame(pixels: Pixels, size: int, ink_size: int) -> Framed:
    """Return an image of any size and colours, uint8 [H, W] or [H, W, 3], framed for a network.

    An image that MNIST could hold stays as it is, but for its polarity. Others get MNIST's framing:
    the ink scaled to ink_size x ink_size with its aspect kept, then centred by its centre of mass
    (LeCun, Cortes and Burges, yann.lecun.com/exdb/mnist). The geometry is known of a clean sheet
    like trainPart1's alone: elsewhere the place means nothing, and the size only beside others.
    Raises BlankError without ink.
    """
    ink = pixels if pixels.ndim == 2 else np.asarray(gray_from_rgb(pixels))[..., 0]
    if (ground := _median_of_border(ink)) >= 128:  # dark ink on bright paper
        ink, ground = 255 - ink, 255 - ground
    shares, framed = UNKNOWN, False
    if ink.shape == (size, size) and ground <= _DARK and _MAXIMUM(ink, None) >= _BRIGHT:
        box = _ink_box(ink)
        framed = _like_mnist(ink, box, ink_size)
    elif abs(4 * len(ink) - 3 * ink.shape[1]) <= 4 and ground == 0 and _MAXIMUM(ink, None) == 255:
        box = _ink_box(ink)
        shares = _sheet(ink, box)
    if not framed and shares is UNKNOWN:
        if not (found := writing.find(pixels)):
            raise BlankError
        shares = _size(_ink_box(found.ink), found.scale)
        ink = _widened(found.ink)
        box = _ink_box(ink)
    image = ink if framed else _centred(_scaled(ink[box], ink_size), size)
    rows, columns = box
    return Framed(image, shares, _key(ink, rows.start, rows.stop, columns.start, columns.stop))


def _key(ink: Pixels, top: int, bottom: int, left: int, right: int) -> int:
    where = struct.pack("<6I", *ink.shape, top, bottom, left, right)
    return duplicates.digest(where + ink[top:bottom, left:right].tobytes())


def _median_of_border(gray: Pixels) -> int:
    """Return the upper median of the border of uint8 [H, W]."""
    border = writing.border(gray)
    middle = len(border) // 2
    border.partition(middle)
    return int(border[middle])


def _like_mnist(ink: Pixels, box: Box, ink_size: int) -> bool:
    """Return whether MNIST could hold uint8 [size, size]: all 130,000 of its and mnistTask3's pass.

    Their ground is 0 (1 after JPEG), their ink at least 247, the longer side 13 to 20 of 20 pixels,
    the centre of mass at most 1.2 pixels off the middle.
    """
    (rows, columns), least, most = box, 0.65 * ink_size, 1.1 * ink_size
    if not least <= max(rows.stop - rows.start, columns.stop - columns.start) <= most:
        return False
    mass, down, across = _moments(len(ink)).dot(ink.ravel().astype(np.float32)).tolist()
    return bool(max(abs(down), abs(across)) <= 1.5 * mass)


def _all_like_mnist(images: Sequence[Pixels], ink_size: int) -> list[Framed | None]:
    """Return what frame() does of uint8 [size, size], if it stays and is in one piece, or None."""
    if not images:
        return []
    ink = np.stack(images)
    border = np.concatenate([ink[:, 0], ink[:, -1], ink[:, :, 0], ink[:, :, -1]], axis=1)
    middle = border.shape[1] // 2
    ground = np.partition(border, middle, axis=1)[:, middle]
    bright = ground >= 128
    ink[bright], ground[bright] = 255 - ink[bright], 255 - ground[bright]
    brightest = ink.max(2)
    columns, rows = ink.max(1) >= _INK, brightest >= _INK
    pieces = columns[:, 0] + (columns[:, 1:] > columns[:, :-1]).sum(1)
    ends = np.stack([f(each) for each in (rows, columns) for f in (_first, _last)], axis=1)
    longer = np.maximum(ends[:, 1] - ends[:, 0], ends[:, 3] - ends[:, 2])
    flat = ink.reshape(len(ink), -1).astype(np.float32)
    mass, *off = (flat @ _moments(ink.shape[1]).T).T
    stay = (ground <= _DARK) & (brightest.max(1) >= _BRIGHT) & (pieces == 1)
    stay &= (0.65 * ink_size <= longer) & (longer <= 1.1 * ink_size)
    stay &= np.maximum(*map(np.abs, off)) <= 1.5 * mass
    return [
        Framed(each, UNKNOWN, _key(each, *box)) if whole else None
        for each, box, whole in zip(ink, ends.tolist(), stay, strict=True)
    ]


def _first(marked: NDArray[np.bool_]) -> NDArray[np.intp]:
    return np.asarray(marked.argmax(1))


def _last(marked: NDArray[np.bool_]) -> NDArray[np.intp]:
    return np.asarray(marked.shape[1] - marked[:, ::-1].argmax(1))


@cache
def _moments(size: int) -> NDArray[np.float32]:
    """Return 1 and the distance from the middle, down and across, of each pixel: [3, size^2]."""
    middle = (size - 1) / 2
    down, across = np.mgrid[:size, :size] - middle
    return np.stack([np.ones_like(down), down, across]).reshape(3, -1).astype(np.float32)


def _sheet(ink: Pixels, box: Box) -> Shares:
    """Return the geometry of a character whose strokes, size and place trainPart1 could hold.

    UNKNOWN of another. `ink` is a spotless sheet, 4 to 3, as all of trainPart1's.
    """
    (height, width), (rows, columns) = ink.shape, box
    extent = ((rows.stop - rows.start) / height, (columns.stop - columns.start) / width)
    centre = ((rows.stop + rows.start) / 2 / height, (columns.stop + columns.start) / 2 / width)
    crop = ink[box]
    step = max(1, max(crop.shape) // 100)
    thick = _stroke_width(crop[::step, ::step]) >= _THINNEST
    return extent + centre if thick and geometry.trained(extent + centre) else UNKNOWN


def _size(box: Box, scale: float) -> Shares:
    """Return the geometry of ink on no such sheet: its size, as if of trainPart1's in pixels.

    It tells pictures of one scale apart, and says nothing of a single one.
    """
    height, width = ((side.stop - side.start) * scale for side in box)
    return (height / _SHEET[0], width / _SHEET[1], *UNKNOWN[2:])


def _stroke_width(crop: Pixels) -> float:
    """Return the mean width of the strokes, as a share of the crop's longer side.

    Twice the area by the outline, which on a grid is longer than it is: by 4/pi on average.
    """
    ink = np.pad(crop >= _INK, 1)
    outline = sum(np.count_nonzero(np.diff(ink, axis=axis)) for axis in (0, 1)) * np.pi / 4
    return float(2 * np.count_nonzero(ink) / max(1.0, outline) / max(crop.shape))


def _widened(ink: Pixels) -> Pixels:
    """Return the ink with thin strokes as wide as trainPart1's thin ones, on a canvas that fits.

    The network has not seen thinner ones, and scaled down they would fade.
    """
    crop = ink[_ink_box(ink)]
    wanted, longer = _THIN * max(crop.shape), max(crop.shape)
    radius = (wanted - _stroke_width(crop) * longer) / 2
    if radius <= 0:
        return ink
    if wanted < 4:  # too coarse to widen
        factor = math.ceil(4 / wanted)
        larger = Image.fromarray(crop).resize([side * factor for side in crop.shape[::-1]])
        return _widened(np.asarray(larger))
    wider = np.pad(crop, math.ceil(radius))
    distance = ndimage.distance_transform_edt(wider < _INK)
    rim = np.rint((radius + 0.5 - distance).clip(0, 1) * 255)
    return np.asarray(np.maximum(wider, rim.astype(np.uint8)))


def _ink_box(ink: Pixels) -> Box:
    """Return the smallest box that holds all ink but stray marks beside the character."""
    marked, stop = (_MAXIMUM(ink, 0) >= _INK).tobytes() + b"\0", 0
    boxes = []  # of the runs of columns with ink, from left to right
    while (start := marked.find(1, stop)) >= 0:
        stop = marked.find(0, start)
        rows = (_MAXIMUM(ink[:, start:stop], 1) >= _INK).tobytes()
        boxes.append((slice(rows.find(1), rows.rfind(1) + 1), slice(start, stop)))
    if len(boxes) == 1:
        return boxes[0]
    boxes = _without_stray_marks(ink, boxes)
    top, bottom = min(rows.start for rows, _ in boxes), max(rows.stop for rows, _ in boxes)
    return slice(top, bottom), slice(boxes[0][1].start, boxes[-1][1].stop)


def _without_stray_marks(ink: Pixels, boxes: list[Box]) -> list[Box]:
    """Return `boxes`, from left to right, without those at the ends that are stray marks.

    A character has no separate part but its dot, which is above the stem. A small mark far away,
    with clear columns between, is an accidental touch of the pen: in trainPart1 6 of 2,480 images
    have one, which would halve the size of the character.
    """
    inks = [int((ink[box] >= _INK).sum()) for box in boxes]
    main = boxes[int(np.argmax(inks))]
    longer, kept = max(side.stop - side.start for side in main), []
    for i, (box, count) in enumerate(zip(boxes, inks, strict=True)):
        gaps = [max(a.start - b.stop, b.start - a.stop) for a, b in zip(box, main, strict=True)]
        if count * _STRAY >= max(inks) or max(gaps) * _FAR <= longer:
            kept.append(i)
    return boxes[kept[0] : kept[-1] + 1]


def _scaled(crop: Pixels, ink_size: int) -> Pixels:
    """Return `crop` with its longer side `ink_size` pixels long, and its brightest pixel at 255.

    A stroke thinner than a pixel of the result would otherwise fade away.
    """
    height, width = (max(1, round(side * ink_size / max(crop.shape))) for side in crop.shape)
    resized = Image.fromarray(crop).resize((width, height), Image.Resampling.BILINEAR)
    scaled = np.asarray(resized, np.int64)
    return np.asarray(scaled * 255 // max(1, scaled.max()), np.uint8)


def _centred(scaled: Pixels, size: int) -> Pixels:
    """Return `scaled` on a dark size x size square, its centre of mass as central as fits."""
    corner, total = [], int(scaled.sum())
    for side, mass in zip(scaled.shape, (scaled.sum(axis=1), scaled.sum(axis=0)), strict=True):
        twice = int((mass * (2 * np.arange(side, dtype=mass.dtype) + 1)).sum())  # times total
        corner.append(min(max((size * total - twice) // (2 * total), 0), size - side))
    square = np.zeros((size, size), np.uint8)
    square[corner[0] :, corner[1] :][: scaled.shape[0], : scaled.shape[1]] = scaled
    return square
