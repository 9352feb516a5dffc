"""The search for cycles stops for a while, and goes on whatever happens."""

import gc

import pytest

from handwriting.core import gc as collector


def test_it_is_paused_within_and_goes_on_after_an_error() -> None:
    @collector.paused()
    def work() -> None:
        assert not gc.isenabled()
        raise KeyError

    with pytest.raises(KeyError):
        work()
    assert gc.isenabled()
