"""The race to 99% on MNIST: our recipe against PyTorch's own example, interleaved in one run.

python -m bench.training [--seeds N] [--strengths fast middle strong] [--full | --alone]
    [--jobs N] [--device cuda]

Rules. Each runs on one thread; what counts is CPU seconds of training, the making of our network
included, evaluations on the test split left out of both, and a first training of a few steps, in
which libraries load and choose their kernels. The example stops after its first epoch at
99.0% or better on the test split, which favours it: 14 epochs, and its 99.5%, are for --full. Ours
runs a schedule that was fixed beforehand on held-out training images, and is measured once, at its
end. With --jobs, so many seeds run side by side, a core each, which must not share its caches with
another for the CPU seconds to mean anything.
On a GPU ours runs alone, by the wall clock, with the images in its memory.

reads   MNIST's idx files from the folder $DATA_MIRROR, or the sample's
writes  bench/results/<name>.json, bench/results/<name>.html
"""

import argparse
import gzip
import json
import os
import platform
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
from typing import Any

import plotly.graph_objects as go
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode
from torchvision import datasets, transforms

from handwriting.core import params
from handwriting.core.errors import InputError
from handwriting.data import alphabet
from handwriting.training import loop as training
from handwriting.training import model, pretrained
from handwriting.training import runs as arms
from handwriting.training.checkpoint import Checkpoint
from handwriting.training.compute import Compute
from handwriting.training.loop import Labelled, Recipe
from handwriting.training.losses import Clean
from handwriting.training.model import Shape
from handwriting.training.runs import Strength, shape_of
from stages.mnist.finetune import Full

RESULTS = Path("bench/results")
_SAMPLE = Path("data/sample")
STRENGTHS = ("fast", "middle", "strong")
_NAMES = {"train": "train", "test": "t10k"}
_RAW = "MNIST/raw"  # where torchvision's MNIST looks for them
_KINDS = ("images-idx3", "labels-idx1")
_WARM = 2560  # images of the training that is not counted


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
        out: Tensor = self.layers(x)
        return out


def example_epochs(folder: Path, seed: int) -> Iterator[tuple[float, float, float]]:
    """(CPU seconds of training so far, seconds, test accuracy) after each of the example's 14
    epochs.

    Its optimiser, schedule, batch size, loader and transforms. It is given the shuffling that its
    CPU path forgets.
    """
    torch.manual_seed(seed)
    normalise = transforms.Normalize((0.1307,), (0.3081,))
    transform = transforms.Compose([transforms.ToTensor(), normalise])
    train, test = (datasets.MNIST(str(folder), train=t, transform=transform) for t in (True, False))
    network = Example()
    optimizer = torch.optim.Adadelta(network.parameters(), lr=1.0)
    scheduler = StepLR(optimizer, step_size=1, gamma=0.7)
    seconds = wall = 0.0
    for _ in range(14):
        start, begun = time.process_time(), time.perf_counter()
        network.train()
        for images, labels in DataLoader(train, batch_size=64, shuffle=True):
            optimizer.zero_grad()
            loss = F.nll_loss(network(images), labels)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        scheduler.step()
        seconds += time.process_time() - start
        wall += time.perf_counter() - begun
        network.eval()
        with torch.inference_mode():
            right = sum(
                int((network(images).argmax(1) == labels).sum())
                for images, labels in DataLoader(test, batch_size=1000)
            )
        yield seconds, wall, right / len(test)


def example(folder: Path, seed: int, full: bool) -> dict[str, Any]:
    """The example's run: until 99.0%, or all of it."""
    reached: dict[str, float | None] = {"0.99": None, "0.995": None}
    epochs = []
    for seconds, wall, accuracy in example_epochs(folder, seed):
        epochs.append({"cpu_seconds": seconds, "wall_seconds": wall, "accuracy": accuracy})
        for target, already in reached.items():
            if already is None and accuracy >= float(target):
                reached[target] = seconds
        if reached["0.99"] is not None and not full:
            break
    return {"epochs": epochs, "cpu_seconds_to": reached}


def recipe_of(strength: Strength) -> Recipe:
    """As the real run trains it: with a rate of its own, if it is the one for all images."""
    recipe = params.load("finetune.recipe", Recipe)
    rates = recipe.rates
    if strength == pretrained.strength("dropbox", "full"):
        full = params.load("finetune.full.dropbox", Full)
        rates = replace(rates, convolutions=full.convolutions)
    return replace(recipe, rates=rates, curve_points=2)


