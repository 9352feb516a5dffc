"""Independent jobs side by side, with the bits of one after another.

They run in this process, in processes of this machine, or on a Ray cluster; no other module knows
which. A training that asks for several processes gets them wherever it runs.
"""

import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from mmap import mmap
from multiprocessing.reduction import ForkingPickler
from typing import Annotated, Any, TypeVar

import numpy as np
import torch
from pydantic import Field
from tqdm import tqdm

from handwriting.core import params, workers
from handwriting.core.errors import InputError
from handwriting.training import distributed
from handwriting.training.compute import Compute

Rebuilt = tuple[Callable[[bytes], torch.UntypedStorage], tuple[bytes]]
Job = TypeVar("Job")
Result = TypeVar("Result")


@params.section
class Cluster:
    """Where jobs run. It changes no bit, so no stage declares it."""

    address: str = ""  # of a Ray cluster: host:port, or auto for the one of this machine
    gpu_share: Annotated[float, Field(gt=0, le=1)] = 1  # of a GPU that one training takes


def map(
    function: Callable[..., Result], jobs: Sequence[Job], compute: Compute, *shared: Any
) -> list[Result]:
    """Return [function(job, *shared) for job in jobs], each in a process of its own if there is
    room.

    What a job computes does not depend on where it runs: each has `compute.threads` threads. The
    first job that fails ends all others, with its own error. A worker gets `shared` once.
    """
    compute.warn_if_slow()
    run = partial(_run, importable(function))
    if compute.processes > 1:
        run = partial(_together, run, compute)
    if (where := cluster()).address:
        return _on_ray(run, jobs, compute, where, shared)
    compute.configure_torch()
    here, count = partial(run, shared), _room(len(jobs), compute)
    bar = partial(tqdm, total=len(jobs), unit="network", leave=False, disable=len(jobs) < 2 or None)
    if count <= 1:
        return [here(job) for job in bar(jobs)]
    # A fork shares the imported torch and the data. It is not safe elsewhere, nor with a GPU, even
    # an unused one: autograd starts threads for all devices at its first gradient. Nor with several
    # threads: OpenMP's do not live in a fork, which would wait for them for ever.
    fork = sys.platform == "linux" and compute.threads == 1 and not torch.cuda.is_available()
    tqdm.monitor_interval = 0  # its thread must not live in a process that forks
    return list(bar(workers.map(here, jobs, count, compute.configure_torch, fork)))


def cluster() -> Cluster:
    """Return where the jobs of a stage run, by params.yaml; all else stays on this machine."""
    stage = _main().startswith("stages.")
    return params.undeclared("cluster", Cluster) if stage else Cluster()


def importable(function: Callable[..., Result]) -> Callable[..., Result]:
    """Return a function of the program that runs as one of a module, which others can import."""
    if function.__module__ != "__main__" or not _main():
        return function
    found: Callable[..., Result] = getattr(import_module(_main()), function.__name__)
    return found


def _main() -> str:
    """Return the module that runs as a program, or ""."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return spec.name if spec else ""


def _room(jobs: int, compute: Compute) -> int:
    """Return how many jobs this machine does at once."""
    from joblib import cpu_count  # of the affinity mask, or the container's quota

    if compute.processes > 1:
        return 1
    count: int = min(jobs, max(1, cpu_count() // compute.threads))
    if 1 < count < jobs < 2 * count:  # all at once, taking turns, end sooner than in two
        count = jobs  # rounds, of which the second leaves cores idle
    if compute.device == "cuda":  # trainings this small leave most of a GPU to others
        count = min(count, compute.room())
    return count


def _on_ray(
    run: Callable[[tuple[Any, ...], Job], Result],
    jobs: Sequence[Job],
    compute: Compute,
    where: Cluster,
    shared: tuple[Any, ...],
) -> list[Result]:
    try:
        from handwriting.training import ray_cluster
    except ModuleNotFoundError:
        needed = "needs Ray: pip install -r requirements-cluster.txt"
        raise InputError(f"{params.PATH}: cluster.address {needed}") from None
    return ray_cluster.map(run, jobs, compute, where.address, where.gpu_share, shared)


def _run(function: Callable[..., Result], shared: tuple[Any, ...], job: Job) -> Result:
    return function(job, *shared)


def _together(
    run: Callable[[tuple[Any, ...], Job], Result],
    compute: Compute,
    shared: tuple[Any, ...],
    job: Job,
) -> Result:
    return distributed.run(run, compute, (shared, job))


def _by_value(storage: torch.UntypedStorage) -> Rebuilt:
    """Pickle the bytes of a tensor. By itself torch hands each to another process as an open file,
    of which a process may often have no more than 1,024."""
    flat = torch.empty(0, dtype=torch.uint8).set_(storage)
    return _rebuilt, (flat.numpy().tobytes(),)


def _rebuilt(content: bytes) -> torch.UntypedStorage:
    flat = torch.empty(len(content), dtype=torch.uint8)
    flat.numpy()[:] = np.frombuffer(content, np.uint8)
    return flat.untyped_storage()


def _by_name(array: "np.memmap[Any, Any]") -> Any:
    """Pickle a memory-mapped file as its name, and a part of one by its values."""
    if not isinstance(array.base, mmap):
        return np.array(array).__reduce__()
    return np.memmap, (array.filename, array.dtype, "c", array.offset, array.shape)


ForkingPickler.register(torch.UntypedStorage, _by_value)
ForkingPickler.register(np.memmap, _by_name)
