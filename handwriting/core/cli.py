"""What every stage does around its main(): one instance at a time, one line for an error."""

import fcntl
import inspect
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

from pathspec import GitIgnoreSpec

from handwriting.core import params
from handwriting.core.errors import InputError, printable
from handwriting.core.workers import follow_parent

SCRATCH = Path("scratch")
_LARGE = 1 << 20  # bytes of a file that is not read to see whether it has changed
_OTHER_BITS = (  # variables by which libraries take other instructions, with other last digits
    "ATEN_CPU_CAPABILITY",
    "DNNL_DEFAULT_FPMATH_MODE",
    "DNNL_MAX_CPU_ISA",
    "GLIBC_TUNABLES",
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "NPY_DISABLE_CPU_FEATURES",
    "NPY_ENABLE_CPU_FEATURES",
    "NVIDIA_TF32_OVERRIDE",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "ONEDNN_MAX_CPU_ISA",
    "OPENBLAS_CORETYPE",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
)


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
    if found := ", ".join(name for name in _OTHER_BITS if os.environ.get(name)):
        print(f"{stage}: {found} is set, which may change the last digits", file=sys.stderr)
    if _TITLE:
        print(f"{_TITLE} ({sys.argv[1]})" if names else _TITLE, flush=True)
    try:
        follow_parent(os.getppid())
        with held(folder):
            main(folder, *sys.argv[1:])
            check_unchanged()
    except InputError as error:
        sys.exit(f"{stage}: {error}")
    except OSError as error:
        sys.exit(printable(f"{stage}: {error.filename or 'a file'}: {error.strerror or error}"))
    except MemoryError:
        sys.exit(f"{stage}: out of memory")
    except KeyboardInterrupt:
        kept = ", ".join(sorted(path.name for path in folder.glob("*")))
        where = f"kept in {folder} for the next run: {kept}" if kept else "nothing to resume from"
        print(f"{stage}: interrupted; {where}", file=sys.stderr)
        sys.exit(130)


def check_unchanged() -> None:
    """Raise InputError if what the stage has read is another by now, which DVC would record.

    That is the sections of params.yaml and the files that its dvc.yaml lists, code and data.
    """
    params.check_unchanged()
    now = _states()
    for path in sorted(_INPUTS | now):
        if _INPUTS.get(path) != now.get(path):
            raise InputError(f"{path} changed while this stage ran: run it again")


def _declared() -> tuple[str, list[Path]]:
    """Return what dvc.yaml says of this stage: its description, and what it reads.

    Of a program that is no stage, nothing.
    """
    words, title, found = sys.orig_argv, "", list[Path]()
    module, *values = words[words.index("-m") + 1 :] if "-m" in words else [""]
    pipeline = Path(*module.split(".")[:-1], "dvc.yaml")
    if not module.startswith("stages.") or not pipeline.exists():
        return title, found
    for stage in params.parse(pipeline.read_text(encoding="utf-8"))["stages"].values():
        program, *names = stage["cmd"].split()[2:]
        if program == module:
            texts = [stage.get("desc", ""), *stage["deps"]]
            for name, value in zip(names, values, strict=False):
                texts = [each.replace(name, value) for each in texts]
            title, found = texts[0], [*found, *map(Path, texts[1:])]
    return title, found


def _states() -> dict[Path, object]:
    """Return what is on disk of the dependencies, without what DVC ignores, and its states."""
    paths = [path for each in _DEPENDENCIES for path in (each, *each.rglob("*"))]
    states = {path: _state(path) for path in paths if not _IGNORED.match_file(path)}
    return {path: state for path, state in states.items() if state}


def _state(path: Path) -> object:
    """Return what differs when the content of a file does; None if there is no such file."""
    try:
        status = path.stat()
        large = status.st_size >= _LARGE
        return (status.st_size, status.st_mtime_ns) if large else sha256(path.read_bytes()).digest()
    except OSError:
        return None


# At import: what follows is imported from what is on disk now.
_IGNORE = Path(".dvcignore")
_IGNORED = GitIgnoreSpec.from_lines(
    _IGNORE.read_text(encoding="utf-8").splitlines() if _IGNORE.exists() else []
)
_TITLE, _DEPENDENCIES = _declared()
_INPUTS = _states()


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold a scratch folder that one process at a time may use; remove it after success.

    A stage may outlive a killed dvc. The next run of the same stage waits here for the lock on the
    folder instead of writing beside it.
    """
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
