"""The progress of a training on disk: a killed run resumes from here to the same bits."""

import io
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch

from handwriting.core import files
from handwriting.training.compute import is_driver

_INTERVAL = 20.0  # seconds between two checkpoints: when they are made changes no bit


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
        if is_driver():
            content = {"key": self.key, "step": step, "curve": [tuple(each) for each in curve]}
            buffer = io.BytesIO()
            torch.save(content | {"state": state}, buffer)
            files.write_bytes(self._path, buffer.getvalue(), self.folder)

    def restore(self) -> tuple[dict[str, Any] | None, int, list[CurvePoint]]:
        """Return the last checkpoint's state, step and curve.

        (None, 0, []) if there is none, or one of other data, params or code.
        """
        try:
            content = torch.load(self._path, map_location="cpu", weights_only=True)
        except Exception:  # missing, or not what save() writes: nothing to resume from
            return None, 0, []
        if content.get("key") != self.key:
            return None, 0, []
        print(f"{self.title}: resumes after step {content['step']:,}", flush=True)
        return content["state"], content["step"], [CurvePoint(*each) for each in content["curve"]]

    @property
    def _path(self) -> Path:
        return self.folder / f"{self.title.replace(', ', '-').replace(' ', '-')}.checkpoint"
