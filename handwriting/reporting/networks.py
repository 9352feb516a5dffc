"""The networks that are measured: the only table of their names."""

from typing import NamedTuple


class Network(NamedTuple):
    """One trained network, used in one way."""

    question: int
    label: str  # for charts; of questions two and three a colour of charts.PALETTE
    what: str  # for tables


_ADAPTED = "the same, with the writer's other images"

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
    "mnist-digits": Network(2, "digits", "MNIST from the digits checkpoint"),
    "mnist-characters": Network(2, "characters", "MNIST from the characters checkpoint"),
    "mnistTask3-naive": Network(3, "naive", "labels used as given"),
    "mnistTask3-naive-argmin": Network(
        3, "argmin", "the same network, predicting the least likely class"
    ),
    "mnistTask3-random": Network(3, "random", "forward correction from random weights"),
    "mnistTask3-digits": Network(3, "digits", "forward correction from the digits checkpoint"),
    "mnistTask3-characters": Network(
        3, "characters", "forward correction from the characters checkpoint"
    ),
}


def named(name: str) -> Network:
    """Return the network that a metrics file is of; unknown names are of test archives."""
    if name in NETWORKS:
        return NETWORKS[name]
    single = name.removesuffix("-adapted")
    archive = single.removesuffix("-ensemble")
    what = f"the shipped {'network' if single == archive else 'ensemble'} on {archive}"
    return Network(1, name, what + f", {_ADAPTED}" * (single != name))
