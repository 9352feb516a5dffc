"""framing: one picture gives one square, whatever the file; every other file is refused."""

import struct
import zipfile
import zlib
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image, ImageChops, ImageDraw

from handwriting.core.errors import InputError
from handwriting.preprocessing import decoding, framing
from tests import memory, pictures
from tests.pictures import Pixels, chunk, encoded, letter, png
from tests.workspace import ROOT

SIZE, INK_SIZE = 28, 20
EXACT, LOSSY = pictures.exact(), pictures.lossy()
RGB = letter().convert("RGB")
WIDE = letter(240, 180)
Pair = tuple[int, int]
PLAIN = encoded(RGB)


def framed(file: bytes | Image.Image, size: int = SIZE, ink_size: int = INK_SIZE) -> framing.Framed:
    content = encoded(file) if isinstance(file, Image.Image) else file
    return framing.prepare(content, "x.png", size, ink_size)


def prepared(file: bytes | Image.Image) -> Pixels:
    found = framed(file)
    assert (found.image.shape, found.image.dtype.name) == ((SIZE, SIZE), "uint8")
    assert all(0 <= each <= 1 for each in found.geometry)
    return found.image


def refusal(file: bytes | Image.Image) -> str:
    with pytest.raises(InputError) as caught:
        framed(file)
    name, _, message = str(caught.value).partition(": ")
    assert name == "x.png"
    assert "\n" not in message
    return message


def difference(one: bytes | Image.Image, other: bytes | Image.Image) -> float:
    """Return the mean difference of two squares, of 255."""
    return float(np.abs(prepared(one).astype(int) - prepared(other)).mean())


# Any file.


@pytest.mark.parametrize("name", [*EXACT, *LOSSY])
def test_the_same_picture_in_another_file_is_the_same_square_or_nearly_if_lossy(name: str) -> None:
    found = difference((EXACT | LOSSY)[name], PLAIN)
    assert found == 0 if name in EXACT else found < 4


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (80, 83, 3), dtype=np.uint8))


def test_the_fast_decoders_give_the_pixels_of_pillow() -> None:
    contents = [encoded(NOISE), encoded(NOISE.convert("L"), "JPEG")]
    for archive, step in ("mnistTask3", 4), ("trainPart1", 16):
        with zipfile.ZipFile(ROOT / f"data/sample/{archive}.zip") as file:
            names = [name for name in file.namelist() if not name.endswith("/")]
            contents += map(file.read, names[::step])
    for content in contents:
        slow = decoding._by_pillow(content, "x")
        assert np.array_equal(decoding.decode(content, "x"), slow)


def test_the_fast_decoders_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(decoding, "_by_pillow")
    text = png(np.asarray(RGB).reshape(72, -1), 8, 2, [chunk(b"tEXt", b"Software\0a program")])
    for content in (PLAIN, encoded(letter(), "JPEG", quality=95), text):
        prepared(content)


def test_an_orientation_in_xmp_or_text_is_applied() -> None:
    side = np.asarray(RGB.transpose(Image.Transpose.ROTATE_90)).reshape(96, -1)
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    text = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)
    assert difference(png(side, 8, 2, [text]), PLAIN) == 0


# Any paper.


def photo(ink: int, paper: int, noise: float = 0, slope: float = 0) -> Image.Image:
    """Return the picture with grey ink on grey paper, noisy, and brighter to one side."""
    gray = np.asarray(WIDE).astype(float) / 255
    values = ink + (paper - ink) * gray + slope * (np.arange(240) / 240 - 0.5)
    values += np.random.default_rng(0).normal(0, noise, gray.shape) if noise else 0
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("grey", [(0, 255), (255, 0), (20, 180), (220, 70), (200, 100)])
@pytest.mark.parametrize("light", [(0, 0), (12, 0), (0, 100), (8, 70)])
def test_ink_is_bright_on_dark_whatever_the_paper(grey: Pair, light: Pair) -> None:
    image = photo(*grey, *light)
    assert prepared(image).max() == 255
    found = difference(image, WIDE)
    assert found < 6
    assert found == 0 or light != (0, 0)


def test_ink_that_runs_off_the_border_is_still_ink() -> None:
    image = WIDE.copy()
    ImageDraw.Draw(image).line([(0, 90), (240, 90)], fill=0, width=20)
    assert difference(image, ImageChops.invert(image)) == 0
    assert prepared(image).mean() < 100


# The square.


def test_the_ink_has_its_size_and_its_centre_of_mass_in_the_middle() -> None:
    square = prepared(PLAIN)
    rows, columns = np.flatnonzero(square.any(axis=1)), np.flatnonzero(square.any(axis=0))
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == INK_SIZE
    for axis in (0, 1):
        mass = square.sum(axis=1 - axis)
        assert abs((mass * (np.arange(SIZE) + 0.5)).sum() / mass.sum() - SIZE / 2) <= 1


def test_size_and_position_of_the_ink_are_in_the_geometry_and_not_in_the_square() -> None:
    images = [Image.new("L", (200, 200), 255) for _ in range(2)]
    for image, box in zip(images, ((20, 30, 59, 79), (40, 10, 119, 109)), strict=True):
        ImageDraw.Draw(image).rectangle(box, fill=0)
    one, other = map(framed, images)
    assert one.geometry == (0.25, 0.2, 0.275, 0.2)
    assert other.geometry == (0.5, 0.4, 0.3, 0.4)
    assert np.array_equal(one.image, other.image)
    assert one.key != other.key


