"""Runs: side by side as one after another, and kept when something goes wrong."""

import resource
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import joblib
import numpy as np
import pytest
import torch
from torch import Tensor

from handwriting.core.errors import InputError
from handwriting.training import loop, model, runs
from handwriting.training.checkpoint import Run
from handwriting.training.compute import Compute
from handwriting.training.loop import Plan
from handwriting.training.losses import CrossEntropy
from handwriting.training.model import Network
from handwriting.training.resume import Progress
from handwriting.training.runs import Data, Job, Trained
from tests.networks import ALL_AUGMENTATIONS, COMPUTE, PLAN, RECIPE, SHAPE, split

DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
DATA = Data(split(96), split(32))
SCRATCH = Path("scratch")


@pytest.fixture(autouse=True)
def scratch(tmp_dir: Path) -> None:
    (tmp_dir / SCRATCH).mkdir()


def jobs(count: int, plan: Plan = PLAN) -> list[Job]:
    return [
        Job(
            Run(data="mnist", seed=seed),
            model.fresh(SHAPE, "a test", seed),
            replace(plan, seed=seed),
        )
        for seed in range(count)
    ]


def train(count: int, plan: Plan = PLAN, compute: Compute = COMPUTE) -> list[Trained]:
    return runs.train(jobs(count, plan), DATA, compute, SCRATCH)


def files(folder: str) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def forget_progress() -> None:
    for path in SCRATCH.iterdir():
        path.unlink()


