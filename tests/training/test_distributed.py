"""One training in several processes."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from handwriting.core.errors import InputError
from handwriting.training import checkpoint, distributed, engine
from handwriting.training.model import Network
from tests import workspace
from tests.networks import COMPUTE

OUTS = {"mnist.pretrain": "pretrained/digits.pt", "characters.train": "characters.pt"}


def trained(folder: Path, params: Any, stage: str, processes: int) -> list[Network]:
    """The networks of a stage, each trained by so many processes."""
    params["compute"]["processes"] = processes
    workspace.write_params(folder, params)
    workspace.run(folder, "python", "-m", f"stages.{stage}", "sample")
    return [each.network for each in checkpoint.load(folder / "artifacts/sample" / OUTS[stage])]


def difference(some: list[Network], others: list[Network]) -> float:
    """The largest difference between two weights."""
    one, other = (
        [tensor for network in networks for tensor in network.state_dict().values()]
        for networks in (some, others)
    )
    return max(float((a - b).abs().max()) for a, b in zip(one, other, strict=True))


def test_two_and_three_processes_agree_with_one(folder: Path) -> None:
    params = workspace.read_params(folder)
    # One step: Muon makes differences in the last digits larger at every further one.
    params["sample"]["pretrain"] = {"digits": 1, "characters": 0.1}
    one, two, three = (trained(folder, params, "mnist.pretrain", n) for n in (1, 2, 3))
    assert 0 < difference(two, three) < 1e-4
    # The statistics of one are torch's batch_norm's, whose float32 gradients are off by up to 5e-4
    # of their size on a CPU (ours, between processes, by 1e-5).
    assert difference(one, two) < 2e-3
    assert not (folder / "scratch").exists()
    assert not torch.equal(two[0].head.weight, two[1].head.weight)


@pytest.mark.slow
def test_two_processes_share_a_batch_that_is_odd_and_mixed(folder: Path) -> None:
    params = workspace.read_params(folder)
    assert params["characters"]["augmentation"]["mixup"] > 0
    params["characters"]["training"]["batch_size"] = 101
    params["sample"]["characters"]["epochs"] = 101 / 310  # one step
    two, three = (trained(folder, params, "characters.train", n) for n in (2, 3))
    assert 0 < difference(two, three) < 1e-4  # bits differ: the sums have another order


def ranked(job: str, folder: Path) -> int:
    """Say which process this is; in one that is not to be, end."""
    rank, count = distributed.processes()
    (folder / f"{rank} of {count}").touch()
    if job == "raises":
        raise InputError(f"no luck in {rank}")
    if job == "dies" and rank:
        os._exit(9)
    total = torch.ones(())
    torch.distributed.all_reduce(total)
    return int(total)


def test_all_processes_work_on_each_job_and_the_first_answers(tmp_path: Path) -> None:
    compute = replace(COMPUTE, processes=3)
    assert engine.map(ranked, ["a", "b"], compute, tmp_path) == [3, 3]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["0 of 3", "1 of 3", "2 of 3"]


@pytest.mark.parametrize(
    ("job", "error"), [("raises", "no luck in"), ("dies", "a worker process has died|closed by")]
)
def test_an_error_of_one_process_or_its_death_ends_all(
    job: str, error: str, tmp_path: Path
) -> None:
    with pytest.raises(Exception, match=error):
        engine.map(ranked, [job], replace(COMPUTE, processes=2), tmp_path)
