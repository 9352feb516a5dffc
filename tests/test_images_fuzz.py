"""Thousands of damaged images of all formats: refused in one line, or a square; quickly, in bounds."""

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from stages.common import images
from stages.common.errors import InputError
from tests import pictures

FILES = [*pictures.exact().values(), *pictures.lossy().values()]
NUMBERS = [0, 1, 2, 8, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF]
SECONDS = 20  # an image may take, on a very busy machine
KILOBYTES = 400_000  # more than before that all of them together may leave behind

# The same failing image on every machine; nothing of it is kept between the runs.
FUZZ = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A valid file after a few of the things that go wrong, or are made to."""
    content = bytearray(draw(st.sampled_from(FILES)))
    for _ in range(draw(st.integers(1, 4))):
        mutate(content, draw)
    return bytes(content)


def mutate(content: bytearray, draw: st.DrawFn) -> None:
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
        other = draw(st.sampled_from(FILES))
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
    """The file is a square, the same from every decoder that takes it, or refused in one line."""
    try:
        with in_time():
            framed = images.prepare(content, "x/y.png", 28, 20)
    except InputError as error:
        event("refused")
        assert str(error).startswith("x/y.png: ")
        assert str(error).isprintable()
        return
    event("read")
    assert (framed.image.shape, framed.image.dtype) == ((28, 28), np.uint8)
    assert framed.image.max() >= 64
    assert all(0 < each <= 1 for each in framed.place)


def test_a_damaged_image_is_refused_or_framed(capfd: pytest.CaptureFixture[str]) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    settings(FUZZ, max_examples=4000)(given(mutated())(check))()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < KILOBYTES
    assert capfd.readouterr() == ("", "")


@settings(FUZZ, max_examples=300)
@given(
    st.sampled_from([("RGB", 3), ("L", 1), ("RGBA", 4), ("LA", 2)]),
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(0, 2**32 - 1),
)
def test_any_pixels_of_any_shape_are_framed_or_blank(
    mode: tuple[str, int], height: int, width: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 256, rng.integers(1, 5), dtype=np.uint8)  # few colours, or more
    rows = rng.choice(values, (height, width * mode[1]))
    check(pictures.png(rows, 8, {"L": 0, "RGB": 2, "LA": 4, "RGBA": 6}[mode[0]]))
