"""The network: a small convolutional body and a linear head."""

import math
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from handwriting.core import params, seeds
from handwriting.core.errors import InputError
from handwriting.data.dataset import Split
from handwriting.data.geometry import NUMBERS
from handwriting.training import distributed

PIXEL_MEAN, PIXEL_DEVIATION = 33.3, 78.6  # of MNIST's training pixels, 0 to 255
_WIDEST = 1 << 14


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The architecture of a network and the framing of its input."""

    classes: tuple[str, ...]
    size: int  # side of the input in pixels
    ink_size: int  # longer side of the ink within it
    crop_border: int  # pixels of the input's border that are not looked at
    widths: tuple[int, ...]  # channels of each convolution
    stem_stride: int  # of the first convolution
    pool_after: tuple[int, ...]  # the convolutions followed by 2 x 2 average pooling
    head_pool: int  # the head sees means over head_pool x head_pool parts of the body's output
    geometry_channels: int  # channels of geometry features that the head sees; 0: none
    temperature: float  # divisor of a trained network's logits

    @classmethod
    def of(cls, fields: dict[str, Any]) -> "Shape":
        """Return the shape whose fields came from JSON, which has no tuples."""
        tuples = {name: tuple(each) for name, each in fields.items() if isinstance(each, list)}
        return cls(**fields | tuples)

    def check(self) -> None:
        """Raise InputError if no network can have this shape."""
        side = math.ceil((self.size - 2 * self.crop_border) / self.stem_stride)
        for i in range(len(self.widths)):
            side = side // 2 if i in self.pool_after else side
        if self.crop_border < 0 or side < self.head_pool or self.head_pool < 1:
            raise InputError(
                f"{self.size} pixels less a crop_border of {self.crop_border}, pooled"
                f" {len(self.pool_after)} times, are {max(side, 0)}: too few for a head_pool of"
                f" {self.head_pool}"
            )
        if beyond := [i for i in self.pool_after if i not in range(len(self.widths))]:
            raise InputError(f"pool_after: there is no convolution {beyond[0]}")
        if not 0 < max(self.widths) <= _WIDEST or not 0 <= self.geometry_channels <= _WIDEST:
            raise InputError(f"a layer is at most {_WIDEST} channels wide")
        if not 0 < self.temperature < math.inf or not 0 < self.ink_size <= self.size:
            raise InputError("temperature or ink_size is out of range")


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
        if self.training and distributed.processes()[1] > 1:
            return self._over_processes(x)
        # A bias without a scale has no gradient on a GPU (torch 2.11), and no cost on a CPU.
        scale = self.scale if x.is_cuda else None
        return F.batch_norm(
            x, self.mean, self.variance, scale, self.bias, self.training, self.momentum
        )

    def _over_processes(self, x: Tensor) -> Tensor:
        n, mean, variance = distributed.moments(x)
        with torch.no_grad():
            self.mean.lerp_(mean, self.momentum)
            self.variance.lerp_(variance * n / (n - 1), self.momentum)
        scale = (variance + 1e-5).rsqrt()
        shift = self.bias - mean * scale
        channelwise = (-1, *(1 for _ in x.shape[2:]))
        result: Tensor = x.float() * scale.view(channelwise) + shift.view(channelwise)
        return result.to(x.dtype)


class Network(nn.Module):
    """A convolutional body and a linear head on the means of its output.

    uint8 or float [B, 1, size, size] with pixels from 0 to 255 -> float32 logits [B, classes]. With
    shape.geometry_channels it also takes float32 [B, 4] of geometry.standardised(), NaN where
    unknown.
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
        seen = shape.widths[-1] * shape.head_pool**2 + shape.geometry_channels
        self.head = nn.Linear(seen, len(shape.classes))
        if shape.geometry_channels:
            self.geometry = nn.Linear(NUMBERS, shape.geometry_channels, bias=False)
            self.geometry_norm = Norm(shape.geometry_channels)

    def features(self, images: Tensor) -> Tensor:
        """Return what the head sees of the pixels, float32 [B, widths[-1] * head_pool^2]."""
        border, (height, width) = self.shape.crop_border, images.shape[2:]
        inner = images[:, :, border : height - border, border : width - border]
        x = ((inner.float() - PIXEL_MEAN) / PIXEL_DEVIATION).to(self.precision)
        x = x.contiguous(memory_format=torch.channels_last)
        for i, (conv, norm) in enumerate(zip(self.body, self.norms, strict=True)):
            assert isinstance(conv, nn.Conv2d)  # noqa: S101 - for the type checker
            x = F.conv2d(x, conv.weight.to(x.dtype), stride=conv.stride, padding=conv.padding)
            x = F.relu(norm(x), inplace=True)
            if i in self.shape.pool_after:
                x = F.avg_pool2d(x, 2)
        part, rest = divmod(x.shape[2], self.shape.head_pool)
        if rest:  # parts that overlap: no deterministic gradient on a GPU
            return F.adaptive_avg_pool2d(x.float(), self.shape.head_pool).flatten(1)
        return F.avg_pool2d(x.float(), part).flatten(1)

    def geometry_features(self, geometry: Tensor) -> Tensor:
        """Return what the head sees of the geometry, float32 [B, channels]; of NaN nothing."""
        known = torch.where(geometry.isnan(), 0.0, geometry)
        features = F.relu(self.geometry_norm(self.geometry(known)))
        return features.masked_fill(geometry[:, :1].isnan(), 0.0)

    def forward(self, images: Tensor, geometry: Tensor | None = None) -> Tensor:
        seen = self.features(images)
        if self.shape.geometry_channels and geometry is not None:
            seen = torch.cat([seen, self.geometry_features(geometry)], dim=1)
        logits: Tensor = self.head(seen)
        return logits if self.training else logits / self.shape.temperature


def fresh(shape: Shape, purpose: str, seed: int) -> Network:
    """Return a network with random weights, decided by the purpose and the seed alone."""
    generator = torch.Generator().manual_seed(seeds.number(f"weights of {purpose}", seed))
    network = Network(shape)
    with torch.no_grad():
        geometry = (network.geometry,) if shape.geometry_channels else ()
        for layer in (*network.body, network.head, *geometry):
            bound = 1 / math.sqrt(layer.weight[0].numel())
            layer.weight.uniform_(-bound, bound, generator=generator)
        network.head.bias.zero_()
    return network


def fresh_for(split: Split, section: str, purpose: str, seed: int, **settings: Any) -> Network:
    """Return a fresh network for the images of a split, with the settings of this section."""
    size = split.images.shape[-1]
    shape = Shape(classes=split.classes, size=size, ink_size=split.ink_size, **settings)
    try:
        return fresh(shape, purpose, seed)
    except InputError as error:
        raise InputError(f"{params.PATH}: {section}: {error}") from None


def transplant(source: Network, classes: tuple[str, ...], seed: int) -> Network:
    """Return a network for `classes`: the body of `source` and a fresh head decided by `seed`.

    The head is not the one that a body was pretrained with: together they would know the digits
    before they have seen one.
    """
    network = fresh(replace(source.shape, classes=classes), "transplanted head", seed)
    network.body.load_state_dict(source.body.state_dict())
    network.norms.load_state_dict(source.norms.state_dict())
    return network
