"""images: one picture is one square, whatever file holds it; and no file is too bad to be named."""

import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageChops, ImageDraw

from handwriting.core.errors import InputError
from handwriting.preprocessing import framing as images
from tests import pictures
from tests.pictures import Pixels, chunk, encoded, letter, png

ROOT = Path(__file__).parents[2]
SIZE, BOX = 28, 20
PLAIN = encoded(letter().convert("RGB"))


def prepared(content: bytes | Image.Image) -> Pixels:
    file = encoded(content) if isinstance(content, Image.Image) else content
    framed = images.prepare(file, "x.png", SIZE, BOX)
    assert framed.image.shape == (SIZE, SIZE)
    assert framed.image.dtype == np.uint8
    assert all(0 <= each <= 1 for each in framed.place)
    return framed.image


def refusal(content: bytes) -> str:
    with pytest.raises(InputError) as caught:
        images.prepare(content, "x.png", SIZE, BOX)
    message = str(caught.value)
    assert message.startswith("x.png: ")
    assert "\n" not in message
    return message.removeprefix("x.png: ")


def apart(one: Pixels, other: Pixels) -> float:
    """The mean difference of two squares, of 255."""
    return float(np.abs(one.astype(int) - other).mean())


# Any file.


@pytest.mark.parametrize("name", pictures.exact())
def test_the_same_picture_in_another_file_is_the_same_square(name: str) -> None:
    assert np.array_equal(prepared(pictures.exact()[name]), prepared(PLAIN))


@pytest.mark.parametrize("name", pictures.lossy())
def test_a_lossy_file_is_nearly_the_same_square(name: str) -> None:
    assert apart(prepared(pictures.lossy()[name]), prepared(PLAIN)) < 4


@pytest.mark.parametrize(
    ("archive", "step"),
    [
        ("mnistTask3.zip", 1),
        ("trainPart1.zip", 8),
        pytest.param("trainPart1.zip", 1, marks=pytest.mark.slow),
    ],
)
def test_the_fast_decoders_give_the_pixels_of_pillow_on_the_sample(
    archive: str, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(ROOT / "data/sample" / archive) as file:
        names = [name for name in file.namelist() if not name.endswith("/")]
        contents = [file.read(name) for name in names[::step]]
    fast = [images.prepare(each, "x", SIZE, BOX) for each in contents]
    monkeypatch.setattr(images, "_plain_png", lambda _: None)
    monkeypatch.setattr(images, "_plain_jpeg", lambda _: False)
    for one, content in zip(fast, contents, strict=True):
        other = images.prepare(content, "x", SIZE, BOX)
        assert (one.key, one.place) == (other.key, other.place)
        assert np.array_equal(one.image, other.image)


def test_the_fast_decoders_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(images, "_gray_by_pillow")
    prepared(PLAIN)
    prepared(encoded(letter(), "JPEG", quality=95))
    text = (b"tEXt", b"Software\0a drawing program")
    prepared(png(np.asarray(letter().convert("RGB")).reshape(72, -1), 8, 2, [chunk(*text)]))


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_noise_is_the_same_from_both_decoders(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (61, 83, 3), dtype=np.uint8)
    image = Image.new("RGB", (150, 150), "white")
    image.paste(Image.fromarray(noise), (30, 40))
    content = encoded(image.convert(mode), "PNG" if mode == "RGB" else "JPEG")
    fast = prepared(content)
    monkeypatch.setattr(images, "_plain_png", lambda _: None)
    monkeypatch.setattr(images, "_plain_jpeg", lambda _: False)
    assert np.array_equal(prepared(content), fast)


def test_an_orientation_that_only_xmp_or_text_tells_is_seen() -> None:
    side = np.asarray(letter().convert("RGB").transpose(Image.Transpose.ROTATE_90))
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    text = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)
    file = png(side.reshape(len(side), -1), 8, 2, [text])
    assert np.array_equal(prepared(file), prepared(PLAIN))


# Any paper.


def photo(*, ink: int, paper: int, noise: float = 0, slope: float = 0) -> Image.Image:
    """The picture with grey ink on grey paper, with noise, and brighter to one side."""
    gray = np.asarray(letter(240, 180)).astype(float) / 255
    values = ink + (paper - ink) * gray
    values += slope * (np.arange(240) / 240 - 0.5)
    values += np.random.default_rng(0).normal(0, noise, gray.shape) if noise else 0
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize(
    "how",
    [
        {"ink": 0, "paper": 255},
        {"ink": 255, "paper": 0},
        {"ink": 20, "paper": 180},
        {"ink": 230, "paper": 90},
        {"ink": 150, "paper": 250},
        {"ink": 30, "paper": 200, "noise": 12},
        {"ink": 220, "paper": 60, "noise": 12},
        {"ink": 30, "paper": 190, "slope": 100},
        {"ink": 230, "paper": 70, "slope": 80},
        {"ink": 30, "paper": 190, "noise": 8, "slope": 70},
    ],
    ids=str,
)
def test_ink_is_bright_on_dark_whatever_the_paper(how: dict[str, float]) -> None:
    found = prepared(photo(**how))  # type: ignore[arg-type]
    assert apart(found, prepared(letter(240, 180))) < 6
    assert found.max() == 255


