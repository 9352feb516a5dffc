"""The base networks that fine-tuning starts from, and the strengths that decide their shapes."""

from pathlib import Path
from typing import Literal

from handwriting.core import params
from handwriting.core.errors import InputError
from handwriting.training import model
from handwriting.training import runs as arms
from handwriting.training.model import Network

UseName = Literal["usual", "full"]


@params.section
class Use:
    """One use of networks of digits: how strong they are, and how many bases each start has."""

    strength: str  # a key of strengths
    bases: arms.Count


@params.section
class Uses:
    """What networks of digits are for."""

    usual: Use  # everything but the next
    full: Use  # MNIST with all of its images, and the correction of mnistTask3


def strength(source: str, use: UseName) -> arms.Strength:
    """How much the networks of this use may cost."""
    name = getattr(params.load(f"digits.{source}", Uses), use).strength
    return params.load(f"strengths.{name}", arms.Strength)


def load(source: str, start: str, use: UseName, seeds: int) -> list[Network]:
    """The first `seeds` base networks of a start, of the shape that the use asks for.

    Raises InputError if there are fewer.
    """
    name = getattr(params.load(f"digits.{source}", Uses), use).strength
    path = Path(f"artifacts/{source}/bases/{start}.pt")
    networks = [
        network
        for network, about in model.load_all(path)
        if about["name"].rpartition(" ")[0] == name
    ]
    if len(networks) < seeds:
        raise InputError(
            f"params.yaml: digits.{source}.{use}.bases: {seeds} seeds need as many bases,"
            f" and {path} has {len(networks)} of strength {name}"
        )
    return networks[:seeds]