@pytest.mark.parametrize("inverted", [False, True])
def test_an_image_of_the_networks_size_is_only_made_bright_on_dark(inverted: bool) -> None:
    digit = np.zeros((SIZE, SIZE), np.uint8)
    digit[3:20, 12:16] = np.arange(17)[:, None] * 14 + 20
    digit[0, 5] = 30  # noise of JPEG
    assert np.array_equal(prepared(Image.fromarray(255 - digit if inverted else digit)), digit)


@pytest.mark.parametrize("shape", [(1, 3000), (3000, 1), (2, 2), (1, 4), (3, 3000), (900, 1200)])
def test_a_single_pixel_of_ink_on_any_canvas_is_seen(shape: tuple[int, int]) -> None:
    ink = np.full(shape, 255, np.uint8)
    ink.flat[ink.size // 2] = 0
    assert prepared(Image.fromarray(ink)).max() == 255


@pytest.mark.parametrize("size", [8, 28, 256])
def test_ink_as_large_as_the_square_fills_it(size: int) -> None:
    square = framed(PLAIN, size, size).image
    assert square.shape == (size, size)
    assert square.any(axis=1).all() or square.any(axis=0).all()


# Stray marks.


STRAY = [(225, 20, 8), (225, 90, 8), (200, 160, 8), (10, 170, 8)]
PARTS = [
    (80, 10, 9),  # above, as the dot of an i
    (160, 60, 8),  # near
    (215, 90, 24),  # as large as a stroke
]


@pytest.mark.parametrize(("x", "y", "radius"), STRAY + PARTS)
def test_a_small_mark_far_from_the_letter_is_left_out(x: int, y: int, radius: int) -> None:
    image = WIDE.copy()
    ImageDraw.Draw(image).ellipse((x - radius, y - radius, x + radius, y + radius), fill=0)
    assert (difference(image, WIDE) == 0) == ((x, y, radius) in STRAY)


# What is refused.


def damaged_jpeg(mode: str) -> bytes:
    content = encoded(NOISE.convert(mode), "JPEG")
    middle = len(content) // 2
    return content[:middle] + b"\xff\x00" * 20 + content[middle + 50 :]


PNGS = [PLAIN, encoded(letter()), encoded(letter().convert("P"))]
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0"
REFUSED: list[tuple[bytes | Image.Image, str]] = [
    *((each, "not an image") for each in (b"", PLAIN[:8], b"hello", EPS)),
    *((each, "a damaged image") for each in (PLAIN[:-60], PLAIN[:100])),
    *((encoded(each, "JPEG")[:-100], "a damaged image") for each in (letter(), RGB)),
    *((each[:-16] + bytes(4) + each[-12:], "a damaged image") for each in PNGS),  # a checksum
    *((damaged_jpeg(mode), "a damaged image") for mode in ("L", "RGB")),
    *((Image.new("L", (side, side), side), "a blank image") for side in (1, 28, 128)),
    *((Image.new(mode, (90, 90)), "a blank image") for mode in ("RGB", "RGBA")),
    *((each, "a blank image") for each in (photo(200, 200, noise=10), photo(150, 150, slope=120))),
    (encoded(Image.fromarray(np.eye(30, dtype=np.float32)), "TIFF"), "fractions"),
    (encoded(Image.fromarray(np.eye(30, dtype=np.int32) << 20), "TIFF"), "more than 16 bits"),
]


def test_a_file_without_a_drawing_is_refused() -> None:
    for file, reason in REFUSED:
        assert reason in refusal(file)


def test_too_many_pixels_are_refused_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decoding, "MAX_PIXELS", 96 * 72 - 1)
    # A comment that looks like the frame of a small picture.
    comment = encoded(letter(), "JPEG", comment=b"\xff\xc0\x00\x0b\x08\x00\x09\x00\x09\x01")
    for content in [*EXACT.values(), *LOSSY.values(), comment]:
        assert refusal(content) == "more than 6,911 pixels: too large"


def bombs() -> dict[str, bytes]:
    """Return small files that would unpack to hundreds of megabytes."""
    packer = zlib.compressobj()
    zeros = b"".join(packer.compress(bytes(1_000_000)) for _ in range(200)) + packer.flush()
    rows = np.asarray(RGB).reshape(72, -1)
    files = {kind: bytearray(encoded(letter(), kind)) for kind in ("PNG", "GIF", "JPEG")}
    files["RGB"] = bytearray(PLAIN)
    for file in (files["PNG"], files["RGB"]):
        file[16:24] = struct.pack(">II", 60_000, 60_000)
        file[29:33] = struct.pack(">I", zlib.crc32(file[12:29]))
    for kind, at in (("GIF", 6), ("JPEG", files["JPEG"].index(b"\xff\xc0") + 5)):
        files[kind][at : at + 4] = b"\xff\xff\xff\xff"
    return {name: bytes(file) for name, file in files.items()} | {
        "profile": png(rows, 8, 2, [chunk(b"iCCP", b"x\0\0" + zeros)]),
        "text": png(rows, 8, 2, [chunk(b"zTXt", b"x\0\0" + zeros)]),
        "texts": png(rows, 8, 2, [chunk(b"iTXt", b"x\0\1\0\0\0" + zeros)] * 5),
        "rest": png(np.zeros((2, 3), np.uint8), 8, 2)[:33] + chunk(b"IDAT", zeros),
    }


def all_bombs() -> None:  # a plain function, which another process can import
    for name, content in bombs().items():
        if name in ("PNG", "RGB", "GIF"):
            assert refusal(content) == "more than 50,000,000 pixels: too large"
        else:
            with suppress(InputError):
                prepared(content)


def test_decompression_bombs_take_no_memory(capfd: pytest.CaptureFixture[str]) -> None:
    assert memory.growth(all_bombs) < 150_000_000
    assert capfd.readouterr() == ("", "")
