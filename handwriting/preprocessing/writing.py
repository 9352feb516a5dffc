"""Find the writing in a picture: a photo, a scan, a screenshot or a drawing, of any colours.

Ground and ink are told by the picture itself: no colour, brightness or polarity is assumed.
"""

from collections.abc import Sequence
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from handwriting.preprocessing.decoding import Pixels

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

_SIDE = 640  # pixels of the longer side that are looked at
_CELLS = 40  # of the longer side: the local ground is told cell by cell
_FLAT = 0.2  # share of pixels that differ by 2 levels at most from one colour: a drawing's ground
_CONTRAST = 16  # of 255: less is blank
_NOISE = 5  # standard deviations of the ground
_WEAK, _STRONG = 0.4, 0.65  # of the character's ink: two thresholds (Canny 1986)
_SOLID = 0.8  # share of its box that a sheet fills, and no character but a dash
_DOT = 0.01  # of the longer side: what is smaller cannot be read
_RIM = 0.12  # share of the side: ruled lines, frames and edges are in it
_SMALLEST = 0.03  # of the character's area: less is a speck


class Writing(NamedTuple):
    """A character found in a picture; all of the same size."""

    ground: Pixels  # uint8 [H, W] or [H, W, 3], the paper without the ink
    difference: Pixels  # uint8 [H, W], all that differs from it
    ink: Pixels  # uint8 [H, W], the character alone, bright on 0
    scale: float  # pixels of the picture for each of these


class Part(NamedTuple):
    """A connected area of ink."""

    label: int
    rows: slice
    columns: slice
    area: int

    @property
    def longer(self) -> int:
        """Its longer side in pixels."""
        return int(max(self.rows.stop - self.rows.start, self.columns.stop - self.columns.start))

    def encloses(self, other: "Part") -> bool:
        """Return whether its box holds that of another part: a frame."""
        pairs = ((self.rows, other.rows), (self.columns, other.columns))
        return all(one.start <= two.start and one.stop >= two.stop for one, two in pairs)

    def shares(self, shape: tuple[int, ...]) -> list[tuple[float, float]]:
        """Return where it starts and stops, as shares of the sides of an image."""
        sides = zip((self.rows, self.columns), shape, strict=True)
        return [(side.start / length, side.stop / length) for side, length in sides]

    def touches_border(self, shape: tuple[int, ...]) -> bool:
        """Return whether it reaches the border of an image."""
        return any(start == 0 or stop == 1 for start, stop in self.shares(shape))

    def in_rim(self, shape: tuple[int, ...]) -> bool:
        """Return whether it is next to the border altogether."""
        return any(stop < _RIM or start > 1 - _RIM for start, stop in self.shares(shape))

    def spans(self, shape: tuple[int, ...]) -> bool:
        """Return whether it is nearly as long as a side: a ruled line or an edge."""
        return any(stop - start > 0.8 for start, stop in self.shares(shape))


def find(pixels: Pixels, sheets: int = 2) -> Writing | None:
    """Return the character in uint8 [H, W] or [H, W, 3], reduced to 640 pixels, if there is one.

    Of a sheet of paper on another ground, `sheets` deep at most, the sheet is looked at.
    """
    reduced = _reduced(pixels)
    if min(reduced.shape[:2]) < 2:
        return None
    image, scale = np.atleast_3d(reduced).astype(np.float32), len(pixels) / len(reduced)
    ground, flat = _ground(image)
    offset = image - ground
    distance = _largest(np.abs(offset))
    difference = distance if flat else _towards_ink(offset, distance)  # no light falls on a drawing
    noise = float(np.percentile(distance, 25)) / 0.32  # of a normal distribution
    least = max(12.0, _NOISE * noise, 0.15 * float(difference.max()))
    certain = difference >= least
    if difference.max() < _CONTRAST or not certain.any():
        return None
    parts = Parts.of(certain)
    main = parts.central(difference, certain)
    if main.longer < max(3, _DOT * max(certain.shape)):
        return None
    if sheets and _is_sheet(main, parts.labels):
        found = find(pixels[_inside(main, scale)], sheets - 1)
        if found and (border(found.difference) > 128).mean() < 0.05:
            return found
    level = float(np.percentile(difference[parts.labels == main.label], 80))
    ink = _ink(difference, level, least)
    shown = (difference * (255 / difference.max())).astype(np.uint8)
    paper = np.broadcast_to(ground, image.shape).astype(np.uint8)
    return Writing(paper.reshape(reduced.shape), shown, ink, scale)


def _largest(values: Floats) -> Floats:
    """Return the maximum over the channels of [H, W, channels]; max() takes five times as long."""
    return reduce(np.maximum, np.moveaxis(values, 2, 0))


def border(values: NDArray[Any]) -> NDArray[Any]:
    """Return the first and the last row, and the first and the last column, of [H, W]."""
    return np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])


def _reduced(pixels: Pixels) -> Pixels:
    """Return the means of squares of pixels, so that the longer side is at most _SIDE."""
    factor = -(-max(pixels.shape[:2]) // _SIDE)
    if factor == 1:
        return pixels
    return np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).reduce(factor))