def test_polarity_and_levels_of_a_clean_picture_change_nothing() -> None:
    plain = prepared(letter(240, 180))
    for how in ({"ink": 255, "paper": 0}, {"ink": 64, "paper": 255}, {"ink": 200, "paper": 100}):
        assert np.array_equal(prepared(photo(**how)), plain)


def test_ink_that_runs_off_the_border_is_still_ink() -> None:
    image = letter(240, 180)
    ImageDraw.Draw(image).line([(0, 90), (240, 90)], fill=0, width=20)
    assert apart(prepared(image), prepared(ImageChops.invert(image))) == 0
    assert prepared(image).mean() < 100


def test_a_stroke_thinner_than_a_pixel_of_the_square_is_seen() -> None:
    image = Image.new("L", (1200, 900), 255)
    ImageDraw.Draw(image).line([(200, 100), (900, 800)], fill=0, width=3)
    assert prepared(image).max() == 255


# Framing.


def test_the_ink_fills_the_box_and_its_mass_is_in_the_middle() -> None:
    square = prepared(PLAIN)
    rows, columns = np.flatnonzero(square.any(axis=1)), np.flatnonzero(square.any(axis=0))
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == BOX
    total = square.sum()
    for axis in (0, 1):
        centre = (square.sum(axis=1 - axis) * (np.arange(SIZE) + 0.5)).sum() / total
        assert abs(centre - SIZE / 2) <= 1


def test_size_and_place_on_the_canvas_change_nothing_but_the_place() -> None:
    small = Image.new("L", (300, 200), 255)
    small.paste(letter(), (150, 90))
    one, other = (images.prepare(encoded(each), "x", SIZE, BOX) for each in (small, letter()))
    assert np.array_equal(one.image, other.image)
    assert one.place != other.place
    assert one.key != other.key


def test_the_place_is_the_inks_size_and_centre_as_shares() -> None:
    image = Image.new("L", (200, 100), 255)
    ImageDraw.Draw(image).rectangle((20, 30, 59, 79), fill=0)
    assert images.prepare(encoded(image), "x", SIZE, BOX).place == (0.5, 0.2, 0.55, 0.2)


@pytest.mark.parametrize("polarity", [False, True])
def test_an_image_of_the_networks_size_is_only_turned_bright_on_dark(polarity: bool) -> None:
    digit = np.zeros((SIZE, SIZE), np.uint8)
    digit[3:20, 12:16] = np.arange(17)[:, None] * 14 + 20
    digit[0, 5] = 30  # noise of JPEG
    content = encoded(Image.fromarray(255 - digit if polarity else digit))
    assert np.array_equal(prepared(content), digit)


