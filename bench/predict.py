"""From image files to labels: how many a second on one core, and what the time goes to.

python -m bench.predict [--source NAME] [--images N] [--repetitions N]

The images are of the archive of question one, 1200 x 900 PNGs, read by the shipped network from
their bytes on: decoded and framed, then answered in batches, as `predict` does with a folder. The
parts are measured by turns, N times, of which the medians count; seconds begin when Python and its
libraries have been loaded, the network too.

reads   artifacts/<source>/characters.pt, data/images/<source>/characters.tar
writes  bench/results/predict-<source>.json
"""

import argparse
import json
import os
import resource
import statistics
import sys
import time
from itertools import islice
from pathlib import Path

import numpy as np
import torch

from handwriting.classifier import Classifier
from handwriting.core import params
from handwriting.core.errors import InputError
from handwriting.raw import tars

RESULTS = Path("bench/results")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--source", default=params.load("source", str))
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--repetitions", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    classifier = Classifier(f"artifacts/{given.source}/characters.pt")
    archive = Path(f"data/images/{given.source}/characters.tar")
    with archive.open("rb") as tar:
        files = [
            (name, os.pread(tar.fileno(), size, start))
            for name, start, size in islice(tars.listing(archive).members(), given.images)
        ]
    seconds: dict[str, list[float]] = {"decode and frame": [], "answer": []}
    for _ in range(given.repetitions):
        start = time.process_time()
        framed = [classifier.prepare(content, name) for name, content in files]
        between = time.process_time()
        pixels = np.stack([each.image for each in framed])[:, None]
        classifier.logits(pixels, np.array([each.place for each in framed], np.float32))
        seconds["decode and frame"].append(between - start)
        seconds["answer"].append(time.process_time() - between)
    medians = {part: statistics.median(each) for part, each in seconds.items()}
    content = {
        "processor": torch.cpu.get_capabilities().get("cpu_name", ""),
        "source": given.source,
        "images": len(files),
        "repetitions": given.repetitions,
        "images_per_cpu_second": {part: len(files) / spent for part, spent in medians.items()}
        | {"both": len(files) / sum(medians.values())},
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content, indent=2)
    (RESULTS / f"predict-{given.source}.json").write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    try:
        main()
    except (InputError, OSError) as error:
        sys.exit(f"bench.predict: {error}; has `dvc repro` run?")
