"""The networks that are measured: the only table of their names."""

from typing import NamedTuple


class Network(NamedTuple):
    """One trained network, used in one way."""

    question: int
    label: str  # for charts
    what: str  # for tables
    init: str = "random"
    method: str = "full"


_ADAPTED = "the same, with the writer's other images"
_FORWARD = "forward_correction"

NETWORKS = {
    "characters": Network(1, "seen writers", "one image by a writer in the training set"),
    "characters-adapted": Network(1, "seen writers, adapted", _ADAPTED),
    "characters-unseen-writers": Network(1, "unseen writers", "one image by any other writer"),
    "characters-unseen-writers-adapted": Network(1, "unseen writers, adapted", _ADAPTED),
    "characters-ensemble": Network(
        1, "ensemble", "one image, two networks, one of each kind above"
    ),
    "characters-ensemble-adapted": Network(1, "ensemble, adapted", _ADAPTED),
    "mnist-random": Network(2, "random", "MNIST from random weights"),
    "mnist-digits": Network(2, "digits", "MNIST from the digits checkpoint", "digits"),
    "mnist-characters": Network(
        2, "characters", "MNIST from the characters checkpoint", "characters"
    ),
    "mnistTask3-naive": Network(3, "naive", "labels used as given", method="naive"),
    "mnistTask3-naive-argmin": Network(
        3, "argmin", "the same network, predicting the least likely class", method="argmin"
    ),
    "mnistTask3-random": Network(
        3, "random", "forward correction from random weights", method=_FORWARD
    ),
    "mnistTask3-digits": Network(
        3, "digits", "forward correction from the digits checkpoint", "digits", _FORWARD
    ),
    "mnistTask3-characters": Network(
        3, "characters", "forward correction from the characters checkpoint", "characters", _FORWARD
    ),
}


def of_question(question: int) -> dict[str, Network]:
    """Return the networks of a question by their names."""
    return {name: each for name, each in NETWORKS.items() if each.question == question}


def named(name: str) -> Network:
    """Return the network that a metrics file is of; unknown names are of test archives."""
    if name in NETWORKS:
        return NETWORKS[name]
    single = name.removesuffix("-adapted")
    archive = single.removesuffix("-ensemble")
    what = f"the shipped {'network' if single == archive else 'ensemble'} on {archive}"
    return Network(1, name, what + f", {_ADAPTED}" * (single != name))


def colour(network: Network) -> str:
    """Return the name of a network's colour in charts.PALETTE."""
    if network.question == 1:
        return "clean"
    return network.method if network.method in ("naive", "argmin") else network.init
