"""Runs: side by side as one after another, and kept when something goes wrong."""

import itertools
import resource
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import joblib
import numpy as np
import pytest
import torch

from handwriting.core.errors import InputError
from handwriting.data import dataset
from handwriting.training import loop, model, runs
from handwriting.training.checkpoint import Run
from handwriting.training.compute import Compute
from handwriting.training.loop import Plan
from handwriting.training.losses import CrossEntropy
from handwriting.training.resume import Progress
from handwriting.training.runs import Data, Job, Trained
from tests import memory
from tests.networks import ALL_AUGMENTATIONS, COMPUTE, PLAN, RECIPE, SHAPE, split

CUDA = [replace(COMPUTE, device="cuda")] if torch.cuda.is_available() else []
COMPUTES = [COMPUTE, *CUDA]
BFLOAT16 = [replace(each, precision="bfloat16") for each in COMPUTES]
DATA = Data(split(96), split(32))
SCRATCH = Path("scratch")

pytestmark = pytest.mark.usefixtures("tmp_dir")


def jobs(count: int, plan: Plan = PLAN) -> list[Job]:
    return [
        Job(Run(data="mnist", seed=i), model.fresh(SHAPE, "a test", i), replace(plan, seed=i))
        for i in range(count)
    ]


def train(which: list[Job], compute: Compute = COMPUTE) -> list[Trained]:
    SCRATCH.mkdir(exist_ok=True)
    return runs.train(which, DATA, compute, SCRATCH)


def files(folder: str) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def cores(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(joblib, "cpu_count", lambda: count)


def interrupt_at(step: int) -> Callable[[Progress], bool]:
    """Progress.due that is so at every step, and interrupts the training after this one."""
    steps = itertools.count()

    def due(_: Progress) -> bool:
        if next(steps) == step:
            raise KeyboardInterrupt
        return True

    return due


@pytest.mark.parametrize("compute", [*COMPUTES, *BFLOAT16], ids=str)
def test_runs_give_the_same_bytes_side_by_side_and_interrupted_again_and_again(
    compute: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = replace(PLAN, augmentation=ALL_AUGMENTATIONS)
    cores(monkeypatch, 1)
    for further in (1, 3, 2):  # steps: these interrupt the first run twice, then the second
        with monkeypatch.context() as patched:
            patched.setattr(Progress, "due", interrupt_at(further))
            with pytest.raises(KeyboardInterrupt):
                train(jobs(3, plan), compute)
    results = []
    for count in (1, 3):
        cores(monkeypatch, count)
        runs.store(train(jobs(3, plan), compute), Path("runs"), Path("runs/shipped.pt"), SCRATCH)
        results.append(files("runs"))
        shutil.rmtree(SCRATCH)
    assert results[0] == results[1]
    assert len(results[0]) == 4


def test_bfloat16_is_not_float32() -> None:
    one, other = (train(jobs(1), each)[0].saved.network for each in (COMPUTE, BFLOAT16[0]))
    assert not torch.equal(one.head.weight, other.head.weight)


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
    logits_of = Mock(wraps=loop.logits_of)
    monkeypatch.setattr(loop, "logits_of", logits_of)
    recipe = replace(RECIPE, layer_decay=layer_decay)
    for epochs in (2, 20):
        logits_of.reset_mock()
        [trained] = train(jobs(1, replace(PLAN, recipe=recipe, epochs=epochs)))
        predicted = [len(call.args[1]) for call in logits_of.call_args_list]
        seen, measured = 96 * epochs, predicted[0]
        assert predicted == [measured] * recipe.curve_points
        assert trained.saved.about["curve_images"] == measured
        assert sum(predicted) / (sum(predicted) + seen * passes) <= 0.1
        more = (measured + 1) * recipe.curve_points
        assert measured == 32 or more / (more + seen * passes) > 0.1


@pytest.mark.parametrize("compute", COMPUTES, ids=str)
def test_a_device_takes_the_first_steps_of_a_cpu_with_two_threads(
    compute: Compute, monkeypatch: pytest.MonkeyPatch
) -> None:
    cores(monkeypatch, 1)
    plan = replace(PLAN, augmentation=ALL_AUGMENTATIONS)
    computes = (replace(COMPUTE, threads=2), compute)
    first = [train(jobs(1, plan), each)[0].first_steps[:3] for each in computes]
    assert torch.allclose(first[0], first[1], rtol=1e-3)


def test_progress_is_of_one_shape_one_init_one_plan_and_one_data_set() -> None:
    [job] = jobs(1)
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
    networks = [model.fresh(replace(SHAPE, **each), "a test", 0) for each in shapes]
    networks += [job.network, model.fresh(SHAPE, "a test", 1)]
    about = runs.describe(job, DATA, COMPUTE)
    fewer = Data(DATA.train.rows(slice(90)), DATA.validation)
    others = [runs.describe(replace(job, plan=each), DATA, COMPUTE) for each in plans]
    others.append(runs.describe(job, fewer, COMPUTE))
    keys = {runs.key(network, about) for network in networks}
    keys |= {runs.key(job.network, other) for other in others}
    assert len(keys) == len(networks) + len(others)
    assert runs.key(jobs(1)[0].network, about) in keys


def test_a_missing_gpu_is_one_clear_line() -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(InputError, match="finds no GPU here"):
        train(jobs(1), replace(COMPUTE, device="cuda"))


def test_a_full_disk_is_named_and_keeps_the_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    cores(monkeypatch, 1)
    train(jobs(1))
    kept = files("scratch")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            train(jobs(1, replace(PLAN, epochs=3)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {path: files("scratch")[path] for path in kept} == kept


def test_a_failed_training_soon_ends_all_with_its_error(monkeypatch: pytest.MonkeyPatch) -> None:
    cores(monkeypatch, 2)
    first, broken = jobs(2)
    with torch.no_grad():
        broken.network.head.weight.fill_(float("nan"))
    endless = replace(first, plan=replace(PLAN, epochs=1e6))
    started = time.monotonic()
    with pytest.raises(InputError, match="mnist from random, full, all labels, 1: the loss is nan"):
        train([endless, broken])
    assert time.monotonic() - started < 30


def train_from(path: Path) -> None:
    """Train for twenty steps on what is stored there."""
    COMPUTE.configure_torch()
    data = Data(dataset.load(path))
    plan = replace(PLAN, epochs=20 * RECIPE.batch_size / len(data.train.labels))
    network = model.fresh(SHAPE, "a test", 0)
    runs.train([Job(Run(data="noise"), network, plan)], data, COMPUTE, path.parent)


def test_a_training_holds_few_of_its_images_in_memory(tmp_path: Path) -> None:
    few, many = tmp_path / "few.safetensors", tmp_path / "many.safetensors"
    dataset.store(split(100), few, tmp_path)
    count = 500_000  # of 392 MB
    blocks = [np.zeros((10_000, 1, 28, 28), np.uint8)] * (count // 10_000)
    zeros = np.broadcast_to(np.uint8(0), (count, 1, 28, 28))
    large = replace(split(0), images=zeros, labels=np.zeros(count, np.int64))
    large = replace(large, geometry=np.zeros((count, 0), np.float32))
    dataset.store(large, many, tmp_path, blocks)
    small, grown = (memory.growth(partial(train_from, path)) for path in (few, many))
    assert grown - small < 150_000_000
