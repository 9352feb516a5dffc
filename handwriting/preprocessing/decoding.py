"""From the bytes of an image file to its pixels."""

import io
import logging
import math
import os
import re
import stat
import struct
import tempfile
import threading
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
from kornia_rs.io import decode_image_jpegturbo, decode_image_png_u8
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.IcoImagePlugin import IcoFile
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import TiffImageFile

from handwriting.core.errors import InputError, one_line

Given = TypeVar("Given")
Pixels = NDArray[np.uint8]

MAX_BYTES = 200 << 20  # of an image file
MAX_PIXELS = 50_000_000  # of an image: a decompression bomb is refused before it is decoded
_MAX_SCANNED = 20 * MAX_PIXELS  # pixels times scans of a JPEG, which cost a nanosecond each
_MAX_SLOW = 4 << 20  # bytes of an image whose decoder is written in Python
_LARGE = 4_000_000  # pixels: more are reduced, as no network needs them
_CONTRAST = 64  # of 255: less is not seen on white

# Tags of a TIFF, and one compression.
_COMPRESSION, _STRIPS, _ORIENTATION, _ROWS, _STRIP_BYTES, _T6 = 259, 273, 274, 278, 279, 4

_SIGNED = ("GIF", "BMP", "TIFF", "WEBP", "PPM", "ICO", "JPEG2000")  # left to Pillow alone
KINDS = ("PNG", "JPEG", *_SIGNED, "AVIF", "HEIC", "TGA")  # all that are read

_NO_ALPHA = ("BMP", "TGA")  # which hold zeros where they mean no alpha

_PNG = b"\x89PNG\r\n\x1a\n"
_IEND = b"\0\0\0\0IEND\xaeB`\x82"
# Text of a PNG that may hold an orientation. All other chunks that change no pixel are left out.
_ORIENTING = (b"Raw profile type exif\0", b"XML:com.adobe.xmp\0")
_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")  # of a JPEG, but 0xFF in data and restarts
# Segments of a JPEG: what says how to look at it, and what holds pixels and their tables.
_ABOUT = {0xE1, 0xEE}  # orientation, colour space
_NEEDED = {*range(0xC0, 0xD0), 0xDA, 0xDB, 0xDD} | _ABOUT
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_EOI = b"\xff\xd9"
# How a baseline JPEG of one channel begins as libjpeg writes it: JFIF, a table, height and width.
_GRAY = re.compile(
    rb"\xff\xd8\xff\xe0\0\x10.{14}\xff\xdb\0C.{65}\xff\xc0\0\x0b\x08(.{4})\x01", re.S
)
# What libtiff's default handler writes: the name of its function or of Pillow's handle, a message.
_LIBTIFF = re.compile(rb"(?:\w*(?:Fax|Decode|Lib|tempfile\.tif)|\w*: .*TIFF|\w*TIFF\w*:).*\n?")
_standard_error = threading.Lock()
# What Pillow raises for an orientation that it cannot read.
_NO_EXIF = (ArithmeticError, LookupError, OSError, SyntaxError, TypeError, ValueError, struct.error)

logging.getLogger("PIL").addHandler(logging.NullHandler())  # else its warnings are printed


