"""What benchmarks share: archives, costs, repetitions, results, and the machine's name."""

import json
import os
import platform
import resource
import statistics
import tarfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

from handwriting.core.errors import InputError

SAMPLE = Path("data/sample")
MNIST = [f"{s}-{k}-ubyte.gz" for s in ("train", "t10k") for k in ("images-idx3", "labels-idx1")]
Key = TypeVar("Key")


def mirror() -> Path:
    """Return the folder with the archives: $DATA_MIRROR, or the sample's."""
    folder = Path(os.environ.get("DATA_MIRROR") or SAMPLE)
    if not folder.is_dir():
        raise InputError(f"DATA_MIRROR={folder}: the benchmark reads from a folder")
    return folder


def unpack(tar: Path, folder: Path) -> None:
    """Unpack a tar, of Python 3.11.2 (Debian 12) one of our own."""
    safely: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    with tarfile.open(tar) as content:
        content.extractall(folder, **safely)  # noqa: S202


def alone(function: Callable[..., Any], *arguments: object) -> Any:
    """Call a function in a process of its own, to whose memory this one's counts as well."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def cost(work: Callable[[], object]) -> dict[str, float]:
    """Return what a call costs this process and its children, which must have ended."""
    before, start = usage(), time.perf_counter()
    work()
    wall, after = time.perf_counter() - start, usage()
    return {"cpu_seconds": after[0] - before[0], "wall_seconds": wall, "peak_mb": after[1] / 1000}


def usage() -> tuple[float, float]:
    """Return CPU seconds and peak memory in KiB, that of the largest process."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    found = [resource.getrusage(kind) for kind in kinds]
    return sum(u.ru_utime + u.ru_stime for u in found), max(u.ru_maxrss for u in found)


def medians(measure: Callable[[], dict[Key, float]], repetitions: int) -> dict[Key, float]:
    """Return the medians of what so many calls return."""
    found = [measure() for _ in range(repetitions)]
    return {key: statistics.median(each[key] for each in found) for key in found[0]}


def write(name: str, content: Any) -> None:
    """Write bench/results/<name>.json."""
    Path(f"bench/results/{name}.json").write_text(json.dumps(content, indent=2) + "\n")


def processor() -> str:
    """Return the model's name."""
    import torch  # here alone: the memory of a parent counts as that of the process it starts

    return str(torch.cpu.get_capabilities().get("cpu_name") or platform.machine())
