"""framing: one character gives one square, whatever the paper; a blank image is refused."""

import gzip
import re
from collections.abc import Callable, Iterator
from contextlib import suppress

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from handwriting.core.errors import InputError
from handwriting.preprocessing import framing
from tests.pictures import Pixels, encoded, letter
from tests.workspace import ROOT

SIZE, INK_SIZE = 28, 20
WIDE = letter(240, 180)  # a clean sheet, 4 to 3
NEAR = 16  # of 255: mean difference of two squares of one character; of another at least 40
Pair = tuple[int, int]


def framed(file: bytes | Image.Image, size: int = SIZE, ink_size: int = INK_SIZE) -> framing.Framed:
    content = encoded(file) if isinstance(file, Image.Image) else file
    return framing.prepare(content, "x.png", size, ink_size)


def prepared(file: bytes | Image.Image) -> Pixels:
    found = framed(file)
    assert (found.image.shape, found.image.dtype.name) == ((SIZE, SIZE), "uint8")
    assert all(0 <= each <= 1 for each in found.geometry) or np.isnan(found.geometry[2:]).all()
    return found.image


def difference(one: bytes | Image.Image, other: bytes | Image.Image) -> float:
    """Return the mean difference of two squares, of 255."""
    return float(np.abs(prepared(one).astype(int) - prepared(other)).mean())


# Any paper, any pen.

PAGE = letter(600, 500)
INK = 1 - np.asarray(PAGE).astype(float)[..., None] / 255  # [H, W, 1], the share of ink
DOWN, ACROSS = np.mgrid[:500, :600][..., None] / 500.0
Colour = tuple[int, int, int]


def drawn(ink: Colour, paper: NDArray[np.float64] | Colour, noise: float = 0) -> Image.Image:
    """Return the letter in a colour on paper, float [H, W, 3] or of one colour."""
    values = INK * np.array(ink) + (1 - INK) * np.asarray(paper, float)
    values += np.random.default_rng(0).normal(0, noise, values.shape)
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


def drawn_in(left: Colour, right: Colour, paper: Colour) -> Image.Image:
    """Return the letter in two colours, one to the left of the other."""
    image = drawn(left, paper)
    half = (260, 0, *PAGE.size)
    image.paste(drawn(right, paper).crop(half), half)
    return image


