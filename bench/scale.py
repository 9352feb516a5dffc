"""What archive to tensors costs when there are more images: drawn digits, no two alike.

python -m bench.scale [--images N ...]

Digits of the sample, shifted and inked anew, as MNIST's own files, in a workspace of their own: the
stages unzip and preprocess, start-up of Python included, by the operating system's own accounts.
docs/cost.md reckons from these figures what the next power of ten costs. The largest takes 13 GB of
disk, 7 of memory and a quarter of an hour.

reads   data/sample/train-{images,labels}-idx?-ubyte.gz, params.yaml
writes  bench/results/scale.json
"""

import argparse
import gzip
import json
import os
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from tqdm import tqdm

from handwriting.core import params
from handwriting.core.errors import InputError

RESULTS = Path("bench/results")
_CHUNK = 3000  # images drawn at a time
_TESTED = 6  # one test image for so many to learn from, as MNIST has it


def draw(folder: Path, images: int) -> None:
    """MNIST's four files with so many images to learn from, and a sixth as many for tests."""
    sample = Path("data/sample")
    read = {
        kind: gzip.decompress((sample / f"train-{kind}-ubyte.gz").read_bytes())
        for kind in ("images-idx3", "labels-idx1")
    }
    pixels = np.frombuffer(read["images-idx3"], np.uint8, offset=16).reshape(-1, 28, 28)[:_CHUNK]
    labels = np.frombuffer(read["labels-idx1"], np.uint8, offset=8)[:_CHUNK]
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True)
    for split, count in (("train", images), ("t10k", images // _TESTED)):
        with (
            gzip.open(folder / f"{split}-images-idx3-ubyte.gz", "wb", compresslevel=1) as first,
            gzip.open(folder / f"{split}-labels-idx1-ubyte.gz", "wb", compresslevel=1) as second,
        ):
            first.write(struct.pack(">4I", 0x803, count, 28, 28))
            second.write(struct.pack(">2I", 0x801, count))
            for begin in range(0, count, len(pixels)):
                some = slice(min(len(pixels), count - begin))
                drawn = np.stack(
                    [np.roll(each, rng.integers(-3, 4, 2), (0, 1)) for each in pixels[some]]
                )
                ink = rng.integers(-120, 1, drawn.shape) * (drawn > 0)
                first.write(np.clip(drawn + ink, 0, 255).astype(np.uint8).tobytes())
                second.write(labels[some].tobytes())


def measured(workspace: Path, stage: str) -> dict[str, float]:
    """CPU seconds and peak memory of a stage on mnist. Raises InputError if it fails."""
    environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
    command = [sys.executable, "-m", f"stages.{stage}", "sample", "mnist"]
    done = subprocess.Popen(  # noqa: S603 - our own stages
        command, cwd=workspace, env=environment, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(done.pid, 0)
    done.returncode = os.waitstatus_to_exitcode(status)
    if done.returncode:
        raise InputError(f"{stage} failed on drawn digits")
    return {
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_memory_mb": round(usage.ru_maxrss / (1 if sys.platform == "darwin" else 1024)),
    }


def at(images: int, content: dict[str, Any]) -> dict[str, Any]:
    """What so many images cost, in a workspace that is then removed."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder)
        raw = workspace / "data/raw/sample/mnist"
        draw(raw, images)
        counts = {"images": images, "test_images": images // _TESTED}
        content["preprocess"]["sample"]["mnist"] |= counts
        content["unzip"] |= {"max_bytes": 2000 * images, "max_members": 4 * images}
        (workspace / params.PATH).write_text(yaml.safe_dump(content))
        stages = {stage: measured(workspace, stage) for stage in ("unzip", "preprocess")}
        places = {
            "raw": raw,
            "tar": workspace / "data/images",
            "tensors": workspace / "data/tensors",
        }
        disk = {
            name: round(
                sum(each.stat().st_size for each in place.rglob("*.*") if each.is_file()) / 1e6
            )
            for name, place in places.items()
        }
    return {"images": images + images // _TESTED, **stages, "disk_mb": disk}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, nargs="+", default=[60_000, 600_000, 6_000_000])
    given = parser.parse_args()
    content = yaml.safe_load(params.PATH.read_text(encoding="utf-8"))
    rows = [at(images, content) for images in tqdm(given.images, disable=None)]
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / "scale.json").write_text(json.dumps(rows, indent=2) + "\n")
    for row in rows:
        print(json.dumps(row))


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"bench.scale: {error}")