def _ground(image: Floats) -> tuple[Floats, bool]:
    """Return the ground of float32 [H, W, channels], and whether it is one colour everywhere."""
    codes = np.zeros(image.shape[:2], np.int32)
    for channel in np.moveaxis(image, 2, 0):
        codes = (codes << 5) | (channel.astype(np.int32) >> 3)
    commonest = codes == np.bincount(codes.ravel()).argmax()
    colour = np.median(image[commonest], axis=0)
    if (_largest(np.abs(image - colour)) <= 2).mean() >= _FLAT:
        return colour, True
    return _local_ground(image), False


def _local_ground(image: Floats) -> Floats:
    """Return the ground of unevenly lit paper: a smooth image of the same shape.

    The median of a neighbourhood, half as large as the image, is paper as long as most of it is.
    Where a cell differs from it there is ink, and the cells around are smoothed into the gap.
    """
    (height, width), scale = image.shape[:2], _CELLS / max(image.shape[:2])
    cells = [max(1, round(side * min(1, scale))) for side in (height, width)]
    window = [min(side, _CELLS // 2) | 1 for side in cells]
    planes = np.moveaxis(image, 2, 0)
    channels = [_resized(each, cells, Image.Resampling.BOX) for each in planes]
    medians = [ndimage.median_filter(each, window, mode="nearest") for each in channels]
    off = np.abs(np.subtract(channels, medians)).max(axis=0)
    paper = (off <= max(8, 4.4 * float(np.median(off)))).astype(np.float32)
    weight = ndimage.gaussian_filter(paper, 2, mode="nearest")
    smooth = [
        np.where(
            weight > 0.02,
            ndimage.gaussian_filter(channel * paper, 2, mode="nearest") / weight.clip(1e-6),
            median,
        )
        for channel, median in zip(channels, medians, strict=True)
    ]
    large = [_resized(each, (height, width), Image.Resampling.BILINEAR) for each in smooth]
    return np.stack(large, axis=2)


def _resized(channel: Floats, shape: Sequence[int], method: Image.Resampling) -> Floats:
    """Return float32 [H, W] resampled to a shape."""
    image = Image.fromarray(np.ascontiguousarray(channel, np.float32))
    return np.asarray(image.resize((shape[1], shape[0]), method))


def _towards_ink(offset: Floats, distance: Floats) -> Floats:
    """Return float32 [H, W], how far offsets from the ground [H, W, channels] are towards the ink.

    The ink is the mean of the strongest offsets, at least a 2,000th of the image.
    """
    count = min(distance.size, max(4, distance.size // 2000))
    strongest = np.partition(distance.ravel(), -count)[-count]
    ink = offset[distance >= 0.6 * strongest].mean(axis=0)
    towards: Floats = (offset @ (ink / max(1e-6, float(np.linalg.norm(ink))))).clip(0)
    return towards


class Parts(NamedTuple):
    """The connected areas of a mask, diagonal neighbours included."""

    all: list[Part]
    labels: NDArray[np.int32]  # [H, W], 0 where the mask is not

    @classmethod
    def of(cls, mask: Mask) -> "Parts":
        """Return the parts of a mask."""
        labels, _ = ndimage.label(mask, np.ones((3, 3)))
        areas, boxes = np.bincount(labels.ravel()), ndimage.find_objects(labels)
        parts = [
            Part(i, rows, columns, int(areas[i])) for i, (rows, columns) in enumerate(boxes, 1)
        ]
        return cls(parts, labels)

    def central(self, difference: Floats, certain: Mask) -> Part:
        """Return the part with the sharpest edges in the middle, and a certain pixel.

        The square of the gradient tells a stroke from a shadow: as dark, larger, but soft.
        """
        down, across = np.gradient(difference)
        rows, columns = (np.linspace(-2, 2, side) ** 2 / 2 for side in difference.shape)
        edges = (down**2 + across**2) * np.exp(-(rows[:, None] + columns))
        numbers = range(1, len(self.all) + 1)
        scores = ndimage.sum_labels(edges, self.labels, numbers)
        return self.all[int(np.argmax(scores * ndimage.maximum(certain, self.labels, numbers)))]

    def framed_by(self, part: Part, difference: Floats, certain: Mask) -> Part:
        """Return the part in the middle of a part's hole, if that is a frame; else the part."""
        box = self.labels[part.rows, part.columns]
        hole = ndimage.binary_fill_holes(box == part.label) & (box != part.label)
        inside = [
            each
            for each in (self.all[i - 1] for i in np.unique(box[hole]) if i > 0)
            if each.longer >= 0.25 * part.longer
        ]
        if not inside:
            return part
        alone = np.isin(self.labels, [each.label for each in inside])
        return self.central(difference * alone, certain & alone)


def _without_lines(mask: Mask, strong: Mask) -> Mask:
    """Return a mask without ruled lines: thin, straight, from border to border.

    What of a line is as strong as ink stays, unless most of the line is. Where a stroke crosses a
    line, it is closed again. In an image under 100 pixels a stroke is as thin as a line.
    """
    thickest = max(mask.shape) // 100
    for axis, side in enumerate(mask.shape if thickest else ()):
        runs = _opened(mask, side // 7, axis)
        thin = runs & ~_opened(runs, thickest + 1, 1 - axis)
        parts = Parts.of(~_opened(~thin, 3 * side // 4, axis))  # a line goes on behind a stroke
        line = np.zeros_like(mask)
        for part in parts.all:
            if part.shares(mask.shape)[axis] != (0, 1):
                continue
            pixels = thin & (parts.labels == part.label)
            reached = pixels.any(axis=1 - axis)
            if reached[0] and reached[-1]:
                line |= pixels & ~strong if strong[pixels].mean() < 0.5 else pixels
        rest = mask & ~line
        mask = rest | (line & ~_opened(~rest, thickest + 2, 1 - axis))
    return mask


def _opened(mask: Mask, length: int, axis: int) -> Mask:
    """Return the pixels of a mask in runs of this length (the next odd number) along an axis."""
    eroded = ndimage.minimum_filter1d(mask.view(np.uint8), length | 1, axis, mode="nearest")
    opened = ndimage.maximum_filter1d(eroded, length | 1, axis, mode="nearest")
    return np.asarray(opened, np.bool_)


def _is_sheet(part: Part, labels: NDArray[np.int32]) -> bool:
    """Return whether a part may be a sheet of paper on another ground: large, compact, solid, with
    four corners, as no heavy letter but an E."""
    box = labels[part.rows, part.columns]
    if min(box.shape) < 10 or part.longer >= 3 * min(box.shape) or box.size >= 0.9 * labels.size:
        return False
    high, wide = (max(1, side // 20) for side in box.shape)
    corners = [box[y, x] for y in (high, -1 - high) for x in (wide, -1 - wide)]
    return part.area > _SOLID * box.size and all(each == part.label for each in corners)


def _inside(part: Part, scale: float) -> tuple[slice, slice]:
    """Return the box of a part without its edges, in an image `scale` times as large."""
    sides = []
    for side in (part.rows, part.columns):
        edge = max(1, round(0.04 * (side.stop - side.start)))
        sides.append(slice(int((side.start + edge) * scale), int((side.stop - edge) * scale)))
    return sides[0], sides[1]


def _ink(difference: Floats, level: float, least: float) -> Pixels:
    """Return uint8 [H, W] of the character alone, its ink at 255.

    `level` is the difference of ink from the ground, `least` one that is no noise.
    """
    strong = difference >= _STRONG * level
    weak = difference >= max(_WEAK * level, least)
    unlined = _without_lines(weak, strong)
    parts = Parts.of(unlined if (unlined & strong).any() else weak)
    main = parts.framed_by(parts.central(difference, strong), difference, strong)
    mask = np.isin(parts.labels, [each.label for each in _character(main, parts, difference)])
    edges = ndimage.binary_dilation(mask, iterations=max(1, round(max(mask.shape) / 200)))
    full, floor = _local_mean(difference, mask, main.longer), least / 4
    shares = ((difference - floor) / np.maximum(full - floor, 1)).clip(0, 1)
    return np.where(edges, np.rint(shares * 255), 0).astype(np.uint8)


def _local_mean(difference: Floats, mask: Mask, side: int) -> Floats:
    """Return float32 [H, W], the mean of the pixels of a mask within squares of this side."""
    total, count = (
        ndimage.uniform_filter(each.astype(np.float32), max(3, side), mode="constant")
        for each in (difference * mask, mask)
    )
    return np.asarray(total / count.clip(1e-6))


def _character(main: Part, parts: Parts, difference: Floats) -> list[Part]:
    """Return the main part and what belongs to it: a dot, a bar, a stroke that broke."""
    inks = ndimage.mean(difference, parts.labels, range(1, len(parts.all) + 1))
    left = [
        part
        for part, ink in zip(parts.all, inks, strict=True)
        if part is not main
        and _SMALLEST * main.area <= part.area <= 3 * main.area
        and ink >= 0.45 * inks[main.label - 1]
    ]
    found = [main]
    for known in found:  # which grows: a piece may be near to another piece alone
        near = [each for each in left if _belongs(each, known, main, parts.labels.shape)]
        left = [each for each in left if each not in near]
        found += near
    return found


def _belongs(part: Part, known: Part, main: Part, shape: tuple[int, ...]) -> bool:
    """Return whether a part's place is that of a piece of the character, beside a known piece."""
    gaps = [
        max(one.start - other.stop, other.start - one.stop, 0)
        for one, other in ((part.rows, known.rows), (part.columns, known.columns))
    ]
    reach = 0.3 if gaps[1] > 0.1 * main.longer else 1.2  # a dot or a lower half is above or below
    if max(gaps) > reach * main.longer or part.encloses(main):
        return False
    small, apart = part.area / main.area, max(gaps) > 0.1 * main.longer
    if part.in_rim(shape) and small < 0.3:
        return False
    if not part.touches_border(shape):
        return True
    if part.spans(shape):
        return False
    return not apart and (small > 0.1 if main.touches_border(shape) else small < 1)
