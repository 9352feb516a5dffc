"""cli: one line for an error, one run of a stage at a time, nothing left behind."""

import os
import re
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


def command(body: str, *more: str) -> list[str]:
    Path("stages").mkdir(exist_ok=True)
    Path("stages/__init__.py").touch()
    Path("stages/work.py").write_text(STAGE.format(body))
    return [sys.executable, "-m", "stages.work", "sample", "mnist", *more]


def start(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
        # A shell has its background jobs ignore Ctrl-C, and the tests may be one.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Return the exit status and what was printed, once the process has ended."""
    output, errors = process.communicate(timeout=120)
    return process.returncode, output, errors


def run(body: str, *more: str) -> tuple[int, str, str]:
    return ended(start(command(body, *more)))


def wait_for(path: str | Path, present: bool = True) -> None:
    deadline = time.monotonic() + 20
    while Path(path).exists() != present:
        assert time.monotonic() < deadline, f"{path} in time"
        time.sleep(0.01)


def test_a_stage_is_given_its_coordinates_and_an_empty_folder() -> None:
    printed = "scratch/work-sample-mnist [] sample mnist\n"
    assert run("print(scratch, list(scratch.iterdir()), source, dataset)") == (0, printed, "")
    assert not Path("scratch").exists()


def test_other_arguments_end_in_the_usage() -> None:
    assert run("pass", "more") == (1, "", "usage: python -m stages.work SOURCE DATASET\n")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("raise InputError('params.yaml: a key')", "work: params.yaml: a key\n"),
        ("open('missing')", "work: missing: No such file or directory\n"),
        ("raise OSError(28, 'No space left on device')", "work: a file: No space left on device\n"),
        ("raise MemoryError", "work: out of memory\n"),
        (KILLED, "work: a worker process was killed, probably for lack of memory\n"),
        # A defect keeps its traceback.
        ("1 / 0", "(?s)Traceback .*ZeroDivisionError: division by zero\n"),
    ],
)
def test_an_error_is_one_line_and_only_a_folder_with_files_stays(body: str, message: str) -> None:
    for kept, before in (True, "(scratch / 'part').touch(); "), (False, ""):
        status, output, errors = run(before + body)
        assert (status, output) == (1, "")
        assert re.fullmatch(message, errors)
        assert Path("scratch/work-sample-mnist/part").exists() == Path("scratch").exists() == kept
        assert run(f"assert (scratch / 'part').exists() == {kept}") == (0, "", "")
        assert not Path("scratch").exists()


def test_an_interrupted_stage_says_what_it_kept() -> None:
    body = "(scratch / 'part').touch(); Path('begun').touch(); time.sleep(600)"
    process = start(command(body))
    wait_for("begun")
    process.send_signal(signal.SIGINT)
    kept = "kept in scratch/work-sample-mnist for the next run: part"
    assert ended(process) == (130, "", f"work: interrupted; {kept}\n")
    Path("scratch/work-sample-mnist/part").unlink()
    nothing = "work: interrupted; nothing to resume from\n"
    assert run("raise KeyboardInterrupt") == (130, "", nothing)
    assert not Path("scratch").exists()


def test_a_stage_ends_with_the_process_that_started_it() -> None:
    body = "Path('pid').write_text(str(os.getpid())); os.rename('pid', 'begun'); time.sleep(60)"
    orphaned = command(body)
    starter = "import subprocess, sys; subprocess.run(sys.argv[1:])"
    process = subprocess.Popen([sys.executable, "-c", starter, *orphaned], env=ENVIRONMENT)
    wait_for("begun")
    process.kill()
    process.wait()
    stage = Path("/proc", Path("begun").read_text())
    wait_for(stage, present=False)


@pytest.mark.parametrize(
    "begin",
    [
        "from handwriting.preprocessing.folders import _start; _start({parent})",
        "from handwriting.training.engine import _start; _start({parent}, None, None, ())",
    ],
)
def test_a_worker_whose_parent_ended_before_it_began_ends(begin: str) -> None:
    gone = start(["true"])
    ended(gone)
    worker = f"{begin.format(parent=gone.pid)}; print('at work')"
    assert ended(start([sys.executable, "-c", worker])) == (1, "", "")


def test_a_second_run_waits_for_the_first() -> None:
    first = start(
        command("Path('begun').touch()\n    while Path('begun').exists(): time.sleep(0.01)")
    )
    wait_for("begun")
    second = start(command("print('second', Path('begun').exists())"))
    assert second.stderr is not None
    assert "waiting for another run" in second.stderr.readline()
    Path("begun").unlink()
    assert ended(second) == (0, "second False\n", "")
    assert ended(first) == (0, "", "")
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
    runs = [start([sys.executable, "-c", code]) for _ in range(3)]
    found = [ended(run) for run in runs]
    assert [status for status, _, _ in found] == [0, 0, 0], found
    assert os.listdir() == []  # noqa: PTH208 - all of it is gone
