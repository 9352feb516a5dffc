"""Processes that work for this one: they end with it, and it does not wait for one that ended."""

import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from hashlib import sha256
from itertools import chain
from multiprocessing import get_context
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TypeVar

from handwriting.core.errors import InputError

Job = TypeVar("Job")
Result = TypeVar("Result")
Given = tuple[Callable[[Any], Any], Callable[[int], object]]  # what map() is given
NUMBER: ContextVar[int] = ContextVar("NUMBER", default=0)  # of a worker, from 1
_NO_ROOM = "no further process or thread can be started: ulimit -u, or a container's limit of pids"
_DIED = (
    "a worker process has died, probably for lack of memory, or of room for its threads (ulimit -u)"
)
_NOT_BEGUN = (
    "a worker process has died before it began, for the reason above. It imports the script that "
    'calls it, so make the call under `if __name__ == "__main__":`; otherwise memory, or room for '
    "its threads (ulimit -u), is short"
)
_SOURCES = sorted(Path(__file__).parents[1].rglob("[!.]*.py"))  # without what an editor keeps
CODE = sha256(b"".join(path.read_bytes() for path in _SOURCES)).hexdigest()  # as imported here


def map(
    function: Callable[[Job], Result],
    jobs: Iterable[Job],
    count: int,
    start: Callable[[int], object] = int,
    fork: bool = False,
) -> Generator[Result]:
    """Yield function(job) of each job, in order; process i of `count` begins by start(i).

    The first job that fails ends all, with its own error. So does a process that dies: each has a
    pipe of its own, which ends with it. No thread that might not start stands between.
    """
    given, processes = (function, start), dict[Any, BaseProcess]()  # by pipe
    todo, wanted = ((index, (job,)) for index, job in enumerate(jobs)), 0
    running, results = dict[Any, int](), dict[int, Any]()  # by pipe and by index, from 0
    try:
        for number in range(count):
            connection, process = _started(number, given, fork)
            processes[connection] = process
            running[connection] = -2  # it will say that it listens
        first = (-1, None if fork else given)  # sent, where no fork has it, to what can read it
        messages = {connection: chain([first], todo) for connection in running}
        while running:
            ready: list[Any] = wait([*running])
            for connection in ready:
                before = running.pop(connection)
                results[before] = _received(connection, processes[connection], before)
                index, message = next(messages[connection], (None, None))
                with _explained(_DIED, OSError):
                    connection.send(message)
                if index is not None:
                    running[connection] = index
            while wanted in results:
                yield results.pop(wanted)
                wanted += 1
    except BaseException:
        for process in processes.values():
            process.terminate()
        raise
    finally:
        for process in processes.values():
            process.join()


def _started(number: int, given: Given, fork: bool) -> tuple[Any, BaseProcess]:
    """Return the pipe to a new process, and the process."""
    context = get_context("fork") if fork else get_context("spawn")
    here, there = context.Pipe()
    with there:  # open there alone, so that it is closed when the process ends
        args = there, os.getpid(), CODE, number, given if fork else None
        process = context.Process(target=_work, args=args)
        with _explained(_NO_ROOM, BlockingIOError):
            process.start()
    return here, process


def _received(connection: Any, process: BaseProcess, index: int) -> Any:
    """Return the result that a process sends. Raises the error that it sends instead."""
    try:
        result, error = connection.recv()
    except (EOFError, OSError):
        process.join(1)  # its pipe has just ended with it
        failed = index == -2 and process.exitcode == 1  # by an error of Python's, not by a signal
        raise InputError(_NOT_BEGUN if failed else _DIED) from None
    if error is not None:
        raise error
    return result


def _work(connection: Any, parent: int, code: str, number: int, given: Given | None) -> None:
    """Do jobs for a parent whose code is `code`, until it sends none or one fails."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent alone handles Ctrl-C
    NUMBER.set(number + 1)
    try:
        follow_parent(parent)
        if code != CODE:
            raise InputError("the code changed while this stage ran: run it again")
        connection.send((None, None))
        function, start = connection.recv() or given  # type: ignore[misc]
        start(number)
        connection.send((None, None))
        while message := connection.recv():
            connection.send((function(*message), None))
    except BaseException as error:
        error.add_note(traceback.format_exc())
        with suppress(OSError):  # there is no parent any more
            connection.send((None, error))


def follow_parent(parent: int) -> None:
    """End this process when `parent`, which started it, has ended.

    A worker gets its parent's pid as an argument, and so notices a parent killed before this call.
    Raises InputError where no thread can be started.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.2)
        os._exit(1)

    if os.getppid() != parent:
        os._exit(1)
    with _explained(_NO_ROOM, RuntimeError):
        threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _explained(message: str, *errors: type[Exception]) -> Iterator[None]:
    """Raise InputError with this message instead of these errors."""
    try:
        yield
    except errors:
        raise InputError(message) from None
