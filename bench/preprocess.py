"""From the archives to tensors: our two stages against the notebooks' loop and the bare limit.

python -m bench.preprocess [--repetitions N]

Rules. Every measurement is a process of its own, and they are interleaved: one of each, N times,
of which the medians count. Seconds begin when Python and its libraries have been loaded; those of
the stages end with files on the disk. "One core" is the same stage with a single worker, whose
start-up the others' CPU seconds include. The loop is torchvision's ImageFolder with the transforms
that notebooks use, over files that were unpacked before; it ends in one array in memory. The limit
is stock zlib inflating the PNGs' data, or, for a JPEG, libjpeg-turbo alone.

reads   the archives in the folder $DATA_MIRROR, or the sample's
writes  bench/results/preprocess.json
"""

import argparse
import json
import os
import platform
import resource
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from kornia_rs.io import decode_image_jpegturbo

from handwriting.core import cores, params
from handwriting.core.errors import InputError
from handwriting.raw import archives
from stages.data import preprocess, unzip

ROOT = Path(__file__).parent.parent
RESULT = Path("bench/results/preprocess.json")
ARCHIVES = {
    "characters": ["trainPart1.zip"],
    "mnist": [
        f"{split}-{kind}-ubyte.gz"
        for split in ("train", "t10k")
        for kind in ("images-idx3", "labels-idx1")
    ],
    "mnistTask3": ["mnistTask3.zip"],
}
_HEADER = "".join(
    f"{name:>14}" for name in ("CPU s", "wall s", "images/CPU s", "images/s", "peak MB")
)
LIBRARIES = ("numpy", "pillow", "kornia-rs", "safetensors", "torch", "torchvision")


# What is measured. Each of these runs in a process of its own, in a folder that has data/ and
# params.yaml, and returns what there is to do once all is loaded.


def unzip_arm(source: str, dataset: str) -> Callable[[], object]:
    """The stage: archive -> tar."""
    return partial(unzip.main, scratch(), source, dataset)


def preprocess_arm(source: str, dataset: str) -> Callable[[], object]:
    """The stage: tar -> tensors, on all cores."""
    return partial(preprocess.main, scratch(), source, dataset)


def one_core_arm(source: str, dataset: str) -> Callable[[], object]:
    """The same without a process but this one."""
    cores.available = lambda: 1
    return preprocess_arm(source, dataset)


def loop_arm(source: str, dataset: str) -> Callable[[], object]:
    """What notebooks do."""
    import torch  # here alone: the stages that are measured do without it
    from torchvision import datasets, transforms

    torch.set_num_threads(1)
    steps = [transforms.Grayscale(), transforms.Resize((28, 28)), transforms.PILToTensor()]
    (root,) = Path("unpacked", source, dataset).iterdir()
    images = datasets.ImageFolder(root, transforms.Compose(steps))
    return lambda: torch.stack([image for image, _ in images])


def limit_arm(source: str, dataset: str) -> Callable[[], object]:
    """Decompression and nothing else."""
    contents = [path.read_bytes() for path in Path("unpacked", source, dataset).glob("*/*/*")]
    if all(content.startswith(b"\xff\xd8") for content in contents):
        return lambda: [len(decode_image_jpegturbo(content, "mono")) for content in contents]
    streams = [image_data(content) for content in contents]
    return lambda: [len(zlib.decompress(stream)) for stream in streams]


ARMS = {
    "unzip": unzip_arm,
    "preprocess": preprocess_arm,
    "preprocess, one core": one_core_arm,
    "loop": loop_arm,
    "limit": limit_arm,
}


def scratch() -> Path:
    Path("scratch").mkdir(exist_ok=True)
    return Path("scratch")


def image_data(png: bytes) -> bytes:
    """The compressed stream of a PNG."""
    pieces, at = [], 8
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        if kind == b"IDAT":
            pieces.append(png[at + 8 : at + 8 + length])
        at += 12 + length
    return b"".join(pieces)


def run_arm(arm: str, source: str, dataset: str) -> None:
    """Measure an arm in this process, and print its seconds."""
    work = ARMS[arm](source, dataset)
    before, start = cpu_seconds(), time.perf_counter()
    work()
    wall = time.perf_counter() - start
    print(json.dumps({"cpu_seconds": cpu_seconds() - before, "wall_seconds": wall}))


def cpu_seconds() -> float:
    """Of this process and of its children that have ended."""
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


# Who measures.


