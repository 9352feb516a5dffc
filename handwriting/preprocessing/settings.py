"""Entries of the sections `framing` and `<source>.images` of params.yaml."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from handwriting.core import params


@params.section
class Framing:
    """An entry of the section `framing`: the square that a network sees, in pixels."""

    image_size: Annotated[int, Field(ge=8, le=256)]  # side of the square
    ink_size: Annotated[int, Field(ge=4, le=256)]  # longer side of the ink in it

    @model_validator(mode="after")
    def ink_fits(self) -> Self:
        if self.ink_size > self.image_size:
            raise ValueError(f"ink_size is {self.ink_size}, over image_size, {self.image_size}")
        return self


@params.section
class Images:
    """The section <source>.images.<dataset>: the images expected in its archive."""

    train: Annotated[int, Field(gt=0)]  # validation included
    test: Annotated[int, Field(ge=0)] = 0
    validation: Annotated[float, Field(gt=0, lt=1)] | None = None  # share of each class, or none
