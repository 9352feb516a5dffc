"""Entries of the sections `framing` and `<source>.images` of params.yaml."""

import re
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from handwriting.core import params
from handwriting.data import alphabet


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


def regex(text: str) -> str:
    """Return a regular expression. Raises ValueError for any other text."""
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return text


Classes = Annotated[tuple[str, ...], Field(min_length=2, max_length=200)]


@params.section
class Images:
    """The section <source>.images.<dataset>: the images expected in its archive."""

    train: Annotated[int, Field(gt=0)]  # validation included
    test: Annotated[int, Field(ge=0)] = 0
    validation: Annotated[float, Field(gt=0, lt=1)] | None = None  # share of each class, or none
    # Of a source that was added: its classes, which are its folders, and what in the path of an
    # image names the writer, by its first group.
    classes: Classes | None = None
    writer: Annotated[str, AfterValidator(regex)] | None = None

    @property
    def writers(self) -> re.Pattern[str]:
        """What finds the writer in the path of a character; without, each image has its own."""
        return re.compile(self.writer or (".+" if self.classes else alphabet.WRITER.pattern))

    @property
    def character_folders(self) -> dict[str, str]:
        """The class of each folder of characters."""
        names = zip(alphabet.CHARACTER_FOLDERS, alphabet.CHARACTERS, strict=True)
        return {each: each for each in self.classes} if self.classes else dict(names)


def writer_in(pattern: re.Pattern[str], path: str) -> str | None:
    """Return what a pattern, or its first group, matches in a path: the writer."""
    found = pattern.search(path)
    return found[min(pattern.groups, 1)] if found else None
