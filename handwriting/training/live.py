"""A learning curve while it grows, as the files of DVCLive (doc.dvc.org/dvclive/how-it-works): `dvc
metrics show`, `dvc plots show`, `dvc exp show` and the editors' extensions find them by themselves.

They are there as long as their stage runs: what remains is the stage's own learning curve.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

_DECLARED = """metrics:
  - metrics.json
plots:
  - plots/metrics:
      x: step
"""


class Point(NamedTuple):
    """One point of a learning curve."""

    step: int
    images_seen: int
    loss: float
    accuracy: float


def show(curve: Sequence[Point], folder: Path) -> None:
    """Write the curve so far: its last point as metrics, all of it as plots."""
    for name in ("loss", "accuracy"):
        rows = [f"step\t{name}", *(f"{point.step}\t{getattr(point, name)}" for point in curve)]
        _replace(folder / f"plots/metrics/{name}.tsv", "\n".join(rows) + "\n")
    last: dict[str, Any] = curve[-1]._asdict()
    _replace(folder / "metrics.json", json.dumps(last, indent=2) + "\n")
    _replace(folder / "dvc.yaml", _DECLARED)


def _replace(path: Path, text: str) -> None:
    """Write a file that others may be reading: they see the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    temporary.write_text(text)
    temporary.replace(path)
