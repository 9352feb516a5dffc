"""What benchmarks share: the archives, repetitions, results, and the machine's name."""

import json
import os
import platform
import statistics
from collections.abc import Callable
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
