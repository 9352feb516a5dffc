"""A real stage, ended by a signal in the middle of its training, goes on to the same bytes."""

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


@pytest.mark.parametrize(
    "how",
    [
        signal.SIGKILL,
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
    ],
)
def test_a_killed_training_resumes_to_the_same_bytes(folder: Path, how: signal.Signals) -> None:
    params = workspace.read_params(folder)
    params["sample"]["characters"]["epochs"] = 60  # enough to be interrupted
    workspace.write_params(folder, params)
    result = folder / "artifacts/sample/characters.pt"
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        cwd=folder,
        env=workspace.ENVIRONMENT,
        # Tests that run in the background of a shell ignore SIGINT, and so would what they start.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + PATIENCE
    while not list(folder.glob("scratch/characters.train-sample/*.checkpoint")):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(how)
    assert process.wait(timeout=PATIENCE) == (130 if how == signal.SIGINT else -how)
    assert not result.exists()
    resumed = workspace.run(folder, "python", "-m", "stages.characters.train", "sample").stdout
    assert "characters from random, all, all labels, 0: resumes after step " in resumed
    assert not (folder / "scratch").exists()
    bytes_of_it = result.read_bytes()
    result.unlink()
    whole = workspace.run(folder, "python", "-m", "stages.characters.train", "sample").stdout
    assert "resumes" not in whole
    assert result.read_bytes() == bytes_of_it
