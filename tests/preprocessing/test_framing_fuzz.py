"""Thousands of damaged images of all formats are framed or refused, in bounded time and memory."""

import signal
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings

from handwriting.core.errors import InputError
from handwriting.preprocessing import decoding, framing
from tests import memory, pictures
from tests.fuzzing import FUZZ, mutated

FILES = pictures.exact() | pictures.lossy()
TIFFS = [content for name, content in FILES.items() if "tiff" in name]
OTHERS = [content for name, content in FILES.items() if "tiff" not in name]
PLAIN = [FILES[name] for name in ("png RGB", "png RGB interlaced", "jpeg L")]
SECONDS = 20  # per image, on a very busy machine
MEMORY = 200_000_000  # bytes for all images together


def check(content: bytes) -> None:
    """Check that the file is framed, or refused in one line, in time."""
    signal.alarm(SECONDS)  # ends the process
    try:
        framed = framing.prepare(content, "x/y.png", 28, 20)
    except InputError as error:
        message = str(error)
        assert message.startswith("x/y.png: ")
        assert message.isprintable()
    else:
        assert framed.image.shape == (28, 28)
        assert framed.image.dtype == np.uint8
        assert framed.image.max() >= 64
        assert all(0 < each <= 1 for each in framed.geometry)
    finally:
        signal.alarm(0)


def fuzz(originals: list[bytes], examples: int) -> None:
    damaged = mutated(originals, ["little", "big"], header=120)
    settings(FUZZ, max_examples=examples)(given(damaged)(check))()


def test_a_damaged_tiff_is_refused_or_framed() -> None:
    assert memory.growth(partial(fuzz, TIFFS, 1000)) < MEMORY  # libtiff may print lines


def test_another_damaged_image_is_too_and_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    assert memory.growth(partial(fuzz, OTHERS, 3000)) < MEMORY
    assert capfd.readouterr() == ("", "")


@settings(FUZZ, max_examples=500)
@given(mutated(PLAIN, ["little", "big"], header=120))
def test_the_fast_decoders_give_the_pixels_of_pillow(content: bytes) -> None:
    try:
        fast, slow = decoding.decode(content, "x"), decoding._by_pillow(content, "x")
    except InputError:  # of Pillow alone where the damage is behind the last pixel
        return
    assert np.array_equal(fast, slow)