def measure(arm: str, source: str, dataset: str, folder: Path) -> dict[str, float]:
    """One run of an arm in a process of its own: its seconds, and its peak of memory."""
    process = subprocess.Popen(  # noqa: S603 - this very program
        [sys.executable, "-m", "bench.preprocess", "--arm", arm, source, dataset],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    peak = 0
    while process.poll() is None:
        peak = max(peak, resident(process.pid))
        time.sleep(0.02)
    said = process.communicate()[0]
    if process.returncode:
        sys.exit(f"bench: {arm} of {dataset} ended with {process.returncode}")
    seconds: dict[str, float] = json.loads(said.splitlines()[-1])
    return seconds | {"peak_megabytes": peak / 1e6}


def resident(process: int) -> int:
    """Bytes of memory of a process and of all that descend from it."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:  # it has ended
        return 0
    own = int(status.partition("VmRSS:")[2].split()[0]) * 1024 if "VmRSS:" in status else 0
    return own + sum(resident(int(child)) for child in children)


def lay_out(folder: Path, source: str, mirror: Path) -> None:
    """Put params.yaml and the archives into `folder` as the stages want them, and unpack these."""
    shutil.copy("params.yaml", folder)
    limits = params.load("unzip", archives.Limits)
    for dataset, names in ARCHIVES.items():
        raw = folder / "data/raw" / source / dataset
        raw.mkdir(parents=True)
        for name in names:
            shutil.copy(mirror / name, raw)
        if dataset == "mnist":
            continue
        with archives.opened(sorted(raw.iterdir()), limits) as members:
            for member in members:
                path = folder / "unpacked" / source / dataset / member.path
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"".join(member.chunks()))


def medians(runs: list[dict[str, float]], images: int) -> dict[str, float]:
    """The medians of an arm's runs, and the rates that follow from them."""
    row = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
    return {
        "cpu_seconds": round(row["cpu_seconds"], 2),
        "wall_seconds": round(row["wall_seconds"], 2),
        "images_per_cpu_second": round(images / row["cpu_seconds"]),
        "images_per_second": round(images / row["wall_seconds"]),
        "peak_megabytes": round(row["peak_megabytes"]),
    }


def comparison(arms: dict[str, dict[str, float]]) -> dict[str, float]:
    """How one data set does against what it is held to."""
    found = {"archive_to_tensors_cpu_seconds": total(arms, "preprocess")}
    if "preprocess, one core" in arms:
        alone = total(arms, "preprocess, one core")
        found["archive_to_tensors_cpu_seconds_on_one_core"] = alone
    for other in ("loop", "limit"):
        if other in arms:
            ratio = arms[other]["cpu_seconds"] / arms["preprocess, one core"]["cpu_seconds"]
            found[f"images_per_cpu_second_against_{other}"] = round(ratio, 2)
    return found


def total(arms: dict[str, dict[str, float]], stage: str) -> float:
    """CPU seconds of unzip and of one way of preprocess."""
    return round(sum(arms[arm]["cpu_seconds"] for arm in ("unzip", stage)), 2)


def processor() -> str:
    """The model's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if "model name" in line)
    except (OSError, StopIteration):
        return platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--arm", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.arm:
        run_arm(*given.arm)
        return
    mirror = os.environ.get("DATA_MIRROR")
    if mirror and not Path(mirror).is_dir():
        raise InputError(f"DATA_MIRROR={mirror}: the benchmark reads from a folder")
    source = "dropbox" if mirror else "sample"
    runs: dict[str, dict[str, list[dict[str, float]]]] = {name: {} for name in ARCHIVES}
    with tempfile.TemporaryDirectory() as folder:
        lay_out(Path(folder), source, Path(mirror or "data/sample"))
        for repetition in range(given.repetitions):
            for dataset in ARCHIVES:
                for arm in ARMS if dataset != "mnist" else ("unzip", "preprocess"):
                    run = measure(arm, source, dataset, Path(folder))
                    runs[dataset].setdefault(arm, []).append(run)
                    print(f"{repetition + 1}  {dataset:12}{arm:22}{run}", flush=True)
    results: dict[str, Any] = {}
    for dataset, arms in runs.items():
        recipe = params.load(f"preprocess.{source}.{dataset}", preprocess.Preprocess)
        images = recipe.images + recipe.test_images
        rows = {arm: medians(found, images) for arm, found in arms.items()}
        results[dataset] = {"images": images, **comparison(rows), "arms": rows}
    about = {
        "source": source,
        "repetitions": given.repetitions,
        "cpu": processor(),
        "cores": cores.available(),
        "versions": {name: version(name) for name in LIBRARIES},
    }
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    RESULT.write_text(json.dumps({"about": about, "results": results}, indent=2) + "\n")
    print(table(results))


def table(results: dict[str, Any]) -> str:
    """The medians, for people."""
    lines = []
    for dataset, found in results.items():
        title = f"{dataset}, {found['images']:,} images"
        lines.append(f"\n{title:40}{_HEADER}")
        for arm, row in found["arms"].items():
            lines.append(f"  {arm:38}" + "".join(f"{value:>14,}" for value in row.values()))
        for key, value in found.items():
            if key not in ("images", "arms"):
                lines.append(f"  {key.replace('_', ' '):50}{value:>16}")
    return "\n".join(lines)


if __name__ == "__main__":
    try:
        main()
    except (InputError, OSError) as error:
        sys.exit(f"bench.preprocess: {error}")
