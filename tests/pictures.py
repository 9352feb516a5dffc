"""One picture, black on white and without symmetry, in every kind of file that may hold it."""

import io
import struct
import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pillow_heif import register_heif_opener

register_heif_opener()  # Pillow can write HEIC from here on

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
    side = image.transpose(Image.Transpose.ROTATE_90)
    return encoded(side, kind, exif=exif.tobytes(), quality=95)


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


def tiff(pixels: NDArray[Any], *tags: tuple[int, int, int, int]) -> bytes:
    """Return an uncompressed TIFF of [height, width] or [height, width, 2] with more tags."""
    data, channels = pixels.tobytes(), pixels.shape[2] if pixels.ndim == 3 else 1
    bits = pixels.itemsize * 8
    fields = [
        *((256, 4, 1, pixels.shape[1]), (257, 4, 1, pixels.shape[0])),
        (258, 3, channels, bits if channels == 1 else bits | bits << 16),
        *((259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 8), (277, 3, 1, channels)),
        *((278, 4, 1, pixels.shape[0]), (279, 4, 1, len(data)), *tags),
    ]
    entries = b"".join(struct.pack("<HHII", *each) for each in fields)
    directory = struct.pack("<H", len(fields)) + entries + bytes(4)
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + directory


def bmp(image: Image.Image, alpha: int) -> bytes:
    """Return a BMP of 32 bits with one alpha everywhere."""
    pixels = np.asarray(image.convert("RGB"))[::-1, :, ::-1]
    data = np.dstack([pixels, np.full(pixels.shape[:2], alpha, np.uint8)]).tobytes()
    masks = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = (108, *image.size, 1, 32, 3, len(data), 0, 0, 0, 0, *masks)
    start = b"BM" + struct.pack("<IHHI", 122 + len(data), 0, 0, 122)
    return start + struct.pack("<IiiHHIIiiIIIIII", *header) + b"BGRs" + bytes(48) + data


def bmp_rle(values: Pixels) -> bytes:
    """Return a run-length encoded BMP of grey [height, width], in runs of one pixel."""
    rows = (b"".join(b"\1%c" % each for each in row) + b"\0\0" for row in values[::-1])
    data, colours = b"".join(rows) + b"\0\1", b"".join(b"%c" % i * 3 + b"\0" for i in range(256))
    height, width = values.shape
    start = b"BM" + struct.pack("<IHHI", 1078 + len(data), 0, 0, 1078)
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(data), 0, 0, 256, 0)
    return start + header + colours + data


