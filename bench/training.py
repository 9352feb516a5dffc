"""The race to 99% on MNIST: our recipe against PyTorch's own example, interleaved in one run.

python -m bench.training [--seeds N] [--model-sizes small medium large] [--full | --alone]
    [--jobs N] [--device cuda]

Rules. Each runs on one thread. What counts is CPU seconds of training, the making of our network
included. Evaluations on the test split are left out of both, and so is a first training of a few
steps, in which libraries load and choose their kernels. The example stops after its first epoch at
99.0% or better on the test split, which favours it: its 14 epochs, and its 99.5%, are for --full.
Ours runs a schedule that was fixed beforehand on held-out training images, and is measured once, at
its end. With --jobs, so many seeds run side by side, a core each; CPU seconds mean something only
if the cores share no caches. On a GPU ours runs alone, by the wall clock, with the images in its
memory.

reads   MNIST's idx files from the folder $DATA_MIRROR, or the sample's
writes  bench/results/<name>.json
"""

import argparse
import gzip
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode
from torchvision import datasets, transforms

from bench import report
from handwriting.core import params
from handwriting.core.errors import InputError
from handwriting.data import alphabet
from handwriting.preprocessing.settings import Framings
from handwriting.training import loop, model, runs
from handwriting.training.compute import Compute
from handwriting.training.loop import Labelled, Plan
from handwriting.training.losses import CrossEntropy
from handwriting.training.model import Shape
from handwriting.training.optimizer import Recipe
from handwriting.training.pretrained import Digits, FullData, ModelSize
from handwriting.training.resume import Progress
from stages.mnist.pretrain import Pretrain

# The section whose epochs and augmentation a model size is trained with.
SECTIONS: dict[str, tuple[str, type[Digits | FullData]]] = {
    "small": ("sample.digits", Digits),
    "medium": ("real.digits", Digits),
    "large": ("real.full_data", FullData),
}
_NAMES = {"train": "train", "test": "t10k"}
_RAW = "MNIST/raw"  # where torchvision's MNIST looks for them
_KINDS = ("images-idx3", "labels-idx1")
_FILES = [f"{prefix}-{kind}-ubyte" for prefix in _NAMES.values() for kind in _KINDS]
_WARM = 2560  # images of the training that is not counted
Run = dict[str, Any]


class Setup(NamedTuple):
    """A model size, and how it is trained."""

    shape: Shape
    plan: Plan


class Example(nn.Module):
    """The network of PyTorch's own example (github.com/pytorch/examples, mnist/main.py)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Dropout(0.25), nn.Flatten(), nn.Linear(9216, 128), nn.ReLU(), nn.Dropout(0.5)),
            *(nn.Linear(128, 10), nn.LogSoftmax(dim=1)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """float32 [B, 1, 28, 28] -> log-probabilities [B, 10]."""
        return torch.as_tensor(self.layers(x))


def example_epochs(folder: Path, seed: int) -> Iterator[Run]:
    """Yield CPU seconds and seconds of training so far, and test accuracy, after each epoch.

    Its optimiser, schedule, batch size, loader and transforms, for its 14 epochs. It is given the
    shuffling that its CPU path forgets.
    """
    torch.manual_seed(seed)
    normalise = transforms.Normalize((0.1307,), (0.3081,))
    transform = transforms.Compose([transforms.ToTensor(), normalise])
    train, test = (datasets.MNIST(str(folder), train=t, transform=transform) for t in (True, False))
    network = Example()
    optimizer = torch.optim.Adadelta(network.parameters(), lr=1.0)
    scheduler = StepLR(optimizer, step_size=1, gamma=0.7)
    cpu = wall = 0.0
    for _ in range(14):
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
            correct = sum(int((network(x).argmax(1) == y).sum()) for x, y in batches)
        yield {"cpu_seconds": cpu, "wall_seconds": wall, "accuracy": correct / len(test)}


def example(folder: Path, seed: int, full: bool) -> Run:
    """Return the example's run: until 99.0%, or all of it."""
    epochs: list[Run] = []
    for epoch in example_epochs(folder, seed):
        epochs.append(epoch)
        if epoch["accuracy"] >= 0.99 and not full:
            break
    reached = {
        str(target): next((e["cpu_seconds"] for e in epochs if e["accuracy"] >= target), None)
        for target in (0.99, 0.995)
    }
    return {"epochs": epochs, "cpu_seconds_to": reached}


