"""From image files to labels: how many a second on one core, and where the time goes.

python -m bench.predict [--source NAME] [--images N] [--repetitions N]

The images are 1200 x 900 PNGs of question one's archive. The shipped network classifies them from
their bytes on: decoded and framed, then predicted in batches, as `predict` does with a folder. The
parts are measured by turns, N times, of which the medians count. Loading Python, its libraries and
the network is left out.

reads   artifacts/<source>/characters.pt, data/images/<source>/characters.tar
writes  bench/results/predict-<source>.json
"""

import argparse
import os
import resource
import statistics
import sys
import time
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from bench import report
from handwriting.classifier import Classifier
from handwriting.core.errors import InputError
from handwriting.raw import tars


def images(archive: Path, count: int) -> list[tuple[str, bytes]]:
    """Return (name, content) of the first images of an archive."""
    with archive.open("rb") as tar:
        return [
            (name, os.pread(tar.fileno(), size, start))
            for name, start, size in islice(tars.listing(archive).members(), count)
        ]


def measure(classifier: Classifier, files: list[tuple[str, bytes]]) -> dict[str, float]:
    """Return the CPU seconds of each part."""
    start = time.process_time()
    framed = [classifier.prepare(content, name) for name, content in files]
    between = time.process_time()
    pixels = np.stack([each.image for each in framed])[:, None]
    classifier.logits(pixels, np.array([each.geometry for each in framed], np.float32))
    return {"decode and frame": between - start, "predict": time.process_time() - between}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--source", default="sample")
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--repetitions", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    classifier = Classifier(f"artifacts/{given.source}/characters.pt")
    files = images(Path(f"data/images/{given.source}/characters.tar"), given.images)
    runs = [measure(classifier, files) for _ in range(given.repetitions)]
    medians = {part: statistics.median(run[part] for run in runs) for part in runs[0]}
    rates = {part: len(files) / spent for part, spent in medians.items()}
    content = {
        "processor": report.processor(),
        "source": given.source,
        "images": len(files),
        "repetitions": given.repetitions,
        "images_per_cpu_second": rates | {"both": len(files) / sum(medians.values())},
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
    }
    report.write(f"predict-{given.source}", content)
    print(content)


if __name__ == "__main__":
    try:
        main()
    except (InputError, OSError) as error:
        sys.exit(f"bench.predict: {error}; has `dvc repro` run?")