def read(path: Path | str) -> bytes:
    """Return the content of an image file. Raises InputError naming it."""
    if not str(path):
        raise InputError("empty path")
    try:
        mode = Path(path).stat().st_mode
        if not stat.S_ISREG(mode):  # nothing ends the reading of a device or of an idle FIFO
            kind = "a folder, no file" if stat.S_ISDIR(mode) else "no regular file"
            raise InputError(f"{path}: {kind}")
        with Path(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except ValueError as error:  # of a NUL
        raise InputError(f"{path}: {one_line(error)}") from None
    if len(content) > MAX_BYTES:
        raise InputError(f"{path}: more than {MAX_BYTES:,} bytes: too large for an image")
    return content


def decode(content: bytes, name: str) -> Pixels:
    """Return the pixels of an image file: uint8 [H, W] of a grey image, else [H, W, 3].

    Of an animation the first frame counts. Transparent pixels are paper. More than 4 million
    pixels are reduced by a whole number.
    Raises InputError with `name` for a file that is not an image, damaged or too large.
    """
    return explained(_decoded, content, name)


def explained(function: Callable[[Given], Pixels], given: Given, name: str) -> Pixels:
    """Return what a function makes of an image. Raises InputError with `name` if it fails."""
    try:
        return function(given)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    except MemoryError:
        raise InputError(f"{name}: not enough memory to decode it") from None
    except Image.DecompressionBombError:
        raise InputError(f"{name}: more than {MAX_PIXELS:,} pixels: too large") from None
    except UnidentifiedImageError:
        raise InputError(f"{name}: not an image of a kind that is read") from None
    except BaseException as error:  # whatever the decoders raise; a panic in Rust is no Exception
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise InputError(f"{name}: a damaged image: {one_line(error)}") from None


def _decoded(content: bytes) -> Pixels:
    if not content:
        raise InputError("not an image: empty")
    if content.startswith(_PNG):
        return _png(content)
    if content.startswith(b"\xff\xd8"):
        return _jpeg(content)
    if content.startswith(b"\0\0\1\0"):
        return _icon(content)
    return _by_pillow(content)


def _png(content: bytes) -> Pixels:
    """Return the pixels of a PNG.

    Plain RGB goes to a decoder that is several times faster and gives Pillow's pixels.
    """
    chunks = list(_chunks(content))
    if not chunks or chunks[0][:8] != b"\0\0\0\rIHDR":
        raise ValueError("no header")
    width, height, depth, colour = struct.unpack_from(">IIBB", chunks[0], 8)
    _check_size(width, height)
    content = b"".join([_PNG, *chunks, _IEND])
    plain = all(chunk[4:8] in (b"IHDR", b"IDAT") for chunk in chunks)
    if plain and (depth, colour) == (8, 2) and 0 < width * height <= _LARGE:
        _spare(2 * 3 * width * height)
        with suppress(Exception):  # the library raises bare ones; Pillow's are clearer
            return np.asarray(decode_image_png_u8(content, (height, width), "rgb"))
    return _by_pillow(content, ("PNG",))


def _chunks(content: bytes) -> Iterator[bytes]:
    """Yield the chunks of a PNG that pixels and orientation need.

    Raises ValueError if one of pixels is damaged.
    """
    at = len(_PNG)
    while at < len(content):
        length, kind = int.from_bytes(content[at : at + 4]), content[at + 4 : at + 8]
        chunk = content[at : at + 12 + length]
        at += len(chunk)
        whole = len(chunk) == 12 + length and zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:])
        if kind in (b"IHDR", b"PLTE", b"IDAT"):
            if not whole:
                raise ValueError(f"{kind.decode()} cut off or with a wrong checksum")
            yield chunk
        elif kind == b"IEND":
            return
        elif whole and (kind in (b"tRNS", b"eXIf") or chunk[8:].startswith(_ORIENTING)):
            yield chunk


def _jpeg(content: bytes) -> Pixels:
    """Return the pixels of a JPEG, of which only the needed segments are read.

    libjpeg fills missing data with grey. The fast decoder refuses such a file; of a grey image it
    gives Pillow's pixels.
    """
    if (plain := _GRAY.match(content)) and b"\xff\xe1" not in content:  # no orientation
        height, width = struct.unpack(">HH", plain[1])
        _check_size(width, height)
        try:  # suppress() would take longer than a seventh of the decoding
            if height * width <= _LARGE:
                return np.asarray(decode_image_jpegturbo(content, "mono"))[..., 0]
        except Exception:  # noqa: S110 - what follows says why
            pass
    segments = list(_segments(content))
    frame = next((each for each in segments if each[1] in _FRAMES), b"")
    if len(frame) < 10:
        raise ValueError("no header")
    depth, height, width, channels = struct.unpack_from(">BHHB", frame, 4)
    scans = sum(each[1] == 0xDA for each in segments)
    _check_size(width, height)
    if depth != 8:
        raise InputError(f"a JPEG of {depth} bits a channel: not read")
    if scans * width * height > _MAX_SCANNED:
        raise InputError(f"{scans:,} scans of {width * height:,} pixels: too many")
    if channels in (1, 3):
        _spare(2 * width * height)
        bare = [each for each in segments if each[1] not in _ABOUT]
        try:
            luma = _luma(_joined(bare))
        except Exception as error:
            end = content.rfind(_EOI) > content.rfind(b"\xff\xda")  # after the last scan begins
            raise error if end else ValueError("cut off") from None
        if channels == 1 and len(bare) == len(segments):
            return np.asarray(_reduced(Image.fromarray(luma))) if luma.size > _LARGE else luma
    return _by_pillow(_joined(segments), ("JPEG",))


def _joined(segments: list[bytes]) -> bytes:
    return b"".join([b"\xff\xd8", *segments, _EOI])


