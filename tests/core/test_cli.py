"""cli: one line for an error, one run of a stage at a time, nothing left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {"PYTHONPATH": str(ROOT)}
STAGE = """
import os, sys, time
from pathlib import Path
from handwriting.core import cli
from handwriting.core.errors import InputError

def main(scratch, source, dataset):
    {}

cli.run(main)
"""
KILLED = (  # a worker that ends without a word, as where the system kills the largest process
    "from concurrent.futures import ProcessPoolExecutor;"
    " ProcessPoolExecutor(1).submit(os._exit, 9).result()"
)

pytestmark = pytest.mark.usefixtures("tmp_dir")


def command(body: str) -> list[str]:
    Path("stages").mkdir(exist_ok=True)
    Path("stages/__init__.py").touch()
    Path("stages/work.py").write_text(STAGE.format(body))
    return [sys.executable, "-m", "stages.work", "sample", "mnist"]


def run(body: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(body), capture_output=True, text=True, env=ENVIRONMENT)


def wait_for(path: str | Path, present: bool = True) -> None:
    deadline = time.monotonic() + 20
    while Path(path).exists() != present:
        assert time.monotonic() < deadline, f"{path} in time"
        time.sleep(0.01)


def test_a_stage_is_given_its_coordinates_and_an_empty_folder() -> None:
    found = run("print(scratch, list(scratch.iterdir()), source, dataset)")
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout == "scratch/work-sample-mnist [] sample mnist\n"
    assert not Path("scratch").exists()


def test_other_arguments_end_in_the_usage() -> None:
    found = subprocess.run(
        [*command("pass"), "more"], capture_output=True, text=True, env=ENVIRONMENT
    )
    assert (found.returncode, found.stdout) == (1, "")
    assert found.stderr == "usage: python -m stages.work SOURCE DATASET\n"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise InputError('params.yaml: a key')", "work: params.yaml: a key\n"),
        ("open('missing')", "work: missing: No such file or directory\n"),
        ("raise OSError(28, 'No space left on device')", "work: a file: No space left on device\n"),
        ("raise MemoryError", "work: out of memory\n"),
        (KILLED, "work: a worker process was killed, probably for lack of memory\n"),
    ],
)
def test_an_error_is_one_line_and_keeps_the_scratch_folder(body: str, message: str) -> None:
    found = run(f"(scratch / 'part').touch(); {body}")
    assert (found.returncode, found.stdout, found.stderr) == (1, "", message)
    assert Path("scratch/work-sample-mnist/part").exists()
    assert run("assert (scratch / 'part').exists()").returncode == 0
    assert not Path("scratch").exists()


def test_a_defect_keeps_its_traceback() -> None:
    found = run("1 / 0")
    assert found.returncode == 1
    assert "Traceback" in found.stderr
    assert "ZeroDivisionError" in found.stderr


def test_an_interrupted_stage_says_what_it_kept() -> None:
    body = "(scratch / 'part').touch(); Path('begun').touch(); time.sleep(600)"
    process = subprocess.Popen(
        command(body),
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
        # A shell has its background jobs ignore Ctrl-C, and the tests may be one.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    wait_for("begun")
    process.send_signal(signal.SIGINT)
    _, message = process.communicate(timeout=120)
    assert process.returncode == 130
    kept = b"kept in scratch/work-sample-mnist for the next run: part"
    assert message == b"work: interrupted; " + kept + b"\n"


def test_a_stage_ends_with_the_process_that_started_it() -> None:
    body = "Path('pid').write_text(str(os.getpid())); os.rename('pid', 'begun'); time.sleep(60)"
    orphaned = command(body)
    starter = "import subprocess, sys; subprocess.run(sys.argv[1:])"
    process = subprocess.Popen([sys.executable, "-c", starter, *orphaned], env=ENVIRONMENT)
    wait_for("begun")
    process.kill()
    process.wait()
    stage = Path("/proc", Path("begun").read_text())
    if stage.parent.exists():
        wait_for(stage, present=False)


@pytest.mark.parametrize(
    "start",
    [
        "from handwriting.preprocessing.folders import _start; _start({parent})",
        "from handwriting.training.engine import _start; _start({parent}, None, None, ())",
    ],
)
def test_a_worker_whose_parent_ended_before_it_began_ends(start: str) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    worker = [sys.executable, "-c", start.format(parent=gone.pid) + "; print('at work')"]
    done = subprocess.run(worker, capture_output=True, text=True, env=ENVIRONMENT, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


def test_an_error_that_leaves_nothing_leaves_no_folder() -> None:
    for body in ("raise InputError('params.yaml: a key')", "raise KeyboardInterrupt", "1 / 0"):
        assert run(body).returncode in (1, 130)
        assert not Path("scratch").exists()


def test_a_second_run_waits_for_the_first() -> None:
    first = subprocess.Popen(
        command("Path('begun').touch()\n    while Path('begun').exists(): time.sleep(0.01)"),
        env=ENVIRONMENT,
    )
    wait_for("begun")
    second = subprocess.Popen(
        command("print('second', Path('begun').exists())"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )
    assert second.stderr is not None
    assert "waiting for another run" in second.stderr.readline()
    Path("begun").unlink()
    assert second.communicate(timeout=20)[0] == "second False\n"
    assert first.wait(timeout=20) == 0
    assert second.returncode == 0
    assert not Path("scratch").exists()


def test_runs_that_come_and_go_never_share_the_folder() -> None:
    code = """
import os
from pathlib import Path
from handwriting.core.cli import held
for _ in range(300):
    folder = Path("scratch/a")
    with held(folder):
        os.close(os.open(folder / "alone", os.O_CREAT | os.O_EXCL))
"""
    runs = [
        subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, env=ENVIRONMENT)
        for _ in range(3)
    ]
    errors = [run.communicate(timeout=60)[1].decode() for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0], errors
    assert os.listdir() == []  # noqa: PTH208 - all of it is gone
