"""workers: results in order, one error for whatever goes wrong, and never a wait for the dead."""

import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from multiprocessing import active_children
from pathlib import Path

import pytest

from handwriting.core import workers
from handwriting.core.errors import InputError

ROOT = Path(__file__).parents[2]
BOTH = pytest.mark.parametrize("fork", [True, False], ids=["fork", "spawn"])
LARGE = b"x" * (8 << 20)  # bytes, more than any pipe holds
STAGE = """
from handwriting.core import cli, workers
def main(scratch, how):
    print(sum(workers.map(abs, range(9), 3, fork=how == "fork")))
if __name__ == "__main__":
    cli.run(main)
"""
SETPRIV = Path("/usr/bin/setpriv")
_number: int | None = None


def remember(number: int) -> None:
    global _number
    _number = number


def late(job: int) -> tuple[int, int | None]:
    """(job, number of the process); the first jobs take longest."""
    time.sleep(0.1 if job < 2 else 0)
    return job, _number


def fail(job: int) -> None:
    if job == 1:
        raise ZeroDivisionError("of job 1")
    time.sleep(600)


def die(job: bytes) -> None:
    os._exit(9 if job else 0)


def generator(job: int) -> Iterator[int]:
    yield job


def length(job: bytes) -> int:
    return len(job)


@BOTH
def test_results_come_in_order_from_processes_that_know_their_numbers(fork: bool) -> None:
    taken = []

    def jobs() -> Iterator[int]:
        for job in range(20):
            taken.append(job)
            yield job

    found = workers.map(late, jobs(), 2, remember, fork)
    assert next(found)[0] == 0
    assert len(taken) < 20 or fork  # as they are needed
    rest = list(found)
    assert [job for job, _ in rest] == list(range(1, 20))
    assert {number for _, number in rest} == {0, 1}


@BOTH
@pytest.mark.parametrize("count", [1, 2, 5])
def test_large_jobs_and_results_pass(fork: bool, count: int) -> None:
    assert list(workers.map(length, [LARGE] * 3, count, fork=fork)) == [len(LARGE)] * 3
    assert list(workers.map(bytes, [LARGE] * 3, count, fork=fork)) == [LARGE] * 3
    assert list(workers.map(length, list[bytes](), count, fork=fork)) == []


@BOTH
def test_the_first_error_ends_all_and_says_where_it_was(fork: bool) -> None:
    begun = time.monotonic()
    with pytest.raises(ZeroDivisionError, match="of job 1") as caught:
        list(workers.map(fail, range(3), 3, fork=fork))
    assert "in fail" in "".join(caught.value.__notes__)
    assert time.monotonic() - begun < 60


@BOTH
def test_a_result_that_cannot_be_sent_is_an_error(fork: bool) -> None:
    with pytest.raises(Exception, match="pickle"):
        list(workers.map(generator, [1], 2, fork=fork))


@BOTH
@pytest.mark.parametrize("jobs", [[b""] * 4, [LARGE] * 4])
@pytest.mark.parametrize("start", [int, os._exit])
def test_a_process_that_dies_is_an_error(
    fork: bool, jobs: list[bytes], start: Callable[[int], object]
) -> None:
    """At its start, when what it is sent fills the pipe and is not read, or at work."""
    begun = time.monotonic()
    with pytest.raises(InputError, match="a worker process has died"):
        list(workers.map(die, jobs, 2, start, fork))
    assert time.monotonic() - begun < 60
    assert active_children() == []


@BOTH
def test_an_idle_process_that_is_killed_is_an_error(fork: bool) -> None:
    found = workers.map(length, [LARGE] * 4, 1, fork=fork)
    next(found)
    for process in active_children():
        process.kill()
    with pytest.raises(InputError, match="a worker process has died"):
        list(found)


@BOTH
def test_to_leave_early_ends_the_processes(fork: bool) -> None:
    found = workers.map(late, range(10_000), 2, fork=fork)
    next(found)
    assert len(active_children()) == 2
    found.close()
    assert active_children() == []


GUARD = 'if __name__ == "__main__": '
NO_MEMORY = 'import os; __name__ == "__main__" or os.kill(os.getpid(), 9)  # a worker\n'


@pytest.mark.parametrize(
    ("lines", "status", "printed", "said"),
    [
        (GUARD, 0, "[1, 2]\n", "^$"),
        ("", 1, "", r"has died before it began.* under `if __name__ == \"__main__\":`.*\n$"),
        (NO_MEMORY + GUARD, 1, "", r"a worker process has died, probably for lack of memory.*\n$"),
    ],
    ids=["guarded", "unguarded", "killed"],
)
def test_a_script_without_the_guard_of_a_main_module_is_told_so(
    tmp_path: Path, lines: str, status: int, printed: str, said: str
) -> None:
    script = tmp_path / "script.py"
    call = f"{lines}print(list(workers.map(abs, [-1, 2], 2)))\n"
    script.write_text(f"from handwriting.core import workers\n{call}")
    done = subprocess.run(
        [sys.executable, script],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (status, printed)
    assert re.search(said, done.stderr), done.stderr


def test_a_process_with_other_code_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "CODE", "of a minute ago")
    with pytest.raises(InputError, match="the code changed while this stage ran"):
        list(workers.map(length, [b""], 1))


def test_a_process_whose_parent_ended_before_it_began_ends() -> None:
    with subprocess.Popen(["true"]) as gone:
        pass
    begin = f"from handwriting.core import workers; workers._work(None, {gone.pid}, '', 0, None)"
    done = subprocess.run([sys.executable, "-c", f"{begin}; print('at work')"], cwd=ROOT)
    assert done.returncode == 1


@pytest.mark.skipif(
    os.geteuid() != 0 or not SETPRIV.exists(), reason="root and setpriv give a user its own limit"
)
@pytest.mark.parametrize("how", ["fork", "spawn"])
def test_where_no_thread_or_process_can_be_started_a_stage_ends_in_one_line(
    how: str, tmp_path: Path
) -> None:
    """`ulimit -u` of 1, 2, ... for a user who has no other process, until the stage succeeds."""
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages/__init__.py").touch()
    (tmp_path / "stages/work.py").write_text(STAGE)
    tmp_path.chmod(0o777)
    user, rights = 100_000 + os.getpid() % 100_000, "+dac_override,+dac_read_search"
    command = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
    command += [f"--inh-caps={rights}", f"--ambient-caps={rights}", f"--bounding-set=-all,{rights}"]
    command += [sys.executable, "-m", "stages.work", how]
    for limit in range(1, 40):
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=60,
            preexec_fn=partial(resource.setrlimit, resource.RLIMIT_NPROC, (limit, limit)),
        )
        if done.returncode == 0:
            break
        said = "work: no further process or thread can be started: ulimit -u, or a container's"
        assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
        assert done.stderr.startswith(said)
    assert (done.returncode, done.stdout, done.stderr) == (0, "36\n", "")
    assert limit > 4
