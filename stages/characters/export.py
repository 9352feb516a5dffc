"""What is shipped of question one: ONNX, the ensemble, the model card.

reads   artifacts/<source>/characters.pt, artifacts/<source>/crossvalidation/, metrics/<source>/
writes  artifacts/<source>/characters.onnx, characters-ensemble.pt, model-card.md
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import torch
from jinja2 import StrictUndefined, Template
from onnx_ir.passes.common import ClearMetadataAndDocStringPass
from torch import Tensor, nn

from handwriting.core import cli, files, params
from handwriting.data import folds, geometry
from handwriting.training import checkpoint
from handwriting.training.checkpoint import Saved
from handwriting.training.model import Network

PROTOCOLS = ("characters", "characters-unseen-writers", "characters-ensemble")
MEASURED = [f"{name}{adapted}" for name in PROTOCOLS for adapted in ("", "-adapted")]
_OPSET = 18
_CARD = Path(__file__).with_name("card.md.j2")
_WORST = 5  # classes and pairs in the card


class Exported(nn.Module):
    """A network that takes what framing.prepare() returns and gives probabilities."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, shares: Tensor | None = None) -> Tensor:
        """Return float32 [N, classes] of pixels, float32 [N, 1, S, S] from 0 to 255, and geometry
        features as shares of the canvas, float32 [N, 4], NaN where unknown."""
        if shares is not None:
            unknown = shares.isnan()  # asked first: other runtimes clamp NaN to the limit
            zero = geometry.standardised(np.array([[1, 1, 0, 0]], np.float32))  # log 1 is 0
            shares = torch.cat([shares[:, :2].clamp(min=1e-3).log(), shares[:, 2:]], 1)
            shares = shares / torch.tensor(geometry.DEVIATION) + torch.from_numpy(zero)
            shares = torch.where(unknown, torch.nan, shares)
        logits: Tensor = self.network(image, shares)
        return logits.softmax(1)


def main(scratch: Path, source: str) -> None:
    confusable = params.load("confusable_classes", str).split()
    torch.set_num_threads(1)
    folder = Path(f"artifacts/{source}")
    names = ["characters", *(f"crossvalidation/{name}" for name in folds.PROTOCOLS)]
    networks = [each for name in names for each in checkpoint.load(folder / f"{name}.pt")]
    checkpoint.save(networks, folder / "characters-ensemble.pt", scratch)
    shipped = networks[0]
    digests = {name: digest for name, digest in shipped.about["data"].items() if digest}
    about = {"confusable": confusable, "data": digests}
    files.write_bytes(folder / "characters.onnx", to_onnx(shipped.network, about), scratch)
    text = card(source, shipped, Path(f"metrics/{source}"))
    files.write_bytes(folder / "model-card.md", text.encode(), scratch)


def to_onnx(network: Network, about: dict[str, Any]) -> bytes:
    """Return an ONNX model of a network; equal networks give equal bytes.

    Inputs: `image`, and, if the network takes it, `geometry`, as of Exported.forward(). Output:
    `probabilities`. Its metadata say, in JSON, the classes, the framing and `about`: the groups of
    confusable classes, `confusable`, and the sha256 of the `data`.
    """
    shape = network.shape
    inputs = {"image": torch.zeros(2, 1, shape.size, shape.size)}
    if shape.geometry_channels:
        inputs["geometry"] = torch.ones(2, geometry.NUMBERS)
    sizes = ({0: torch.export.Dim("N")}, {0: torch.export.Dim.AUTO})  # as many of both
    program = torch.onnx.export(
        Exported(network).eval(),
        tuple(inputs.values()),
        input_names=list(inputs),
        output_names=["probabilities"],
        dynamic_shapes=sizes[: len(inputs)],
        opset_version=_OPSET,
        dynamo=True,
        verbose=False,
    )
    assert program is not None  # noqa: S101 - for the type checker
    ClearMetadataAndDocStringPass()(program.model)  # they name files of this machine
    model = program.model_proto
    model.producer_version = ""  # another one for a GPU
    known = {"classes": shape.classes, "size": shape.size, "ink_size": shape.ink_size, **about}
    onnx.helper.set_model_props(model, {"handwriting": json.dumps(known)})
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def card(source: str, shipped: Saved, metrics: Path) -> str:
    """Return the model card, in Markdown, from a checkpoint and from the metrics."""
    names = ("classes", "pairs", "details")
    classes, pairs, details = (pd.read_csv(metrics / f"characters/{name}.csv") for name in names)
    template = Template(_CARD.read_text(), undefined=StrictUndefined, keep_trailing_newline=True)
    text: str = template.render(
        source=source,
        shape=shipped.network.shape,
        about=shipped.about,
        weights=sum(each.numel() for each in shipped.network.parameters()),
        metrics={name: files.read_json(metrics / f"{name}.json") for name in MEASURED},
        classes=classes.sort_values(["f1", "class"]).head(_WORST).to_dict("records"),
        pairs=pairs.head(_WORST).to_dict("records"),
        details=details.set_index("network").loc["characters"],
    )
    return text


if __name__ == "__main__":
    cli.run(main)
