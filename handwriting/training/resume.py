"""The progress of a training on disk: a killed run resumes from here to the same bits."""

import io
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch

from handwriting.core import files

_INTERVAL = 20.0  # seconds between two checkpoints: when they are made changes no bit


class Keeper(Protocol):
    """Where checkpoints are kept."""

    def write(self, path: Path, content: bytes) -> None:
        """Keep a checkpoint; the one before stays until this one is whole."""

    def read(self, path: Path) -> bytes:
        """Return a checkpoint. Raises OSError if there is none."""
        ...


class Files:
    """Checkpoints in files of this machine."""

    def write(self, path: Path, content: bytes) -> None:
        """Write the file."""
        files.write_bytes(path, content, path.parent)

    def read(self, path: Path) -> bytes:
        """Read the file. Raises OSError if there is none."""
        return path.read_bytes()


keeper: Keeper = Files()  # the engine puts another one here in a process on another machine


class CurvePoint(NamedTuple):
    """One point of a learning curve."""

    step: int
    images_seen: int
    loss: float
    accuracy: float


@dataclass(slots=True)
class Progress:
    """The scratch checkpoint of one training, valid for that training alone."""

    title: str  # names the file, the progress bar and errors
    key: str  # a digest of all that the training depends on: data, params, code, init
    folder: Path  # scratch: ignored by git, removed after success
    _saved: float = field(default_factory=time.monotonic)

    def due(self) -> bool:
        """Return whether the last checkpoint is old enough for another."""
        return time.monotonic() - self._saved > _INTERVAL

    def save(self, state: dict[str, Any], step: int, curve: Sequence[CurvePoint]) -> None:
        """Keep the state after `step`; the previous file stays until this one is whole."""
        self._saved = time.monotonic()
        content = {"key": self.key, "step": step, "curve": [tuple(each) for each in curve]}
        buffer = io.BytesIO()
        torch.save(content | {"state": state}, buffer)
        keeper.write(self._path, buffer.getvalue())

    def restore(self) -> tuple[dict[str, Any] | None, int, list[CurvePoint]]:
        """Return the last checkpoint's state, step and curve.

        (None, 0, []) if there is none, or one of other data, params or code.
        """
        try:
            kept = io.BytesIO(keeper.read(self._path))
            content = torch.load(kept, map_location="cpu", weights_only=True)
        except Exception:  # missing, or not what save() writes: nothing to resume from
            return None, 0, []
        if content.get("key") != self.key:
            return None, 0, []
        print(f"{self.title}: resumes after step {content['step']:,}", flush=True)
        return content["state"], content["step"], [CurvePoint(*each) for each in content["curve"]]

    @property
    def _path(self) -> Path:
        return self.folder / f"{self.title.replace(', ', '-').replace(' ', '-')}.checkpoint"
