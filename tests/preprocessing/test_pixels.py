"""pixels: what was appended comes back in any order, from memory and from runs in a file."""

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handwriting.preprocessing import pixels
from handwriting.preprocessing.pixels import Pixels
from tests.fuzzing import FUZZ

SIDE = 8


@FUZZ
@given(st.integers(1, 60), st.integers(1, 70), st.integers(1, 20), st.integers(1, 90))
def test_images_come_back_in_any_order(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, count: int, run: int, block: int, expected: int
) -> None:
    monkeypatch.setattr(pixels, "_RUN", run * SIDE**2)
    monkeypatch.setattr(pixels, "_BLOCK", block * SIDE**2)
    rng = np.random.default_rng(count)
    images = rng.integers(0, 256, (count, 1, SIDE, SIDE), dtype=np.uint8)
    keys = rng.integers(0, 20, count, dtype=np.uint64)  # some are equal
    chosen = rng.permutation(count)[: count // 2 + 1]
    with closing(Pixels(tmp_path, expected, SIDE)) as store:
        for start in range(0, count, 7):
            rows = slice(start, start + 7)
            store.append(images[rows, 0], keys[rows])
        for order in (np.argsort(keys, kind="stable"), chosen, chosen):
            assert np.array_equal(np.concatenate(list(store.rows(order))), images[order])
        found, rows_of = store.of(chosen)
        assert np.array_equal(found[rows_of], images[chosen])
        assert not list(tmp_path.iterdir())  # the file has no name


def test_few_images_never_touch_the_disk(tmp_path: Path) -> None:
    with closing(Pixels(tmp_path / "there is no such folder", 9, SIDE)) as store:
        store.append(np.zeros((9, SIDE, SIDE), np.uint8), np.arange(9, dtype=np.uint64))
        assert len(np.concatenate(list(store.rows(np.arange(9))))) == 9
