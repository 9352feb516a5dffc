"""The race to 99% on MNIST: our recipe against PyTorch's own example, interleaved in one run.

python -m bench.training [--seeds N] [--model-sizes small medium large] [--alone] [--jobs N]
    [--device cuda] [--name NAME]

Rules. Each runs on one thread. What counts is CPU seconds of training, the making of our network
included. Evaluations on the test split are left out of both, and so is a first training of a few
steps, in which libraries load and choose their kernels. The example stops after its first epoch at
99.0% or better on the test split, which favours it. Ours runs a schedule that was fixed beforehand
on held-out training images, and is measured once, at its end. With --jobs, so many seeds run side
by side, a core each; CPU seconds mean something only if the cores share no caches. On a GPU ours
runs alone, by the wall clock, with the images in its memory.

reads   MNIST's idx files from the folder $DATA_MIRROR, or the sample's
writes  bench/results/<name>.json
"""

import gzip
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

from bench import report
from handwriting.core import params
from handwriting.core.errors import InputError
from handwriting.data import alphabet
from handwriting.preprocessing.settings import Framing
from handwriting.training import model, runs
from handwriting.training.compute import Compute
from handwriting.training.loop import Labelled, Plan, fit, validate
from handwriting.training.losses import CrossEntropy
from handwriting.training.optimizer import Recipe
from handwriting.training.pretrained import Digits, FullData, ModelSize, Pretrain
from handwriting.training.resume import Progress
from tools import program

# The section whose epochs and augmentation a model size is trained with.
SECTIONS: dict[str, tuple[str, type[Digits | FullData]]] = {
    "small": ("sample.digits", Digits),
    "medium": ("real.digits", Digits),
    "large": ("real.full_data", FullData),
}
_WARM = 2560  # images of the training that is not counted
Run = dict[str, Any]
Setups = dict[str, tuple[model.Shape, Plan]]


def example(folder: Path, seed: int) -> Run:
    """Return the run of PyTorch's own example (github.com/pytorch/examples, mnist/main.py).

    Its network, optimiser, schedule, batch size, loader and transforms, until 99.0% or for 14
    epochs. It is given the shuffling that its CPU path forgets.
    """
    torch.manual_seed(seed)
    normalise = transforms.Normalize((0.1307,), (0.3081,))
    transform = transforms.Compose([transforms.ToTensor(), normalise])
    train, test = (datasets.MNIST(folder, train=t, transform=transform) for t in (True, False))
    network = nn.Sequential(
        *(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Dropout(0.25), nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5)),
        *(nn.Linear(128, 10), nn.LogSoftmax(dim=1)),
    )
    optimizer = torch.optim.Adadelta(network.parameters(), lr=1.0)
    scheduler = StepLR(optimizer, step_size=1, gamma=0.7)
    epochs: list[Run] = []
    cpu = wall = accuracy = 0.0
    while len(epochs) < 14 and accuracy < 0.99:
        start, begun = time.process_time(), time.perf_counter()
        network.train()
        for images, labels in DataLoader(train, batch_size=64, shuffle=True):
            optimizer.zero_grad()
            F.nll_loss(network(images), labels).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        scheduler.step()
        cpu += time.process_time() - start
        wall += time.perf_counter() - begun
        network.eval()
        with torch.inference_mode():
            batches = DataLoader(test, batch_size=1000)
            accuracy = sum(int((network(x).argmax(1) == y).sum()) for x, y in batches) / len(test)
        epochs.append({"cpu_seconds": cpu, "wall_seconds": wall, "accuracy": accuracy})
    return {"epochs": epochs, "cpu_seconds_to_0.99": cpu if accuracy >= 0.99 else None}


def setup(size: str) -> tuple[model.Shape, Plan]:
    """Return a model size of params.yaml and how question two trains it, with the least of a curve.

    Raises InputError for another name.
    """
    if size not in SECTIONS:
        raise InputError(f"model size {size!r} is none of: {', '.join(SECTIONS)}")
    how, framing = params.load(*SECTIONS[size]), params.load("framing.digits", Framing)
    shape = model.Shape(
        classes=alphabet.DIGITS,
        size=framing.image_size,
        ink_size=framing.ink_size,
        crop_border=params.load("pretrain", Pretrain).crop_border,
        **vars(params.load(f"model_sizes.{how.model_size}", ModelSize)),
        geometry_channels=0,
        temperature=1.0,
    )
    changes = {"curve_points": 2} | ({"muon_lr": how.muon_lr} if isinstance(how, FullData) else {})
    recipe = params.changed(params.load("training", Recipe), changes, size)
    objective = CrossEntropy(label_smoothing=recipe.label_smoothing)
    return shape, Plan(recipe, how.augmentation, how.epochs, objective, "bench", 0)


