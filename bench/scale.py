"""What archive to tensors costs when there are more images: drawn digits, no two alike.

python -m bench.scale [--images N ...]

Digits of the sample, shifted and inked anew, as MNIST's own files, in a workspace of their own. The
stages unzip and preprocess are measured with the start-up of Python, each in a process of its own.
docs/scale.md extrapolates from these figures. The largest takes 13 GB of disk, 7 of memory and a
quarter of an hour.

reads   data/sample/train-{images,labels}-idx?-ubyte.gz, params.yaml
writes  bench/results/scale.json
"""

import gzip
import struct
import tempfile
from contextlib import chdir
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from tqdm import tqdm

from bench import report
from handwriting.core import params
from stages.data import preprocess, unzip
from tools import program

_CHUNK = 3000  # images drawn at a time
_TESTED = 6  # one test image for so many training images, as MNIST has it


def draw(folder: Path, images: int) -> None:
    """Write MNIST's four files with so many training images, and a sixth as many for tests."""
    content = [gzip.decompress((report.SAMPLE / name).read_bytes()) for name in report.MNIST[:2]]
    pixels = np.frombuffer(content[0], np.uint8, offset=16).reshape(-1, 28, 28)[:_CHUNK]
    labels = np.frombuffer(content[1], np.uint8, offset=8)[:_CHUNK]
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for names, count in ((report.MNIST[:2], images), (report.MNIST[2:], images // _TESTED)):
        paths = [folder / name for name in names]
        with gzip.open(paths[0], "wb", 1) as first, gzip.open(paths[1], "wb", 1) as second:
            first.write(struct.pack(">4I", 0x803, count, 28, 28))
            second.write(struct.pack(">2I", 0x801, count))
            for begin in range(0, count, len(pixels)):
                some = slice(min(len(pixels), count - begin))
                moves = ((each, rng.integers(-3, 4, 2)) for each in pixels[some])
                drawn = np.stack([np.roll(each, move, (0, 1)) for each, move in moves])
                ink = rng.integers(-120, 1, drawn.shape) * (drawn > 0)
                first.write(np.clip(drawn + ink, 0, 255).astype(np.uint8).tobytes())
                second.write(labels[some].tobytes())


def measured(stage: str) -> dict[str, float]:
    """Run a stage on mnist; return CPU seconds and peak memory of this process, all it has done."""
    module = {"unzip": unzip, "preprocess": preprocess}[stage]
    module.main(Path(), "sample", "mnist")
    seconds, peak = report.usage()
    return {"cpu_seconds": round(seconds, 2), "peak_memory_mb": round(peak / 1024)}


def at(images: int, content: dict[str, Any]) -> dict[str, Any]:
    """Return what so many images cost, in a workspace that is then removed."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder, "data")
        draw(data / "raw/sample/mnist", images)
        content["sample"]["images"]["mnist"] |= {"train": images, "test": images // _TESTED}
        content["unzip"] |= {"max_bytes": 2000 * images, "max_members": 4 * images}
        Path(folder, params.PATH).write_text(yaml.safe_dump(content))
        with chdir(folder):
            stages = {stage: report.alone(measured, stage) for stage in ("unzip", "preprocess")}
        disk = {
            name: round(sum(p.stat().st_size for p in (data / name).rglob("*.*")) / 1e6)
            for name in ("raw", "images", "tensors")
        }
    return {"images": images + images // _TESTED, **stages, "disk_mb": disk}


def main(images: tuple[int, ...] = (60_000, 600_000, 6_000_000)) -> None:
    """Measure and write."""
    content = yaml.safe_load(params.PATH.read_text(encoding="utf-8"))
    rows = [at(count, content) for count in tqdm(images, disable=None)]
    report.write("scale", rows)
    print(*rows, sep="\n")


if __name__ == "__main__":
    program.run(main)
