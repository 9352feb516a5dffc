"""Independent trainings side by side, over all cores, with the bits of one after another."""

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.queues import SimpleQueue
from multiprocessing.reduction import ForkingPickler
from typing import TypeVar

import numpy as np
import torch
from tqdm import tqdm

from handwriting.core import cli as entry
from handwriting.core import cores
from handwriting.training.compute import Compute

Rebuilt = tuple[Callable[[bytes], torch.UntypedStorage], tuple[bytes]]
Job = TypeVar("Job")
Result = TypeVar("Result")


def run(function: Callable[[Job], Result], jobs: Sequence[Job], compute: Compute) -> list[Result]:
    """[function(job) for job in jobs], each in a process of its own where there is room for it.

    What a job computes does not depend on where it runs: each has `compute.threads` threads.
    """
    compute.settle()
    compute.warn_if_slow()
    places = min(len(jobs), max(1, cores.available() // compute.threads))
    if 1 < places < len(jobs) < 2 * places:  # all at once, taking turns, end sooner than in two
        places = len(jobs)  # goes, of which the second leaves cores idle
    if compute.device == "cuda":  # trainings this small leave most of a GPU to others
        places = min(places, compute.room())
    if places == 1 or torch.distributed.is_initialized():
        return [function(job) for job in jobs]
    # A fork shares the imported torch. Elsewhere it is not safe, nor where there is a GPU, even if
    # none is asked for: autograd starts threads for all devices at its first gradient. Nor are
    # several threads: OpenMP's do not live in a fork, which would wait for them for ever.
    forks = sys.platform == "linux" and compute.threads == 1 and not torch.cuda.is_available()
    context = multiprocessing.get_context("fork" if forks else "spawn")
    tqdm.monitor_interval = 0  # its thread must not live in a process that forks
    numbers = context.SimpleQueue()
    for number in range(places):
        numbers.put(number)
    with ProcessPoolExecutor(places, context, _start, (os.getpid(), compute, numbers)) as pool:
        try:
            waiting = [pool.submit(function, job) for job in jobs]
            return [each.result() for each in waiting]  # map() would cancel, and the end be noisy
        except BaseException:  # Ctrl-C or a failed job: the others have their checkpoints
            for worker in multiprocessing.active_children():
                worker.terminate()
            raise


def _start(parent: int, compute: Compute, numbers: "SimpleQueue[int]") -> None:
    """In a new worker: end with the parent, leave Ctrl-C to it, and use no more than our share."""
    entry.follow_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    compute.settle(numbers.get())


def _by_value(storage: torch.UntypedStorage) -> Rebuilt:
    """The bytes of a tensor, for another process. By itself torch hands each over as an open file,
    of which a process may often have no more than 1,024."""
    flat = torch.empty(0, dtype=torch.uint8).set_(storage)
    return _rebuilt, (flat.numpy().tobytes(),)


def _rebuilt(content: bytes) -> torch.UntypedStorage:
    flat = torch.empty(len(content), dtype=torch.uint8)
    flat.numpy()[:] = np.frombuffer(content, np.uint8)
    return flat.untyped_storage()


ForkingPickler.register(torch.UntypedStorage, _by_value)