def _segments(content: bytes) -> Iterator[bytes]:
    """Yield the segments of a JPEG that its pixels need, a scan with its data.

    Stray bytes between them are left out.
    """
    at = 2
    while found := _MARKER.search(content, at):
        start, at, kind = found.start(), found.end(), found[1][0]
        if kind == 0xD9:
            return
        if kind < 0xC0 or kind == 0xD8:  # no length follows
            continue
        at += int.from_bytes(content[at : at + 2])
        if kind == 0xDA:
            following = _MARKER.search(content, at)
            at = following.start() if following else len(content)
        if kind in _NEEDED:
            yield content[start:at]


def _luma(content: bytes) -> Pixels:
    """Return the brightness [H, W] of a JPEG. Raises what the decoder raises for faulty data."""
    try:
        return np.asarray(decode_image_jpegturbo(content, "mono"))[..., 0]
    except Exception:
        bare = content[: -len(_EOI)].rstrip(b"\0")  # webcams pad the data with zeros
        if len(bare) == len(content) - len(_EOI):
            raise
        bare += b"\0" if bare.endswith(b"\xff") else b""
        return np.asarray(decode_image_jpegturbo(bare + _EOI, "mono"))[..., 0]


def _icon(content: bytes) -> Pixels:
    """Return the pixels of the largest picture in a Windows icon."""
    try:
        entry = IcoFile(io.BytesIO(content)).entry[0]
    except (IndexError, struct.error):
        raise UnidentifiedImageError from None
    picture = content[entry.offset : entry.offset + entry.size]
    return _png(picture) if picture.startswith(_PNG) else _by_pillow(content)


