"""Thousands of damaged images of all formats are framed or refused, in bounded time and memory."""

import signal

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from handwriting.core.errors import InputError
from handwriting.preprocessing import framing
from tests import memory, pictures

FILES = pictures.exact() | pictures.lossy()
TIFFS = [content for name, content in FILES.items() if "tiff" in name]
OTHERS = [content for name, content in FILES.items() if "tiff" not in name]
NUMBERS = [0, 1, 2, 8, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF]
SECONDS = 20  # per image, on a very busy machine
MEMORY = 200_000_000  # bytes for all images together

# The same images on every machine, and nothing kept between runs.
FUZZ = settings(
    deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)


@st.composite
def mutated(draw: st.DrawFn, originals: list[bytes]) -> bytes:
    """Return one of the originals with up to four faults, half of them in its first bytes."""
    content = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(1, 4))):
        last = max(0, len(content) - 1)
        at = draw(st.integers(0, last) | st.integers(0, min(last, 120)))
        kind = draw(st.sampled_from(["number", "cut", "drop", "insert", "splice"]))
        if kind == "number":
            size = draw(st.sampled_from([1, 2, 4]))
            number = draw(st.sampled_from(NUMBERS) | st.integers(0, 70_000)) % 256**size
            content[at : at + size] = number.to_bytes(
                size, draw(st.sampled_from(["little", "big"]))
            )
        elif kind == "insert":
            content[at:at] = draw(st.binary(max_size=50))
        elif kind == "splice":
            other, start = draw(st.sampled_from(originals)), draw(st.integers(0, 3000))
            content[at:at] = other[start : start + draw(st.integers(1, 300))]
        else:
            del content[at : len(content) if kind == "cut" else at + draw(st.integers(1, 100))]
    return bytes(content)


def check(content: bytes) -> None:
    """Check that the file is framed, or refused in one line, in time."""
    signal.alarm(SECONDS)  # ends the process
    try:
        framed = framing.prepare(content, "x/y.png", 28, 20)
    except InputError as error:
        message = str(error)
    else:
        message = "x/y.png: framed"
        assert framed.image.shape == (28, 28)
        assert framed.image.dtype == np.uint8
        assert framed.image.max() >= 64
        assert all(0 < each <= 1 for each in framed.geometry)
    finally:
        signal.alarm(0)
    assert message.startswith("x/y.png: ")
    assert message.isprintable()


def tiff_files() -> None:  # plain functions, which another process can import
    settings(FUZZ, max_examples=1000)(given(mutated(TIFFS))(check))()


def other_files() -> None:
    settings(FUZZ, max_examples=3000)(given(mutated(OTHERS))(check))()


def test_a_damaged_tiff_is_refused_or_framed() -> None:
    assert memory.growth(tiff_files) < MEMORY  # libtiff may print lines


def test_another_damaged_image_is_refused_or_framed_and_nothing_printed(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert memory.growth(other_files) < MEMORY
    assert capfd.readouterr() == ("", "")


@settings(FUZZ, max_examples=500)
@given(mutated([FILES["png RGB"], FILES["png RGB interlaced"], FILES["jpeg L"]]))
def test_the_fast_decoders_give_the_pixels_of_pillow(content: bytes) -> None:
    try:
        fast, slow = framing._gray(content, "x"), framing._gray_by_pillow(content, "x")
    except InputError:  # of Pillow alone where the damage is behind the last pixel
        return
    assert np.array_equal(fast, slow)
