"""One training in several processes."""

import shutil
import socket
from pathlib import Path
from typing import Any

import torch

from handwriting.training import checkpoint
from handwriting.training.model import Network
from tests import workspace


def copied(reproduced: Path, folder: Path) -> dict[str, Any]:
    """The params of what is there to be trained with, which is now in `folder`."""
    for name in ("stages", "handwriting", "data/tensors/sample"):
        shutil.copytree(reproduced / name, folder / name)
    return workspace.read_params(reproduced)


def pretrained(folder: Path, params: dict[str, Any], processes: int) -> list[Network]:
    """The digits checkpoints after one step, by so many processes; 0 is no launcher."""
    params["compute"]["launcher"] = launcher(processes) if processes else ""
    workspace.write_params(folder, params)
    workspace.run(folder, "python", "-m", "stages.mnist.pretrain", "sample")
    return networks(folder / "artifacts/sample/pretrained/digits.pt")


def networks(path: Path) -> list[Network]:
    return [each.network for each in checkpoint.load(path)]


def launcher(processes: int) -> str:
    """A launcher of so many processes, at a port that is free."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return f"torchrun --nproc-per-node {processes} --master-addr 127.0.0.1 --master-port {port}"


def difference(some: list[Network], others: list[Network]) -> float:
    """The largest difference between two weights."""
    pairs = zip(some, others, strict=True)
    states = [zip(a.state_dict().values(), b.state_dict().values(), strict=True) for a, b in pairs]
    return max(float((a - b).abs().max()) for state in states for a, b in state)


def test_two_processes_agree_with_one_of_which_one_writes(reproduced: Path, tmp_path: Path) -> None:
    params = copied(reproduced, tmp_path)
    # One step: Muon makes differences in the last digits larger at every further one.
    params["sample"]["pretrain"] = {"digits": 1, "characters": 0.1}
    plain, one, two = (pretrained(tmp_path, params, processes) for processes in (0, 1, 2))
    assert difference(one, two) < 1e-4
    # Without a launcher the statistics are torch's batch_norm's, whose float32 gradients are off by
    # up to 5e-4 of their size on a CPU (ours, between processes, by 1e-5).
    assert difference(plain, two) < 2e-3
    assert not (tmp_path / "scratch").exists()
    assert not torch.equal(one[0].head.weight, one[1].head.weight)


def test_two_processes_share_a_batch_that_is_odd_and_mixed(
    reproduced: Path, tmp_path: Path
) -> None:
    params = copied(reproduced, tmp_path)
    assert params["characters"]["augmentation"]["mixup"] > 0
    params["characters"]["training"]["batch_size"] = 101
    params["sample"]["characters"]["epochs"] = 101 / 310  # one step
    weights = []
    for processes in (1, 2):
        params["compute"]["launcher"] = launcher(processes)
        workspace.write_params(tmp_path, params)
        workspace.run(tmp_path, "python", "-m", "stages.characters.train", "sample")
        weights.append(networks(tmp_path / "artifacts/sample/characters.pt"))
    assert 0 < difference(*weights) < 1e-4  # bits differ: the sums have another order


def test_a_launcher_that_does_not_exist_is_one_clear_line(reproduced: Path, tmp_path: Path) -> None:
    params = copied(reproduced, tmp_path)
    params["compute"]["launcher"] = "no-such-program"
    workspace.write_params(tmp_path, params)
    done = workspace.run(tmp_path, "python", "-m", "stages.mnist.pretrain", "sample", check=False)
    assert done.returncode != 0
    assert done.stderr.strip().splitlines() == [
        "mnist.pretrain: params.yaml: compute.launcher: no-such-program: No such file or directory"
    ]