def with_lines(image: Image.Image, colour: Colour, step: int, width: int = 2) -> Image.Image:
    """Return squared paper: lines under the ink."""
    lined = image.copy()
    for at in range(step // 3, 600, step):
        ImageDraw.Draw(lined).line([(at, 0), (at, 500)], fill=colour, width=width)
        ImageDraw.Draw(lined).line([(0, at), (600, at)], fill=colour, width=width)
    return ImageChops.darker(lined, image)


def marked(draw: Callable[[ImageDraw.ImageDraw], object]) -> Image.Image:
    """Return the letter on white with something else drawn."""
    image = PAGE.copy()
    draw(ImageDraw.Draw(image))
    return image


SHADE = (200.0 - 110 * ACROSS) * np.ones(3)
CORNER = 210.0 - 150 / (1 + np.exp((DOWN + 1.2 * ACROSS - 0.42) * 14)) * np.ones(3)
WHITE, GREY, CREAM = (255, 255, 255), (150, 152, 149), (233, 226, 203)
SHEET = Image.new("RGB", (1600, 1400), (96, 70, 51))
SHEET.paste(drawn((40, 40, 90), (225, 228, 230), 3), (500, 400))
CLEAR = Image.new("RGBA", PAGE.size)
CLEAR.paste((20, 20, 20, 255), mask=ImageChops.invert(PAGE))
SPECKS = [(x + i % 4, y + i // 4) for x in (20, 580) for y in (30, 460) for i in range(16)]
PICTURES = {
    "black on white": drawn((0, 0, 0), WHITE),
    "white on black": drawn(WHITE, (0, 0, 0)),
    "blue pen on cream paper": drawn((40, 50, 130), CREAM, 4),
    "yellow on blue of the same brightness": drawn((250, 195, 20), (155, 215, 235)),
    "pencil on grey": drawn((115, 116, 114), GREY, 3),
    "chalk on a board": drawn((205, 210, 205), (35, 70, 50), 6),
    "light from one side": drawn((40, 40, 40), SHADE, 3),
    "a shadow in a corner": drawn((30, 40, 90), CORNER, 3),
    "squared paper": with_lines(drawn((50, 30, 40), (215, 208, 199), 3), (186, 190, 200), 160),
    "dark squared paper": with_lines(drawn((30, 30, 90), WHITE), (130, 140, 155), 50),
    "a frame around the letter": marked(
        lambda d: d.rectangle((80, 40, 420, 400), outline=0, width=5)
    ),
    "ink of two colours": drawn_in((230, 110, 90), (20, 150, 150), (190, 190, 190)),
    "a frame along the edge": marked(lambda d: d.rectangle((0, 0, 599, 499), outline=0, width=3)),
    "a frame within": marked(lambda d: d.rectangle((15, 12, 585, 488), outline=0, width=4)),
    "a ruled line below": marked(lambda d: d.line([(0, 480), (600, 480)], fill=0, width=4)),
    "specks": marked(lambda d: d.point(SPECKS)),
    "a sheet on a table": SHEET,
    "a transparent ground": CLEAR,
    "an unsharp photo": drawn((60, 60, 70), (190, 185, 180), 2).filter(ImageFilter.GaussianBlur(4)),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_letter_gives_one_square_whatever_it_is_drawn_on_and_with(name: str) -> None:
    square = prepared(PICTURES[name])
    assert difference(PICTURES[name], PAGE) < NEAR
    assert square.max() == 255


def test_other_letters_differ_by_more_than_papers_do() -> None:
    mirrored = PAGE.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    assert difference(mirrored, PAGE) > 40


@pytest.mark.parametrize("name", ["black on white", "light from one side", "pencil on grey"])
def test_a_photo_as_large_as_the_square_is_framed_anew(name: str) -> None:
    small = PICTURES[name].crop((0, 0, 500, 500)).resize((SIZE, SIZE), Image.Resampling.BOX)
    assert difference(small, PAGE) < 2 * NEAR  # 28 pixels hold less


def test_a_letter_of_separate_strokes_is_kept_whole() -> None:
    broken, whole = Image.new("L", (400, 400), 255), Image.new("L", (400, 400), 255)
    for image, gap in ((broken, 14), (whole, 0)):
        for box in ((100, 80, 125, 320), (125 + gap, 190, 275 - gap, 215), (275, 80, 300, 320)):
            ImageDraw.Draw(image).rectangle(box, fill=0)
    assert difference(broken, whole) < NEAR


def test_a_heavy_letter_is_no_sheet_of_paper() -> None:
    heavy = Image.new("L", (400, 400), 255)
    ImageDraw.Draw(heavy).rectangle((100, 80, 300, 320), fill=0)
    for top in (140, 230):
        ImageDraw.Draw(heavy).rectangle((170, top, 300, top + 30), fill=255)
    square = prepared(heavy)
    assert (square >= 128).sum() > 0.6 * INK_SIZE * INK_SIZE * 200 / 240


def four(width: int, size: int = 340) -> Image.Image:
    """Return a 4 whose strokes cross, drawn by a pen."""
    image = Image.new("L", (size, size), 255)
    points = [(0.55, 0.1), (0.2, 0.6), (0.8, 0.6)], [(0.6, 0.35), (0.6, 0.9)]
    for stroke in points:
        line = [(x * size, y * size) for x, y in stroke]
        ImageDraw.Draw(image).line(line, fill=0, width=width, joint="curve")
    return image


@pytest.mark.parametrize("width", [1, 2, 4])
@pytest.mark.parametrize("size", [100, 340, 1300])
def test_a_thin_stroke_does_not_fade(width: int, size: int) -> None:
    square = prepared(four(width, size))
    assert (square >= 128).sum() > 0.7 * (prepared(four(34)) >= 128).sum()
    assert np.abs(square.astype(int) - prepared(four(34))).mean() < 2 * NEAR


def odd_pictures() -> Iterator[Pixels]:
    """Yield noise, steps and single pixels, in grey and colour, on canvases of any shape."""
    random = np.random.default_rng(0)
    for size in ((1, 1), (1, 3000), (2, 2), (3, 3000), (5, 2), (28, 27), (28, 28), (300, 400)):
        for shape in (size, (*size, 3)):
            dot = np.full(shape, 200, np.uint8)
            dot[size[0] // 2, size[1] // 2] = 0
            steps = (np.arange(dot.size) % 256).astype(np.uint8).reshape(shape)
            bar = np.full(shape, 200, np.uint8)
            bar[size[0] // 3 : 1 + size[0] // 2, size[1] // 4 : 1 + size[1] // 2] = 20
            yield from (dot, bar, steps, random.integers(0, 256, shape, np.uint8))


def test_any_picture_is_framed_or_blank_and_nothing_else() -> None:
    found = 0
    for pixels in odd_pictures():
        with suppress(framing.BlankError):
            assert framing.frame(pixels, SIZE, INK_SIZE).image.shape == (SIZE, SIZE)
            found += 1
    assert found >= 6  # the bars on the larger canvases


# The square.


def test_the_ink_has_its_size_and_its_centre_of_mass_in_the_middle() -> None:
    for image in (WIDE, PAGE, PICTURES["light from one side"]):
        square = prepared(image)
        rows, columns = np.flatnonzero(square.any(axis=1)), np.flatnonzero(square.any(axis=0))
        assert max(np.ptp(rows), np.ptp(columns)) + 1 == INK_SIZE
        for axis in (0, 1):
            mass = square.sum(axis=1 - axis)
            assert abs((mass * (np.arange(SIZE) + 0.5)).sum() / mass.sum() - SIZE / 2) <= 1


def rectangle(box: tuple[int, int, int, int], size: Pair = (400, 300)) -> Image.Image:
    image = Image.new("L", size, 255)
    ImageDraw.Draw(image).rectangle(box, fill=0)
    return image


def test_size_and_position_of_the_ink_on_a_sheet_are_in_the_geometry_and_not_in_the_square() -> (
    None
):
    one, other = framed(rectangle((100, 90, 159, 179))), framed(rectangle((200, 60, 319, 239)))
    assert one.geometry == (0.3, 0.15, 0.45, 0.325)
    assert other.geometry == (0.6, 0.3, 0.5, 0.65)
    assert np.array_equal(one.image, other.image)
    assert one.key != other.key


def test_the_position_is_unknown_of_any_other_picture() -> None:
    """A sheet of another form, ink larger than any of trainPart1, a photo, a thinner pen."""
    others = [
        rectangle((100, 90, 159, 179), (400, 400)),
        rectangle((10, 2, 390, 298)),
        PICTURES["light from one side"].resize((400, 300)),
        rectangle((200, 60, 203, 239)),
        Image.fromarray(mnist_like()),
    ]
    assert all(np.isnan(framed(each).geometry[2:]).all() for each in others)


def test_of_another_picture_the_size_is_in_pixels_whatever_its_canvas() -> None:
    """Also of a photo that is reduced before it is looked at, and of a thin pen."""
    small = framed(rectangle((100, 90, 159, 179), (200, 400))).geometry
    large = framed(rectangle((400, 360, 639, 719), (1600, 1600))).geometry
    thin = framed(rectangle((50, 90, 53, 179), (200, 400))).geometry
    assert small[:2] == (90 / 900, 60 / 1200)
    assert large[:2] == pytest.approx((360 / 900, 240 / 1200), rel=0.02)
    assert thin[:2] == (90 / 900, 4 / 1200)
    assert np.isnan(framed(Image.fromarray(mnist_like())).geometry).all()


def mnist_like() -> Pixels:
    """Return a digit as MNIST has them, with JPEG's noise."""
    digit = np.zeros((SIZE, SIZE), np.uint8)
    digit[4:24, 12:16] = np.arange(20)[:, None] * 6 + 130
    digit[0, 5] = 30
    return digit


@pytest.mark.parametrize("inverted", [False, True])
def test_an_image_that_mnist_could_hold_is_only_made_bright_on_dark(inverted: bool) -> None:
    digit = mnist_like()
    assert np.array_equal(prepared(Image.fromarray(255 - digit if inverted else digit)), digit)


def test_every_image_of_the_samples_mnist_stays_as_it_is() -> None:
    for part in ("train", "t10k"):
        content = gzip.decompress((ROOT / f"data/sample/{part}-images-idx3-ubyte.gz").read_bytes())
        for digit in np.frombuffer(content, np.uint8, offset=16).reshape(-1, SIZE, SIZE):
            assert np.array_equal(framing.frame(digit, SIZE, INK_SIZE).image, digit)


@pytest.mark.parametrize("size", [8, 28, 256])
def test_ink_as_large_as_the_square_fills_it(size: int) -> None:
    square = framed(WIDE, size, size).image
    assert square.shape == (size, size)
    assert square.any(axis=1).all() or square.any(axis=0).all()


# Stray marks.


STRAY = [(225, 20, 8), (225, 90, 8), (200, 160, 8), (10, 170, 8)]
PARTS = [
    (80, 10, 9),  # above, as the dot of an i
    (160, 60, 8),  # near
    (190, 90, 22),  # as large as a stroke
]


@pytest.mark.parametrize(("x", "y", "radius"), STRAY + PARTS)
def test_a_small_mark_far_from_the_letter_is_left_out(x: int, y: int, radius: int) -> None:
    image = WIDE.copy()
    ImageDraw.Draw(image).ellipse((x - radius, y - radius, x + radius, y + radius), fill=0)
    assert (difference(image, WIDE) == 0) == ((x, y, radius) in STRAY)


# What is refused.


BLANK = [
    *(Image.new("L", (side, side), side) for side in (1, 28, 128)),
    *(Image.new(mode, (90, 90)) for mode in ("RGB", "RGBA")),
    *(drawn(GREY, GREY, noise) for noise in (3, 8, 20)),
    *(drawn(GREY, GREY, noise).crop((0, 0, SIZE, SIZE)) for noise in (3, 8)),
    Image.fromarray(SHADE.clip(0, 255).astype(np.uint8)),
]


def test_an_image_without_ink_is_refused() -> None:
    for image in BLANK:
        with pytest.raises(InputError, match=r"^x\.png: a blank image, no ink on it$"):
            framed(image)


def test_many_files_are_framed_as_each_alone() -> None:
    rng = np.random.default_rng(0)
    with gzip.open(ROOT / "data/sample/train-images-idx3-ubyte.gz") as file:
        digits = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 28, 28)[:40].copy()
    digits[3], digits[4], digits[5, 0], digits[6] = 255 - digits[3], 0, 255, digits[6] // 2
    digits[7, 1, 1] = digits[8, 27, 27] = 200  # a second piece
    digits[9] = np.roll(digits[9], 5, 0)
    digits[10] = rng.integers(0, 256, (28, 28))
    named = [(f"{i}.png", encoded(Image.fromarray(each))) for i, each in enumerate(digits)]
    named[20:20] = [("letter.png", encoded(letter())), ("bad.png", b"\x89PNG")]
    together = framing.prepare_all(named, 28, 20)
    assert len(together) == len(named)
    for (name, content), found in zip(named, together, strict=True):
        with suppress(InputError):
            alone = framing.prepare(content, name, 28, 20)
            assert isinstance(found, framing.Framed), name
            assert found.image.tobytes() == alone.image.tobytes(), name
            assert str(found[1:]) == str(alone[1:]), name
            continue
        with pytest.raises(InputError, match=f"^{re.escape(str(found))}$"):
            framing.prepare(content, name, 28, 20)