def ours(
    shape: model.Shape, plan: Plan, train: Labelled, test: Labelled, compute: Compute, seed: int
) -> Run:
    """Return one training, measured once, at its end."""
    few = Labelled(train.images[:1], train.targets[:1])
    with tempfile.TemporaryDirectory() as folder:
        wall, cpu = time.perf_counter(), time.process_time()
        network = model.fresh(shape, "bench", seed)
        runs.place_on_device(network, compute)
        progress = Progress(f"seed {seed}", "", Path(folder))
        fit(network, train, few, replace(plan, seed=seed), progress)
        if compute.device == "cuda":
            torch.cuda.synchronize()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    _, accuracy = validate(network, test, plan.objective)
    peak = round(report.usage()[1] * 1024 / 1e6)
    times = {"cpu_seconds": cpu, "wall_seconds": wall}
    return {**times, "accuracy": accuracy, "peak_megabytes": peak}


def race(
    setups: Setups, compute: Compute, folder: Path, alone: bool, seed: int
) -> tuple[dict[str, Run], dict[str, int]]:
    """Return one seed, and the numbers of images: of ours, and then, unless it is alone, of the
    example. In a process of its own, whose memory is ours until then."""
    compute.configure_torch()
    device, whole = compute.torch_device, (datasets.MNIST(folder, train=t) for t in (True, False))
    train, test = (Labelled(x.data[:, None].to(device), x.targets.to(device)) for x in whole)
    few = Labelled(train.images[:_WARM], train.targets[:_WARM])
    done = {}
    for name, (shape, plan) in setups.items():
        ours(shape, plan, few, test, compute, seed)
        done[name] = ours(shape, plan, train, test, compute, seed)
    if not alone:
        done["example"] = example(folder, seed)
    print(f"seed {seed}: {done}", flush=True)
    return done, {"train_images": len(train.images), "test_images": len(test.images)}


def summarise(done: dict[str, list[Run]]) -> dict[str, Any]:
    """Return means over the seeds, and the ratio that matters where all have reached 99%."""
    mean, summary = statistics.fmean, dict[str, Any]()
    for name in [each for each in SECTIONS if done.get(each)]:
        keys = ("accuracy", "cpu_seconds", "wall_seconds")
        summary[name] = {key: mean(run[key] for run in done[name]) for key in keys}
        summary[name]["peak_megabytes"] = max(run["peak_megabytes"] for run in done[name])
        summary[name]["seeds"] = len(done[name])
    if times := [run["cpu_seconds_to_0.99"] for run in done["example"]]:
        reached = [seconds for seconds in times if seconds is not None]
        summary["example"] = {"seeds": len(times), "seeds_at_0.99": len(reached)}
        if reached:
            summary["example"]["cpu_seconds_to_0.99"] = mean(reached)
        small = summary.get("small", {})
        if len(reached) == len(times) and small.get("accuracy", 0) >= 0.99:
            summary["times_less_cpu_to_0.99"] = mean(reached) / small["cpu_seconds"]
    return summary


def main(
    seeds: int = 3,
    model_sizes: tuple[str, ...] = ("small", "medium"),
    alone: bool = False,
    jobs: int = 1,
    device: str = "cpu",
    name: str = "training",
) -> None:
    """Measure and write."""
    gpu, settings = device == "cuda", {"device": device, "threads": 1, "processes": 1}
    fast = gpu or torch.cpu.get_capabilities().get("avx512_bf16")
    settings["precision"] = "bfloat16" if fast else "float32"
    compute = params.changed(params.load("compute", Compute), settings, "--device")
    compute.configure_torch()
    setups = {size: setup(size) for size in model_sizes}
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder, "MNIST/raw")  # where torchvision looks
        raw.mkdir(parents=True)
        for file in report.MNIST:
            content = gzip.decompress((report.mirror() / file).read_bytes())
            (raw / file.removesuffix(".gz")).write_bytes(content)
        with ProcessPoolExecutor(jobs, get_context("spawn"), max_tasks_per_child=1) as pool:
            one = partial(race, setups, compute, Path(folder), alone or gpu)
            raced, (sizes, *_) = zip(*pool.map(one, range(seeds)), strict=True)
    done = {n: [each[n] for each in raced if n in each] for n in ("example", *setups)}
    machine, summary = torch.cuda.get_device_name() if gpu else report.processor(), summarise(done)
    about: Run = {"processor": machine, "torch": torch.__version__, "precision": compute.precision}
    about |= {"seeds_side_by_side": jobs, **sizes}
    report.write(name, {"about": about, "summary": summary, "runs": done})
    print(summary)


if __name__ == "__main__":
    program.run(main)
