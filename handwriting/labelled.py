"""Images with their labels: a folder for each class, packed or not, a CSV or idx files."""

import csv
import gzip
import re
import struct
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from handwriting import sources
from handwriting.core.errors import InputError, listed
from handwriting.images import Named

_IDX_LABELS = bytes([0, 0, 8, 1])  # uint8 [N] (yann.lecun.com/exdb/mnist)
_COLUMNS = ["path", "label"]


def read(path: Path, labels: Path | None) -> tuple[list[Named], list[str | None]]:
    """Return the images of a path, by their names, and their labels.

    Of a CSV with the columns path and label, or of a folder, a zip or a tar: the label of an image
    is the folder that it is in, as of torchvision's ImageFolder, or what the CSV `labels` says. Of
    an idx file of images, the labels are in the idx file beside it. Raises InputError if there are
    no labels. An image outside the folders of classes has none.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    if labels is None and path.is_file() and (table := _table(path)) is not None:
        return _of_table(path, table)
    named = [*sources.images([path])]
    names = [name for name, _ in named]
    if names == [sources.shown(path)] and isinstance(named[0][1], InputError):
        raise named[0][1]
    if labels and (table := _table(labels)) is not None:
        return named, _looked_up(names, table, path, labels)
    if re.fullmatch(re.escape(sources.shown(path)) + r"\[\d+\]", names[0]):
        return named, _of_idx(labels or _beside(path), len(named))
    if labels:
        raise InputError(f"{labels}: not a CSV with the columns path and label")
    return named, _folders(names, path)


def _table(path: Path) -> dict[str, str] | None:
    """Return the labels of paths if a file is a CSV of them."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if not {*_COLUMNS} <= {*(rows.fieldnames or ())}:
                return None
            return _once([(row["path"], (row["label"] or "").strip()) for row in rows], path)
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error):
        return None


def _once(rows: Sequence[tuple[str, str]], path: Path) -> dict[str, str]:
    table = dict(rows)
    if other := [name for name, label in rows if table[name] != label]:
        raise InputError(f"{path}: a path with two labels: {listed(other)}")
    return table


def _of_table(path: Path, table: dict[str, str]) -> tuple[list[Named], list[str | None]]:
    """Return the images that a CSV names, from its folder or from the one we are in."""
    if not table:
        raise InputError(f"{path}: no rows")
    named: list[Named] = []
    for name in table:
        places = [each for each in (path.parent / name, Path(name)) if each.is_file()]
        named.append((name, places[0] if places else InputError(f"{name}: no such file")))
    return named, [*table.values()]


def _looked_up(
    names: Sequence[str], table: dict[str, str], path: Path, labels: Path
) -> list[str | None]:
    """Return the label of each name, which the CSV may have without the folder or archive."""
    start = _start(path)
    found = [table.get(name, table.get(name.removeprefix(start))) for name in names]
    if not any(found):
        raise InputError(f"{labels}: no label of any of {len(names):,} images: {listed(names)}")
    return found


def _start(path: Path) -> str:
    """Return what the names of a folder's images begin with; those of an archive have nothing."""
    return f"{sources.shown(path)}/" if path.is_dir() else ""


def _beside(path: Path) -> Path:
    """Return where the labels of an idx file of images are."""
    return path.with_name(path.name.replace("images", "labels").replace("idx3", "idx1"))


def _of_idx(path: Path, count: int) -> list[str | None]:
    try:
        content = path.read_bytes()
        content = gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
        (length,) = struct.unpack(">I", content[4:8])
    except (OSError, EOFError, struct.error) as error:
        problem = getattr(error, "strerror", None) or error  # without the path once more
        raise InputError(f"{path}: no labels of the idx file of images: {problem}") from None
    if not content.startswith(_IDX_LABELS) or len(content) - 8 != length or length != count:
        raise InputError(f"{path}: not an idx file of the labels of {count:,} images")
    return [str(each) for each in content[8:]]


def _folders(names: Sequence[str], path: Path) -> list[str | None]:
    """Return the folder of each name's class: the first one in which they differ."""
    whole, start = sources.shown(path), _start(path)
    places = ("" if name == whole else name.removeprefix(start) for name in names)
    inside = [PurePosixPath(each).parts for each in places]
    folders = [parts[:-1] for parts in inside if len(parts) > 1]
    if not folders and path.suffix.lower() in (".csv", ".tsv", ".txt"):
        raise InputError(f"{path}: not a CSV with the columns path and label (UTF-8, commas)")
    if not folders:
        raise InputError(f"{path}: no folders of classes; or give --labels FILE.csv")
    depth = 0
    while min(map(len, folders)) > depth + 1 and len({parts[depth] for parts in folders}) == 1:
        depth += 1
    return [parts[depth] if len(parts) > depth + 1 else None for parts in inside]
