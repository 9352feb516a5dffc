"""From the archives to tensors: our two stages against the notebooks' loop and the bare limit.

python -m bench.preprocess [--repetitions N]

Rules. Every measurement is a process of its own, and they are interleaved: one of each, N times,
of which the medians count. Seconds begin when Python and its libraries have been loaded; those of
the stages end with files on the disk. "One core" is the same stage with a single worker, whose
start-up the others' CPU seconds include. The loop is torchvision's ImageFolder with the transforms
that notebooks use, over files that were unpacked before; it ends in one array in memory. The limit
is stock zlib inflating the PNGs' data, or, for a JPEG, libjpeg-turbo alone. Peak memory is that of
the largest process.

reads   the archives in the folder $DATA_MIRROR, or the sample's
writes  bench/results/preprocess.json
"""

import argparse
import json
import os
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

import joblib
from kornia_rs.io import decode_image_jpegturbo

from bench import report
from handwriting.core import params
from handwriting.core.errors import InputError
from handwriting.preprocessing.settings import Images
from handwriting.raw import archives
from stages.data import preprocess, unzip

MNIST = [f"{s}-{k}-ubyte.gz" for s in ("train", "t10k") for k in ("images-idx3", "labels-idx1")]
ARCHIVES = {"characters": ["trainPart1.zip"], "mnist": MNIST, "mnistTask3": ["mnistTask3.zip"]}
LIBRARIES = ("numpy", "pillow", "kornia-rs", "safetensors", "torch", "torchvision")
USAGES = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
Row = dict[str, float]
Work = Callable[[], object]  # what is measured, once all is loaded


def stage(main: Callable[[Path, str, str], None], source: str, dataset: str) -> Work:
    """A stage, on all cores."""
    Path("scratch").mkdir(exist_ok=True)
    return partial(main, Path("scratch"), source, dataset)


def one_core(source: str, dataset: str) -> Work:
    """The stage without a process but this one."""
    joblib.cpu_count = lambda: 1
    return stage(preprocess.main, source, dataset)


def loop(source: str, dataset: str) -> Work:
    """What notebooks do."""
    import torch  # here alone: the stages that are measured do without it
    from torchvision import datasets, transforms

    torch.set_num_threads(1)
    steps = [transforms.Grayscale(), transforms.Resize((28, 28)), transforms.PILToTensor()]
    (root,) = Path("unpacked", source, dataset).iterdir()
    images = datasets.ImageFolder(root, transforms.Compose(steps))
    return lambda: torch.stack([image for image, _ in images])


def limit(source: str, dataset: str) -> Work:
    """Decompression and nothing else."""
    contents = [path.read_bytes() for path in Path("unpacked", source, dataset).glob("*/*/*")]
    if all(content.startswith(b"\xff\xd8") for content in contents):
        return lambda: [len(decode_image_jpegturbo(content, "mono")) for content in contents]
    streams = [image_data(content) for content in contents]
    return lambda: [len(zlib.decompress(stream)) for stream in streams]


WORK: dict[str, Callable[[str, str], Work]] = {
    "unzip": partial(stage, unzip.main),
    "preprocess": partial(stage, preprocess.main),
    "preprocess, one core": one_core,
    "loop": loop,
    "limit": limit,
}


def image_data(png: bytes) -> bytes:
    """Return the compressed stream of a PNG."""
    pieces, at = [], 8
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        if kind == b"IDAT":
            pieces.append(png[at + 8 : at + 8 + length])
        at += 12 + length
    return b"".join(pieces)


def run(name: str, source: str, dataset: str) -> None:
    """Measure one piece of work in this process, and print the result."""
    work = WORK[name](source, dataset)
    before, start = cpu_seconds(), time.perf_counter()
    work()
    wall = time.perf_counter() - start
    peak = max(resource.getrusage(each).ru_maxrss for each in USAGES)
    row = {"cpu_seconds": cpu_seconds() - before, "wall_seconds": wall, "peak_mb": peak / 1000}
    print(json.dumps(row))


def cpu_seconds() -> float:
    """Return those of this process and of its children that have ended."""
    return sum(usage.ru_utime + usage.ru_stime for usage in map(resource.getrusage, USAGES))


def measure(name: str, source: str, dataset: str, folder: Path) -> Row:
    """Return one measurement, in a process of its own."""
    command = [sys.executable, "-m", "bench.preprocess", "--run", name, source, dataset]
    env = {**os.environ, "PYTHONPATH": str(Path.cwd())}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)  # noqa: S603
    if done.returncode:
        raise InputError(f"{name} of {dataset} ended with {done.returncode}: {done.stderr[-500:]}")
    row: Row = json.loads(done.stdout.splitlines()[-1])
    print(f"{dataset:12}{name:22}{row}", flush=True)
    return row


def lay_out(folder: Path, source: str, mirror: Path) -> None:
    """Put params.yaml and the archives into `folder` as the stages want them, and unpack these."""
    shutil.copy("params.yaml", folder)
    limits = params.load("unzip", archives.Limits)
    for dataset, names in ARCHIVES.items():
        raw = folder / "data/raw" / source / dataset
        raw.mkdir(parents=True)
        paths = [Path(shutil.copy(mirror / name, raw)) for name in names]
        if dataset == "mnist":
            continue
        with archives.opened(paths, limits) as members:
            for member in members:
                path = folder / "unpacked" / source / dataset / member.path
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(b"".join(member.chunks()))


def summary(runs: dict[str, list[Row]], images: int) -> dict[str, Any]:
    """Return the medians of a data set, and how they compare."""
    rows = {}
    for name, each in runs.items():
        rows[name] = {key: round(statistics.median(row[key] for row in each), 3) for key in each[0]}
        rows[name]["images_per_cpu_second"] = round(images / rows[name]["cpu_seconds"])
    cpu = {name: row["cpu_seconds"] for name, row in rows.items()}
    found = {"archive_to_tensors_cpu_seconds": round(cpu["unzip"] + cpu["preprocess"], 2)}
    if alone := cpu.get("preprocess, one core"):
        found["archive_to_tensors_cpu_seconds_on_one_core"] = round(cpu["unzip"] + alone, 2)
        for name in ("loop", "limit"):
            found[f"images_per_cpu_second_against_{name}"] = round(cpu[name] / alone, 2)
    return {"images": images, **found, "runs": rows}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--run", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.run:
        run(*given.run)
        return
    mirror = Path(os.environ.get("DATA_MIRROR") or report.SAMPLE)
    if not mirror.is_dir():
        raise InputError(f"DATA_MIRROR={mirror}: the benchmark reads from a folder")
    source = "sample" if mirror == report.SAMPLE else "real"
    runs: dict[str, dict[str, list[Row]]] = {dataset: {} for dataset in ARCHIVES}
    with tempfile.TemporaryDirectory() as folder:
        lay_out(Path(folder), source, mirror)
        for _ in range(given.repetitions):
            for dataset, each in runs.items():
                for name in WORK if dataset != "mnist" else ("unzip", "preprocess"):
                    each.setdefault(name, []).append(measure(name, source, dataset, Path(folder)))
    results = {}
    for dataset, each in runs.items():
        expected = params.load(f"{source}.images.{dataset}", Images)
        results[dataset] = summary(each, expected.train + expected.test)
    about = {"source": source, "repetitions": given.repetitions, "processor": report.processor()}
    about |= {"cores": joblib.cpu_count(), "versions": {name: version(name) for name in LIBRARIES}}
    report.write("preprocess", {"about": about, "results": results})
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    try:
        main()
    except (InputError, OSError) as error:
        sys.exit(f"bench.preprocess: {error}")
