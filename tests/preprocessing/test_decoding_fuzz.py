"""Thousands of damaged images of each kind are decoded or refused, in bounded time and memory."""

import signal
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings

from handwriting.core.errors import InputError
from handwriting.preprocessing import decoding
from tests import memory, pictures
from tests.fuzzing import FUZZ, mutated

FILES = pictures.exact() | pictures.lossy()
KINDS = sorted({name.split()[0] for name in FILES})
PLAIN = [FILES[name] for name in ("png RGB", "png RGB interlaced", "jpeg L")]
SECONDS = 20  # per image, on a very busy machine
MEMORY = 200_000_000  # bytes for all images together


def check(content: bytes) -> None:
    """Check that the file is decoded, or refused in one line, in time."""
    signal.alarm(SECONDS)  # ends the process
    try:
        found = decoding.decode(content, "x/y.png")
    except InputError as error:
        message = str(error)
        assert message.startswith("x/y.png: ")
        assert message.isprintable()
    else:
        assert found.dtype == np.uint8
        assert found.size > 0
        assert found.ndim == 2 or found.shape[2:] == (3,)
        assert found.shape[0] * found.shape[1] <= 4_000_000
    finally:
        signal.alarm(0)


def fuzz(kinds: list[str], examples: int) -> None:
    originals = [content for name, content in FILES.items() if name.split()[0] in kinds]
    damaged = mutated(originals, ["little", "big"], header=120)
    settings(FUZZ, max_examples=examples)(given(damaged)(check))()


def test_a_damaged_image_of_any_kind_is_refused_or_decoded_and_prints_nothing(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert memory.growth(partial(fuzz, KINDS, 300)) < MEMORY
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_2000_damaged_images_of_a_kind_are_too(
    kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert memory.growth(partial(fuzz, [kind], 2000)) < MEMORY
    assert capfd.readouterr() == ("", "")


def compare(content: bytes) -> None:
    try:
        fast = decoding.decode(content, "x")
        slow = decoding._by_pillow(content, ("PNG", "JPEG"))
    except Exception:  # of Pillow alone where the damage is in no pixel
        return
    assert np.array_equal(fast, slow)


@pytest.mark.parametrize("examples", [50, pytest.param(2000, marks=pytest.mark.slow)])
def test_the_fast_decoders_give_the_pixels_of_pillow(examples: int) -> None:
    damaged = mutated(PLAIN, ["little", "big"], header=120)
    settings(FUZZ, max_examples=examples)(given(damaged)(compare))()
