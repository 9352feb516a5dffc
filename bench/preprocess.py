"""From the archives to tensors: our two stages against the notebooks' loop.

python -m bench.preprocess [--repetitions N]

Rules. Every measurement is a process of its own, and they are interleaved: one of each, N times,
of which the medians count. Seconds begin when Python and its libraries have been loaded; those of
the stages end with files on the disk. "One core" is the same stage with a single worker, whose
start-up the others' CPU seconds include. The loop is torchvision's ImageFolder with the transforms
that notebooks use, over files that were unpacked before; it ends in one array in memory. Peak
memory is that of the largest process.

reads   the archives in the folder $DATA_MIRROR, or the sample's
writes  bench/results/preprocess.json
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import chdir
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import joblib

from bench import report
from handwriting.core import params
from handwriting.preprocessing.settings import Images
from stages.data import download, preprocess, unzip
from tools import program

DATASETS = ("characters", "mnist", "mnistTask3")
WORK = ("unzip", "preprocess", "preprocess, one core", "loop")  # of mnist the stages alone
LIBRARIES = ("numpy", "pillow", "kornia-rs", "safetensors", "torch", "torchvision")


def run(name: str, source: str, dataset: str) -> dict[str, float]:
    """Return what a piece of work costs, measured in this process once all is loaded."""
    if name == "loop":
        return report.cost(loop(source, dataset))
    if name == "preprocess, one core":
        joblib.cpu_count = lambda: 1
    stage = unzip if name == "unzip" else preprocess
    return report.cost(partial(stage.main, Path("scratch"), source, dataset))


def loop(source: str, dataset: str) -> Callable[[], object]:
    """Return what notebooks do."""
    import torch  # here alone: the stages that are measured do without it
    from torchvision import datasets, transforms

    torch.set_num_threads(1)
    steps = [transforms.Grayscale(), transforms.Resize((28, 28)), transforms.PILToTensor()]
    (root,) = Path("unpacked", source, dataset).iterdir()
    images = datasets.ImageFolder(root, transforms.Compose(steps))
    return lambda: torch.stack([image for image, _ in images])


def round_of_all(source: str) -> dict[tuple[str, str, str], float]:
    """Return one measurement of everything, each in a process of its own."""
    found: dict[tuple[str, str, str], float] = {}
    for dataset in DATASETS:
        for name in WORK[:2] if dataset == "mnist" else WORK:
            row = report.alone(run, name, source, dataset)
            print(f"{dataset:12}{name:22}{row}", flush=True)
            found |= {(dataset, name, quantity): value for quantity, value in row.items()}
    return found


def lay_out(source: str, sample: Path) -> None:
    """Put the archives into this folder as the stages want them, and unpack them."""
    Path("scratch").mkdir()
    Path("data").mkdir()
    Path("data/sample").symlink_to(sample)
    for dataset in DATASETS:
        download.main(Path("scratch"), source, dataset)
        unzip.main(Path("scratch"), source, dataset)
        tar = f"data/images/{source}/{dataset}.tar"
        report.unpack(Path(tar), Path("unpacked", source, dataset))


def summary(rows: dict[str, dict[str, float]], images: int) -> dict[str, Any]:
    """Return the medians of a data set, and how they compare."""
    for row in rows.values():
        row["images_per_cpu_second"] = round(images / row["cpu_seconds"])
    cpu = {name: row["cpu_seconds"] for name, row in rows.items()}
    found = {"archive_to_tensors_cpu_seconds": round(cpu["unzip"] + cpu["preprocess"], 2)}
    if alone := cpu.get("preprocess, one core"):
        found["archive_to_tensors_cpu_seconds_on_one_core"] = round(cpu["unzip"] + alone, 2)
        found["images_per_cpu_second_against_loop"] = round(cpu["loop"] / alone, 2)
    return {"images": images, **found, "runs": rows}


def main(repetitions: int = 5) -> None:
    """Measure and write."""
    sample, mirror = report.SAMPLE.absolute(), report.mirror().absolute()
    source = "sample" if mirror == sample else "real"
    os.environ["DATA_MIRROR"] = str(mirror)
    rows: dict[str, dict[str, dict[str, float]]] = {dataset: {} for dataset in DATASETS}
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(params.PATH, folder)
        with chdir(folder):
            report.alone(lay_out, source, sample)
            medians = report.medians(partial(round_of_all, source), repetitions)
    for (dataset, name, quantity), value in medians.items():
        rows[dataset].setdefault(name, {})[quantity] = round(value, 3)
    results = {}
    for dataset, each in rows.items():
        expected = params.load(f"{source}.images.{dataset}", Images)
        results[dataset] = summary(each, expected.train + expected.test)
    about = {"source": source, "repetitions": repetitions, "processor": report.processor()}
    about |= {"cores": joblib.cpu_count(), "versions": {name: version(name) for name in LIBRARIES}}
    report.write("preprocess", {"about": about, "results": results})
    print(json.dumps(results, indent=2))


if __name__ == "__main__":
    program.run(main)
