"""What the stages cost when there are more images: drawn digits, no two alike.

python -m bench.scale [--images N ...] [--kinds KIND ...]

Digits of the sample, shifted and inked anew, in a workspace of their own: as MNIST's files (idx) or
as a zip of PNG files in class folders (zip). The stages unzip and preprocess are measured, each in
a process of its own; from idx also one training of a small network, an epoch on one core, and, of a
million images at most, diagnose-labels. The report is measured once: it reads no images. Memory is
that of the largest process, CPU seconds are of all. `exponents` are those of the wall seconds over
the images, from one size to the next. docs/scale.md goes on from these figures. The largest takes
13 GB of disk as idx, 20 as zip, and up to half an hour.

reads   data/sample/train-{images,labels}-idx?-ubyte.gz, params.yaml,
        artifacts/sample/pretrained/digits.pt and what the sample's report is made of
writes  bench/results/scale.json
"""

import gzip
import math
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import chdir
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from tqdm import tqdm

from bench import report
from handwriting.core import params
from handwriting.data import dataset as data_sets
from stages.data import preprocess, unzip
from tools import program

_CHUNK = 3000  # images drawn at a time
_TESTED = 6  # one test image for so many training images, as MNIST has it
_EXAMINED = 1_000_000  # images whose labels are diagnosed, at most
_SIDE = 28
_PNG = b"\x89PNG\r\n\x1a\n"
_HEADER = struct.pack(">2I5B", _SIDE, _SIDE, 8, 0, 0, 0, 0)  # of a PNG: 8 bits of grey
Drawn = tuple[NDArray[np.uint8], NDArray[np.uint8]]  # [n, 28, 28] and their classes, [n]


def digits(counts: list[int]) -> Iterator[Iterator[Drawn]]:
    """Yield chunks of so many images, for each of the counts.

    They change so little that MNIST could hold them: framing leaves them as they are.
    """
    content = [gzip.decompress((report.SAMPLE / name).read_bytes()) for name in report.MNIST[:2]]
    pixels = np.frombuffer(content[0], np.uint8, offset=16).reshape(-1, _SIDE, _SIDE)[:_CHUNK]
    labels = np.frombuffer(content[1], np.uint8, offset=8)[:_CHUNK]
    rng = np.random.default_rng(0)

    def chunks(count: int) -> Iterator[Drawn]:
        for begin in range(0, count, len(pixels)):
            some = slice(min(len(pixels), count - begin))
            moves = ((each, rng.integers(-1, 2, 2)) for each in pixels[some])
            drawn = np.stack([np.roll(each, move, (0, 1)) for each, move in moves])
            faded = rng.integers(0, 32, drawn.shape, np.uint8)
            yield np.where(drawn > faded, drawn - faded, 0).astype(np.uint8), labels[some]

    yield from map(chunks, counts)


