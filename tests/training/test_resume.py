"""A real stage, ended by a signal in the middle of its training, goes on to the same bytes."""

import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from tests import workspace

PATIENCE = 120  # seconds for what takes a few
# The stage as it is, but for a checkpoint at every step: it is over before the first is due.
PROGRAM = (
    "import runpy, sys; from handwriting.training import resume;"
    "resume._INTERVAL = 0; sys.argv = ['stages/characters/train.py', 'sample'];"
    "runpy.run_module('stages.characters.train', run_name='__main__', alter_sys=True)"
)


@pytest.fixture
def folder(reproduced: Path, tmp_path: Path) -> Path:
    """What `train` reads, with enough epochs to be interrupted."""
    for name in ("stages", "handwriting", "data/tensors/sample"):
        shutil.copytree(reproduced / name, tmp_path / name)
    params = workspace.read_params(reproduced)
    params["sample"]["characters"]["epochs"] = 60
    workspace.write_params(tmp_path, params)
    return tmp_path


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_a_training_ended_by_a_signal_goes_on_to_the_bytes_of_one_that_was_not(
    folder: Path, how: signal.Signals
) -> None:
    result = folder / "artifacts/sample/characters.pt"
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        cwd=folder,
        env=workspace.ENVIRONMENT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Tests that run in the background of a shell ignore SIGINT, and so would what they start.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + PATIENCE
    while not list(folder.glob("scratch/characters.train-sample/*.checkpoint")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, how)
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == (130 if how == signal.SIGINT else -how)
    if how == signal.SIGINT:
        assert "interrupted; kept in scratch/characters.train-sample for the next run: " in said
        assert "characters-from-random-all-all-labels-0.checkpoint" in said
    assert not result.exists()
    resumed = workspace.run(folder, "python", "-m", "stages.characters.train", "sample").stdout
    assert "characters from random, all, all labels, 0: resumes after step " in resumed
    assert not (folder / "scratch").exists()
    bytes_of_it = result.read_bytes()
    result.unlink()
    whole = workspace.run(folder, "python", "-m", "stages.characters.train", "sample").stdout
    assert "resumes" not in whole
    assert result.read_bytes() == bytes_of_it
