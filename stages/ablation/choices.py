"""What a choice of the ablation changes: settings, framing, geometry features, weights."""

import tarfile
from collections.abc import Sequence
from functools import partial
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
from handwriting.preprocessing.decoding import Pixels
from handwriting.training.model import Network

_CANVAS = np.array([900, 1200])  # height and width of the archive's images
_DETAIL = 252  # side of the square that other crops than the recipe's are made from
Pair = NDArray[np.float64]
Hidden = list[Literal["size", "aspect", "position"]]


@params.section
class Framing:
    """What of an image is put into the square, and how large."""

    crop: Literal["ink", "stretched", "canvas"]  # the ink; without its aspect; with all its paper
    image_size: PositiveInt  # side of the square; DVC's run-cache ignores keys named `size`
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
    if how.ink_size > how.image_size:
        sizes = f"ink_size {how.ink_size} > image_size {how.image_size}"
        raise InputError(f"{params.PATH}: ablation: {sizes}")
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
        return framing.prepare(content, path, how.image_size, how.ink_size).image
    detailed = framing.prepare(content, path, _DETAIL, _DETAIL)
    rows, columns = (np.flatnonzero(detailed.image.max(axis=i)) for i in (1, 0))
    ink = torch.from_numpy(detailed.image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    if how.crop == "stretched":
        sides, corner = np.full(2, how.ink_size), np.full(2, (how.image_size - how.ink_size) // 2)
    else:
        unit, geometry = how.ink_size / max(_CANVAS), np.array(detailed.geometry)
        sides, centre = geometry[:2] * _CANVAS * unit, geometry[2:] * _CANVAS * unit
        corner = (how.image_size - _CANVAS * unit) / 2 + centre - sides / 2
    return _pasted(ink, sides, corner, how.image_size)


def _pasted(ink: Tensor, sides: Pair, corner: Pair, size: int) -> Pixels:
    """Return uint8 [size, size]: the ink, uint8 [H, W], scaled to these sides, at this corner or as
    far inside as it takes to cut nothing off, its brightest pixel at 255."""
    height, width = sides.round().astype(int).clip(1).tolist()
    options: dict[str, Any] = {"mode": "bilinear", "antialias": True}
    scaled = F.interpolate(ink.float()[None, None], (height, width), **options)[0, 0]
    top, left = corner.round().astype(int).clip(0, [size - height, size - width]).tolist()
    square = torch.zeros(size, size)
    square[top : top + height, left : left + width] = scaled
    return np.asarray((square * (255 / square.max())).round().clamp(0, 255).byte())


def averaging(network: Network, decay: float) -> Network:
    """Make a network keep an exponential moving average of its weights and statistics, in buffers,
    which each forward pass in training updates (Tarvainen and Valpola 2017, arXiv 1703.01780; the
    plain mean, Polyak and Juditsky 1992)."""
    for i, tensor in enumerate(network.state_dict().values()):
        network.register_buffer(f"average_{i}", tensor.clone())
    network.register_forward_pre_hook(partial(_average, decay))
    return network


@torch.no_grad()
def _average(decay: float, network: Network, _: object) -> None:
    state = list(network.state_dict().values())  # first the averages
    for average, tensor in zip(state, state[len(state) // 2 :], strict=False):
        if network.training:
            average.lerp_(tensor, 1 - decay)


def averaged(network: Network, decay: float) -> Network:
    """Return the average, the last step included, as a network in eval mode."""
    _average(decay, network.train(), None)
    mean = Network(network.shape)
    names = enumerate(mean.state_dict())
    mean.load_state_dict({name: network.get_buffer(f"average_{i}") for i, name in names})
    return mean.eval()