def jpeg(image: Image.Image, *segments: tuple[int, bytes], **how: Any) -> bytes:
    """Return a JPEG that begins with more segments, (marker, content) each."""
    content = encoded(image, "JPEG", **({"quality": 95} | how))
    more = (b"\xff%c" % kind + struct.pack(">H", len(x) + 2) + x for kind, x in segments)
    return content[:2] + b"".join(more) + content[2:]


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
    frames, values = [Image.new("L", gray.size)], np.asarray(gray)
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
        "tiff La": tiff(
            np.dstack([np.zeros_like(values), 255 - values]), (284, 3, 1, 1), (338, 3, 1, 1)
        ),
        "tiff int16": tiff(values.astype("<i2") - 128, (339, 3, 1, 2)),
        **{
            f"tiff float to {each}": tiff(values.astype("<f4") * (each / 255), (339, 3, 1, 3))
            for each in (1, 255, 1e6)
        },
        **{
            f"png 16 of {bits} bits": encoded(Image.fromarray(values * np.uint16(2**bits // 256)))
            for bits in (8, 10, 12)
        },
        "png without its end": encoded(gray)[:-12],
        "png with text of a wrong checksum": png(
            values, 8, 0, [chunk(b"tEXt", b"a\0b")[:-4] + b"1234"]
        ),
        "png with a profile that is none": png(values, 8, 0, [chunk(b"iCCP", b"x\0\0no profile")]),
        "png with EXIF that is none": png(
            values, 8, 0, [chunk(b"tEXt", b"Raw profile type exif\0\nexif\n 9\nzz\n")]
        ),
        "png with chunks that are none": png(
            values,
            8,
            0,
            [chunk(b"tIME", b""), chunk(b"gAMA", b"1"), chunk(b"acTL", b""), chunk(b"fcTL", b"1")],
        ),
        "bmp with no alpha": bmp(gray, 0),
        "bmp with alpha": bmp(gray, 255),
        "bmp packed": bmp_rle(values),
        "pgm": encoded(gray, "PPM"),
        "pgm of 16 bits": b"P5 96 72 65535\n" + (values * np.uint16(257)).astype(">u2").tobytes(),
        "pgm as text": b"P2 96 72 255\n" + b" ".join(b"%d" % each for each in values.flat),
        **{f"tga {mode}": encoded(gray.convert(mode), "TGA") for mode in ("L", "RGB", "RGBA")},
        "tga packed": encoded(rgb, "TGA", compression="tga_rle"),
        "tga of version 1": encoded(rgb, "TGA")[:-26],
        "tga with no alpha": encoded(
            Image.merge("RGBA", (*rgb.split(), Image.new("L", gray.size))), "TGA"
        ),
        **{
            f"ico of {each}": encoded(rgb, "ICO", sizes=[(32, 24), gray.size], bitmap_format=each)
            for each in ("png", "bmp")
        },
        "jp2": encoded(rgb, "JPEG2000"),
        "j2k": encoded(gray, "JPEG2000", no_jp2=True),
        "webp": encoded(rgb, "WEBP", lossless=True),
        "webp transparent": encoded(transparent(gray, 0), "WEBP", lossless=True, exact=True),
    }


def lossy() -> dict[str, bytes]:
    """Return files that hold nearly the same picture."""
    gray, rgb = letter(), letter().convert("RGB")
    images, stray = (gray, rgb, rgb.convert("CMYK")), jpeg(rgb)
    return {
        **{f"jpeg {each.mode}": encoded(each, "JPEG", quality=95) for each in images},
        "jpeg L progressive": encoded(gray, "JPEG", quality=95, progressive=True),
        "jpeg RGB coarse colours": encoded(rgb, "JPEG", quality=90, subsampling=2),
        **{f"jpeg {each.mode} on its side": oriented(each) for each in (gray, rgb)},
        "jpeg with an empty profile": jpeg(rgb, (0xE2, b"ICC_PROFILE\0\1\1")),
        "jpeg with a profile without a start": jpeg(rgb, (0xE2, b"ICC_PROFILE\0\0\1" + b"x" * 200)),
        "jpeg with EXIF that is none": jpeg(rgb, (0xE1, b"Exif\0\0nothing of the kind")),
        "jpeg with a colour space that is none": jpeg(rgb, (0xEE, b"Adobe\0\x64\0\0\0\0\x07")),
        "jpeg with a picture list that is none": jpeg(rgb, (0xE2, b"MPF\0nothing of the kind")),
        **{f"jpeg with stray bytes at {at}": stray[:at] + bytes(3) + stray[at:] for at in (20, -2)},
        "jpeg L padded with zeros": jpeg(gray)[:-2] + bytes(1000) + b"\xff\xd9",
        "jpeg progressive without its end": jpeg(rgb, progressive=True)[:-2],
        "jpeg without its end": stray[:-2],
        "jpeg with a film behind": stray + b"film" * 100,
        **{f"heic {each.mode}": encoded(each, "HEIF", quality=95) for each in images[:2]},
        "heic of another brand": encoded(rgb, "HEIF", quality=95).replace(
            b"ftypheic", b"ftypmif1", 1
        ),
        "heic on its side": oriented(rgb, "HEIF"),
        "heic with alpha": encoded(transparent(gray, 0), "HEIF", quality=95),
        **{f"avif {each.mode}": encoded(each, "AVIF", quality=95) for each in images[:2]},
        "avif of another brand": encoded(rgb, "AVIF", quality=95).replace(
            b"ftypavif", b"ftypmif1", 1
        ),
        "avif animated": encoded(rgb, "AVIF", quality=95, save_all=True, append_images=[rgb]),
        "webp animated": encoded(rgb, "WEBP", quality=95, save_all=True, append_images=[rgb]),
        "webp lossy": encoded(rgb, "WEBP", quality=95),
        "tiff jpeg": encoded(rgb, "TIFF", compression="jpeg", quality=95),
    }
