"""Trainings on a Ray cluster against the processes of one machine, and how busy its slots are.

python -m bench.cluster [--trainings N] [--sleepers N]

Two nodes of one core each on loopback, against two processes of the pool, one after the other.
CPU seconds are those of all processes between the first job and the last: driver, workers, Ray's
own. Slots: two nodes that say they have eight cores each, and jobs that sleep for five seconds.

reads   data/tensors/sample/mnist/, params.yaml
writes  bench/results/cluster.json
"""

import os
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import joblib
import psutil

from bench import local_cluster, report
from bench.training import setup
from handwriting.data import dataset
from handwriting.evaluation.study import ONE_CORE
from handwriting.training import engine, model, runs
from handwriting.training.checkpoint import Run
from handwriting.training.engine import Cluster
from handwriting.training.runs import Data, Job
from tools import program

_CORES, _SLOTS, _SLEEP = 2, 16, 5.0  # of the pool, of the sleepers, and seconds


def train(address: str, count: int) -> dict[str, float]:
    """Train so many small networks, on a cluster or, without an address, here."""
    engine.cluster = lambda: Cluster(address=address)
    joblib.cpu_count = lambda: _CORES
    shape, plan = setup("small")
    data = Data(dataset.load(Path("data/tensors/sample/mnist/train.safetensors")))
    plan = replace(plan, epochs=10)
    jobs = [
        Job(Run(data="mnist", seed=i), model.fresh(shape, "bench", i), replace(plan, seed=i))
        for i in range(count)
    ]
    with TemporaryDirectory() as scratch:
        start = time.perf_counter()
        done = engine.map(runs.train_one, jobs, ONE_CORE, data, ONE_CORE, Path(scratch))
        assert len(done) == count  # noqa: S101
        return {"wall_seconds": round(time.perf_counter() - start, 1)}


def sleep(address: str, count: int) -> dict[str, float]:
    """Let so many jobs sleep on a cluster; once before, so that its workers have started."""
    engine.cluster = lambda: Cluster(address=address)
    found = {}
    for name, jobs in (("at_first", _SLOTS), ("with_workers", count)):
        start = time.perf_counter()
        engine.map(time.sleep, [_SLEEP] * jobs, ONE_CORE)
        found[name] = round(jobs * _SLEEP / _SLOTS / (time.perf_counter() - start), 3)
    return found


def watched(work: Callable[..., Any], nodes: list[Any], *arguments: object) -> dict[str, float]:
    """Return what `work` returns, with the CPU seconds of this process's children and the nodes."""
    spent, over = dict[int, float](), threading.Event()
    before = {each.pid: cpu(each) for node in nodes for each in local_cluster.family(node)}

    def look() -> None:
        while not over.wait(0.2):
            for root in (psutil.Process(), *nodes):
                for each in local_cluster.family(root):
                    spent[each.pid] = max(cpu(each), spent.get(each.pid, 0))

    own, watcher = cpu(psutil.Process()), threading.Thread(target=look)
    watcher.start()
    found: dict[str, float] = report.alone(work, *arguments)
    over.set()
    watcher.join()
    total = sum(spent.values()) - sum(before.get(pid, 0) for pid in spent) - own
    return found | {"cpu_seconds": round(total, 1)}


def cpu(process: psutil.Process) -> float:
    """Return the CPU seconds of a process so far; of one that has just ended, 0."""
    with suppress(psutil.NoSuchProcess):
        times = process.cpu_times()
        return float(times.user + times.system)
    return 0.0


def main(trainings: int = 200, sleepers: int = 480) -> None:
    """Measure and write."""
    found: dict[str, Any] = {"trainings": trainings, "processor": report.processor()}
    found["pool"] = watched(train, [], "", trainings)
    with local_cluster.cluster([]) as made:
        os.environ |= made.environment
        found["ray"] = watched(train, made.nodes, made.address, trainings)
    found["cpu_against_pool"] = found["ray"]["cpu_seconds"] / found["pool"]["cpu_seconds"]
    with local_cluster.cluster([], cores=_SLOTS // 2) as made:
        os.environ |= made.environment
        busy = report.alone(sleep, made.address, sleepers)
    found["slots"] = {"slots": _SLOTS, "jobs": sleepers, "seconds_each": _SLEEP, "busy": busy}
    report.write("cluster", found)
    print(found)


if __name__ == "__main__":
    program.run(main)
