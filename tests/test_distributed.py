"""One training in several processes."""

import shutil
import socket
from pathlib import Path

import torch

from stages.common import model
from tests import workspace


def test_two_processes_agree_with_one_and_only_the_first_writes(
    reproduced: Path, tmp_path: Path
) -> None:
    for name in ("stages", "data/tensors/sample/bases"):
        shutil.copytree(reproduced / name, tmp_path / name)
    params = workspace.read_params(reproduced)
    # One step: Muon makes differences in the last digits larger at every further one.
    params["pretrain"]["epochs"]["sample"] = {"random": 0, "digits": 1, "characters": 0}
    workspace.write_params(tmp_path, params)
    workspace.run(tmp_path, "python", "-m", "stages.pretrain", "sample")
    (tmp_path / "artifacts").rename(tmp_path / "alone")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    params["compute"]["launcher"] = (
        f"torchrun --nproc-per-node 2 --master-addr 127.0.0.1 --master-port {port}"
    )
    workspace.write_params(tmp_path, params)
    said = workspace.run(tmp_path, "python", "-m", "stages.pretrain", "sample").stdout
    assert said.count("digits.pt: middle 0") == 1
    path = "sample/bases/digits.pt"
    pair = (model.load_all(tmp_path / each / path) for each in ("artifacts", "alone"))
    for (two, _), (one, _) in zip(*pair, strict=True):
        for a, b in zip(two.state_dict().values(), one.state_dict().values(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-3, atol=2e-3)
    assert not (tmp_path / "scratch").exists()


def test_a_launcher_that_does_not_exist_is_one_clear_line(reproduced: Path, tmp_path: Path) -> None:
    for name in ("stages", "data/tensors/sample/bases"):
        shutil.copytree(reproduced / name, tmp_path / name)
    params = workspace.read_params(reproduced)
    params["compute"]["launcher"] = "no-such-program"
    workspace.write_params(tmp_path, params)
    done = workspace.run(tmp_path, "python", "-m", "stages.pretrain", "sample", check=False)
    assert done.returncode != 0
    assert done.stderr.strip().splitlines() == [
        "pretrain: params.yaml: compute.launcher: no-such-program: No such file or directory"
    ]
