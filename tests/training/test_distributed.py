"""One training in several processes."""

import socket
from pathlib import Path
from typing import Any

import pytest
import torch

from handwriting.training import checkpoint
from handwriting.training.model import Network
from tests import workspace

OUTS = {"mnist.pretrain": "pretrained/digits.pt", "characters.train": "characters.pt"}


def launcher(processes: int) -> str:
    """A launcher of so many processes, at a port that is free."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return f"torchrun --nproc-per-node {processes} --master-addr 127.0.0.1 --master-port {port}"


def trained(folder: Path, params: Any, stage: str, processes: int) -> list[Network]:
    """The networks of a stage, trained by so many processes; 0 is no launcher."""
    params["compute"]["launcher"] = launcher(processes) if processes else ""
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


def test_two_processes_agree_with_one_of_which_one_writes(folder: Path) -> None:
    params = workspace.read_params(folder)
    # One step: Muon makes differences in the last digits larger at every further one.
    params["sample"]["pretrain"] = {"digits": 1, "characters": 0.1}
    plain, one, two = (trained(folder, params, "mnist.pretrain", n) for n in (0, 1, 2))
    assert difference(one, two) < 1e-4
    # Without a launcher the statistics are torch's batch_norm's, whose float32 gradients are off by
    # up to 5e-4 of their size on a CPU (ours, between processes, by 1e-5).
    assert difference(plain, two) < 2e-3
    assert not (folder / "scratch").exists()
    assert not torch.equal(one[0].head.weight, one[1].head.weight)


@pytest.mark.slow
def test_two_processes_share_a_batch_that_is_odd_and_mixed(folder: Path) -> None:
    params = workspace.read_params(folder)
    assert params["characters"]["augmentation"]["mixup"] > 0
    params["characters"]["training"]["batch_size"] = 101
    params["sample"]["characters"]["epochs"] = 101 / 310  # one step
    one, two = (trained(folder, params, "characters.train", n) for n in (1, 2))
    assert 0 < difference(one, two) < 1e-4  # bits differ: the sums have another order


def test_a_launcher_that_does_not_exist_is_one_clear_line(folder: Path) -> None:
    params = workspace.read_params(folder)
    params["compute"]["launcher"] = "no-such-program"
    workspace.write_params(folder, params)
    done = workspace.run(folder, "python", "-m", "stages.mnist.pretrain", "sample", check=False)
    assert done.returncode != 0
    assert done.stderr.strip().splitlines() == [
        "mnist.pretrain: params.yaml: compute.launcher: no-such-program: No such file or directory"
    ]