def ours(
    strength: Strength, splits: dict[str, Labelled], compute: Compute, seed: int
) -> dict[str, Any]:
    """One training of a strength of params.yaml, measured once, at its end."""
    with tempfile.TemporaryDirectory() as folder:
        recipe = recipe_of(strength)
        wall, cpu = time.perf_counter(), time.process_time()
        network = model.fresh(shape(strength), seed)
        arms.place_on_device(network, compute)
        checkpoint = Checkpoint(f"seed {seed}", "", Path(folder))
        few = Labelled(splits["train"].images[:1], splits["train"].targets[:1])
        training.fit(
            network,
            splits["train"],
            few,
            recipe,
            strength.augmentation,
            strength.epochs,
            Clean(params.load("finetune.smoothing", float)),
            seed,
            checkpoint,
        )
        if compute.device == "cuda":
            torch.cuda.synchronize()
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    logits = training.logits_of(network, splits["test"].images)
    accuracy = Clean(0).accuracy(logits, splits["test"].targets)
    return {"cpu_seconds": cpu, "wall_seconds": wall, "accuracy": accuracy}


def shape(strength: Strength) -> Shape:
    """The network of params.yaml for MNIST."""
    return shape_of(strength, params.load("network.margin", int), 28, 20, alphabet.DIGITS)


def matrix_product(compute: Compute) -> float:
    """FLOPs that a product of two square matrices comes to in a CPU second."""
    a = torch.randn(2048, 2048).to(compute.dtype)
    a @ a
    start = time.process_time()
    for _ in range(10):
        a @ a
    return 10 * 2 * 2048**3 / (time.process_time() - start)


def peak(strength: Strength, runs: list[dict[str, Any]], sizes: dict[str, int]) -> dict[str, float]:
    """Trainings against a bare matrix product, measured in the process of each; medians over runs:
    images a CPU second, and their FLOPs a second as a share of the product's. They count forward
    and backward passes alone, though the seconds are of whole trainings: with augmentation,
    optimiser and curve."""
    images = torch.randint(0, 256, (256, 1, 28, 28), dtype=torch.uint8)
    with FlopCounterMode(display=False) as counter:
        model.fresh(shape(strength), 0)(images).sum().backward()
    each = counter.get_total_flops() / len(images)
    seen = strength.epochs * sizes["train_images"]
    rates = [seen / run["cpu_seconds"] for run in runs]
    products = [run["matrix_product_flops"] for run in runs]
    shares = [rate * each / product for rate, product in zip(rates, products, strict=True)]
    rate = statistics.median(rates)
    return {"images_per_second": rate, "flops": rate * each, "share": statistics.median(shares)}


def unpack_mnist(mirror: Path, raw: Path) -> None:
    """The idx files, inflated into `raw`, where torchvision's MNIST and ours read them."""
    raw.mkdir(parents=True)
    for name in files_of_mnist():
        (raw / name).write_bytes(gzip.decompress((mirror / f"{name}.gz").read_bytes()))


def files_of_mnist() -> list[str]:
    """The names of its idx files."""
    return [f"{prefix}-{kind}-ubyte" for prefix in _NAMES.values() for kind in _KINDS]


def read_mnist(raw: Path, place: torch.device) -> dict[str, Labelled]:
    """The inflated idx files as tensors on a device."""
    splits = {}
    for split, prefix in _NAMES.items():
        pixels, digits = (bytearray((raw / f"{prefix}-{k}-ubyte").read_bytes()) for k in _KINDS)
        images = torch.frombuffer(pixels, dtype=torch.uint8, offset=16).view(-1, 1, 28, 28)
        labels = torch.frombuffer(digits, dtype=torch.uint8, offset=8).long()
        splits[split] = Labelled(images.to(place), labels.to(place))
    return splits


def count(raw: Path, prefix: str) -> int:
    """How many images there are: the file of their labels has a byte for each, and eight first."""
    return (raw / f"{prefix}-{_KINDS[1]}-ubyte").stat().st_size - 8


def race(
    strengths: dict[str, Strength], compute: Compute, folder: Path, against: str, seed: int
) -> dict[str, dict[str, Any]]:
    """One seed of ours and then, unless `against` is nothing, of the example: all of it (full), or
    until 99.0%. In a process of its own, whose memory is ours until the example begins."""
    compute.settle()
    splits = read_mnist(folder / _RAW, compute.place)
    train = splits["train"]
    product = {} if compute.device == "cuda" else {"matrix_product_flops": matrix_product(compute)}
    few = splits | {"train": Labelled(train.images[:_WARM], train.targets[:_WARM])}
    done = {}
    for name, strength in strengths.items():
        ours(strength, few, compute, seed)
        done[name] = ours(strength, splits, compute, seed)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        done[name] |= product | {"peak_megabytes": round(memory * 1024 / 1e6)}
        print(f"ours, {name}, seed {seed}: {done[name]}", flush=True)
    if against:
        done["example"] = example(folder, seed, against == "full")
        print(f"example, seed {seed}: {done['example']}", flush=True)
    return done


