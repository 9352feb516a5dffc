"""A network as an ONNX graph (onnx.ai), which runs without torch: in a browser, on a phone."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from handwriting.characters import writer_model as hand
from handwriting.training.model import _DEVIATION, _MEAN, Network

_OPSET, _IR = 17, 8  # old enough for every runtime of today
_FLOAT = TensorProto.FLOAT
_EPSILON = 1e-5  # of F.batch_norm


class _Graph:
    """Nodes and their weights, each named after what it makes."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[TensorProto] = []

    def constant(self, name: str, value: Any, dtype: type = np.float32) -> str:
        """The name of a weight, as a node's input."""
        array: NDArray[Any] = np.ascontiguousarray(value, dtype)
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def add(self, operator: str, output: str, inputs: Sequence[str], **attributes: Any) -> str:
        """The name of a new node's output."""
        self.nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def norm(self, name: str, x: str, state: dict[str, Tensor], prefix: str) -> str:
        """Batch normalisation in eval mode, then ReLU."""
        bias, mean, variance = (state[f"{prefix}.{each}"] for each in ("bias", "mean", "variance"))
        values = {"scale": np.ones(len(bias)), "bias": bias, "mean": mean, "variance": variance}
        inputs = [self.constant(f"{name}.{kind}", value) for kind, value in values.items()]
        normal = self.add("BatchNormalization", f"{name}.norm", [x, *inputs], epsilon=_EPSILON)
        return self.add("Relu", f"{name}.relu", [normal])


def to_onnx(network: Network, about: dict[str, str]) -> bytes:
    """The bytes of an ONNX model whose answers are the network's; equal networks give equal bytes.

    Inputs: `image`, float32 [N, 1, size, size], pixels from 0 to 255 as images.prepare frames them;
    and, where shape.place, `place`, float32 [N, 4], as images.Framed has it, of writers not known.
    Output: `probabilities`, float32 [N, classes]. `about` goes into its metadata, with the classes.
    """
    shape, graph = network.shape, _Graph()
    seen = _body(graph, network)
    inputs: list[tuple[str, tuple[int, ...]]] = [("image", (1, shape.size, shape.size))]
    if shape.place:
        inputs.append(("place", (4,)))
        state = network.state_dict()
        numbers = _numbers(graph)
        weight = graph.constant("place.weight", state["place.weight"].T)
        hidden = graph.add("MatMul", "place.linear", [numbers, weight])
        seen = graph.add(
            "Concat", "seen", [seen, graph.norm("place", hidden, state, "place_norm")], axis=1
        )
    weight = graph.constant("head.weight", network.head.weight.detach() / shape.temperature)
    bias = graph.constant("head.bias", network.head.bias.detach() / shape.temperature)
    logits = graph.add("Gemm", "logits", [seen, weight, bias], transB=1)
    graph.add("Softmax", "probabilities", [logits], axis=1)
    given = [helper.make_tensor_value_info(name, _FLOAT, ["N", *each]) for name, each in inputs]
    answer = helper.make_tensor_value_info("probabilities", _FLOAT, ["N", len(shape.classes)])
    whole = helper.make_graph(graph.nodes, "characters", given, [answer], graph.weights)
    opset = helper.make_opsetid("", _OPSET)
    model = helper.make_model(
        whole, opset_imports=[opset], ir_version=_IR, producer_name="three-questions"
    )
    helper.set_model_props(model, {"classes": " ".join(shape.classes), **about})
    onnx.checker.check_model(model, full_check=True)
    return bytes(model.SerializeToString(deterministic=True))


def _body(graph: _Graph, network: Network) -> str:
    """What Network.features() does, up to the name of its output."""
    shape, state = network.shape, network.state_dict()
    inner = [
        graph.constant(f"margin.{name}", value, np.int64)
        for name, value in {
            "start": [shape.margin] * 2,
            "stop": [shape.size - shape.margin] * 2,
            "axes": [2, 3],
        }.items()
    ]
    x = graph.add("Slice", "inner", ["image", *inner])
    x = graph.add("Sub", "centred", [x, graph.constant("pixels.mean", _MEAN)])
    x = graph.add("Div", "scaled", [x, graph.constant("pixels.deviation", _DEVIATION)])
    side = shape.size - 2 * shape.margin
    for i, conv in enumerate(network.body):
        assert isinstance(conv, nn.Conv2d)  # noqa: S101 - for the type checker
        pads, strides = [*conv.padding, *conv.padding], [*conv.stride]
        weight = graph.constant(f"body.{i}.weight", conv.weight.detach())
        x = graph.add("Conv", f"body.{i}", [x, weight], pads=pads, strides=strides)
        x = graph.norm(f"body.{i}", x, state, f"norms.{i}")
        side = -(-side // conv.stride[0])
        if i in shape.pooled:
            window = {"kernel_shape": [2, 2], "strides": [2, 2]}
            x = graph.add("AveragePool", f"body.{i}.pool", [x], **window)
            side //= 2
    means = _means(side, shape.grid)
    rows = graph.add("MatMul", "parts.rows", [graph.constant("parts.of_rows", means), x])
    parts = graph.add("MatMul", "parts", [rows, graph.constant("parts.of_columns", means.T)])
    return graph.add("Flatten", "features", [parts])


def _means(side: int, grid: int) -> NDArray[np.float32]:
    """float32 [grid, side]: times a column of pixels, the means over its parts, which overlap where
    grid does not divide side, as those of F.adaptive_avg_pool2d do."""
    means = np.zeros((grid, side), np.float32)
    for i in range(grid):
        part = slice(i * side // grid, -(-(i + 1) * side // grid))
        means[i, part] = 1 / (part.stop - part.start)
    return means


def _numbers(graph: _Graph) -> str:
    """What hand.standardised() makes of places: float32 [N, 4]."""
    zero = hand.standardised(torch.tensor([[1.0, 1.0, 0.0, 0.0]]))[0]  # of logarithms 0, centres 0
    split = graph.constant("place.split", [2, 2], np.int64)
    graph.nodes.append(
        helper.make_node("Split", ["place", split], ["sides", "centre"], name="halves", axis=1)
    )
    low = graph.constant("place.smallest", 1e-3)
    logs = graph.add("Log", "sides.log", [graph.add("Clip", "sides.clipped", ["sides", low])])
    raw = graph.add("Concat", "place.raw", [logs, "centre"], axis=1)
    deviation = graph.constant("place.deviation", hand.DEVIATION)
    scaled = graph.add("Div", "place.scaled", [raw, deviation])
    return graph.add("Add", "place.numbers", [scaled, graph.constant("place.zero", zero)])
