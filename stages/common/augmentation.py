"""Random changes of an image that leave its class alone, drawn from an explicit generator."""

import math
from typing import Annotated

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from stages.common import params

Strength = Annotated[float, Field(ge=0)]


@params.section
class Augmentation:
    """Uniform ranges, each drawn anew for every image at every step; all 0 is no augmentation.

    Never a flip: a mirrored letter is another letter or none.
    """

    rotation: Strength  # degrees, to either side
    scale: Strength  # relative: 0.1 is between 0.9 and 1.1
    shear: Strength  # horizontal, as a share of the height
    shift: Strength  # pixels, in either direction

    @property
    def off(self) -> bool:
        """Whether nothing would change."""
        return not (self.rotation or self.scale or self.shear or self.shift)


def draw(count: int, generator: torch.Generator) -> Tensor:
    """The random numbers for `count` images, float32 [5, count] in -1 to 1.

    Drawn on the CPU, whatever the device: they are the same everywhere.
    """
    return torch.rand(5, count, generator=generator) * 2 - 1


def augment(images: Tensor, strength: Augmentation, draws: Tensor) -> Tensor:
    """uint8 [B, 1, S, S] -> float32 [B, 1, S, S] from 0 to 255, each image moved its own way."""
    count, size = len(images), images.shape[-1]
    angle = draws[0] * math.radians(strength.rotation)
    scale = 1 + draws[1] * strength.scale
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    shear = draws[2] * strength.shear
    right, down = draws[3:] * strength.shift * 2 / size
    matrix = torch.stack([cos, shear * cos - sin, right, sin, shear * sin + cos, down], dim=1)
    matrix = matrix.view(count, 2, 3).to(images.device)
    grid = F.affine_grid(matrix, [count, 1, size, size], align_corners=False)
    return F.grid_sample(images.float(), grid, align_corners=False)