def setup(size: str) -> Setup:
    """Return a model size of params.yaml as question two trains it, with the least of a curve."""
    how = params.load(*SECTIONS[size])
    digits = params.load("framing", Framings).digits
    shape = Shape(
        classes=alphabet.DIGITS,
        **vars(digits),
        crop_border=params.load("pretrain", Pretrain).crop_border,
        **vars(params.load(f"model_sizes.{how.model_size}", ModelSize)),
        geometry_channels=0,
        temperature=1.0,
    )
    changes = {"curve_points": 2} | ({"muon_lr": how.muon_lr} if isinstance(how, FullData) else {})
    recipe = params.changed(params.load("training", Recipe), changes, size)
    objective = CrossEntropy(label_smoothing=recipe.label_smoothing)
    return Setup(shape, Plan(recipe, how.augmentation, how.epochs, objective, "bench", 0))


def ours(one: Setup, splits: dict[str, Labelled], compute: Compute, seed: int) -> Run:
    """Return one training, measured once, at its end."""
    few = Labelled(splits["train"].images[:1], splits["train"].targets[:1])
    with tempfile.TemporaryDirectory() as folder:
        wall, cpu = time.perf_counter(), time.process_time()
        network = model.fresh(one.shape, "bench", seed)
        runs.place_on_device(network, compute)
        progress = Progress(f"seed {seed}", "", Path(folder))
        loop.fit(network, splits["train"], few, replace(one.plan, seed=seed), progress)
        if compute.device == "cuda":
            torch.cuda.synchronize()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    _, accuracy = loop.validate(network, splits["test"], one.plan.objective)
    return {"cpu_seconds": cpu, "wall_seconds": wall, "accuracy": accuracy}


def matrix_product(compute: Compute) -> float:
    """Return the FLOPs of a product of two square matrices in a CPU second."""
    a = torch.randn(2048, 2048).to(compute.dtype)
    a @ a
    start = time.process_time()
    for _ in range(10):
        a @ a
    return 10 * 2 * 2048**3 / (time.process_time() - start)


def peak(one: Setup, done: list[Run], train_images: int) -> dict[str, float]:
    """Return medians over runs: images a CPU second, and their FLOPs a second as a share of those
    of a bare matrix product, measured in the process of each. They count forward and backward
    passes alone, though the seconds are of whole trainings."""
    images = torch.randint(0, 256, (256, 1, 28, 28), dtype=torch.uint8)
    with FlopCounterMode(display=False) as counter:
        model.fresh(one.shape, "bench", 0)(images).sum().backward()
    each = counter.get_total_flops() / len(images)
    rates = [one.plan.epochs * train_images / run["cpu_seconds"] for run in done]
    shares = [
        rate * each / run["matrix_product_flops"] for rate, run in zip(rates, done, strict=True)
    ]
    rate = statistics.median(rates)
    return {"images_per_second": rate, "flops": rate * each, "share": statistics.median(shares)}


def read_mnist(raw: Path, device: torch.device) -> dict[str, Labelled]:
    """Return the inflated idx files as tensors on a device."""
    splits = {}
    for split, prefix in _NAMES.items():
        pixels, digits = (bytearray((raw / f"{prefix}-{k}-ubyte").read_bytes()) for k in _KINDS)
        images = torch.frombuffer(pixels, dtype=torch.uint8, offset=16).view(-1, 1, 28, 28)
        labels = torch.frombuffer(digits, dtype=torch.uint8, offset=8).long()
        splits[split] = Labelled(images.to(device), labels.to(device))
    return splits


