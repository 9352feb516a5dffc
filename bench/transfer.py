"""Question two in seconds: what it costs from each init to reach a validation accuracy.

python -m bench.transfer [--source NAME] [--steps N] [--repetitions N]

The pipeline counts images, which are the same on every machine. Here the trainings of question two
take turns on one thread of this machine, so many steps at a time. The median cost of an image, in
CPU seconds, times the median images to a threshold is the time to it. It is empty where no more
than half of the runs reached the threshold, or where the learning curve cannot decide.

reads   metrics/<source>/transfer/speed.csv, artifacts/<source>/runs/mnist/,
        data/tensors/<source>/mnist/
writes  bench/results/transfer.json
"""

import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch

from bench import report
from handwriting.core import files, params
from handwriting.data import dataset
from handwriting.data.dataset import Split
from handwriting.training import checkpoint, loop, runs
from handwriting.training.augmentation import Augmentation
from handwriting.training.compute import Compute
from handwriting.training.losses import CrossEntropy
from handwriting.training.optimizer import Recipe
from handwriting.training.resume import Progress
from tools import program

INITS = ("random", "digits", "characters")
IDENTITY = ("init", "method", "labels")


def seconds_per_image(saved: checkpoint.Saved, data: Split, compute: Compute, steps: int) -> float:
    """Return the CPU seconds of training for an image, without validations, as a run trained."""
    network, run, recipe = saved.network, saved.run, Recipe(**saved.about["training"])
    if run.labels != "all":
        data = data.rows(dataset.per_class(data.labels, int(run.labels), run.seed))
    train = runs.labelled(data, network, compute)
    runs.place_on_device(network, compute)
    images = steps * min(recipe.batch_size, len(train.images))
    objective = CrossEntropy(label_smoothing=recipe.label_smoothing)
    augmentation = Augmentation(**saved.about["augmentation"])
    plan = loop.Plan(recipe, augmentation, images / len(train.images), objective, "bench", run.seed)
    with tempfile.TemporaryDirectory() as folder:
        begun = time.process_time()
        loop.fit(network, train, None, plan, Progress(str(run), "", Path(folder)))
        return (time.process_time() - begun) / images


def main(source: str = "sample", steps: int = 20, repetitions: int = 5) -> None:
    """Measure and write."""
    compute = replace(params.load("compute", Compute), device="cpu")
    compute.configure_torch()
    rows = files.read_csv(Path(f"metrics/{source}/transfer/speed.csv"))
    data = dataset.load(Path(f"data/tensors/{source}/mnist/train.safetensors"))
    networks = {
        (init, each.run.method, each.run.labels): each
        for init in INITS
        for each in checkpoint.load(Path(f"artifacts/{source}/runs/mnist/{init}/networks.pt"))
        if each.run.seed == 0  # one is enough
    }
    cost = report.medians(
        lambda: {k: seconds_per_image(n, data, compute, steps) for k, n in networks.items()},
        repetitions,
    )
    trained = []
    for key, spent in cost.items():
        run = dict(zip(IDENTITY, key, strict=True))
        goals = {r["threshold"]: r["median_images"] for r in rows if run.items() <= r.items()}
        seconds = {goal: round(spent * int(n), 2) if n else None for goal, n in goals.items()}
        trained.append(run | {"cpu_ms_per_image": round(1000 * spent, 4), "cpu_seconds": seconds})
    about = {"processor": report.processor(), "torch": torch.__version__}
    about |= {"precision": compute.precision, "source": source}
    report.write("transfer", {"about": about, "runs": trained})
    print(*trained, sep="\n")


if __name__ == "__main__":
    program.run(main, "; has `dvc repro` run?")
