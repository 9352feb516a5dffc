"""What is known of an image beside its pixels: its size and place, and those of the same hand.

An image is cut to its ink and scaled, which makes a c of a C. Where the ink was on its canvas, and
how large, is kept as numbers; and what is large for one writer is small for another, so that the
other images by the same hand, without their labels, tell more than this one alone.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

NUMBERS = (
    9  # that a network sees: 4 of the image, 4 of it among its hand's, 1 of how many these are
)
# Of trainPart1's images: log height, log width, centre y and centre x, as shares of the canvas.
_MEAN = (-0.747, -1.321, 0.525, 0.488)
DEVIATION = (0.264, 0.338, 0.053, 0.060)
_WITHIN = 0.8  # the usual deviation of a hand's images from each other, in the units of all
_PRIOR = 3.0  # the number of images that this counts as, when there are few


def standardised(place: Tensor) -> Tensor:
    """float32 [N, 4], about 0 and 1, of images.Framed.place: height, width, centre y, centre x."""
    logs = place[:, :2].clamp(min=1e-3).log()
    return (torch.cat([logs, place[:, 2:]], 1) - torch.tensor(_MEAN)) / torch.tensor(DEVIATION)


def numbered(hands: Sequence[str | None]) -> Tensor:
    """int64 [N]: equal for equal names of hands; -1 for None, a hand that is not known."""
    number = {name: i for i, name in enumerate(sorted({each for each in hands if each}))}
    return torch.tensor([number[each] if each else -1 for each in hands], dtype=torch.int64)


def numbers(own: Tensor, mean: Tensor, variance: Tensor, count: Tensor) -> Tensor:
    """What a network sees of standardised places: float32 [N, NUMBERS].

    `own` float32 [N, 4] is of the images, `mean` and `variance` [N, 4] of all images by the same
    hand that are known, itself included, `count` float32 [N] their number. Of a hand with this one
    image alone, nothing is known: then the second four are 0, as they are in the average case.
    """
    weight = count[:, None]
    spread = ((weight * variance + _PRIOR * _WITHIN**2) / (weight + _PRIOR)).sqrt()
    return torch.cat([own, (own - mean) / spread, weight.log()], dim=1)


def known(place: Tensor, hands: Tensor) -> Tensor:
    """The numbers of images whose hands are given: float32 [N, NUMBERS].

    `place` is standardised, float32 [N, 4]; `hands` int64 [N] tells them apart, -1 is unknown.
    """
    unknown = hands < 0
    alone = torch.arange(len(hands)) + len(hands)  # each unknown one is a hand of its own
    _, group = torch.unique(torch.where(unknown, alone, hands), return_inverse=True)
    groups = int(group.max()) + 1 if len(group) else 0
    count = torch.bincount(group, minlength=groups).float()
    mean = torch.zeros(groups, 4).index_add_(0, group, place) / count[:, None]
    square = (place - mean[group]) ** 2
    variance = torch.zeros(groups, 4).index_add_(0, group, square) / count[:, None]
    return numbers(place, mean[group], variance[group], count[group])


class Sampler:
    """An image's numbers as they would be if some images of its hand were known."""

    def __init__(self, place: Tensor, hands: Tensor) -> None:
        """`place` is standardised, float32 [N, 4]; `hands` int64 [N], -1 is unknown."""
        self.hands = hands
        most = int(torch.bincount(hands[hands >= 0]).max()) if (hands >= 0).any() else 0
        self.rows = torch.full((int(hands.max()) + 2, most), -1)  # the last is of unknown hands
        for i in range(len(self.rows) - 1):
            of_hand = (hands == i).nonzero()[:, 0]
            self.rows[i, : len(of_hand)] = of_hand
        self.place = place

    def unknown(self) -> Tensor:
        """The numbers of all rows if nothing is known of any hand: float32 [N, NUMBERS]."""
        return known(self.place, torch.full((len(self.place),), -1))

    def numbers(self, batch: Tensor, own: Tensor, generator: torch.Generator) -> Tensor:
        """float32 [B, NUMBERS] for the rows `batch`, with their places as changed to `own` [B, 4].

        How many others of the hand are known is drawn from 0 to all of them, few as often as many
        (evenly on a logarithmic scale), and then which.
        """
        others = self._others(batch)
        draw = torch.rand(len(batch), generator=generator)
        size = ((others.ge(0).sum(1) + 1.0) ** draw).round() - 1
        return self._among(others, size, own, generator)

    def beside(self, batch: Tensor, count: int, generator: torch.Generator) -> Tensor:
        """float32 [B, NUMBERS] for the rows `batch`, each beside `count` others of its hand, drawn
        at random, or beside all that there are."""
        size = torch.full((len(batch),), float(count))
        return self._among(self._others(batch), size, self.place[batch], generator)

    def _others(self, batch: Tensor) -> Tensor:
        """int64 [B, M]: the other rows of the hand of each, and -1."""
        rows = self.rows[self.hands[batch]]
        return rows.masked_fill(rows == batch[:, None], -1)

    def _among(
        self, others: Tensor, size: Tensor, own: Tensor, generator: torch.Generator
    ) -> Tensor:
        """The numbers of places `own` [B, 4] among `size` [B] of the rows `others` [B, M]."""
        there = others >= 0
        order = torch.rand(others.shape, generator=generator).masked_fill(~there, 2.0)
        chosen = there & (order.argsort(1).argsort(1) < size[:, None])
        weight = chosen[..., None].float()
        places = self.place[others.clamp(min=0)]
        count = weight.sum(1) + 1
        mean = (own + (weight * places).sum(1)) / count
        square = (own - mean) ** 2 + (weight * (places - mean[:, None]) ** 2).sum(1)
        return numbers(own, mean, square / count, count[:, 0])