def summarise(runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Means over the seeds, and the ratio that matters where all have come to 99%."""
    mean = statistics.fmean
    summary: dict[str, Any] = {
        name: {
            "accuracy": mean(run["accuracy"] for run in runs[name]),
            "cpu_seconds": mean(run["cpu_seconds"] for run in runs[name]),
            "wall_seconds": mean(run["wall_seconds"] for run in runs[name]),
            "peak_megabytes": max(run["peak_megabytes"] for run in runs[name]),
            "seeds": len(runs[name]),
        }
        for name in STRENGTHS
        if runs.get(name)
    }
    times = [run["cpu_seconds_to"]["0.99"] for run in runs.get("example", [])]
    reached = [seconds for seconds in times if seconds is not None]
    if times:
        summary["example"] = {"seeds": len(times), "seeds_at_0.99": len(reached)}
    if reached:
        summary["example"]["cpu_seconds_to_0.99"] = mean(reached)
    if (
        reached
        and len(reached) == len(times)
        and summary.get("fast", {}).get("accuracy", 0) >= 0.99
    ):
        summary["times_less_cpu_to_0.99"] = mean(reached) / summary["fast"]["cpu_seconds"]
    return summary


def page(runs: dict[str, list[dict[str, Any]]]) -> str:
    """Accuracy against CPU seconds, a point for each run."""
    figure = go.Figure()
    for name in STRENGTHS:
        if done := runs.get(name):
            x, y = ([run[key] for run in done] for key in ("cpu_seconds", "accuracy"))
            figure.add_scatter(x=x, y=y, mode="markers", name=f"ours, {name}")
    for run in runs.get("example", []):
        x, y = ([each[key] for each in run["epochs"]] for key in ("cpu_seconds", "accuracy"))
        figure.add_scatter(x=x, y=y, mode="lines+markers", name="PyTorch's example")
    figure.update_xaxes(type="log", title="CPU seconds of training")
    figure.update_yaxes(title="MNIST test accuracy", range=[0.97, 1])
    figure.update_layout(title="The race to 99% on MNIST")
    return str(figure.to_html(include_plotlyjs=True, div_id="race"))


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--strengths", nargs="+", choices=STRENGTHS, default=["fast", "middle"])
    parser.add_argument("--alone", action="store_true", help="leave the example out")
    parser.add_argument("--name", default="training", help="of the files in bench/results")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--jobs", type=int, default=1, help="seeds side by side")
    parser.add_argument("--full", action="store_true", help="all 14 epochs of the example")
    return parser.parse_args()


def main() -> None:
    given = parse()
    gpu = given.device == "cuda"
    processor, fast = (
        (torch.cuda.get_device_name(), True)
        if gpu
        else map(torch.cpu.get_capabilities().get, ("cpu_name", "avx512_bf16"))
    )
    compute = Compute(
        device=given.device, precision="bfloat16" if fast else "float32", threads=1, launcher=""
    )
    compute.settle()
    strengths = {name: params.load(f"strengths.{name}", Strength) for name in given.strengths}
    mirror = Path(os.environ.get("DATA_MIRROR") or _SAMPLE)
    if absent := [name for name in files_of_mnist() if not (mirror / f"{name}.gz").exists()]:
        print(f"{mirror} has no {', '.join(absent)}: the sample is taken", file=sys.stderr)
        mirror = _SAMPLE
    against = "" if given.alone or gpu else "full" if given.full else "short"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        unpack_mnist(mirror, folder / _RAW)
        with ProcessPoolExecutor(given.jobs, get_context("spawn"), max_tasks_per_child=1) as pool:
            one = partial(race, strengths, compute, folder, against)
            seeds = list(pool.map(one, range(given.seeds)))
        sizes = {
            f"{split}_images": count(folder / _RAW, prefix) for split, prefix in _NAMES.items()
        }
    runs = {
        name: [each[name] for each in seeds if name in each] for name in ("example", *strengths)
    }
    about = {
        "processor": processor or platform.machine(),
        "torch": torch.__version__,
        "precision": compute.precision,
        "seeds_side_by_side": given.jobs,
    }
    peaks = {} if gpu else {n: peak(strengths[n], runs[n], sizes) for n in given.strengths}
    content = {"about": about | sizes, "summary": summarise(runs), "peak": peaks, "runs": runs}
    RESULTS.mkdir(parents=True, exist_ok=True)
    (RESULTS / f"{given.name}.json").write_text(json.dumps(content, indent=2) + "\n")
    (RESULTS / f"{given.name}.html").write_text(page(runs))
    print(json.dumps(content["summary"] | {"peak": peaks}, indent=2))


if __name__ == "__main__":
    try:
        main()
    except (InputError, OSError) as error:
        sys.exit(f"bench.training: {error}")
