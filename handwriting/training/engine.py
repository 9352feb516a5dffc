"""Independent trainings side by side on all cores, with the bits of one after another."""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from multiprocessing.reduction import ForkingPickler
from typing import Any, TypeVar

import numpy as np
import torch
from tqdm import tqdm

from handwriting.core import workers
from handwriting.training.compute import Compute

Rebuilt = tuple[Callable[[bytes], torch.UntypedStorage], tuple[bytes]]
Job = TypeVar("Job")
Result = TypeVar("Result")


def map(
    function: Callable[..., Result], jobs: Sequence[Job], compute: Compute, *shared: Any
) -> list[Result]:
    """Return [function(job, *shared) for job in jobs], each in a process of its own if there is
    room.

    What a job computes does not depend on where it runs: each has `compute.threads` threads. The
    first job that fails ends all others, with its own error. A worker gets `shared` once.
    """
    from joblib import cpu_count  # of the affinity mask, or the container's quota

    compute.configure_torch()
    compute.warn_if_slow()
    count = min(len(jobs), max(1, cpu_count() // compute.threads))
    if 1 < count < len(jobs) < 2 * count:  # all at once, taking turns, end sooner than in two
        count = len(jobs)  # rounds, of which the second leaves cores idle
    if compute.device == "cuda":  # trainings this small leave most of a GPU to others
        count = min(count, compute.room())
    if count <= 1 or torch.distributed.is_initialized():
        return [function(job, *shared) for job in jobs]
    # A fork shares the imported torch and the data. It is not safe elsewhere, nor with a GPU, even
    # an unused one: autograd starts threads for all devices at its first gradient. Nor with several
    # threads: OpenMP's do not live in a fork, which would wait for them for ever.
    fork = sys.platform == "linux" and compute.threads == 1 and not torch.cuda.is_available()
    tqdm.monitor_interval = 0  # its thread must not live in a process that forks
    run = partial(_run, function, shared)
    return list(workers.map(run, jobs, count, compute.configure_torch, fork))


def _run(function: Callable[..., Result], shared: tuple[Any, ...], job: Job) -> Result:
    return function(job, *shared)


def _by_value(storage: torch.UntypedStorage) -> Rebuilt:
    """Pickle the bytes of a tensor. By itself torch hands each to another process as an open file,
    of which a process may often have no more than 1,024."""
    flat = torch.empty(0, dtype=torch.uint8).set_(storage)
    return _rebuilt, (flat.numpy().tobytes(),)


def _rebuilt(content: bytes) -> torch.UntypedStorage:
    flat = torch.empty(len(content), dtype=torch.uint8)
    flat.numpy()[:] = np.frombuffer(content, np.uint8)
    return flat.untyped_storage()


ForkingPickler.register(torch.UntypedStorage, _by_value)
