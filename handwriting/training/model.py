"""The network, and the checkpoint that says everything about it."""

import io
import json
import math
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.distributed
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce

from handwriting.characters.writer_model import NUMBERS, Hand
from handwriting.core import files
from handwriting.core.errors import InputError

_MEAN, _DEVIATION = 33.3, 78.6  # of MNIST's training pixels, 0 to 255
_WIDEST = 1 << 14
_HEADS = 1 << 20  # from the seeds of fresh networks to those of transplants' heads


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a network is, apart from its weights; and how its input is prepared."""

    classes: tuple[str, ...]
    size: int  # side of the input in pixels
    box: int  # longer side of the ink within it
    margin: int  # pixels of the input's border that hold no ink and are not looked at
    widths: tuple[int, ...]  # channels of each convolution
    stem_stride: int  # of the first convolution
    pooled: tuple[int, ...]  # the convolutions whose output is halved by 2 x 2 averages
    grid: int  # the head sees means over grid x grid parts of the body's output
    place: int  # channels that the head sees of an image's size and place; 0: it sees nothing
    temperature: float  # what the logits of a trained network are divided by

    @classmethod
    def of(cls, fields: dict[str, Any]) -> "Shape":
        """The shape whose fields came from JSON, which knows no tuples."""
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in fields.items()
        }
        return cls(**values)

    def check(self) -> None:
        """Raises InputError if no network can have this shape."""
        side = math.ceil((self.size - 2 * self.margin) / self.stem_stride)
        for i in range(len(self.widths)):
            side = side // 2 if i in self.pooled else side
        if self.margin < 0 or side < self.grid or self.grid < 1:
            raise InputError(
                f"of {self.size} pixels a margin of {self.margin} and {len(self.pooled)} halvings"
                f" leave {max(side, 0)}, and the head looks at {self.grid} x {self.grid} parts"
            )
        if beyond := [i for i in self.pooled if i not in range(len(self.widths))]:
            raise InputError(f"there is no convolution {beyond[0]} to be followed by a halving")
        if not 0 < max(self.widths) <= _WIDEST or not 0 <= self.place <= _WIDEST:
            raise InputError(f"a layer is at most {_WIDEST} channels wide")
        if not 0 < self.temperature < math.inf or not 0 < self.box <= self.size:
            raise InputError("the temperature and the box are not those of a network")


class Norm(nn.Module):
    """Batch normalisation with a learnt bias and no learnt scale (Ioffe and Szegedy 2015).

    With several processes the statistics are those of the global batch, whoever holds its images.
    """

    mean: Tensor
    variance: Tensor
    scale: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))
        self.register_buffer("scale", torch.ones(channels), persistent=False)
        self.momentum = 0.3  # short runs: an average over three or four batches

    def forward(self, x: Tensor) -> Tensor:
        if self.training and torch.distributed.is_initialized():
            return self._over_processes(x)
        # A bias without a scale has no gradient on a GPU (torch 2.11), and no cost on a CPU.
        scale = self.scale if x.is_cuda else None
        return F.batch_norm(
            x, self.mean, self.variance, scale, self.bias, self.training, self.momentum
        )

    def _over_processes(self, x: Tensor) -> Tensor:
        wide = x.float()
        count = wide.new_tensor([wide.numel() / wide.shape[1]])
        others = [i for i in range(wide.ndim) if i != 1]
        sums = torch.cat([wide.sum(others), (wide * wide).sum(others), count])
        total: Tensor = all_reduce(sums)  # type: ignore[no-untyped-call]
        channels = wide.shape[1]
        n = total[-1]
        mean = total[:channels] / n
        variance = total[channels : 2 * channels] / n - mean * mean
        with torch.no_grad():
            self.mean.lerp_(mean, self.momentum)
            self.variance.lerp_(variance * n / (n - 1), self.momentum)
        scale = (variance + 1e-5).rsqrt()
        shift = self.bias - mean * scale
        channelwise = (-1, *(1 for _ in others[1:]))
        result: Tensor = wide * scale.view(channelwise) + shift.view(channelwise)
        return result.to(x.dtype)


class Network(nn.Module):
    """A fully convolutional body and a linear head on its means over a few places or all.

    uint8 or float [B, 1, size, size] with pixels from 0 to 255 -> float32 logits [B, classes].
    With shape.place, it also takes what was lost when the ink was cut out and scaled, float32
    [B, 4] of hand.standardised(), and its `hand` changes its answers in the light of others.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        shape.check()
        self.shape = shape
        self.precision = torch.float32  # of the convolutions; weights stay in float32
        channels = (1, *shape.widths)
        self.body = nn.ModuleList(
            nn.Conv2d(*pair, 3, padding=1, bias=False) for pair in pairwise(channels)
        )
        stem = nn.Conv2d(1, shape.widths[0], 5, stride=shape.stem_stride, padding=2, bias=False)
        self.body[0] = stem
        self.norms = nn.ModuleList(Norm(width) for width in shape.widths)
        seen = shape.widths[-1] * shape.grid**2 + shape.place
        self.head = nn.Linear(seen, len(shape.classes))
        if shape.place:
            self.place = nn.Linear(NUMBERS, shape.place, bias=False)
            self.place_norm = Norm(shape.place)
            self.hand = Hand(shape.classes)

    def features(self, images: Tensor) -> Tensor:
        """What the head sees of the pixels: float32 [B, widths[-1] * grid * grid]."""
        margin = self.shape.margin
        inner = images[:, :, margin : images.shape[2] - margin, margin : images.shape[3] - margin]
        x = ((inner.float() - _MEAN) / _DEVIATION).to(self.precision)
        x = x.contiguous(memory_format=torch.channels_last)
        for i, (conv, norm) in enumerate(zip(self.body, self.norms, strict=True)):
            assert isinstance(conv, nn.Conv2d)  # noqa: S101 - for the type checker
            x = F.conv2d(x, conv.weight.to(x.dtype), stride=conv.stride, padding=conv.padding)
            x = F.relu(norm(x), inplace=True)
            if i in self.shape.pooled:
                x = F.avg_pool2d(x, 2)
        part, rest = divmod(x.shape[2], self.shape.grid)
        if rest:  # parts that overlap: no deterministic gradient on a GPU
            return F.adaptive_avg_pool2d(x.float(), self.shape.grid).flatten(1)
        return F.avg_pool2d(x.float(), part).flatten(1)

    def forward(self, images: Tensor, place: Tensor | None = None) -> Tensor:
        seen = self.features(images)
        if self.shape.place:
            seen = torch.cat([seen, F.relu(self.place_norm(self.place(place)))], dim=1)
        logits: Tensor = self.head(seen)
        return logits if self.training else logits / self.shape.temperature


