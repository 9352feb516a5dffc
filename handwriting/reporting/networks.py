"""The networks that are measured: the only table of their names."""

from typing import NamedTuple


class Network(NamedTuple):
    """One trained network, used in one way."""

    question: int  # four is for doubtful labels of one's own
    label: str  # for charts; of all questions but one a colour of charts.PALETTE
    what: str  # for tables


_ADAPTED = "the same, with the writer's other images"

_ABOUT = {
    "characters": (1, "seen writers", "one image by a writer in the training set"),
    "characters-adapted": (1, "seen writers, adapted", _ADAPTED),
    "characters-unseen-writers": (1, "unseen writers", "one image by any other writer"),
    "characters-unseen-writers-adapted": (1, "unseen writers, adapted", _ADAPTED),
    "characters-ensemble": (1, "ensemble", "one image, two networks, one of each kind above"),
    "characters-ensemble-adapted": (1, "ensemble, adapted", _ADAPTED),
    "mnist-random": (2, "random", "MNIST from random weights"),
    "mnist-digits": (2, "digits", "MNIST from the digits checkpoint"),
    "mnist-characters": (2, "characters", "MNIST from the characters checkpoint"),
    "mnistTask3-naive": (3, "naive", "labels used as given"),
    "mnistTask3-naive-argmin": (3, "argmin", "the same network, predicting the least likely class"),
    "mnistTask3-random": (3, "random", "forward correction from random weights"),
    "mnistTask3-digits": (3, "digits", "forward correction from the digits checkpoint"),
    "mnistTask3-characters": (3, "characters", "forward correction from the characters checkpoint"),
    "doubtful-naive": (4, "naive", "doubtful labels used as given"),
    "doubtful-corrected": (4, "forward_correction", "doubtful labels by forward correction"),
}
# Of the labels that are an init or a method.
TITLES = {
    "random": "Random weights",
    "digits": "Digits checkpoint",
    "characters": "Characters checkpoint",
    "naive": "Labels used as given",
    "argmin": "Same networks, least likely class",
    "forward_correction": "Forward correction",
}
# Of other names in metrics, within a sentence.
_WORDS = {
    "full": "full fine-tuning",
    "linear_probe": "linear probing",
    "layerwise_decay": "layer-wise decay",
    "forward_correction": "forward correction",
    "naive": "labels used as given",
    "seen-writers": "seen writers",
    "unseen-writers": "unseen writers",
}
NETWORKS = {name: Network(*about) for name, about in _ABOUT.items()}


def words(name: str) -> str:
    """Return a name in metrics as the words that a sentence or a legend has for it."""
    return _WORDS.get(name, name)


def named(name: str) -> Network:
    """Return the network that a metrics file is of; unknown names are of test archives."""
    if name in NETWORKS:
        return NETWORKS[name]
    single = name.removesuffix("-adapted")
    archive = single.removesuffix("-ensemble")
    what = f"the shipped {'network' if single == archive else 'ensemble'} on {archive}"
    return Network(1, name, what + f", {_ADAPTED}" * (single != name))
