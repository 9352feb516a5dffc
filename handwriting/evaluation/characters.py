"""What is published of question one's networks beside the metrics that every network has."""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import torch
from sklearn.metrics import f1_score
from torch import Tensor

from handwriting.core import seeds
from handwriting.data import alphabet
from handwriting.data.dataset import Split
from handwriting.evaluation import metrics
from handwriting.evaluation.metrics import Predictions

Networks = Mapping[str, Predictions]  # by their names; adapted ones end in ADAPTED
ADAPTED = "-adapted"
CONTEXT_SIZES = (0, 1, 2, 4, 8, 16, 32, 64)  # other images by the writer, from none to all
_CASES = [upper + upper.lower() for upper in alphabet.CHARACTERS if upper.isupper()]


def context_subset(context: Tensor, count: int) -> Tensor:
    """Return `count` random entries of each row of int64 [N, M], as far as it has others than -1;
    for the last of CONTEXT_SIZES all.

    A larger subset includes the smaller ones.
    """
    if count == CONTEXT_SIZES[-1]:
        return context
    stream = torch.Generator().manual_seed(seeds.number("context", 0))
    order = torch.rand(context.shape, generator=stream).masked_fill(context < 0, 2.0)
    return context.gather(1, order.argsort(1))[:, :count]


def tables(
    split: Split,
    writers: Sequence[str],
    groups: Sequence[str],
    by_size: Mapping[int, Networks],
    same_type: Networks,
) -> dict[str, pd.DataFrame]:
    """Return all tables, from predictions adapted to CONTEXT_SIZES of other images by the writer,
    and to those of the same character type."""
    classes, networks, one = split.classes, published(by_size), by_size[0]["characters"]
    return {
        "classes": metrics.per_class(one, classes),
        "pairs": metrics.confusions(one, classes),
        "calibration": metrics.calibration(one),
        "confusable": confusable(networks, classes, groups),
        "character_types": character_types(split, by_size, same_type),
        "context_size": context_size(by_size, writers),
        "details": details(networks, classes, writers),
    }


def published(by_size: Mapping[int, Networks]) -> dict[str, Predictions]:
    """Return the predictions from single images, and adapted to all others by the writer."""
    adapted = by_size[CONTEXT_SIZES[-1]]
    return {**by_size[0], **{name + ADAPTED: each for name, each in adapted.items()}}


def details(
    networks: Networks, classes: Sequence[str], writers: Sequence[str | None]
) -> pd.DataFrame:
    """Return further accuracies, and the mean number of other images by an image's writer that a
    network adapts to. None is an unknown writer."""
    same = metrics.confusable(classes, _CASES)
    counts = Counter(each for each in writers if each)
    context = sum(count * (count - 1) for count in counts.values()) / len(writers)
    rows: list[dict[str, Any]] = []
    for name, each in networks.items():
        digits = each.rows(each.truth < len(alphabet.DIGITS))
        top = each.logits.topk(3).indices
        rows.append({
            "network": name,
            "case_insensitive": metrics.folded_accuracy(each, same),
            "top3": metrics.share((top == each.truth[:, None]).any(1)),
            "digits_accuracy": digits.accuracy if len(digits.truth) else None,
            "digit_images": len(digits.truth),
            "macro_f1": f1_score(each.truth, each.predicted, average="macro"),
            "context_mean": context if name.endswith(ADAPTED) else 0.0,
        })  # fmt: skip
    return pd.DataFrame(rows)


def confusable(networks: Networks, classes: Sequence[str], groups: Sequence[str]) -> pd.DataFrame:
    """Return for each network and group of confusable classes the images, how many are correct and
    how many are confused with another class of the group."""
    rows = []
    for (name, each), group in itertools.product(networks.items(), groups):
        members = torch.tensor([character in group for character in classes])
        inside = each.rows(members[each.truth])
        correct = int(inside.correct.sum())
        confused = int(members[inside.predicted].sum()) - correct
        rows.append((name, group, len(inside.truth), correct, confused))
    return pd.DataFrame(rows, columns=["network", "classes", "images", "correct", "confused"])


def character_types(
    split: Split, by_size: Mapping[int, Networks], same_type: Networks
) -> pd.DataFrame:
    """Return for each network and character type the images, and how many are correct: alone, with
    all other images by the writer, and with those of the same type."""
    ways = {
        "single": by_size[0],
        "adapted": by_size[CONTEXT_SIZES[-1]],
        "adapted_same_type": same_type,
    }
    tables = [
        pd.DataFrame(
            {"network": name, "type": types_of(split), "images": 1}
            | {way: networks[name].correct.int() for way, networks in ways.items()}
        )
        for name in same_type
    ]
    return pd.concat(tables).groupby(["network", "type"], sort=False).sum().reset_index()


def context_size(by_size: Mapping[int, Networks], writers: Sequence[str]) -> pd.DataFrame:
    """Return how many images each network classifies correctly with a number of other images by the
    writer, with the interval over writers."""
    rows = [
        {"network": name, "context": size, "correct": int(each.correct.sum())}
        | metrics.measure([each], writers=writers)
        for size, networks in by_size.items()
        for name, each in networks.items()
    ]
    return pd.DataFrame(rows)[["network", "context", "correct", "images", "low", "high"]]


def types_of(split: Split) -> list[str]:
    """Return the character type of each row."""
    return [alphabet.character_type(split.classes[label]) for label in split.labels]