def fresh(shape: Shape, seed: int) -> Network:
    """A network with random weights that `seed` alone decides."""
    generator = torch.Generator().manual_seed(seed)
    network = Network(shape)
    with torch.no_grad():
        places = (network.place,) if shape.place else ()
        for layer in (*network.body, network.head, *places):
            bound = 1 / math.sqrt(layer.weight[0].numel())
            layer.weight.uniform_(-bound, bound, generator=generator)
        network.head.bias.zero_()
    return network


def transplant(source: Network, classes: tuple[str, ...], seed: int) -> Network:
    """A network for `classes`: the body of `source`, and a fresh head that `seed` alone decides.

    It is not the head of fresh(..., seed), with which a body may have been pretrained: together
    they would read digits before they have seen one.
    """
    network = fresh(replace(source.shape, classes=classes), seed + _HEADS)
    network.body.load_state_dict(source.body.state_dict())
    network.norms.load_state_dict(source.norms.state_dict())
    return network


def save(networks: Sequence[tuple[Network, dict[str, Any]]], path: Path, scratch: Path) -> None:
    """Write a checkpoint of one network or several: of each the weights, the shape, and what is to
    be said about it: the params and data it came from.

    Equal networks give equal bytes: torch.save puts the name of the file it writes and the identity
    of equal strings into them, hence the buffer and the text.
    """
    states = [
        {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
        for network, _ in networks
    ]
    about = [{"shape": asdict(network.shape), "about": about} for network, about in networks]
    buffer = io.BytesIO()
    torch.save({"text": json.dumps(about), "states": states}, buffer)
    files.write_bytes(path, buffer.getvalue(), scratch)


def load_all(path: Path) -> list[tuple[Network, dict[str, Any]]]:
    """The networks of a checkpoint, in eval mode, and what is said about each.

    Raises InputError if the file is missing or not one of ours. Nothing in it is executed.
    """
    networks = []
    try:
        with warnings.catch_warnings(action="ignore"):  # of what else the file may be
            content = torch.load(path, map_location="cpu", weights_only=True)
        for text, state in zip(json.loads(content["text"]), content["states"], strict=True):
            network = Network(Shape.of(text["shape"]))
            network.load_state_dict(state)
            if not all(tensor.isfinite().all() for tensor in state.values()):
                raise InputError("some of its weights are not numbers")
            networks.append((network.eval(), text["about"]))
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise InputError(f"{path}: a folder, not a checkpoint") from None
    except Exception as error:  # torch's own words would advise to run what is in the file
        reason = f": {error}" if isinstance(error, InputError) else ""
        raise InputError(
            f"{path}: not a checkpoint of this version of the project{reason}"
        ) from None
    if not networks:
        raise InputError(f"{path}: there is no network in it")
    return networks
