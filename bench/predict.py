"""From image files to labels: how many a second on one core, and where the time goes.

python -m bench.predict [--source NAME] [--images N] [--repetitions N]

The images are 1200 x 900 PNGs of question one's archive. The shipped network classifies them from
their bytes on: decoded and framed, then predicted in batches, as `predict` does with a folder. The
parts are measured by turns, N times, of which the medians count. Loading Python, its libraries and
the network is left out.

reads   artifacts/<source>/characters.pt, data/images/<source>/characters.tar
writes  bench/results/predict-<source>.json
"""

import os
import time
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from bench import report
from handwriting.classifier import Classifier
from handwriting.raw import tars
from tools import program


def measure(classifier: Classifier, files: list[tuple[str, bytes]]) -> dict[str, float]:
    """Return the CPU seconds of each part."""
    start = time.process_time()
    framed = [classifier.prepare(content, name) for name, content in files]
    between = time.process_time()
    pixels = np.stack([each.image for each in framed])[:, None]
    classifier.logits(pixels, np.array([each.geometry for each in framed], np.float32))
    return {"decode and frame": between - start, "predict": time.process_time() - between}


def main(source: str = "sample", images: int = 600, repetitions: int = 5) -> None:
    """Measure and write."""
    torch.set_num_threads(1)
    classifier = Classifier(f"artifacts/{source}/characters.pt")
    path = Path(f"data/images/{source}/characters.tar")
    with path.open("rb") as tar:
        members = islice(tars.listing(path).members(), images)
        files = [(name, os.pread(tar.fileno(), size, start)) for name, start, size in members]
    medians = report.medians(partial(measure, classifier, files), repetitions)
    rates = {part: len(files) / spent for part, spent in medians.items()}
    rates["both"] = len(files) / sum(medians.values())
    content = {"processor": report.processor(), "source": source, "images": len(files)}
    content |= {"repetitions": repetitions, "images_per_cpu_second": rates}
    content["peak_mb"] = report.usage()[1] / 1000
    report.write(f"predict-{source}", content)
    print(content)


if __name__ == "__main__":
    program.run(main, "; has `dvc repro` run?")
