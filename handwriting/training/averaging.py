"""The moving average of a network's weights, which many recipes ship instead of the last ones."""

import torch
from torch import Tensor

from handwriting.training.model import Network

_PREFIX = "average_"
_DECAY = f"{_PREFIX}decay"  # among the weights, so that a checkpoint is of one decay alone
_HAND = "hand."  # what is learnt at once


class Averaged(Network):
    """A network that follows its own weights while it is trained, with an exponential average
    (Tarvainen and Valpola 2017, arXiv 1703.01780; the plain mean, Polyak and Juditsky 1992).

    It does so at each forward pass, and keeps the averages among its buffers, so that a training
    needs no word of it and a checkpoint has them.
    """

    def __init__(self, network: Network, decay: float) -> None:
        super().__init__(network.shape)
        self.load_state_dict(network.state_dict())
        self.register_buffer(_DECAY, torch.tensor(decay, dtype=torch.float64))
        for i, tensor in enumerate(self._followed().values()):
            self.register_buffer(f"{_PREFIX}{i}", tensor.clone())

    def _followed(self) -> dict[str, Tensor]:
        """The weights and the statistics of batch normalisation, themselves and no copies."""
        state = self.state_dict().items()
        return {name: tensor for name, tensor in state if not name.startswith((_PREFIX, _HAND))}

    @torch.no_grad()
    def _follow(self) -> dict[str, Tensor]:
        averages, decay = {}, self.get_buffer(_DECAY).item()
        for i, (name, tensor) in enumerate(self._followed().items()):
            averages[name] = self.get_buffer(f"{_PREFIX}{i}").lerp_(tensor, 1 - decay)
        return averages

    def forward(self, images: Tensor, place: Tensor | None = None) -> Tensor:
        if self.training:
            self._follow()
        return super().forward(images, place)

    def average(self) -> Network:
        """A network of the averages, the last step's weights included, in eval mode."""
        mean = Network(self.shape)
        whole = {name: each for name, each in self.state_dict().items() if name.startswith(_HAND)}
        mean.load_state_dict(whole | self._follow())
        return mean.eval()
