"""Files written whole or not at all; JSON and CSV in one format."""

import csv
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from handwriting.core.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

_EXACT = frozenset((str, int))  # types that a table shows unrounded


@contextmanager
def replacing(path: Path, scratch: Path) -> Iterator[Path]:
    """Yield a temporary path in `scratch` that becomes `path` when the block succeeds.

    The bytes are on the disk before the name is: a power cut leaves the old file or the new one.
    """
    temporary = scratch / f"{path.name}.part"
    try:
        yield temporary
        publish(temporary, path)
    except OSError as error:
        if error.filename is None:  # a full disk
            raise OSError(error.errno, error.strerror, str(path)) from None
        raise
    finally:
        temporary.unlink(missing_ok=True)


def publish(temporary: Path, path: Path) -> None:
    """Move a finished file to `path` in one step, replacing what is there."""
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_bytes(path: Path, content: bytes, scratch: Path) -> None:
    """Write `content`, whole or not at all."""
    with replacing(path, scratch) as temporary:
        temporary.write_bytes(content)


def write_json(path: Path, content: Any, scratch: Path) -> None:
    """Write JSON that diffs well: indented, a final newline, floats rounded to 5 digits.

    Raises ValueError for NaN and infinities, which are not JSON.
    """
    text = json.dumps(rounded(content), indent=2, allow_nan=False, ensure_ascii=False)
    write_bytes(path, f"{text}\n".encode(), scratch)


def read_json(path: Path) -> Any:
    """Return the content of a JSON file. Raises InputError naming it."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not readable as JSON: {error}") from None


def read_csv(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table with a header. Raises InputError naming it."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: not readable as CSV: {error}") from None


def write_csv(
    path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]], scratch: Path
) -> None:
    """Write a table with a header, floats rounded to 5 digits, lines ended by \\n."""
    with (
        replacing(path, scratch) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(r if _EXACT.issuperset(map(type, r)) else map(rounded, r) for r in rows)


def write_frame(path: Path, frame: "pd.DataFrame", scratch: Path) -> None:
    """Write a DataFrame as write_csv() does; missing values are empty."""
    exact = frame.apply(lambda column: column.map(rounded))
    text = exact.to_csv(index=False, lineterminator="\n")
    write_bytes(path, text.encode(), scratch)


def rounded(value: Any) -> Any:
    """Return `value` with every float in it rounded to 5 decimals."""
    if isinstance(value, float):
        return round(value, 5)
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(each) for each in value]
    return value
