"""The files that an examination of labels ends in: JSON, CSV and one page with pictures."""

import base64
import tomllib
from collections import defaultdict
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from handwriting.core import files
from handwriting.core.errors import printable
from handwriting.labels import Diagnosed
from handwriting.noise import ranking, wording
from handwriting.noise.ranking import LABEL, Row

_TEMPLATE = Path(__file__).with_name("labels_report.html.j2")
_GROUPS, _TILES = 20, 24  # groups of images on the page, and images of each
_CELLS = 40  # classes of which the matrix is a table


def write(found: Diagnosed, name: str, folder: Path) -> None:
    """Write diagnosis.json, images.csv, cleaned.csv and report.html into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder) as temporary:
        scratch = Path(temporary)
        files.write_json(folder / "diagnosis.json", summary(found), scratch)
        ranking.write(found.rows, folder / "images.csv", scratch)
        files.write_csv(folder / "cleaned.csv", ["path", "label"], found.cleaned(), scratch)
        files.write_bytes(folder / "report.html", page(found, name).encode(), scratch)


def summary(found: Diagnosed) -> dict[str, Any]:
    """Return the diagnosis as JSON has it."""
    absent = found.absent
    diagnosis = wording.summary(found.diagnosis, found.classes, len(found.listed))
    for name in ("matrix", "estimated"):
        rows = zip(found.classes, diagnosis[name], strict=True)
        diagnosis[name] = [None if each in absent else row for each, row in rows]
    reasons = [row.reason.partition(":")[0] for row in found.rows]
    return {
        "version": _version(),
        "images": len(found.rows),
        "reasons": {each: reasons.count(each) for each in sorted({*reasons} - {""})},
        "to_look_at": {f"{share:g}": count for share, count in found.to_look_at().items()},
        "limits": found.limits,
        **diagnosis,
    }


def page(found: Diagnosed, name: str) -> str:
    """Return the report as HTML, without scripts or requests."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, finalize=_shown
    )
    absent, (shown, more) = found.absent, groups(found)
    none = np.array([each in absent for each in found.classes])
    matrix = np.where(none[:, None], 0, found.diagnosis.matrix)
    return environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(
        found=found,
        name=name,
        version=_version(),
        looks=found.to_look_at(),
        small=len(found.classes) <= _CELLS,
        absent=absent,
        matrix=matrix.tolist(),
        picture=_png(np.asarray(255 * (1 - matrix), np.uint8)),
        groups=shown,
        more=more,
        unread=[row for row in found.rows if row.suggested is None],
    )


def _shown(value: Any) -> Any:
    return printable(value) if isinstance(value, str) else value


def groups(found: Diagnosed) -> tuple[list[dict[str, Any]], int]:
    """Return the images with a reason, by it and by their pair of classes, the largest first,
    and the number of groups left out."""
    members = defaultdict[str, list[Row]](list)
    for row in found.listed:
        if row.suggested is not None:
            pair = f"called {row.given}, likely {row.suggested}"
            members[pair if row.reason == LABEL else row.reason].append(row)
    largest = sorted(members.items(), key=lambda each: -len(each[1]))
    shown = [
        {
            "title": title[0].upper() + title[1:],
            "count": len(rows),
            "tiles": [
                asdict(row) | {"picture": _png(found.pixels[row.path])} for row in rows[:_TILES]
            ],
        }
        for title, rows in largest[:_GROUPS]
    ]
    return shown, len(largest) - len(shown)


def _png(pixels: NDArray[np.uint8]) -> str:
    """Return a picture as a data: URI."""
    buffer = BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _version() -> str:
    try:
        return version("handwriting")
    except PackageNotFoundError:  # a clone
        project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
        return str(project["project"]["version"])