def cores(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(joblib, "cpu_count", lambda: count)


def test_side_by_side_gives_the_bytes_of_one_after_another(monkeypatch: pytest.MonkeyPatch) -> None:
    results = []
    for count in (1, 3):
        cores(monkeypatch, count)
        forget_progress()
        runs.store(train(3), Path("artifacts/runs"), Path("artifacts/shipped.pt"), SCRATCH)
        results.append(files("artifacts"))
    assert results[0] == results[1]
    assert len(results[0]) == 4


def test_a_job_is_trained_on_its_own_rows_and_measured_on_its_own() -> None:
    [job] = jobs(1)
    some, others = np.arange(0, 96, 2), np.arange(5)
    chosen = runs.chosen(replace(job, train=some, validation=others), DATA)
    assert np.array_equal(chosen.train.images, DATA.train.images[some])
    assert chosen.validation
    assert np.array_equal(chosen.validation.labels, [0, 1, 2, 3, 4])
    assert runs.chosen(job, DATA) == DATA


@pytest.mark.parametrize(("layer_decay", "passes"), [(1, 3), (0, 1)])
def test_a_curve_costs_a_tenth_of_a_training_at_most_and_measures_as_many_images_as_that_pays_for(
    monkeypatch: pytest.MonkeyPatch, layer_decay: float, passes: int
) -> None:
    predicted = []
    logits_of = loop.logits_of

    def counting(network: Network, images: Tensor, geometry: Tensor | None = None) -> Tensor:
        predicted.append(len(images))
        return logits_of(network, images, geometry)

    monkeypatch.setattr(loop, "logits_of", counting)
    recipe = replace(RECIPE, layer_decay=layer_decay)
    for epochs in (2, 20):
        predicted.clear()
        [job] = jobs(1, replace(PLAN, recipe=recipe, epochs=epochs))
        about = runs.train_one(job, DATA, COMPUTE, SCRATCH).saved.about
        seen, measured = 96 * epochs, predicted[0]
        assert predicted == [measured] * recipe.curve_points
        assert about["curve_images"] == measured
        assert sum(predicted) / (sum(predicted) + seen * passes) <= 0.1
        more = (measured + 1) * recipe.curve_points
        assert measured == 32 or more / (more + seen * passes) > 0.1


@pytest.mark.filterwarnings("ignore:compute.precision is bfloat16")  # not every CPU has it
def test_bfloat16_is_repeatable_and_not_float32() -> None:
    weights = []
    for precision in ("bfloat16", "bfloat16", "float32"):
        forget_progress()
        [trained] = train(1, compute=replace(COMPUTE, precision=precision))
        weights.append(trained.saved.network.head.weight)
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.mark.filterwarnings("ignore:compute.precision is bfloat16")  # not every CPU has it
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("device", DEVICES)
def test_a_device_gives_the_same_bits_side_by_side_and_when_interrupted(
    device: Literal["cpu", "cuda"],
    precision: Literal["float32", "bfloat16"],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compute = replace(COMPUTE, device=device, precision=precision)
    plan = replace(PLAN, augmentation=ALL_AUGMENTATIONS)
    cores(monkeypatch, 1)
    with monkeypatch.context() as patched:
        patched.setattr(Progress, "due", interrupt_at(3))
        with pytest.raises(KeyboardInterrupt):
            train(2, plan, compute)
    assert files("scratch")
    one_by_one = train(2, plan, compute)
    forget_progress()
    cores(monkeypatch, 2)
    for one, other in zip(one_by_one, train(2, plan, compute), strict=True):
        assert one.curve == other.curve
        for name, tensor in one.saved.network.state_dict().items():
            assert torch.equal(tensor, other.saved.network.state_dict()[name]), name


@pytest.mark.parametrize("device", DEVICES)
def test_a_device_takes_the_first_steps_of_a_cpu_with_two_threads(
    device: Literal["cpu", "cuda"], monkeypatch: pytest.MonkeyPatch
) -> None:
    cores(monkeypatch, 1)
    plan = replace(PLAN, augmentation=ALL_AUGMENTATIONS)
    computes = (replace(COMPUTE, threads=2), replace(COMPUTE, device=device))
    first = [train(1, plan, each)[0].first_steps[:3] for each in computes]
    assert torch.allclose(first[0], first[1], rtol=1e-3)


def interrupt_at(step: int) -> Callable[[Progress], bool]:
    """Progress.due that is so at every step, and interrupts the training after this one."""
    count = 0

    def due(_: Progress) -> bool:
        nonlocal count
        count += 1
        if count > step:
            raise KeyboardInterrupt
        return True

    return due


def test_progress_is_of_one_shape_one_init_one_plan_and_one_data_set() -> None:
    [job] = jobs(1)
    about = runs.describe(job, DATA, COMPUTE)
    shapes: list[dict[str, Any]] = [
        *({"crop_border": 0}, {"stem_stride": 1}, {"pool_after": (0,)}, {"temperature": 0.5}),
        *({"ink_size": 19}, {"head_pool": 2}),
    ]
    plans = (
        replace(PLAN, epochs=3),
        replace(PLAN, objective=CrossEntropy(label_smoothing=0.2)),
        replace(PLAN, augmentation=ALL_AUGMENTATIONS),
        replace(PLAN, recipe=replace(RECIPE, warmup=0)),
    )
    keys = [runs.key(job.network, about), runs.key(model.fresh(SHAPE, "a test", 1), about)]
    for changes in shapes:
        keys.append(runs.key(model.fresh(replace(SHAPE, **changes), "a test", 0), about))
    for plan in plans:
        other = runs.describe(replace(job, plan=plan), DATA, COMPUTE)
        keys.append(runs.key(job.network, other))
    fewer = Data(DATA.train.rows(slice(90)), DATA.validation)
    keys.append(runs.key(job.network, runs.describe(job, fewer, COMPUTE)))
    assert keys[0] == runs.key(jobs(1)[0].network, about)
    assert len(set(keys)) == len(keys)


def test_a_missing_gpu_is_one_clear_line() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(InputError, match="finds no GPU here"):
        train(1, compute=replace(COMPUTE, device="cuda"))


def test_a_full_disk_ends_in_the_error_of_the_system_and_keeps_the_last_checkpoint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cores(monkeypatch, 1)
    train(1)
    kept = files("scratch")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            train(1, replace(PLAN, epochs=3))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path: files("scratch")[path] for path in kept} == kept


def test_a_failed_training_ends_those_before_it_within_seconds_with_its_own_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cores(monkeypatch, 2)
    first, broken = jobs(2)
    with torch.no_grad():
        broken.network.head.weight.fill_(float("nan"))
    endless = replace(first, plan=replace(PLAN, epochs=1e6))
    started = time.monotonic()
    with pytest.raises(InputError, match="mnist from random, full, all labels, 1: the loss is nan"):
        runs.train([endless, broken], DATA, COMPUTE, SCRATCH)
    assert time.monotonic() - started < 30
