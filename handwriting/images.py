"""Any image that a user hands over, framed for a network; many of them by several processes."""

import math
import mimetypes
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from handwriting.core import workers
from handwriting.core.errors import InputError
from handwriting.preprocessing import decoding, framing
from handwriting.preprocessing.framing import Framed

Image = Path | str | bytes | PIL.Image.Image | NDArray[Any]
Named = tuple[str, Image | InputError]  # the name for errors; an error instead of an image

_PART = 8  # images that a worker is given at a time
_SHAPES = "[H, W], [H, W, 1], [H, W, 3] or [H, W, 4]"


def pixels(image: Image, name: str) -> decoding.Pixels:
    """Return an image as uint8 [H, W] or [H, W, 3]. Raises InputError with `name`.

    A str is a path. An array is grey, RGB or RGBA: uint8, bool, or floats from 0 to 1.
    """
    if isinstance(image, Path | str):
        return decoding.decode(decoding.read(image), name)
    if isinstance(image, bytes):
        return decoding.decode(image, name)
    if isinstance(image, np.ndarray):
        image = _of_array(image, name)
    if not isinstance(image, PIL.Image.Image):
        raise InputError(f"{name}: a {type(image).__name__}, not a path, bytes, image or array")
    return decoding.explained(decoding.of_pillow, image, name)  # whose file may be damaged


def _of_array(array: NDArray[Any], name: str) -> PIL.Image.Image:
    pixels = array[..., 0] if array.shape[2:] == (1,) else array
    if pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (3,), (4,)) or not pixels.size:
        raise InputError(f"{name}: an array of shape {list(array.shape)}, not {_SHAPES}")
    if math.prod(pixels.shape[:2]) > decoding.MAX_PIXELS:
        raise InputError(f"{name}: more than {decoding.MAX_PIXELS:,} pixels: too large")
    if pixels.dtype.kind not in "fb" and pixels.dtype != np.uint8:
        raise InputError(f"{name}: an array of {pixels.dtype}, not of uint8, bool or floats")
    if pixels.dtype != np.uint8:
        if not ((pixels >= 0) & (pixels <= 1)).all():  # as of NaN
            raise InputError(f"{name}: floats outside 0 to 1")
        pixels = np.round(pixels * np.float32(255)).astype(np.uint8)
    return PIL.Image.fromarray(np.ascontiguousarray(pixels))


def prepare(image: Image, name: str, size: int, ink_size: int) -> Framed:
    """Return an image, decoded and framed. Raises InputError with `name`."""
    return framing.prepare(pixels(image, name), name, size, ink_size)


def framed(
    named: Iterable[Named], size: int, ink_size: int, count: int = 1
) -> Iterator[tuple[str, Framed | InputError]]:
    """Yield the name of each image, and the image framed or an error, in order.

    A `count` over 1 is of processes that do it, unless there are few images. They are a few images
    ahead.
    """
    frame, stream = partial(_framed, size, ink_size), iter(named)
    parts = iter(lambda: list(islice(stream, _PART if count > 1 else 1)), [])
    rest = chain(first := list(islice(parts, count)), parts)
    alone = count == 1 or len(first) < count
    yield from chain.from_iterable(map(frame, rest) if alone else workers.map(frame, rest, count))


def _framed(
    size: int, ink_size: int, part: Sequence[Named]
) -> list[tuple[str, Framed | InputError]]:
    found: list[tuple[str, Framed | InputError]] = []
    for name, image in part:
        try:
            if isinstance(image, InputError):
                raise image
            found.append((name, prepare(image, name, size, ink_size)))
        except InputError as error:
            found.append((name, error))
    return found


def stacked(framed: Sequence[Framed]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return the images, uint8 [N, 1, size, size], and their geometry, float32 [N, 4]."""
    geometry = np.array([each.geometry for each in framed], np.float32)
    return np.stack([each.image for each in framed])[:, None], geometry


def is_other_kind(name: str, error: InputError) -> bool:
    """Return whether a file is no image, and its name does not say that it is one."""
    kind, _ = mimetypes.guess_type(name, strict=False)
    return ": not an image" in str(error) and not (kind or "").startswith("image/")