def race(
    setups: dict[str, Setup], compute: Compute, folder: Path, against: str, seed: int
) -> dict[str, Run]:
    """Return one seed of ours and then, unless `against` is empty, of the example: all of it
    (full), or until 99.0%. In a process of its own, whose memory is ours until then."""
    compute.configure_torch()
    splits = read_mnist(folder / _RAW, compute.torch_device)
    train = splits["train"]
    product = {} if compute.device == "cuda" else {"matrix_product_flops": matrix_product(compute)}
    few = splits | {"train": Labelled(train.images[:_WARM], train.targets[:_WARM])}
    done = {}
    for name, one in setups.items():
        ours(one, few, compute, seed)
        done[name] = ours(one, splits, compute, seed) | product
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        done[name]["peak_megabytes"] = round(memory * 1024 / 1e6)
    if against:
        done["example"] = example(folder, seed, against == "full")
    print(f"seed {seed}: {done}", flush=True)
    return done


def summarise(done: dict[str, list[Run]]) -> dict[str, Any]:
    """Return means over the seeds, and the ratio that matters where all have reached 99%."""
    mean, summary = statistics.fmean, dict[str, Any]()
    for name in [each for each in SECTIONS if done.get(each)]:
        keys = ("accuracy", "cpu_seconds", "wall_seconds")
        summary[name] = {key: mean(run[key] for run in done[name]) for key in keys}
        summary[name]["peak_megabytes"] = max(run["peak_megabytes"] for run in done[name])
        summary[name]["seeds"] = len(done[name])
    if times := [run["cpu_seconds_to"]["0.99"] for run in done["example"]]:
        reached = [seconds for seconds in times if seconds is not None]
        summary["example"] = {"seeds": len(times), "seeds_at_0.99": len(reached)}
        if reached:
            summary["example"]["cpu_seconds_to_0.99"] = mean(reached)
        small = summary.get("small", {})
        if len(reached) == len(times) and small.get("accuracy", 0) >= 0.99:
            summary["times_less_cpu_to_0.99"] = mean(reached) / small["cpu_seconds"]
    return summary


def parse() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--model-sizes", nargs="+", choices=SECTIONS, default=["small", "medium"])
    parser.add_argument("--alone", action="store_true", help="leave the example out")
    parser.add_argument("--name", default="training", help="of the file in bench/results")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--jobs", type=int, default=1, help="seeds side by side")
    parser.add_argument("--full", action="store_true", help="all 14 epochs of the example")
    return parser.parse_args()


def mirror() -> Path:
    """Return the folder with MNIST's files: $DATA_MIRROR, or the sample's where it lacks some."""
    folder = Path(os.environ.get("DATA_MIRROR") or report.SAMPLE)
    if absent := [name for name in _FILES if not (folder / f"{name}.gz").exists()]:
        print(f"{folder} has no {', '.join(absent)}: the sample is taken", file=sys.stderr)
        return report.SAMPLE
    return folder


def main() -> None:
    """Measure and write."""
    given = parse()
    gpu = given.device == "cuda"
    compute = Compute(device=given.device, precision="float32", threads=1, launcher="")
    if gpu or torch.cpu.get_capabilities().get("avx512_bf16"):
        compute = replace(compute, precision="bfloat16")
    compute.configure_torch()
    setups = {name: setup(name) for name in given.model_sizes}
    against = "" if given.alone or gpu else "full" if given.full else "short"
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / _RAW
        raw.mkdir(parents=True)
        for name in _FILES:
            content = gzip.decompress((mirror() / f"{name}.gz").read_bytes())
            (raw / name).write_bytes(content)
        sizes = {
            f"{k}_images": len(v.images) for k, v in read_mnist(raw, torch.device("cpu")).items()
        }
        with ProcessPoolExecutor(given.jobs, get_context("spawn"), max_tasks_per_child=1) as pool:
            one = partial(race, setups, compute, Path(folder), against)
            seeds = list(pool.map(one, range(given.seeds)))
    done = {n: [each[n] for each in seeds if n in each] for n in ("example", *setups)}
    about = {
        "processor": torch.cuda.get_device_name() if gpu else report.processor(),
        "torch": torch.__version__,
        "precision": compute.precision,
        "seeds_side_by_side": given.jobs,
    }
    peaks = {} if gpu else {n: peak(setups[n], done[n], sizes["train_images"]) for n in setups}
    found = {"summary": summarise(done), "peak": peaks}
    report.write(given.name, {"about": about | sizes, **found, "runs": done})
    print(found)


if __name__ == "__main__":
    try:
        main()
    except (InputError, OSError) as error:
        sys.exit(f"bench.training: {error}")
