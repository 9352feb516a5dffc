"""How much memory this process has taken at most."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path


def peak() -> int:
    """Bytes. Unlike getrusage's, they do not include what the process was forked from."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def forget_peak() -> None:
    """Measure from here on."""
    Path("/proc/self/clear_refs").write_text("5")


def growth(function: Callable[[], object]) -> int:
    """How many bytes `function`, of a module, takes more than were taken before it.

    In a process of its own: what other tests have left behind in this one is not its memory.
    """
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as pool:
        return pool.submit(_growth, function).result()


def _growth(function: Callable[[], object]) -> int:
    forget_peak()
    before = peak()
    function()
    return peak() - before
