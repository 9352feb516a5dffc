"""Thousands of damaged images of all formats: refused in one line, or framed, and in bounds."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from handwriting.core.errors import InputError
from handwriting.preprocessing import framing as images
from tests import memory, pictures

FILES = pictures.exact() | pictures.lossy()
TIFFS = [content for name, content in FILES.items() if "tiff" in name]
OTHERS = [content for name, content in FILES.items() if "tiff" not in name]
NUMBERS = [0, 1, 2, 8, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF]
SECONDS = 20  # an image may take, on a very busy machine
MEMORY = 200_000_000  # bytes that all of them together may take at most

# The same failing image on every machine; nothing of it is kept between the runs.
FUZZ = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)


@st.composite
def mutated(draw: st.DrawFn, originals: list[bytes]) -> bytes:
    """One of the originals after a few of the things that go wrong, or are made to."""
    content = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(1, 4))):
        mutate(content, draw, draw(st.sampled_from(originals)))
    return bytes(content)


def mutate(content: bytearray, draw: st.DrawFn, other: bytes) -> None:
    """Damage `content`, every other time in its first bytes, where sizes and kinds are told."""
    last = max(0, len(content) - 1)
    at = draw(st.integers(0, last) | st.integers(0, min(last, 120)))
    kind = draw(st.sampled_from(["bit", "number", "number", "cut", "drop", "insert", "splice"]))
    if kind == "bit" and content:
        content[at] ^= 1 << draw(st.integers(0, 7))
    elif kind == "number":
        size = draw(st.sampled_from([1, 2, 4]))
        number = draw(st.sampled_from(NUMBERS) | st.integers(0, 70_000)) % 256**size
        content[at : at + size] = number.to_bytes(size, draw(st.sampled_from(["little", "big"])))
    elif kind == "cut":
        del content[at:]
    elif kind == "drop":
        del content[at : at + draw(st.integers(1, 100))]
    elif kind == "insert":
        content[at:at] = draw(st.binary(max_size=50))
    elif kind == "splice":
        start, length = draw(st.integers(0, len(other) - 1)), draw(st.integers(1, 300))
        content[at : at + draw(st.sampled_from([0, length]))] = other[start : start + length]


@contextmanager
def in_time() -> Iterator[None]:
    def out_of_time(*_: object) -> None:
        raise TimeoutError

    signal.signal(signal.SIGALRM, out_of_time)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)


def check(content: bytes) -> None:
    """The file is framed, or refused in one line, within the time."""
    refusal = None
    try:
        with in_time():
            framed = images.prepare(content, "x/y.png", 28, 20)
    except InputError as error:
        refusal = str(error)
    event("framed" if refusal is None else "refused")
    if refusal is not None:
        assert refusal.startswith("x/y.png: ")
        assert refusal.isprintable()
        return
    assert framed.image.shape == (28, 28)
    assert framed.image.dtype == np.uint8
    assert framed.image.max() >= 64
    assert all(0 < each <= 1 for each in framed.place)


@settings(FUZZ, max_examples=1000)
@given(mutated(TIFFS))
def tiff_files(content: bytes) -> None:
    check(content)  # libtiff itself may have printed a line


def all_tiff_files() -> None:  # a plain function, as another process can be sent
    tiff_files()


def test_a_damaged_tiff_is_refused_or_framed() -> None:
    assert memory.growth(all_tiff_files) < MEMORY


@settings(FUZZ, max_examples=3000)
@given(mutated(OTHERS))
def other_files(content: bytes) -> None:
    check(content)


def all_other_files() -> None:
    other_files()


def test_another_damaged_image_is_refused_or_framed_and_nothing_printed(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert memory.growth(all_other_files) < MEMORY
    assert capfd.readouterr() == ("", "")


@settings(FUZZ, max_examples=500)
@given(mutated([FILES["png RGB"], FILES["png RGB interlaced"], FILES["jpeg L"]]))
def test_what_a_fast_decoder_takes_is_what_pillow_sees(content: bytes) -> None:
    try:
        fast = images._gray(content, "x")
        slow = images._gray_by_pillow(content, "x")
    except InputError:  # of Pillow alone where the damage is behind the last pixel
        return
    assert np.array_equal(fast, slow)


COLOURS = {"L": (0, 1), "RGB": (2, 3), "LA": (4, 2), "RGBA": (6, 4)}  # PNG's number, channels


@settings(FUZZ, max_examples=300)
@given(
    st.sampled_from(list(COLOURS)),
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(0, 2**32 - 1),
)
def test_any_pixels_of_any_shape_are_framed_or_refused(
    mode: str, height: int, width: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    colour, channels = COLOURS[mode]
    pixels = np.full((height, width, channels), 255, np.uint8)
    top, left = rng.integers(0, height), rng.integers(0, width)
    pixels[top : top + height // 2 + 1, left : left + width // 2 + 1] = rng.integers(0, 256)
    pixels ^= rng.integers(0, 2 ** rng.integers(1, 9), pixels.shape, dtype=np.uint8)
    check(pictures.png(pixels.reshape(height, -1), 8, colour))
