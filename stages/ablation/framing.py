"""Frame the images of question one in another way than the recipe does, for the ablation.

Row for row as preprocess has them: where a row came from is read for that, and stays here.

reads   data/images/<source>/characters.tar, data/tensors/<source>/characters/,
        data/tensors/<source>/characters-sources.csv
writes  ablation/artifacts/<source>/framings/<framing>.safetensors
params  ablation.framings.<framing>.framing
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor

from handwriting.core import cli as entry
from handwriting.core import files, params
from handwriting.data import dataset
from handwriting.preprocessing import framing as images
from handwriting.preprocessing.framing import Pixels
from handwriting.raw import tars

_CANVAS = 900, 1200  # height and width of the archive's images
_DETAIL = 252  # side of the square that other crops than preprocess's own are made of


@params.section
class Framing:
    """What of an image is put into the square, and how large."""

    crop: Literal["ink", "stretched", "canvas"]  # the ink; without its aspect; with all its paper
    size: Annotated[int, Field(ge=8, le=256)]  # side of the square, in pixels
    box: Annotated[int, Field(ge=4, le=256)]  # longer side of what is put there

    @model_validator(mode="after")
    def box_fits(self) -> Self:
        if self.box > self.size:
            raise ValueError(f"box is {self.box}, over size, {self.size}")
        return self


def main(scratch: Path, source: str, name: str) -> None:
    framing = params.load(f"ablation.framings.{name}.framing", Framing)
    tensors = Path(f"data/tensors/{source}")
    split = dataset.load_all(tensors / "characters")
    paths = [row["source"] for row in files.read_csv(tensors / "characters-sources.csv")]
    archive = Path(f"data/images/{source}/characters.tar")
    pixels = np.stack([framed(*each, framing) for each in members(archive, paths)])
    again = replace(split, images=pixels[:, None], box=framing.box)
    path = Path(f"ablation/artifacts/{source}/framings/{name}.safetensors")
    dataset.store(again, path, scratch)
    print(f"{path}: {len(pixels):,} images of {framing.size} x {framing.size}")


def members(archive: Path, paths: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """(path, bytes) of the files of a tar, in the order of `paths`."""
    spans = {path: (offset, size) for path, offset, size in tars.listing(archive).members()}
    with archive.open("rb") as file:
        for path in paths:
            offset, size = spans[path]
            file.seek(offset)
            yield path, file.read(size)


def framed(path: str, content: bytes, framing: Framing) -> Pixels:
    """uint8 [size, size] of an image file."""
    if framing.crop == "ink":
        return images.prepare(content, path, framing.size, framing.box).image
    detailed = images.prepare(content, path, _DETAIL, _DETAIL)
    rows, columns = (np.flatnonzero(detailed.image.max(axis=i)) for i in (1, 0))
    ink = torch.from_numpy(detailed.image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    square = torch.zeros(framing.size, framing.size)
    if framing.crop == "stretched":
        start = (framing.size - framing.box) // 2
        put(square, scaled(ink, framing.box, framing.box), start, start)
        return brightened(square)
    height, width, y, x = detailed.place
    unit = framing.box / max(_CANVAS)  # of a pixel of the canvas
    tall, wide = height * _CANVAS[0] * unit, width * _CANVAS[1] * unit
    top = (framing.size - _CANVAS[0] * unit) / 2 + y * _CANVAS[0] * unit - tall / 2
    left = (framing.size - _CANVAS[1] * unit) / 2 + x * _CANVAS[1] * unit - wide / 2
    small = scaled(ink, max(1, round(tall)), max(1, round(wide)))
    put(square, small, round(top), round(left))
    return brightened(square)


def scaled(ink: Tensor, height: int, width: int) -> Tensor:
    """uint8 [H, W] -> float32 [height, width]."""
    return F.interpolate(ink.float()[None, None], (height, width), mode="bilinear", antialias=True)[
        0, 0
    ]


def put(square: Tensor, ink: Tensor, top: int, left: int) -> None:
    """Copy `ink` into `square`, as far inside as it takes to cut nothing off."""
    (height, width), size = ink.shape, len(square)
    top, left = (min(max(at, 0), size - side) for at, side in ((top, height), (left, width)))
    square[top : top + height, left : left + width] = ink


def brightened(square: Tensor) -> Pixels:
    """float32 [S, S] -> uint8, the brightest pixel at 255, as images.prepare has it."""
    pixels: Pixels = (square * (255 / square.max())).round().clamp(0, 255).byte().numpy()
    return pixels


if __name__ == "__main__":
    entry.run(main)
