"""Random changes of an image that keep its class, drawn from an explicit generator."""

import math
from typing import Annotated, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from handwriting.core import params
from handwriting.data.geometry import DEVIATION

Magnitude = Annotated[float, Field(ge=0)]
_KNOTS = 4  # of the elastic field, along each side


@params.section
class Augmentation:
    """Uniform ranges, each drawn anew for every image at every step; what is not named is off.

    Never a flip: a mirrored letter is another letter or none.
    """

    rotation: Magnitude = 0.0  # degrees, to either side
    scale: Magnitude = 0.0  # relative: 0.1 is between 0.9 and 1.1
    shear: Magnitude = 0.0  # horizontal, as a share of the height
    shift: Magnitude = 0.0  # pixels, in either direction
    aspect: Magnitude = 0.0  # of log(width / height); the geometry features change with it
    elastic: Magnitude = 0.0  # of a field's knots, as a share of the side (Simard et al. 2003)
    stroke: Annotated[float, Field(ge=0, le=1)] = 0.0  # 1 thickens or thins by a pixel all round
    geometry: Magnitude = 0.0  # standard deviation of noise on the standardised geometry features
    geometry_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0  # share of images without geometry
    mixup: Magnitude = 0.0  # a of the Beta(a, a) that mixes pairs of images (Zhang et al. 2018)

    @property
    def moves(self) -> bool:
        """Whether a pixel would move."""
        affine = (self.rotation, self.scale, self.shear, self.shift)
        return any((*affine, self.aspect, self.elastic))


class Draws(NamedTuple):
    """The random numbers for B images, drawn on the CPU: the same whatever the device."""

    affine: Tensor  # float32 [5, B] in -1 to 1
    aspect: Tensor  # float32 [B] in -1 to 1
    knots: Tensor  # float32 [B, 2, knots, knots] in -1 to 1
    stroke: Tensor  # float32 [B] in -1 to 1
    geometry: Tensor  # float32 [B, 4], normal
    share: Tensor  # float32 [B] in 0 to 1: of an image in its mixture
    dropped: Tensor  # bool [B]: whose geometry is unknown


def draw(count: int, magnitudes: Augmentation, generator: torch.Generator) -> Draws:
    """The random numbers for `count` images; none are drawn for what is off."""

    def uniform(*shape: int, on: float = 1) -> Tensor:
        return torch.rand(*shape, generator=generator) * 2 - 1 if on else torch.zeros(shape)

    affine = uniform(5, count)
    aspect = uniform(count, on=magnitudes.aspect)
    knots = uniform(count, 2, _KNOTS, _KNOTS, on=magnitudes.elastic)
    stroke = uniform(count, on=magnitudes.stroke)
    geometry = torch.zeros(count, 4)
    if magnitudes.geometry:
        geometry.normal_(generator=generator)
    share = torch.ones(count)
    if magnitudes.mixup:  # torch has no Beta distribution with a generator
        beta = np.random.default_rng(int(torch.randint(1 << 62, (1,), generator=generator)))
        share = torch.from_numpy(beta.beta(magnitudes.mixup, magnitudes.mixup, count)).float()
    dropped = torch.zeros(count, dtype=torch.bool)
    if magnitudes.geometry_dropout:
        dropped = torch.rand(count, generator=generator) < magnitudes.geometry_dropout
    return Draws(affine, aspect, knots, stroke, geometry, share, dropped)


def augment(images: Tensor, magnitudes: Augmentation, draws: Draws) -> Tensor:
    """uint8 [B, 1, S, S] -> float32 [B, 1, S, S] from 0 to 255, each image changed its own way.

    The images as they are if nothing is to change.
    """
    if not (magnitudes.moves or magnitudes.stroke or magnitudes.mixup):
        return images
    x = images.float()
    if magnitudes.moves:
        x = F.grid_sample(x, _grid(images, magnitudes, draws), align_corners=False)
    if magnitudes.stroke:
        amount = draws.stroke.to(x.device)[:, None, None, None] * magnitudes.stroke
        thick, thin = F.max_pool2d(x, 3, 1, 1), -F.max_pool2d(-x, 3, 1, 1)
        x = x + amount.clamp(min=0) * (thick - x) + amount.clamp(max=0) * (x - thin)
    return x


def _grid(images: Tensor, magnitudes: Augmentation, draws: Draws) -> Tensor:
    """Where each pixel comes from: float32 [B, S, S, 2], as grid_sample takes it."""
    count, size = len(images), images.shape[-1]
    angle = draws.affine[0] * math.radians(magnitudes.rotation)
    scale = 1 + draws.affine[1] * magnitudes.scale
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    shear = draws.affine[2] * magnitudes.shear
    right, down = draws.affine[3:] * magnitudes.shift * 2 / size
    matrix = torch.stack([cos, shear * cos - sin, right, sin, shear * sin + cos, down], dim=1)
    matrix = matrix.view(count, 2, 3).to(images.device)
    if magnitudes.aspect:
        narrow = (draws.aspect * magnitudes.aspect / 2).to(images.device)
        matrix[:, :, 0] *= narrow.neg().exp()[:, None]
        matrix[:, :, 1] *= narrow.exp()[:, None]
    grid = F.affine_grid(matrix, [count, 1, size, size], align_corners=False)
    if magnitudes.elastic:
        knots = draws.knots.to(images.device) * (2 * magnitudes.elastic)
        field = F.interpolate(knots, size=(size, size), mode="bicubic", align_corners=True)
        grid = grid + field.permute(0, 2, 3, 1)
    return grid


def move(geometry: Tensor, magnitudes: Augmentation, draws: Draws) -> Tensor:
    """Return geometry features, float32 [B, 4], changed as the images are, with noise."""
    wider = draws.aspect * magnitudes.aspect / 2
    change = torch.stack([-wider, wider], dim=1) / torch.tensor(DEVIATION[:2])
    moved = geometry + magnitudes.geometry * draws.geometry
    moved[:, :2] += change
    return moved
