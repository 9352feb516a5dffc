"""Question two in seconds: what it costs from each init to reach a validation accuracy.

python -m bench.transfer [--source NAME] [--steps N] [--repeats N]

The pipeline counts images, which are the same on every machine. Here the trainings of question two
take turns on one thread of this machine, a few steps at a time. The median cost of an image, in CPU
seconds, times the median images to a threshold is the time to it. It is empty where no more than
half of the runs reached the threshold, or where the learning curve cannot decide.

reads   metrics/<source>/transfer/speed.csv, artifacts/<source>/pretrained/,
        data/tensors/<source>/mnist/
writes  bench/results/transfer.json
"""

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from bench import report
from handwriting.core import files, params
from handwriting.core.errors import InputError
from handwriting.data import dataset
from handwriting.training import loop, pretrained, runs
from handwriting.training.compute import Compute
from handwriting.training.optimizer import Recipe
from handwriting.training.resume import Progress
from handwriting.training.runs import Data, Job
from stages.mnist import finetune

INITS = ("random", "digits", "characters")
IDENTITY = ("init", "method", "labels")


def study(source: str, init: str, data: Data) -> finetune.Study:
    """Return the settings of an init's runs, as the stage loads them."""
    digits = params.load(f"{source}.digits", pretrained.Digits)
    full_data = params.load(f"{source}.full_data", pretrained.FullData)
    settings = params.load("finetune_mnist", finetune.Settings)
    path, kinds = pretrained.path(source, init), (full_data.model_size, digits.model_size)
    first, second = (pretrained.load(path, size, 1) for size in kinds)  # one seed is enough
    one = dict.fromkeys(params.load(f"{source}.seeds.labels", pretrained.Labels), 1)
    return finetune.Study(
        init=init,
        training=params.load("training", Recipe),
        digits=digits,
        full_data=full_data,
        labels=params.load(f"{source}.labels", pretrained.Labels),
        methods=params.load(f"{source}.methods", finetune.Methods),
        seeds=finetune.Seeds(1, one, 1),
        layerwise_decay=settings.layerwise_decay,
        data=data,
        full_size=first,
        default_size=second,
    )


def seconds_per_image(job: Job, data: Data, compute: Compute, steps: int) -> float:
    """Return the CPU seconds of training for an image, without validations."""
    train = runs.labelled(runs.chosen(job, data).train, job.network, compute)
    runs.place_on_device(job.network, compute)
    images = steps * min(job.plan.recipe.batch_size, len(train.images))
    plan = replace(job.plan, epochs=images / len(train.images))
    with tempfile.TemporaryDirectory() as folder:
        begun = time.process_time()
        loop.fit(job.network, train, None, plan, Progress(str(job.run), "", Path(folder)))
        return (time.process_time() - begun) / images


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--source", default="sample")
    parser.add_argument("--steps", type=int, default=20, help="of each turn")
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    compute = replace(params.load("compute", Compute), device="cpu")
    compute.configure_torch()
    rows = files.read_csv(Path(f"metrics/{given.source}/transfer/speed.csv"))
    data = Data(dataset.load(Path(f"data/tensors/{given.source}/mnist/train.safetensors")))
    found = [job for init in INITS for job in finetune.all_jobs(study(given.source, init, data))]
    jobs = {(job.run.init, job.run.method, job.run.labels): job for job in found}
    costs: dict[tuple[str, ...], list[float]] = {which: [] for which in jobs}
    for _ in tqdm(range(given.repeats), unit="round", disable=None):
        for which, job in jobs.items():
            costs[which].append(seconds_per_image(job, data, compute, given.steps))
    cost: dict[tuple[str, ...], float] = {k: statistics.median(v) for k, v in costs.items()}
    seconds: dict[tuple[str, ...], dict[str, float | None]] = {which: {} for which in jobs}
    for row in rows:
        key, images = tuple(row[name] for name in IDENTITY), row["median_images"]
        seconds[key][row["threshold"]] = round(cost[key] * int(images), 2) if images else None
    trained: list[dict[str, Any]] = [
        dict(zip(IDENTITY, key, strict=True))
        | {"cpu_ms_per_image": round(1000 * cost[key], 4), "cpu_seconds": each}
        for key, each in seconds.items()
    ]
    about = {
        "processor": report.processor(),
        "torch": torch.__version__,
        "precision": compute.precision,
        "source": given.source,
    }
    report.write("transfer", {"about": about, "runs": trained})
    print(*trained, sep="\n")


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"bench.transfer: {error}; has `dvc repro` run?")
