"""Damaged files: the same ones on every machine, and nothing of them kept between the runs."""

import re
from collections.abc import Sequence
from typing import Literal

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

NUMBERS = [0, 1, 2, 8, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF]
FUZZ = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@st.composite
def mutated(
    draw: st.DrawFn, originals: list[bytes], orders: Sequence[Literal["little", "big"]], header: int
) -> bytes:
    """Return one of the originals with up to four faults, most of them in its headers.

    These are the first `header` bytes of the file, and of whatever begins as the parts of a zip.
    """
    content = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(1, 4))):
        starts = [0, *(found.start() for found in re.finditer(b"PK", content))]
        anywhere = st.integers(0, max(0, len(content) - 1))
        within = st.builds(int.__add__, st.sampled_from(starts), st.integers(0, header))
        at = min(draw(anywhere | within | within), max(0, len(content) - 1))
        kind = draw(st.sampled_from(["bit", "number", "number", "cut", "drop", "insert", "splice"]))
        end, new = at, b""
        if kind == "bit" and content:
            end, new = at + 1, bytes([content[at] ^ 1 << draw(st.integers(0, 7))])
        elif kind == "number":
            size, order = draw(st.sampled_from([1, 2, 4])), draw(st.sampled_from(orders))
            number = draw(st.sampled_from(NUMBERS) | st.integers(0, 70_000)) % 256**size
            end, new = at + size, number.to_bytes(size, order)
        elif kind in ("cut", "drop"):
            end = len(content) if kind == "cut" else at + draw(st.integers(1, 100))
        elif kind == "insert":
            new = draw(st.binary(max_size=50))
        elif kind == "splice":
            other = draw(st.just(bytes(content)) | st.sampled_from(originals))
            start, length = draw(st.integers(0, len(other))), draw(st.integers(1, 300))
            new = other[start : start + length]
            end = at + draw(st.sampled_from([0, length]))  # inserted, or over what is there
        content[at:end] = new
    return bytes(content)
