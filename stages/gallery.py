"""Draw what each augmentation of question one does at its chosen strength: a sheet of images.

reads   data/tensors/<source>/characters/
writes  ablation/artifacts/<source>/augmentations.png
params  train.augmentation
"""

import io
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from stages.common import dataset
from stages.common.core import entry, files, params
from stages.common.dataset import Split
from stages.common.learning.augmentation import Augmentation, Draws, augment, draw

_SHOWN = "0Oo1IlcCsSwWKRag"  # classes, of each the first image
_AFFINE = ("rotation", "scale", "shear")  # as in Draws.affine; then come the two shifts
_ZOOM, _LABEL = 2, 120  # screen pixels of a pixel; of the column of names


def main(scratch: Path, source: str) -> None:
    split = dataset.load_all(Path(f"data/tensors/{source}/characters"))
    strength = params.load("train.augmentation", Augmentation)
    images = chosen(split)
    path = Path(f"ablation/artifacts/{source}/augmentations.png")
    picture = sheet(list(rows(images, strength)))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    files.write_bytes(path, buffer.getvalue(), scratch)
    print(f"{path}: {len(images)} images, each as every augmentation changes it")


def chosen(split: Split) -> Tensor:
    """uint8 [B, 1, S, S]: the first image of each class that is shown."""
    first = [np.flatnonzero(split.labels == split.classes.index(each))[0] for each in _SHOWN]
    return torch.from_numpy(split.images[first])


def rows(images: Tensor, strength: Augmentation) -> Iterator[tuple[str, Tensor]]:
    """(name and strength, float32 [B, 1, S, S] from 0 to 255) of each row of the sheet.

    What has one range goes from its lower end, on the left, to its upper end; the rest is drawn.
    """
    count, off = len(images), Augmentation(**dict.fromkeys(asdict(strength), 0))
    span = torch.linspace(-1, 1, count)
    yield "as framed", images.float()
    for name, value in asdict(strength).items():
        if not value or name == "place":  # noise on numbers cannot be seen
            continue
        alone = replace(off, **{name: value})
        draws = spread(draw(count, alone, torch.Generator().manual_seed(0)), name, span)
        yield f"{name} {value:g}", mixed(augment(images, alone, draws), draws)
    for seed, name in enumerate(("all, drawn", "drawn again")):
        draws = draw(count, strength, torch.Generator().manual_seed(seed))
        yield name, mixed(augment(images, strength, draws), draws)


def spread(draws: Draws, name: str, span: Tensor) -> Draws:
    """Draws of one augmentation whose range the images go through, float32 [B] from -1 to 1."""
    affine = torch.zeros_like(draws.affine)
    if name in _AFFINE:
        affine[_AFFINE.index(name)] = span
    elif name == "shift":
        affine[len(_AFFINE) :] = torch.stack([span, -span])
    share = span / 4 + 0.75 if name == "mixup" else draws.share  # the other image's: half to none
    return draws._replace(affine=affine, aspect=span, stroke=span, share=share)


def mixed(images: Tensor, draws: Draws) -> Tensor:
    """Each image with the one at the mirrored place, as a training mixes them."""
    return torch.lerp(images.flip(0), images, draws.share[:, None, None, None])


def sheet(table: list[tuple[str, Tensor]]) -> Image.Image:
    """A grey picture of the rows, each named on its left."""
    height, width = table[0][1].shape[-1] * _ZOOM, len(table[0][1]) * table[0][1].shape[-1] * _ZOOM
    picture = Image.new("L", (_LABEL + width, height * len(table)), 255)
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(14)
    for i, (name, images) in enumerate(table):
        ink = images[:, 0].clamp(0, 255).byte()
        strip = Image.fromarray(255 - torch.cat(list(ink), dim=1).numpy())
        picture.paste(strip.resize((width, height), Image.Resampling.NEAREST), (_LABEL, i * height))
        pen.text((4, i * height + height // 2 - 8), name, fill=0, font=font)
    return picture


if __name__ == "__main__":
    entry.run(main)
