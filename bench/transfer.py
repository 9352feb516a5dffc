"""Question two in seconds: what it costs each arm to come to a validation accuracy.

python -m bench.transfer [--source NAME] [--steps N] [--repeats N]

The pipeline counts images, which are the same on every machine. Here the trainings of all arms take
turns on one thread of this one, a few steps at a time; the median cost of an image, in CPU seconds,
times the median images to a threshold is the time to it. A threshold has none that no more than
half of an arm's runs reached, or that the learning curve cannot decide.

reads   metrics/<source>/transfer/speed.csv, artifacts/<source>/bases/, data/tensors/<source>/mnist/
writes  bench/results/transfer.json
"""

import argparse
import json
import platform
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from handwriting.core import files, params
from handwriting.core.errors import InputError
from handwriting.evaluation.study import STARTS
from handwriting.training import loop as training
from handwriting.training import runs as arms
from handwriting.training.checkpoint import Checkpoint
from handwriting.training.compute import Compute
from stages.mnist import finetune

RESULTS = Path("bench/results")


def trainings(source: str, start: str, compute: Compute) -> dict[tuple[str, str], arms.Job]:
    """The first seed of each (way, budget) of an arm, as the stage would train it."""
    plan = finetune.plan(source, start, compute, Path("scratch"))
    every = finetune.on_all(plan, source, start) + finetune.on_all_otherwise(plan, source, start)
    every += finetune.on_few(plan, source, start)
    jobs: dict[tuple[str, str], arms.Job] = {}
    for job in every:
        way, budget, _ = job.name.split()
        jobs.setdefault((way, budget), job)
    return jobs


def seconds_per_image(job: arms.Job, steps: int) -> float:
    """CPU seconds of training for an image, over so many steps, validations left out."""
    plan = job.plan
    arms.place_on_device(job.network, plan.compute)
    train = plan.data(job).train
    data = arms.labelled(train, job.network, plan.compute)
    images = steps * min(plan.recipe.batch_size, len(train.images))
    with tempfile.TemporaryDirectory() as folder:
        begun = time.process_time()
        training.fit(
            *(job.network, data, None, plan.recipe, plan.augmentation, images / len(train.images)),
            *(plan.objective, job.seed, Checkpoint(job.name, "", Path(folder))),
        )
        return (time.process_time() - begun) / images


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--source", default=params.load("source", str))
    parser.add_argument("--steps", type=int, default=20, help="of each turn")
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    compute = replace(params.load("compute", Compute), device="cpu")
    compute.settle()
    rows = files.read_csv(Path(f"metrics/{given.source}/transfer/speed.csv"))
    jobs = {
        (start, *which): job
        for start in STARTS
        for which, job in trainings(given.source, start, compute).items()
    }
    costs: dict[tuple[str, ...], list[float]] = {which: [] for which in jobs}
    for _ in tqdm(range(given.repeats), unit="round", disable=None):
        for which, job in jobs.items():
            costs[which].append(seconds_per_image(job, given.steps))
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in rows:
        which = row["start"], row["way"], row["budget"]
        if which not in costs:  # question three's, which are no fine-tuning on MNIST
            continue
        cost = statistics.median(costs[which])
        arm = found.setdefault(
            which,
            {"arm": " ".join(which), "cpu_ms_per_image": round(1000 * cost, 4), "cpu_seconds": {}},
        )
        images = row["median_images"]
        arm["cpu_seconds"][row["threshold"]] = round(cost * int(images), 2) if images else None
    about = {
        "processor": torch.cpu.get_capabilities().get("cpu_name", platform.machine()),
        "torch": torch.__version__,
        "precision": compute.precision,
        "source": given.source,
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    content = json.dumps({"about": about, "arms": list(found.values())}, indent=2)
    (RESULTS / "transfer.json").write_text(content + "\n")
    for arm in found.values():
        print(f"{arm['arm']}: {arm['cpu_seconds']}")


if __name__ == "__main__":
    try:
        main()
    except InputError as error:
        sys.exit(f"bench.transfer: {error}; has `dvc repro` run?")