@pytest.mark.parametrize("shape", [(1, 3000), (3000, 1), (2, 2), (1, 4), (3, 3000), (4000, 7)])
def test_any_size_is_framed(shape: tuple[int, int]) -> None:
    ink = np.full(shape, 255, np.uint8)
    ink.flat[ink.size // 2] = 0
    assert prepared(Image.fromarray(ink)).max() == 255


@pytest.mark.parametrize("size", [8, 28, 256])
def test_a_box_as_large_as_the_square_is_filled(size: int) -> None:
    square = images.prepare(PLAIN, "x", size, size).image
    assert square.shape == (size, size)
    assert square.any(axis=1).all() or square.any(axis=0).all()


# Slips of the pen.


def with_mark(x: int, y: int, radius: int) -> Image.Image:
    """The letter, and a dot at (x, y)."""
    image = letter(240, 180)
    ImageDraw.Draw(image).ellipse((x - radius, y - radius, x + radius, y + radius), fill=0)
    return image


@pytest.mark.parametrize(("x", "y"), [(225, 20), (225, 90), (200, 160), (10, 170)])
def test_a_tap_of_the_pen_far_beside_the_letter_is_left_out(x: int, y: int) -> None:
    assert np.array_equal(prepared(with_mark(x, y, 8)), prepared(letter(240, 180)))


@pytest.mark.parametrize(
    ("x", "y", "radius", "what"),
    [
        (80, 10, 9, "above, as the dot of an i"),
        (160, 60, 8, "beside, but near"),
        (215, 90, 24, "as large as a stroke"),
    ],
)
def test_a_mark_that_may_be_of_the_letter_is_kept(x: int, y: int, radius: int, what: str) -> None:
    assert not np.array_equal(prepared(with_mark(x, y, radius)), prepared(letter(240, 180))), what


def test_two_strokes_with_a_gap_between_are_one_letter() -> None:
    image = Image.new("L", (240, 180), 255)
    for x in (40, 180):
        ImageDraw.Draw(image).rectangle((x, 30, x + 20, 150), fill=0)
    square = prepared(image)
    assert square[:, : SIZE // 2].any()
    assert square[:, SIZE // 2 :].any()


# What is refused.


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not an image"),
        (b"\x89PNG\r\n\x1a\n", "not an image"),
        (b"hello", "not an image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
        (PLAIN[:-60], "a damaged image"),
        (PLAIN[:100], "a damaged image"),
        (encoded(letter(), "JPEG")[:-100], "a damaged image"),
        (encoded(letter().convert("RGB"), "JPEG")[:-100], "a damaged image"),
        (encoded(Image.new("L", (1, 1), 0)), "a blank image"),
        (encoded(Image.new("RGB", (90, 90), "white")), "a blank image"),
        (encoded(Image.new("RGBA", (90, 90), (0, 0, 0, 0))), "a blank image"),
        (encoded(Image.new("L", (28, 28), 20)), "a blank image"),
        (encoded(Image.new("L", (90, 90), 128)), "a blank image"),
        (encoded(photo(ink=200, paper=200, noise=10)), "a blank image"),
        (encoded(photo(ink=150, paper=150, slope=120)), "a blank image"),
        (encoded(Image.fromarray(np.eye(30, dtype=np.float32)), "TIFF"), "fractions"),
        (encoded(Image.fromarray(np.eye(30, dtype=np.int32) << 20), "TIFF"), "more than 16 bits"),
    ],
)
def test_what_is_no_drawing_is_refused(content: bytes, reason: str) -> None:
    assert reason in refusal(content)


@pytest.mark.parametrize("image", [letter(), letter().convert("RGB"), letter().convert("P")])
def test_a_wrong_checksum_in_a_png_is_a_damaged_image(image: Image.Image) -> None:
    content = bytearray(encoded(image))
    content[content.index(b"IDAT") + 20] ^= 1
    assert "a damaged image" in refusal(bytes(content))


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_jpeg_whose_data_does_not_decode_is_a_damaged_image(mode: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (80, 80, 3), dtype=np.uint8)
    content = bytearray(encoded(Image.fromarray(noise).convert(mode), "JPEG"))
    del content[len(content) // 2 : len(content) // 2 + 50]
    content[len(content) // 2 : len(content) // 2] = b"\xff\x00" * 20
    assert "a damaged image" in refusal(bytes(content))


def test_an_image_of_too_many_pixels_is_refused_before_it_is_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 96 * 72 - 1)
    for content in [*pictures.exact().values(), *pictures.lossy().values()]:
        assert refusal(content) == "more than 6,911 pixels: too large"


def test_a_size_that_a_comment_pretends_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "MAX_PIXELS", 96 * 72 - 1)
    frame = b"\xff\xc0\x00\x0b\x08\x00\x09\x00\x09\x01"
    content = encoded(letter(), "JPEG", comment=frame)
    assert content.index(frame) < content.rindex(b"\xff\xc0")
    assert "too large" in refusal(content)


BOMBS = """
from pathlib import Path
from handwriting.preprocessing import framing as images
from handwriting.core.errors import InputError
from tests import memory
before = memory.peak()
for path in sorted(Path().glob("*.bomb")):
    try:
        images.prepare(path.read_bytes(), path.name, 28, 20)
        print("read", path)
    except InputError as error:
        print(error)
print(memory.peak() - before)
"""


@pytest.mark.usefixtures("tmp_dir")
def test_no_bomb_takes_memory() -> None:
    zeros = zlib.compress(bytes(200_000_000))
    rows = np.asarray(letter().convert("RGB")).reshape(72, -1)
    gray, rgb = bytearray(encoded(letter())), bytearray(PLAIN)
    for file in (gray, rgb):
        file[16:24] = struct.pack(">II", 60_000, 60_000)
        file[29:33] = struct.pack(">I", zlib.crc32(file[12:29]))
    huge = bytearray(encoded(letter(), "GIF"))
    huge[6:10] = b"\xff\xff\xff\xff"
    frame = bytearray(encoded(letter(), "JPEG"))
    at = frame.index(b"\xff\xc0")
    frame[at + 5 : at + 9] = b"\xff\xff\xff\xff"
    bombs = {
        "gray": bytes(gray),
        "rgb": bytes(rgb),
        "profile": png(rows, 8, 2, [chunk(b"iCCP", b"x\0\0" + zeros)]),
        "text": png(rows, 8, 2, [chunk(b"zTXt", b"x\0\0" + zeros)]),
        "texts": png(rows, 8, 2, [chunk(b"iTXt", b"x\0\1\0\0\0" + zeros)] * 5),
        "rest": png(np.zeros((2, 3), np.uint8), 8, 2)[:33] + chunk(b"IDAT", zeros),
        "gif": bytes(huge),
        "jpeg": bytes(frame),
    }
    for name, content in bombs.items():
        Path(f"{name}.bomb").write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-c", BOMBS],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(ROOT)},
    )
    *said, growth = done.stdout.splitlines()
    assert done.stderr == ""
    assert len(said) == len(bombs)
    assert {line for line in said if "too large" in line} >= {
        f"{name}.bomb: more than 50,000,000 pixels: too large" for name in ("gif", "gray", "rgb")
    }
    assert int(growth) < 150_000_000
