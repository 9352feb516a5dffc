"""Random changes of an image that leave its class alone, drawn from an explicit generator."""

import math
from typing import Annotated, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from handwriting.characters.writer_model import DEVIATION
from handwriting.core import params

Strength = Annotated[float, Field(ge=0)]
_KNOTS = 4  # of the elastic field, along each side


@params.section
class Augmentation:
    """Uniform ranges, each drawn anew for every image at every step; what is not named is off.

    Never a flip: a mirrored letter is another letter or none.
    """

    rotation: Strength = 0.0  # degrees, to either side
    scale: Strength = 0.0  # relative: 0.1 is between 0.9 and 1.1
    shear: Strength = 0.0  # horizontal, as a share of the height
    shift: Strength = 0.0  # pixels, in either direction
    aspect: Strength = 0.0  # of log(width / height); the place numbers change with it
    elastic: Strength = 0.0  # of a field's knots, as a share of the side (Simard et al. 2003)
    stroke: Annotated[float, Field(ge=0, le=1)] = 0.0  # 1 thickens or thins by a pixel all round
    place: Strength = 0.0  # standard deviation of noise on the standardised place numbers
    mixup: Strength = 0.0  # a of the Beta(a, a) that mixes pairs of images (Zhang et al. 2018)

    @property
    def moves(self) -> bool:
        """Whether a pixel would move."""
        return bool(
            self.rotation or self.scale or self.shear or self.shift or self.aspect or self.elastic
        )


class Draws(NamedTuple):
    """The random numbers for B images, drawn on the CPU: the same whatever the device."""

    affine: Tensor  # float32 [5, B] in -1 to 1
    aspect: Tensor  # float32 [B] in -1 to 1
    knots: Tensor  # float32 [B, 2, knots, knots] in -1 to 1
    stroke: Tensor  # float32 [B] in -1 to 1
    place: Tensor  # float32 [B, 4], normal
    share: Tensor  # float32 [B] in 0 to 1: of an image in its mixture


def draw(count: int, strength: Augmentation, generator: torch.Generator) -> Draws:
    """The random numbers for `count` images; none are drawn for what is off."""

    def uniform(*shape: int, on: float = 1) -> Tensor:
        return torch.rand(*shape, generator=generator) * 2 - 1 if on else torch.zeros(shape)

    affine = uniform(5, count)
    aspect = uniform(count, on=strength.aspect)
    knots = uniform(count, 2, _KNOTS, _KNOTS, on=strength.elastic)
    stroke = uniform(count, on=strength.stroke)
    place = torch.zeros(count, 4)
    if strength.place:
        place.normal_(generator=generator)
    share = torch.ones(count)
    if strength.mixup:  # torch has no Beta distribution with a generator
        beta = np.random.default_rng(int(torch.randint(1 << 62, (1,), generator=generator)))
        share = torch.from_numpy(beta.beta(strength.mixup, strength.mixup, count)).float()
    return Draws(affine, aspect, knots, stroke, place, share)


def augment(images: Tensor, strength: Augmentation, draws: Draws) -> Tensor:
    """uint8 [B, 1, S, S] -> float32 [B, 1, S, S] from 0 to 255, each image changed its own way.

    The images as they are if nothing is to change.
    """
    if not (strength.moves or strength.stroke or strength.mixup):
        return images
    x = images.float()
    if strength.moves:
        x = F.grid_sample(x, _grid(images, strength, draws), align_corners=False)
    if strength.stroke:
        amount = draws.stroke.to(x.device)[:, None, None, None] * strength.stroke
        thick, thin = F.max_pool2d(x, 3, 1, 1), -F.max_pool2d(-x, 3, 1, 1)
        x = x + amount.clamp(min=0) * (thick - x) + amount.clamp(max=0) * (x - thin)
    return x


def _grid(images: Tensor, strength: Augmentation, draws: Draws) -> Tensor:
    """Where each pixel comes from: float32 [B, S, S, 2], as grid_sample takes it."""
    count, size = len(images), images.shape[-1]
    angle = draws.affine[0] * math.radians(strength.rotation)
    scale = 1 + draws.affine[1] * strength.scale
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    shear = draws.affine[2] * strength.shear
    right, down = draws.affine[3:] * strength.shift * 2 / size
    matrix = torch.stack([cos, shear * cos - sin, right, sin, shear * sin + cos, down], dim=1)
    matrix = matrix.view(count, 2, 3).to(images.device)
    if strength.aspect:
        narrow = (draws.aspect * strength.aspect / 2).to(images.device)
        matrix[:, :, 0] *= narrow.neg().exp()[:, None]
        matrix[:, :, 1] *= narrow.exp()[:, None]
    grid = F.affine_grid(matrix, [count, 1, size, size], align_corners=False)
    if strength.elastic:
        knots = draws.knots.to(images.device) * (2 * strength.elastic)
        field = F.interpolate(knots, size=(size, size), mode="bicubic", align_corners=True)
        grid = grid + field.permute(0, 2, 3, 1)
    return grid


def move(place: Tensor, strength: Augmentation, draws: Draws) -> Tensor:
    """Standardised place numbers, float32 [B, 4], changed as the images are, and blurred."""
    wider = draws.aspect * strength.aspect / 2
    change = torch.stack([-wider, wider], dim=1) / torch.tensor(DEVIATION[:2])
    moved = place + strength.place * draws.place
    moved[:, :2] += change
    return moved
