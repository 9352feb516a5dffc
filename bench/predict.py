"""From image files to labels: how many a second on one core, and where the time goes.

python -m bench.predict [--source NAME] [--images N] [--photos N] [--repetitions N]

The images are 1200 x 900 PNGs of question one's archive. The shipped network classifies them from
their bytes on: decoded and framed, then predicted in batches, as `predict` does with a folder. The
parts are measured by turns, N times, of which the medians count. Loading Python, its libraries and
the network is left out.

Then photos of a phone, 12 megapixels each, a second of all cores: by Classifier.predict_batch()
and as people copy it, scaled by Pillow to the size of the network and predicted one by one.

reads   artifacts/<source>/characters.pt, data/images/<source>/characters.tar
writes  bench/results/predict-<source>.json
"""

import io
import os
import time
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from joblib import cpu_count
from PIL import Image, ImageDraw

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


def photo() -> bytes:
    """Return a JPEG of dark ink on shaded paper, with a sensor's noise."""
    shade = Image.linear_gradient("L").resize((4000, 3000)).point(lambda level: 160 + level / 4)
    ImageDraw.Draw(shade).line([(1500, 800), (2400, 900), (1800, 2300)], fill=40, width=120)
    noisy = Image.blend(shade, Image.effect_noise(shade.size, 40), 0.1).convert("RGB")
    noisy.save(file := io.BytesIO(), "JPEG", quality=90)
    return file.getvalue()


def measure_photos(classifier: Classifier, photos: list[bytes]) -> dict[str, float]:
    """Return the seconds of either way."""
    start = time.perf_counter()
    list(classifier.predict_batch(photos, processes=cpu_count()))
    between, side = time.perf_counter(), classifier.size
    for content in photos:
        small = Image.open(io.BytesIO(content)).convert("L").resize((side, side))
        classifier.probabilities(255 - np.asarray(small)[None, None])
    ended = time.perf_counter()
    return {"photos": between - start, "photos, what people copy": ended - between}


def main(source: str = "sample", images: int = 600, photos: int = 60, repetitions: int = 5) -> None:
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
    seconds = report.medians(partial(measure_photos, classifier, [photo()] * photos), repetitions)
    content["photos_per_second"] = {way: photos / spent for way, spent in seconds.items()}
    content["peak_mb"] = report.usage()[1] / 1000
    report.write(f"predict-{source}", content)
    print(content)


if __name__ == "__main__":
    program.run(main, "; has `dvc repro` run?")