def draw_idx(folder: Path, images: int) -> None:
    """Write MNIST's four files with so many training images, and a sixth as many for tests."""
    counts, names = [images, images // _TESTED], (report.MNIST[:2], report.MNIST[2:])
    folder.mkdir(parents=True)
    for count, chunks, pair in zip(counts, digits(counts), names, strict=True):
        paths = [folder / name for name in pair]
        with gzip.open(paths[0], "wb", 1) as first, gzip.open(paths[1], "wb", 1) as second:
            first.write(struct.pack(">4I", 0x803, count, _SIDE, _SIDE))
            second.write(struct.pack(">2I", 0x801, count))
            for pixels, labels in chunks:
                first.write(pixels.tobytes())
                second.write(labels.tobytes())


def draw_zip(folder: Path, images: int) -> None:
    """Write a zip of so many PNG files in ten folders, named as mnistTask3's."""
    folder.mkdir(parents=True)
    [chunks] = digits([images])
    with zipfile.ZipFile(folder / "digits.zip", "w") as archive:
        for number, (pixels, labels) in enumerate(chunks):
            for i, (each, label) in enumerate(zip(pixels, labels.tolist(), strict=True)):
                path = f"digits/{label}/image_{number * _CHUNK + i:08d}.png"
                archive.writestr(zipfile.ZipInfo(path), png(each))


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Return a PNG file of uint8 [28, 28], without any filter: Pillow takes five times as long."""
    rows = np.pad(pixels, ((0, 0), (1, 0))).tobytes()
    parts = ((b"IHDR", _HEADER), (b"IDAT", zlib.compress(rows, 1)), (b"IEND", b""))
    checked = (
        len(x).to_bytes(4) + kind + x + zlib.crc32(kind + x).to_bytes(4) for kind, x in parts
    )
    return _PNG + b"".join(checked)


# The data set that each kind is prepared as, and what draws it.
KINDS: dict[str, tuple[str, Callable[[Path, int], None]]] = {
    "idx": ("mnist", draw_idx),
    "zip": ("mnistTask3", draw_zip),
}


def finetune(_: str) -> None:
    """Train a small network for an epoch."""
    from bench.training import setup  # torch, here alone: the other stages are measured without
    from handwriting.evaluation.study import ONE_CORE
    from handwriting.training import checkpoint, model, runs

    shape, plan = setup("small")
    [split] = data_sets.load_splits("sample", "mnist", "train")
    run, network = checkpoint.Run(data="mnist"), model.fresh(shape, "bench", 0)
    job = runs.Job(run, network, replace(plan, epochs=1))
    runs.train([job], runs.Data(split), ONE_CORE, Path("scratch"))


def diagnose(name: str) -> None:
    """Diagnose labels, all of which are right."""
    from stages.mnistTask3 import diagnose

    diagnose.main(Path("scratch"), "sample", name)


def page(_: str) -> None:
    """Make the sample's report."""
    from stages.report import report as stage

    stage.main(Path("scratch"), "sample")


STAGES: dict[str, Callable[[str], None]] = {
    "unzip": partial(unzip.main, Path(), "sample"),
    "preprocess": partial(preprocess.main, Path(), "sample"),
    "finetune": finetune,
    "diagnose-labels": diagnose,
    "report": page,
}


def measured(stage: str, dataset: str) -> dict[str, float]:
    """Run a stage; return what it costs this process, which does nothing else, and its workers."""
    cost = report.cost(partial(STAGES[stage], dataset))
    seconds, peak = report.usage()
    return {
        "wall_seconds": round(cost["wall_seconds"], 2),
        "cpu_seconds": round(seconds, 2),
        "peak_memory_mb": round(peak / 1024),
    }


def at(kind: str, images: int, content: dict[str, Any]) -> dict[str, Any]:
    """Return what so many images cost, in a workspace that is then removed."""
    (dataset, draw), tests = KINDS[kind], images // _TESTED if kind == "idx" else 0
    names = ["unzip", "preprocess"] if kind == "zip" else ["unzip", "preprocess", "finetune"]
    if kind == "idx" and images <= _EXAMINED:
        names.append("diagnose-labels")
    with tempfile.TemporaryDirectory() as folder:
        data, digits = Path(folder, "data"), Path("artifacts/sample/pretrained/digits.pt")
        # In a process of its own: what it takes would count as memory of the stages.
        report.alone(draw, data / f"raw/sample/{dataset}", images)
        content["sample"]["images"][dataset] |= {"train": images, "test": tests}
        epochs = 3 * (2000 / images) ** 0.45  # as `handwriting diagnose` has it
        content["sample"]["diagnose_labels"]["epochs"] = [epochs, 1.7 * epochs]
        Path(folder, params.PATH).write_text(yaml.safe_dump(content))
        Path(folder, digits).parent.mkdir(parents=True)
        shutil.copy(digits, Path(folder, digits))
        with chdir(folder):
            Path("scratch").mkdir()
            stages = {stage: report.alone(measured, stage, dataset) for stage in names}
        disk = {
            name: round(sum(p.stat().st_size for p in (data / name).rglob("*.*")) / 1e6)
            for name in ("raw", "images", "tensors")
        }
    return {"kind": kind, "images": images + tests, **stages, "disk_mb": disk}


def of_report() -> dict[str, float]:
    """Return what the sample's report costs, made in a folder that is then removed."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("artifacts/sample", "metrics/sample", "data/sample"):
            shutil.copytree(name, Path(folder, name))
        for path in (params.PATH, Path("requirements.txt")):
            shutil.copy(path, folder)
        with chdir(folder):
            Path("scratch").mkdir()
            found: dict[str, float] = report.alone(measured, "report", "")
    return found


def exponents(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the exponents of the wall seconds over the images, of neighbours of one kind."""
    return [
        {"kind": one["kind"], "images": other["images"]}
        | {stage: exponent(one, other, stage) for stage in STAGES if {stage} <= {*one} & {*other}}
        for one, other in pairwise(rows)
        if one["kind"] == other["kind"] and one["images"] != other["images"]
    ]


def exponent(one: dict[str, Any], other: dict[str, Any], stage: str) -> float:
    """Return that of one stage between two sizes."""
    seconds = other[stage]["wall_seconds"] / one[stage]["wall_seconds"]
    return round(math.log(seconds) / math.log(other["images"] / one["images"]), 3)


def main(
    images: tuple[int, ...] = (60_000, 600_000, 6_000_000), kinds: tuple[str, ...] = (*KINDS,)
) -> None:
    """Measure and write."""
    content = yaml.safe_load(params.PATH.read_text(encoding="utf-8"))
    runs = [(kind, count) for kind in kinds for count in images]
    rows = list[dict[str, Any]]()
    for run in tqdm(runs, disable=None):
        rows.append(at(*run, content))
        found = {"report": of_report(), "costs": rows, "exponents": exponents(rows)}
        report.write("scale", found)
    print(*rows, *exponents(rows), sep="\n")


if __name__ == "__main__":
    program.run(main)
