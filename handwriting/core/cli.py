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


def run(main: Callable[..., None]) -> None:
    """Call main(scratch, *coordinates) with the coordinates of the command line, then exit.

    An InputError, a full disk, too little memory and Ctrl-C end in one line and a non-zero exit
    status; anything else is a bug and keeps its traceback. The scratch folder survives a failure,
    so that the next run can resume, and is removed after success.
    """
    stage = str(sys.modules["__main__"].__spec__.name).removeprefix("stages.")  # type: ignore[union-attr]
    names = list(inspect.signature(main).parameters)[1:]
    if len(sys.argv) != len(names) + 1:
        sys.exit(f"usage: python -m stages.{stage} {' '.join(names).upper()}")
    if invalid := [each for each in sys.argv[1:] if not re.fullmatch(r"[\w-]+", each)]:
        sys.exit(f"{stage}: invalid name {invalid[0]!r}: use letters, digits, '-' and '_'")
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
        sys.exit(f"{stage}: out of memory")
    except BrokenExecutor:
        sys.exit(f"{stage}: a worker process was killed, probably for lack of memory")
    except KeyboardInterrupt:
        kept = ", ".join(sorted(path.name for path in folder.glob("*")))
        where = f"kept in {folder} for the next run: {kept}" if kept else "nothing to resume from"
        print(f"{stage}: interrupted; {where}", file=sys.stderr)
        sys.exit(130)


def follow_parent(parent: int) -> None:
    """End this process when `parent`, which started it, has ended.

    A worker gets its parent's pid as an argument, and so notices a parent killed before this call.
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
    """Hold a scratch folder that one process at a time may use; remove it after success.

    A stage may outlive a killed dvc. The next run of the same stage waits here for the lock on the
    folder instead of writing beside it.
    """
    # The first process of a group holds it for all.
    if "TORCHELASTIC_RUN_ID" in os.environ and os.environ["RANK"] != "0":
        yield
        return
    lock = _lock(folder)
    try:
        yield
        shutil.rmtree(folder)
    except BaseException:
        with suppress(OSError):  # not empty: kept for the next run
            folder.rmdir()
        raise
    finally:
        os.close(lock)
        with suppress(OSError):  # not empty: another stage is running
            folder.parent.rmdir()


def _lock(folder: Path) -> int:
    """Return a locked file descriptor of `folder`, which exists while the lock is held."""
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = os.open(folder, os.O_RDONLY)
        except (FileNotFoundError, FileExistsError):
            if folder.is_file():
                raise
            continue  # another run removed the folder, or its parent, at this moment
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"{folder}: waiting for another run of this stage to end", file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        # The previous holder may have removed the folder: then this one is not the visible one.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock), folder.stat()):
                return lock
        os.close(lock)
