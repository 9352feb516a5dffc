"""Trainings side by side: how many at once, and in which order they come back."""

import os
import resource
import time
from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import joblib
import pytest
import torch

from handwriting.core.errors import InputError
from handwriting.training import engine, model
from tests.networks import COMPUTE, SHAPE

BFLOAT16 = replace(COMPUTE, precision="bfloat16")


def company(job: int, folder: Path, patience: float) -> tuple[int, int]:
    """(job, how many processes have worked), once that is three or patience is at an end."""
    (folder / f"{os.getpid()}").touch()
    deadline = time.monotonic() + patience
    while len(list(folder.iterdir())) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    return job, len(list(folder.iterdir()))


@pytest.mark.parametrize(("jobs", "at_once", "patience"), [(3, 3, 60), (4, 2, 0.5)])
def test_three_jobs_share_two_cores_and_four_take_turns(
    jobs: int, at_once: int, patience: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joblib, "cpu_count", lambda: 2)
    found = engine.map(company, range(jobs), COMPUTE, tmp_path, patience)
    assert [job for job, _ in found] == list(range(jobs))
    assert max(count for _, count in found) == at_once


def test_many_networks_need_few_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joblib, "cpu_count", lambda: 2)
    networks = [model.fresh(SHAPE, "a test", seed) for seed in range(60)]  # of 14 tensors each
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        found = engine.map(deepcopy, networks, COMPUTE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    for one, other in zip(networks, found, strict=True):
        assert torch.equal(one.head.weight, other.head.weight)


def convolved(images: torch.Tensor) -> float:
    kernel = torch.ones(64, 64, 3, 3)
    return float(torch.nn.functional.conv2d(images, kernel, padding=1).sum())


def test_trainings_of_several_threads_do_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joblib, "cpu_count", lambda: 4)
    compute, images = replace(COMPUTE, threads=2), torch.ones(32, 64, 28, 28)
    compute.configure_torch()
    try:
        expected = convolved(images)  # in threads of OpenMP, which a fork would not have
        assert engine.map(convolved, [images] * 4, compute) == [expected] * 4
    finally:
        COMPUTE.configure_torch()


@pytest.mark.parametrize("threads", [1, 2], ids=["fork", "spawn"])
def test_a_training_that_is_killed_is_an_error(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joblib, "cpu_count", lambda: 4)
    try:
        with pytest.raises(InputError, match="a worker process has died"):
            engine.map(os._exit, [9] * 4, replace(COMPUTE, threads=threads))
    finally:
        COMPUTE.configure_torch()


@pytest.mark.parametrize("name", ["avx512_bf16", "amx_bf16", "bf16", "sve_bf16", "avx512_f"])
def test_bfloat16_without_hardware_for_it_is_said_to_be_slow(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {name: True, "avx2": True})
    for compute in (COMPUTE, BFLOAT16):
        engine.map(abs, [1], compute)
    said = "params.yaml: compute.precision is bfloat16, which this CPU has no hardware for: slow\n"
    assert capsys.readouterr().err == ("" if "bf16" in name else said)


def test_float32_is_not_rounded_to_tensorfloat_on_a_gpu() -> None:
    COMPUTE.configure_torch()
    assert not torch.backends.cudnn.allow_tf32
