"""How much memory this process has taken at most."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path


def growth(function: Callable[[], object]) -> int:
    """How many bytes `function`, of a module, takes more than were taken before it.

    In a process of its own: what other tests have left behind in this one is not its memory.
    """
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(_growth, function).result()


def _growth(function: Callable[[], object]) -> int:
    Path("/proc/self/clear_refs").write_text("5")  # the peak is measured from here on
    before = _peak()
    function()
    return _peak() - before


def _peak() -> int:
    """Bytes. Unlike getrusage's, they do not include what the process was forked from."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024
