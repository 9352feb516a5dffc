"""Where a training has got to, on disk: a killed run goes on from here to the same bits."""

import io
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn

from handwriting.core import files
from handwriting.training import live
from handwriting.training.compute import is_writer
from handwriting.training.live import Point

_INTERVAL = 20.0  # seconds between two checkpoints: their moments change no bit of the result


@dataclass(slots=True)
class Checkpoint:
    """The checkpoint file of one training, which holds for that training alone."""

    title: str  # names the file, the progress bar and errors
    key: str  # a digest of all that the training depends on: data, params, code, start
    folder: Path  # scratch: ignored by git, gone after success
    live: Path | None = None  # where the curve is shown while it grows, see live.py
    _saved: float = field(default_factory=time.monotonic)

    def due(self) -> bool:
        """Whether the last one was saved long enough ago."""
        return time.monotonic() - self._saved > _INTERVAL

    def save(
        self, network: nn.Module, state: Sequence[Tensor], step: int, curve: Sequence[Point]
    ) -> None:
        """Keep the state after `step`; the file before it stays until this one is whole."""
        self._saved = time.monotonic()
        if is_writer():
            content = {
                "key": self.key,
                "step": step,
                "curve": [tuple(point) for point in curve],
                "network": network.state_dict(),
                "state": list(state),
            }
            buffer = io.BytesIO()
            torch.save(content, buffer)
            files.write_bytes(self._path, buffer.getvalue(), self.folder)

    def show(self, curve: Sequence[Point]) -> None:
        """Let others see the curve so far."""
        if self.live and is_writer():
            live.show(curve, self.live / self.folder.name / self.title.replace(" ", "-"))

    def restore(self, network: nn.Module, state: Sequence[Tensor]) -> tuple[int, list[Point]]:
        """Bring back the state of the last checkpoint: its step and the curve up to there.

        (0, []) and no change if there is none, or one of other data, params or code.
        """
        try:
            content = torch.load(self._path, map_location="cpu", weights_only=True)
        except Exception:  # missing, or not what save() writes: then there is nothing to go on from
            return 0, []
        if content.get("key") != self.key:
            return 0, []
        network.load_state_dict(content["network"])
        for tensor, kept in zip(state, content["state"], strict=True):
            tensor.copy_(kept)
        print(f"{self.title}: goes on after step {content['step']:,}", flush=True)
        return content["step"], [Point(*point) for point in content["curve"]]

    @property
    def _path(self) -> Path:
        return self.folder / f"{self.title.replace(' ', '-')}.checkpoint"
