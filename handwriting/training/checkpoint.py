"""Checkpoints of trained networks: weights, shape, the identity of the run, where it comes from."""

import io
import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from handwriting.core import files
from handwriting.core.errors import InputError
from handwriting.training.model import Network, Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The identity of a trained network."""

    data: str  # the data set: characters, characters28, mnist, mnistTask3
    init: str = "random"  # or the pretrained checkpoint: digits, characters
    method: str = "full"  # of fine-tuning; of question one the protocol of cross-validation
    labels: str = "all"  # of each class
    seed: int = 0  # of question one the fold

    @classmethod
    def columns(cls) -> list[str]:
        """Return the columns of a table that identify a run."""
        return [each.name for each in fields(cls)]

    def values(self) -> tuple[str | int, ...]:
        """Return its values in these columns."""
        return astuple(self)

    def __str__(self) -> str:
        return f"{self.data} from {self.init}, {self.method}, {self.labels} labels, {self.seed}"


@dataclass(frozen=True, slots=True)
class Saved:
    """One network of a checkpoint."""

    network: Network
    run: Run
    about: dict[str, Any]  # the settings and data digests that it comes from
    extra: dict[str, dict[str, Tensor]] = field(default_factory=dict)  # further state, by its name


def save(networks: Sequence[Saved], path: Path, scratch: Path) -> None:
    """Write a checkpoint; equal networks give equal bytes.

    torch.save writes the name of its file and the identity of equal strings: hence the buffer and
    the text.
    """
    states, texts = [], []
    for one in networks:
        weights = {name: each.contiguous() for name, each in one.network.state_dict().items()}
        states.append({"network": weights, **one.extra})
        shape, run = asdict(one.network.shape), asdict(one.run)
        texts.append({"shape": shape, "run": run, "about": one.about})
    buffer = io.BytesIO()
    torch.save({"text": json.dumps(texts), "states": states}, buffer)
    files.write_bytes(path, buffer.getvalue(), scratch)


def load(path: Path) -> list[Saved]:
    """Return the networks of a checkpoint, in eval mode, without executing anything in it.

    Raises InputError if the file is missing or not one of this version.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # about what else the file may be
            content = torch.load(path, map_location="cpu", weights_only=True)
        networks = [
            _restored(text, state)
            for text, state in zip(json.loads(content["text"]), content["states"], strict=True)
        ]
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: a folder, not a checkpoint") from None
    except Exception as error:  # torch's own words would advise to run what is in the file
        reason = f": {error}" if isinstance(error, InputError) else ""
        message = f"{path}: not a checkpoint of this version of the project{reason}"
        raise InputError(message) from None
    if not networks:
        raise InputError(f"{path}: holds no network")
    return networks


def _restored(text: dict[str, Any], state: dict[str, dict[str, Tensor]]) -> Saved:
    network = Network(Shape.of(text["shape"]))
    weights = state.pop("network")
    network.load_state_dict(weights)
    if not all(tensor.isfinite().all() for tensor in weights.values()):
        raise InputError("non-finite weights")
    return Saved(network.eval(), Run(**text["run"]), text["about"], state)
