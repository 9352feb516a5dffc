"""What a choice of the ablation changes: settings, framing, geometry features, weights."""

import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor

from handwriting.characters.protocols import Characters
from handwriting.core import params
from handwriting.core.errors import InputError
from handwriting.preprocessing import framing
from handwriting.preprocessing.framing import Pixels
from handwriting.training.model import Network

_CANVAS = torch.tensor([900, 1200])  # height and width of the archive's images
_DETAIL = 252  # side of the square that other crops than the recipe's are made from
Hidden = list[Literal["size", "aspect", "position"]]


@params.section
class Framing:
    """What of an image is put into the square, and how large."""

    crop: Literal["ink", "stretched", "canvas"]  # the ink; without its aspect; with all its paper
    size: PositiveInt  # side of the square in pixels
    ink_size: PositiveInt  # longer side of what is put there


@params.section
class Choice:
    """What differs from the recipe, which the defaults are."""

    model: dict[str, Any] = Field(default_factory=dict)  # of characters.model
    training: dict[str, Any] = Field(default_factory=dict)  # of characters.training
    augmentation: dict[str, Any] = Field(default_factory=dict)  # of characters.augmentation
    epoch_scale: PositiveFloat = 1
    average: Annotated[float, Field(ge=0, lt=1)] = 0  # decay of a moving average of the weights
    hidden: Hidden = Field(default_factory=list)  # of the geometry features, see hide()
    framing: Framing | None = None

    def changed(self, settings: Characters, name: str) -> Characters:
        """Return the settings with this choice, of that name. Raises InputError."""
        model = params.changed(settings.model, self.model, f"ablation: {name}: model")
        augmentation = params.changed(
            settings.augmentation, self.augmentation, f"ablation: {name}: augmentation"
        )
        training = settings.training | self.training
        return Characters(model=model, training=training, augmentation=augmentation)


def hide(geometry: NDArray[np.float32], hidden: Hidden) -> NDArray[np.float32]:
    """Return Split.geometry, float32 [N, 4], with the mean size, aspect or position for all."""
    logs = np.log(np.maximum(geometry[:, :2], 1e-3))
    features = {
        "size": logs.mean(1),
        "aspect": logs[:, 1] - logs[:, 0],
        "position": geometry[:, 2:],
    }
    for name in hidden:
        features[name] = np.broadcast_to(features[name].mean(0), features[name].shape)
    size, aspect, position = features.values()
    sides = np.exp(np.stack([size - aspect / 2, size + aspect / 2], 1))
    return np.concatenate([sides, position], 1, dtype=np.float32) if hidden else geometry


def framed_all(archive: Path, paths: Sequence[str], how: Framing) -> Pixels:
    """Return images of a tar, uint8 [N, 1, size, size], in the order of `paths`."""
    if how.ink_size > how.size:
        raise InputError(f"{params.PATH}: ablation: ink_size {how.ink_size} > size {how.size}")
    with tarfile.open(archive, "r:") as tar, archive.open("rb") as file:
        members = {each.name: each for each in tar}
        images = []
        for path in paths:
            file.seek(members[path].offset_data)
            images.append(framed(path, file.read(members[path].size), how))
    return np.stack(images)[:, None]


def framed(path: str, content: bytes, how: Framing) -> Pixels:
    """Return an image file, framed: uint8 [size, size]."""
    if how.crop == "ink":
        return framing.prepare(content, path, how.size, how.ink_size).image
    detailed = framing.prepare(content, path, _DETAIL, _DETAIL)
    rows, columns = (np.flatnonzero(detailed.image.max(axis=i)) for i in (1, 0))
    ink = torch.from_numpy(detailed.image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    sides, centre = torch.full((2,), float(how.ink_size)), torch.full((2,), how.size / 2)
    if how.crop == "canvas":
        canvas, geometry = _CANVAS * (how.ink_size / 1200), torch.tensor(detailed.geometry)
        sides, centre = geometry[:2] * canvas, centre + (geometry[2:] - 0.5) * canvas
    return _pasted(ink, sides, centre - sides / 2, how.size)


def _pasted(ink: Tensor, sides: Tensor, corner: Tensor, size: int) -> Pixels:
    """Return uint8 [size, size]: the ink, uint8 [H, W], scaled to these sides, at this corner or as
    far inside as it takes to cut nothing off, its brightest pixel at 255."""
    height, width = sides.round().int().clamp(min=1).tolist()
    options: dict[str, Any] = {"mode": "bilinear", "antialias": True}
    scaled = F.interpolate(ink.float()[None, None], (height, width), **options)[0, 0]
    top, left = corner.round().int().clamp(min=0).tolist()
    top, left = min(top, size - height), min(left, size - width)
    square = torch.zeros(size, size)
    square[top : top + height, left : left + width] = scaled
    return np.asarray((square * (255 / square.max())).round().clamp(0, 255).byte())


class Averaged(Network):
    """A network with an exponential moving average of its weights and statistics (Tarvainen and
    Valpola 2017, arXiv 1703.01780; the plain mean, Polyak and Juditsky 1992).

    Each forward pass in training updates it. It is kept in buffers, so that a checkpoint has it.
    """

    def __init__(self, network: Network, decay: float) -> None:
        super().__init__(network.shape)
        self.load_state_dict(network.state_dict())
        self.decay, self.names = decay, list(self.state_dict())
        for i, tensor in enumerate(self.state_dict().values()):
            self.register_buffer(f"average_{i}", tensor.clone())

    @torch.no_grad()
    def update(self) -> dict[str, Tensor]:
        """Update the average, and return it."""
        state = self.state_dict()
        averages = {name: state[f"average_{i}"] for i, name in enumerate(self.names)}
        return {name: each.lerp_(state[name], 1 - self.decay) for name, each in averages.items()}

    def forward(self, images: Tensor, geometry: Tensor | None = None) -> Tensor:
        """See Network."""
        if self.training:
            self.update()
        return super().forward(images, geometry)

    def average(self) -> Network:
        """Return a network of the averages, the last step included, in eval mode."""
        network = Network(self.shape)
        network.load_state_dict(self.update())
        return network.eval()
