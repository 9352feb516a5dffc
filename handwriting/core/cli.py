"""What every stage does around its main(): one instance at a time, one line for an error."""

import fcntl
import inspect
import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

from handwriting.core.errors import InputError

SCRATCH = Path("scratch")
LIVE = Path("live")  # see handwriting/training/live.py


def run(main: Callable[..., None]) -> None:
    """Call main(scratch, *coordinates) with the coordinates of the command line, then exit.

    An InputError, a full disk, too little memory and Ctrl-C end in one line and a non-zero exit
    status. Anything else is a defect of ours and keeps its traceback. What is in the scratch folder
    survives a failure, so that the next run can go on from there, and is gone after success.
    """
    stage = Path(sys.argv[0]).stem
    names = list(inspect.signature(main).parameters)[1:]
    if len(sys.argv) != len(names) + 1:
        sys.exit(f"usage: python -m stages.{stage} {' '.join(names).upper()}")
    if strange := [each for each in sys.argv[1:] if not re.fullmatch(r"[\w-]+", each)]:
        sys.exit(f"{stage}: {strange[0]!r} is no name: letters, digits, - and _")
    folder = SCRATCH / "-".join([stage, *sys.argv[1:]])
    follow_parent(os.getppid())
    try:
        with held(folder):
            main(folder, *sys.argv[1:])
    except InputError as error:
        sys.exit(f"{stage}: {error}")
    except OSError as error:
        sys.exit(f"{stage}: {error.filename or 'a file'}: {error.strerror or error}")
    except MemoryError:
        sys.exit(f"{stage}: there is not enough memory")
    except BrokenExecutor:  # killed: by whom, a process is not told
        sys.exit(f"{stage}: one of its processes was killed, for want of memory most likely")
    except KeyboardInterrupt:
        kept = ", ".join(sorted(path.name for path in folder.glob("*")))
        where = f"kept in {folder} for the next run: {kept}" if kept else "nothing is kept"
        print(f"{stage}: interrupted; {where}", file=sys.stderr)
        sys.exit(130)


def follow_parent(parent: int) -> None:
    """End this process when `parent`, which started it, has ended: nobody waits for its result.

    A worker is told its parent's pid, and so ends also where that was killed before it came here.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.2)
        os._exit(1)

    if os.getppid() != parent:
        os._exit(1)
    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """A scratch folder that one process at a time has. It is left only by a block that fails, and
    only with something in it.

    A stage outlives a dvc that was killed for a moment, or longer under a shell: the next run of
    the same stage must not write beside it, so it waits here for the lock on the folder.
    """
    # The first of a group of processes has it for all.
    if "TORCHELASTIC_RUN_ID" in os.environ and os.environ["RANK"] != "0":
        yield
        return
    lock = _lock(folder)
    try:
        yield
        shutil.rmtree(folder)
    except BaseException:
        with suppress(OSError):  # not empty: that is kept for the next run
            folder.rmdir()
        raise
    finally:
        shutil.rmtree(LIVE / folder.name, ignore_errors=True)
        os.close(lock)
        for shared in (LIVE, folder.parent):
            with suppress(OSError):  # not empty: another stage is at work
                shared.rmdir()


def _lock(folder: Path) -> int:
    """A locked file descriptor of `folder`, which exists while the lock is held."""
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(folder, os.O_RDONLY)
        except (FileNotFoundError, FileExistsError):
            if folder.is_file():
                raise
            continue  # another run removed the folder, or the one above it, at this very moment
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{folder}: waiting for another run of this stage to end", file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        # Who held the lock may have removed the folder: then we hold one that nobody else will see.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock), folder.stat()):
                return lock
        os.close(lock)
