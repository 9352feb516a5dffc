"""Jobs on a Ray cluster (docs.ray.io), which somebody has started: `ray start`, KubeRay.

The code and the data go to each node once. A worker or a node that dies is replaced, and its job
goes on from the checkpoint that the driver's machine keeps.
"""

import logging
import os
import secrets
import socket
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

os.environ.setdefault("RAY_AUTH_MODE", "token")  # or whoever reaches a port runs code

import numpy as np
import ray
import torch
from ray import exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
from tqdm import tqdm

from handwriting.core import params, workers
from handwriting.core.errors import InputError, one_line
from handwriting.training import resume
from handwriting.training.compute import Compute
from handwriting.training.resume import Files

Job = TypeVar("Job")
Result = TypeVar("Result")
_PATIENCE = 10  # seconds
_RETRIES = 3  # of a job whose worker or node died
_VERSION = f"{workers.CODE} torch {torch.__version__}"
_NAMESPACE = "handwriting"


class _Remote:
    """The checkpoints that the driver's machine keeps, for a process of another machine.

    A write is sent and not waited for: who waits gives the core that it has away.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.written: Any = None

    def _keeper(self) -> Any:
        if not ray.is_initialized():  # one of several processes that a worker started
            ray.init("auto", namespace=_NAMESPACE, logging_level=logging.ERROR, log_to_driver=False)
        return ray.get_actor(self.name, _NAMESPACE)

    def write(self, path: Path, content: bytes) -> None:
        """Send a checkpoint."""
        self.written = self._keeper().write.remote(path, content)

    def read(self, path: Path) -> bytes:
        """Return a checkpoint. Raises OSError if there is none."""
        content: bytes | None = ray.get(self._keeper().read.remote(path))
        if content is None:
            raise FileNotFoundError(path)
        return content


class _Keeper:
    """Keeps checkpoints in the folder of the driver."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.files = folder, Files()

    def write(self, path: Path, content: bytes) -> None:
        (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
        self.files.write(self.folder / path, content)

    def read(self, path: Path) -> bytes | None:
        try:
            return self.files.read(self.folder / path)
        except OSError:
            return None


@ray.remote(max_retries=_RETRIES)
def _work(
    version: str,
    keeper: str,
    run: Callable[[tuple[Any, ...], Any], Any],
    compute: Compute,
    job: Any,
    shared: tuple[Any, ...],
) -> Any:
    if version != _VERSION:
        raise InputError(f"a node of the cluster has other code or another torch: {_VERSION}")
    compute.configure_torch()
    # The images that all processes of a node share are read and never written.
    warnings.filterwarnings("ignore", "The given NumPy array is not writable")
    resume.keeper = _Remote(keeper)
    result = run(shared, job)
    if resume.keeper.written is not None:  # so that none is on its way when the stage ends
        ray.wait([resume.keeper.written])
    return result


def map(
    run: Callable[[tuple[Any, ...], Job], Result],
    jobs: Sequence[Job],
    compute: Compute,
    address: str,
    gpu_share: float,
    shared: tuple[Any, ...],
) -> list[Result]:
    """Return [run(shared, job) for job in jobs], each with its cores and its share of a GPU.

    Raises InputError if the cluster cannot be joined, or has lost a job four times.
    """
    _connect(address)
    replace(compute, device="cpu", processes=1).configure_torch()  # of the driver
    name = f"checkpoints {secrets.token_hex(8)}"
    keeper = _start_keeper(name)
    ray.util.register_serializer(np.memmap, serializer=np.asarray, deserializer=lambda each: each)
    data = ray.put(shared)  # arrays that all processes of a node share
    gpus = compute.processes if compute.processes > 1 else gpu_share
    needs = {
        "num_cpus": compute.threads * compute.processes,
        "num_gpus": gpus if compute.device == "cuda" else 0,
    }
    pending = dict[Any, int]()
    for index, job in enumerate(jobs):
        task = _work.options(name=_title(job), **needs)
        pending[task.remote(_VERSION, name, run, compute, job, data)] = index
    results = dict[int, Any]()
    try:
        with tqdm(total=len(jobs), desc="jobs", unit="job", disable=None) as bar:
            while pending:
                for done in ray.wait([*pending])[0]:
                    index = pending.pop(done)
                    results[index] = _result(done, _title(jobs[index]))
                    bar.update()
        ray.kill(keeper)
    except BaseException:
        ray.shutdown()  # which ends the jobs
        raise
    return [results[index] for index in range(len(jobs))]


def _start_keeper(name: str) -> Any:
    """Start the actor that keeps checkpoints, on this node."""
    here = ray.get_runtime_context().get_node_id()
    where = NodeAffinitySchedulingStrategy(here, soft=False)
    actor: Any = ray.remote(_Keeper)
    return actor.options(num_cpus=0, name=name, scheduling_strategy=where).remote(Path.cwd())


def _connect(address: str) -> None:
    """Join the cluster, once in a process. Raises InputError if it cannot be joined."""
    if ray.is_initialized():
        return
    modules = [str(Path(each).absolute()) for each in ("handwriting", "stages")]
    variables = {"OMP_WAIT_POLICY": "PASSIVE", "PYTHONHASHSEED": "0"}
    code = {"py_modules": modules, "excludes": ["__pycache__"], "env_vars": variables}
    try:
        if address != "auto":  # Ray itself would wait for minutes
            host, port = address.rsplit(":", 1)
            socket.create_connection((host.strip("[]"), int(port)), _PATIENCE).close()
        ray.init(address, namespace=_NAMESPACE, runtime_env=code, logging_level=logging.WARNING)
    except Exception as error:  # of many kinds: no such host, another version, no token
        where = f"{params.PATH}: cluster.address: {address}"
        hint = "(host:port or auto; its token in RAY_AUTH_TOKEN)"
        raise InputError(f"{where}: {one_line(error)} {hint}") from None


def _result(done: Any, title: str) -> Any:
    """Return the result of a job. Raises its own error, with its name."""
    try:
        return ray.get(done)
    except exceptions.RayTaskError as error:
        if isinstance(error.cause, InputError):
            raise error.cause from None
        error.add_note(f"in the job {title}")
        raise
    except exceptions.RayError as error:
        lost = f"its worker died {_RETRIES + 1} times: {one_line(error)}"
        raise InputError(f"{title}: {lost}") from None


def _title(job: Any) -> str:
    return str(getattr(job, "run", job))[:80]
