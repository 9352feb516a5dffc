"""From the bytes of an image file to the uint8 square that the networks see.

All arithmetic is integer or correctly rounded: the same pixels on every platform.
"""

import struct
from typing import Any, NamedTuple

import numpy as np
from kornia_rs.imgproc import gray_from_rgb
from numpy.typing import NDArray
from PIL import Image

from handwriting.core.errors import InputError
from handwriting.preprocessing import duplicates
from handwriting.preprocessing.decoding import Pixels, decode

Box = tuple[slice, slice]  # rows, columns

_INK = 64  # of 255: difference of ink from paper, above the noise of paper and JPEG
_DARK = 32  # of 255: the paper of an image framed as MNIST's is darker
_NOISE = 4  # median deviations of the paper that count as noise: 2.7 standard deviations
_STRAY = 6  # a stray mark has less than a 6th of the character's ink ...
_FAR = 4  # ... and is further from it than a 4th of its longer side


class BlankError(InputError):
    """There is no ink in an image."""


class Framed(NamedTuple):
    """One character, ready for a network."""

    image: Pixels  # uint8 [size, size], bright ink on dark
    # Height, width, centre y and centre x of the ink, as shares of the canvas.
    geometry: tuple[float, float, float, float]
    key: int  # digest of the ink and its position, equal for equal pictures only


def prepare(content: bytes, name: str, size: int, ink_size: int) -> Framed:
    """Return an image file, decoded and framed. Raises InputError with `name`."""
    try:
        return frame(decode(content, name), size, ink_size)
    except BlankError:
        raise InputError(f"{name}: a blank image, no ink on it") from None


def frame(pixels: Pixels, size: int, ink_size: int) -> Framed:
    """Return an image of any size and polarity, uint8 [H, W] or [H, W, 3], framed for a network.

    Of an image of size x size only the polarity changes: it is framed already, as in MNIST. Others
    get MNIST's framing: the ink scaled to ink_size x ink_size with its aspect kept, then centred by
    its centre of mass (LeCun, Cortes and Burges, yann.lecun.com/exdb/mnist).
    Raises BlankError without ink.
    """
    ink = pixels if pixels.ndim == 2 else np.asarray(gray_from_rgb(pixels))[..., 0]
    paper = _median(border := np.concatenate(_sides(ink)))
    if paper >= 128:  # dark ink on bright paper
        ink, border, paper = 255 - ink, 255 - border, 255 - paper
    framed = ink.shape == (size, size) and paper < _DARK
    if not framed and (border.any() or ink.max() < 255):
        ink, paper = _cleaned(ink, paper), 0
    if int(ink.max()) - paper < _INK:
        raise BlankError
    (height, width), box = ink.shape, _ink_box(ink)
    top, bottom, left, right = (end for side in box for end in (side.start, side.stop))
    extent = ((bottom - top) / height, (right - left) / width)
    centre = ((bottom + top) / 2 / height, (right + left) / 2 / width)
    where = struct.pack("<6I", height, width, top, bottom, left, right)
    image = ink if framed else _centred(_scaled(ink[box], ink_size), size)
    return Framed(image, extent + centre, duplicates.digest(where + ink[box].tobytes()))


def _sides(values: NDArray[Any]) -> list[NDArray[Any]]:
    """Return the first and the last row, and the first and the last column, of [H, W]."""
    return [values[0], values[-1], values[:, 0], values[:, -1]]


def _median(values: Pixels) -> int:
    """Return the upper median of uint8 [N]."""
    return int(np.partition(values, len(values) // 2)[len(values) // 2])


def _cleaned(ink: Pixels, paper: int) -> Pixels:
    """Return uint8 [H, W] with the paper at 0 and the ink up to 255, all zero without ink.

    The paper, grey, noisy or lit from one side, is the plane through the medians of the four sides,
    except of sides covered by ink. What hardly leaves that plane is noise, as the border shows it.
    """
    height, width = ink.shape
    medians = map(_median, _sides(ink))
    top, bottom, left, right = (each if abs(each - paper) < _INK else paper for each in medians)
    middle = (top + bottom + left + right) // 4
    down = (bottom - top) * (2 * np.arange(height) + 1 - height) // (2 * height)
    across = (right - left) * (2 * np.arange(width) + 1 - width) // (2 * width)
    lifted = ink - ((middle + down).astype(np.int16)[:, None] + across.astype(np.int16))
    lifted -= _NOISE * int(np.median(np.abs(np.concatenate(_sides(lifted)))))
    above = lifted.clip(0, 255).astype(np.uint8)
    strongest = int(above.max())
    if strongest < _INK:
        return np.zeros_like(ink)
    levels = (np.arange(256) * 255 // strongest).clip(0, 255).astype(np.uint8)
    return np.asarray(levels[above])


def _ink_box(ink: Pixels) -> Box:
    """Return the smallest box that holds all ink but stray marks beside the character."""
    marked, stop = (ink.max(axis=0) >= _INK).tobytes() + b"\0", 0
    boxes = []  # of the runs of columns with ink, from left to right
    while (start := marked.find(1, stop)) >= 0:
        stop = marked.find(0, start)
        rows = (ink[:, start:stop].max(axis=1) >= _INK).tobytes()
        boxes.append((slice(rows.find(1), rows.rfind(1) + 1), slice(start, stop)))
    if len(boxes) > 1:
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