def _by_pillow(content: bytes, kinds: tuple[str, ...] = _SIGNED) -> Pixels:
    """Return the pixels of any image."""
    # Pillow warns of oddities that it reads all the same.
    with warnings.catch_warnings(action="ignore"), _opened(content, kinds) as image:
        _check_size(*image.size)
        if any(tile[0] in Image.DECODERS for tile in image.tile) and len(content) > _MAX_SLOW:
            raise InputError(f"{len(content):,} bytes: too large for a {image.format} of its kind")
        if (factor := _factor(image)) > 1:
            image.draft(None, (image.width // factor, image.height // factor))
        _spare(4 * image.width * image.height)  # other libraries call a lack of memory damage
        if isinstance(image, TiffImageFile):
            _load_tiff(image, content)
        image.load()
        return of_pillow(image)


def _opened(content: bytes, kinds: tuple[str, ...]) -> ImageFile:
    file = io.BytesIO(content)
    if content[4:8] == b"ftyp":
        with suppress(UnidentifiedImageError):
            return Image.open(file, formats=("AVIF",))
        import pillow_heif  # 20 MB that other images do not need

        if not pillow_heif.is_supported(io.BytesIO(content)):
            raise UnidentifiedImageError
        return cast(ImageFile, pillow_heif.HeifImageFile(file))  # type: ignore[no-untyped-call]
    return Image.open(file, formats=(*kinds, "TGA") if _is_tga(content) else kinds)


def _is_tga(content: bytes) -> bool:
    """Return whether this is a TGA, which begins with no signature.

    Either the signature is at its end, or it is uncompressed and its size follows from its header.
    """
    if content.endswith(b"TRUEVISION-XFILE.\0") or len(content) < 18:
        return len(content) > 18
    text, mapped, kind, start, colours, bits, width, height, depth = struct.unpack_from(
        "<3B2HB4x2HB", content
    )
    consistent = (
        mapped == (kind == 1) and kind in (1, 2, 3) and (mapped or not start + colours + bits)
    )
    size = 18 + text + colours * bits // 8 + width * height * depth // 8
    return bool(consistent) and len(content) == size


def _load_tiff(image: TiffImageFile, content: bytes) -> None:
    """Load a TIFF. Raises ValueError for damage that libtiff prints or passes over."""
    tags = dict(image.tag_v2)
    with _libtiff_errors() as errors:
        image.load()
    if errors:
        raise ValueError(errors[0])
    if tags.get(_COMPRESSION) == _T6 and _STRIPS in tags:
        _check_fax(image, tags, content)


def _check_fax(image: TiffImageFile, tags: dict[int, Any], content: bytes) -> None:
    """Raise ValueError for a strip of fax data that end before its rows, or are not read whole.

    libtiff takes zeros for the end of the data, is silent and leaves rows of the strip before. So
    other codes are put in place of the last bytes of every other strip, which must make a
    difference, and of the zeros behind the data, which must make none.
    """
    pixels, strips, unread = np.asarray(image), [], False
    for start, size in zip(tags[_STRIPS], tags[_STRIP_BYTES], strict=False):
        end = start + len(content[start : start + size].rstrip(b"\0"))
        strips.append((max(start, end - 8), end, start + size))
    rows = tags.get(_ROWS, image.height) if tags.get(_ORIENTATION, 1) == 1 else image.height
    with suppress(OSError):
        for odd in (0, 1):
            same = pixels == _fax(content, [(last, end) for last, end, _ in strips[odd::2]])
            tops = range(odd * rows, image.height, 2 * rows)
            unread |= any(same[top : top + rows].all() for top in tops)
        behind = _fax(content, [(end, stop) for _, end, stop in strips])
        if unread or not np.array_equal(pixels, behind):
            raise ValueError("fax data that end early")


def _fax(content: bytes, spans: list[tuple[int, int]]) -> NDArray[np.bool_]:
    """Return a fax after putting codes that draw in every other row into parts of its file."""
    changed = bytearray(content)
    for start, stop in spans:
        changed[start:stop] = b"\x55" * (stop - start)
    with Image.open(io.BytesIO(changed), formats=("TIFF",)) as image, _libtiff_errors():
        return np.asarray(image)


@contextmanager
def _libtiff_errors() -> Iterator[list[str]]:
    """Collect the errors that libtiff prints before it goes on.

    Pillow leaves it its own handler, which writes to file descriptor 2. So in the whole process the
    descriptor leads to a file meanwhile, for one TIFF at a time. What other threads write is passed
    on afterwards.
    """
    errors: list[str] = []
    with _standard_error, tempfile.TemporaryFile() as file:
        try:
            kept = os.dup(2)
        except OSError:  # closed: nothing is printed
            yield errors
            return
        os.dup2(file.fileno(), 2)
        try:
            yield errors
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            printed = file.read()
            errors += (each.decode(errors="replace") for each in _LIBTIFF.findall(printed))
            os.write(2, _LIBTIFF.sub(b"", printed))


def of_pillow(image: Image.Image) -> Pixels:
    """Return the pixels of an image that Pillow has opened, as decode() does."""
    _check_size(*image.size)
    kind = image.format  # which a transposed copy does not have
    with suppress(*_NO_EXIF):
        image = ImageOps.exif_transpose(image)
    mode = image.mode
    if mode.startswith("I;16"):
        image = image.convert("I")
    elif mode in ("1", "LAB"):
        image = image.convert("L") if mode == "1" else image.getchannel("L")
    elif image.has_transparency_data and not (kind in _NO_ALPHA and _all_transparent(image)):
        image = image.convert(mode.upper()) if mode in ("La", "RGBa") else image
        image = image.convert("RGBA")
    elif mode not in ("L", "RGB", "I", "F"):
        image = image.convert("RGB")
    image = _reduced(image)
    if image.mode in ("I", "F"):
        return _scaled(np.asarray(image))
    return np.asarray(image) if image.mode != "RGBA" else _on_paper(image)


def _all_transparent(image: Image.Image) -> bool:
    return image.getchannel("A").getextrema() == (0, 0)


def _scaled(values: NDArray[np.int32 | np.float32]) -> Pixels:
    """Return uint8 of numbers of any range: 0, or the lowest if it is negative, to the highest.

    Of 16 bits a file may use 12 or 8.
    """
    low, high = min(0.0, float(values.min())), float(values.max())
    if not math.isfinite(high - low):
        raise ValueError("pixels that are no numbers")
    scaled = np.rint((values - low) * (255 / max(high - low, 1e-30)))
    return np.asarray(scaled, np.uint8)


def _on_paper(image: Image.Image) -> Pixels:
    """Return an RGBA image on white, or on black if it shows nothing on white."""
    for colour in ("white", "black"):
        paper = Image.new("RGBA", image.size, colour)
        pixels = np.asarray(Image.alpha_composite(paper, image).convert("RGB"))
        if np.ptp(pixels) >= _CONTRAST:
            break
    return pixels


def _spare(size: int) -> None:
    """Raise MemoryError if there are no `size` bytes left: decoders in Rust panic, and print."""
    np.empty(size, np.uint8)


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise Image.DecompressionBombError


def _factor(image: Image.Image) -> int:
    """Return the whole number by which a larger image is reduced to 4 million pixels."""
    return math.ceil(math.sqrt(image.width * image.height / _LARGE))


def _reduced(image: Image.Image) -> Image.Image:
    factor = _factor(image)
    return image.reduce(factor) if factor > 1 else image
