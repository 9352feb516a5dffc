"""Temperature scaling (Guo, Pleiss, Sun and Weinberger 2017, arXiv 1706.04599)."""

import math

from scipy.optimize import minimize_scalar

from handwriting.training import loop
from handwriting.training.loop import Labelled
from handwriting.training.losses import Objective
from handwriting.training.model import Network

# A network without a mistake among the images would have 0 as its temperature.
_LEAST, _MOST = 0.25, 4.0


def temperature(network: Network, held_out: Labelled, objective: Objective) -> float:
    """Return the temperature at which held-out labels are likeliest, by the network's logits.

    Label smoothing is left out: it is what makes a network less sure than it is right.
    """
    geometry = None if held_out.geometry is None else held_out.geometry.to(held_out.images.device)
    logits, plain = loop.logits_of(network, held_out.images, geometry), objective.unsmoothed()

    def loss(log: float) -> float:
        return plain.loss(logits / math.exp(log), held_out.targets).mean().item()

    bounds = (math.log(_LEAST), math.log(_MOST))
    found = math.exp(minimize_scalar(loss, bounds=bounds, method="bounded").x)
    return network.shape.temperature * found
