"""Networks as ONNX models, which OnnxNetwork of handwriting/classifier.py runs without torch."""

import json

import numpy as np
import onnx
import torch
from onnx_ir.passes.common import ClearMetadataAndDocStringPass
from torch import Tensor, nn

from handwriting.data import geometry
from handwriting.training.checkpoint import Saved
from handwriting.training.model import Network

_OPSET = 18


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


def to_onnx(saved: Saved) -> bytes:
    """Return an ONNX model of a network; equal networks give equal bytes.

    Inputs: `image`, and, if the network takes it, `geometry`, as of Exported.forward(). Output:
    `probabilities`. Its metadata say, in JSON, the classes, the framing, the pairs of confusable
    classes, `confusable`, and the sha256 of the `data`.
    """
    shape = saved.network.shape
    inputs = {"image": torch.zeros(2, 1, shape.size, shape.size)}
    if shape.geometry_channels:
        inputs["geometry"] = torch.ones(2, geometry.NUMBERS)
    sizes = ({0: torch.export.Dim("N")}, {0: torch.export.Dim.AUTO})  # as many of both
    program = torch.onnx.export(
        Exported(saved.network).eval(),
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
    known = {"classes": shape.classes, "size": shape.size, "ink_size": shape.ink_size}
    digests = {name: digest for name, digest in saved.about["data"].items() if digest}
    known |= {"confusable": saved.about.get("confusable", []), "data": digests}
    onnx.helper.set_model_props(model, {"handwriting": json.dumps(known)})
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))
