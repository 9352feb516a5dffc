"""One training in several processes of a machine, which share every batch.

Gradients are averaged by torch's DistributedDataParallel (Li et al. 2020, arxiv.org/abs/2006.15704)
and the statistics of normalisation are those of the whole batch. The last digits depend on the
number of processes. Nothing here matters to a training in one process.
"""

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.parallel import DistributedDataParallel

from handwriting.core import workers
from handwriting.training import resume
from handwriting.training.compute import Compute
from handwriting.training.resume import Keeper

Result = TypeVar("Result")
_LOOPBACK = {"linux": "lo", "darwin": "lo0"}  # where alone the processes listen


class _ReadOnly:
    """What the others make of the first process's checkpoints."""

    def __init__(self, keeper: Keeper) -> None:
        self.read = keeper.read

    def write(self, path: Path, content: bytes) -> None:
        pass


def run(function: Callable[..., Result], compute: Compute, shared: tuple[Any, ...]) -> Result:
    """Return function(*shared), computed by `compute.processes` processes together.

    An error of one of them, or its death, ends all.
    """
    count = compute.processes
    with TemporaryDirectory() as folder:
        join = partial(_join, compute, resume.keeper, f"file://{folder}/ranks")
        of_rank = dict(workers.map(partial(_ranked, function, shared), range(count), count, join))
    return of_rank[0]


def _join(compute: Compute, keeper: Keeper, where: str, rank: int) -> None:
    if sys.platform in _LOOPBACK:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", _LOOPBACK[sys.platform])
    compute.configure_torch(rank)
    backend = "nccl" if compute.device == "cuda" else "gloo"
    distributed.init_process_group(backend, where, rank=rank, world_size=compute.processes)
    resume.keeper = _ReadOnly(keeper) if rank else keeper
    if rank:  # one bar, and each message once
        sys.stdout = sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115


def _ranked(function: Callable[..., Result], shared: tuple[Any, ...], _: int) -> tuple[int, Result]:
    return distributed.get_rank(), function(*shared)


def processes() -> tuple[int, int]:
    """(rank, number) of the processes that train one network together."""
    if not distributed.is_initialized():
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def replica(network: nn.Module) -> nn.Module:
    """Return what computes a network's outputs; with several processes, gradients are shared."""
    several = distributed.is_initialized()
    return DistributedDataParallel(network, broadcast_buffers=False) if several else network


def mean(loss: Tensor) -> Tensor:
    """Return the mean of the losses that the processes have, float32 []."""
    total = loss.detach().clone()
    if distributed.is_initialized():
        distributed.all_reduce(total)
    return total / processes()[1]


def moments(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return number, mean and variance of each channel of [N, C, ...] over all processes:
    float32 [], [C], [C]."""
    wide, others = x.float(), [i for i in range(x.ndim) if i != 1]
    count = wide.new_tensor([wide.numel() / wide.shape[1]])
    sums = torch.cat([wide.sum(others), (wide * wide).sum(others), count])
    total: Tensor = all_reduce(sums)  # type: ignore[no-untyped-call]
    values, squares = (total[:-1] / total[-1]).chunk(2)
    return total[-1], values, squares - values * values
