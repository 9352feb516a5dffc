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
    "from handwriting.core import workers; [*workers.map(os._exit, [9], 1, fork=True)]"
)

pytestmark = pytest.mark.usefixtures("tmp_dir")


def command(body: str, *more: str) -> list[str]:
    Path("stages").mkdir(exist_ok=True)
    Path("stages/__init__.py").touch()
    Path("stages/work.py").write_text(STAGE.format(body))
    return [sys.executable, "-m", "stages.work", "sample", "mnist", *more]


def start(command: list[str], **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT | variables,
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
        (KILLED, "work: a worker process has died, probably for lack of memory, .*\n"),
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


def test_a_variable_that_changes_the_last_digits_is_named() -> None:
    names = {"MKL_CBWR": "COMPATIBLE", "ATEN_CPU_CAPABILITY": "default", "NVIDIA_TF32_OVERRIDE": ""}
    said = "work: ATEN_CPU_CAPABILITY, MKL_CBWR is set, which may change the last digits\n"
    assert ended(start(command("pass"), **names)) == (0, "", said)


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


DVC_YAML = """
stages:
  work:
    cmd: python -m stages.work ${item.source} ${item.dataset}
    deps: [stages/work.py, library, "data/${item.source}/large", "data/${item.dataset}/small"]
  other: {cmd: python -m stages.other, deps: [data/other]}
"""
LARGE = 2 << 20  # bytes
PAUSE = "Path('begun').touch()\n    while Path('begun').exists(): time.sleep(0.01)"
FILES = {
    "params.yaml": "read: {a: 1, b: [2]}\nother: 1\n",
    "stages/dvc.yaml": DVC_YAML,
    "data/sample/large": "x" * LARGE,
    "data/mnist/small": "1",
    "data/other": "1",
    "library/part.py": "x = 1",
    "library/page.html": "<p>",
    "library/.part.py.swp": "open in vim",
    "library/4913": "vim tries whether it may write",
    "library/part.py.orig": "of a merge",
    ".dvcignore": (ROOT / ".dvcignore").read_text(),
}


def while_it_runs(edits: dict[str, str | None]) -> tuple[int, str, str]:
    """Run a stage that reads FILES; write or, of None, remove some of them in the meantime."""
    body = f"from handwriting.core import params; params.load('read', dict); {PAUSE}"
    process_command = command(body)
    for path, text in FILES.items():
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(text)
    process = start(process_command)
    wait_for("begun")
    for path, edited in edits.items():
        if edited is None:
            Path(path).unlink()
        else:
            Path(path).parent.mkdir(exist_ok=True)
            Path(path).write_text(edited)
    Path("begun").unlink()
    return ended(process)


@pytest.mark.parametrize(
    ("path", "edited", "named"),
    [
        ("params.yaml", "read: {a: 1, b: [3]}\nother: 1\n", "params.yaml: read"),
        ("stages/work.py", "print(1)", "stages/work.py"),
        ("library/part.py", "x = 2", "library/part.py"),
        ("library/page.html", "<a>", "library/page.html"),
        ("library/part.py", None, "library/part.py"),
        ("library/new.py", "x = 1", "library/new.py"),
        ("library/new/part.py", "", "library/new/part.py"),
        ("library/.new", "", "library/.new"),
        ("data/mnist/small", "2", "data/mnist/small"),
        ("data/sample/large", "y" * LARGE, "data/sample/large"),
    ],
)
def test_what_a_stage_read_and_is_edited_meanwhile_fails_it(
    path: str, edited: str | None, named: str
) -> None:
    said = f"work: {named} changed while this stage ran: run it again\n"
    assert while_it_runs({path: edited}) == (1, "", said)
    Path(path).unlink(missing_ok=True)
    assert while_it_runs({}) == (0, "", "")


def test_an_edit_of_what_a_stage_did_not_read_does_no_harm() -> None:
    edits: dict[str, str | None] = {
        "params.yaml": "other: 2  # a comment\nread: {b: [2],\n a: 1}\n",
        "library/part.py": FILES["library/part.py"],  # saved again
        "library/__pycache__/part.pyc": "compiled",
        "library/.part.py.swp": None,
        "library/4913": None,
        "library/part.py.orig": "of another merge",
        "library/Thumbs.db": "seen in Windows",
        "library/.ipynb_checkpoints/part.py": "of Jupyter",
        "library/part.py~": "an editor's copy",
        "data/other": "2",
        "data/another/small": "2",
    }
    assert while_it_runs(edits) == (0, "", "")


def test_params_that_cannot_be_read_in_the_end_fail_a_stage() -> None:
    status, _, said = while_it_runs({"params.yaml": "read: {a: 1,"})
    assert (status, said.count("\n")) == (1, 1)
    assert said.startswith("work: params.yaml: not YAML: ")
