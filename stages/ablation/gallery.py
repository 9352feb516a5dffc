"""Draw what each augmentation of question one does at its chosen strength: a sheet of images.

reads   data/tensors/<source>/characters/
writes  ablation/artifacts/<source>/augmentations.png
params  train.augmentation
"""

import io
from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from handwriting.core import cli as entry
from handwriting.core import files, params
from handwriting.data import dataset
from handwriting.evaluation import gallery
from handwriting.training.augmentation import Augmentation

_SHOWN = "0Oo1IlcCsSwWKRag"  # classes, of each the first image
_ZOOM, _LABEL = 2, 120  # screen pixels of a pixel; of the column of names


def main(scratch: Path, source: str) -> None:
    split = dataset.load_all(Path(f"data/tensors/{source}/characters"))
    strength = params.load("train.augmentation", Augmentation)
    images = torch.from_numpy(gallery.firsts(split, _SHOWN))
    path = Path(f"ablation/artifacts/{source}/augmentations.png")
    picture = sheet(list(gallery.at_strength(images, strength)))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    files.write_bytes(path, buffer.getvalue(), scratch)
    print(f"{path}: {len(images)} images, each as every augmentation changes it")


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
