"""What is published of question one's networks beside the metrics that every network has."""

import itertools
from collections.abc import Mapping, Sequence

import pandas as pd
import torch
from sklearn.metrics import f1_score
from torch import Tensor

from handwriting.core import seeds
from handwriting.data import alphabet
from handwriting.evaluation import metrics
from handwriting.evaluation.metrics import Predictions

Networks = Mapping[str, Predictions]  # by their names; adapted ones end in ADAPTED
ADAPTED = "-adapted"
CONTEXT_SIZES = (0, 1, 2, 4, 8, 16, 32, 64)  # other images by the writer, from none to all


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
    by_size: Mapping[int, Networks],
    same_type: Networks,
    classes: Sequence[str],
    pairs: Sequence[Sequence[str]],
    types: Sequence[str],
    writers: Sequence[str],
) -> dict[str, pd.DataFrame]:
    """Return all tables, from predictions adapted to CONTEXT_SIZES of other images by the writer,
    and to those of the same character type."""
    networks, one = published(by_size), by_size[0]["characters"]
    ways = {"single": by_size[0], "adapted": by_size[CONTEXT_SIZES[-1]]}
    return {
        "classes": metrics.per_class(one, classes),
        "pairs": metrics.confusions(one, classes),
        "calibration": metrics.calibration(one),
        "confusable": confusable(networks, classes, pairs),
        "character_types": character_types(types, ways | {"adapted_same_type": same_type}),
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
    same = torch.tensor([[a.lower() == b.lower() for a in classes] for b in classes])
    digit = torch.tensor([each in alphabet.DIGITS for each in classes])
    counts = pd.Series([each for each in writers if each], dtype=str).value_counts()
    top, context = min(3, len(classes)), (counts * (counts - 1)).sum() / len(writers)
    rows = [
        {
            "network": name,
            "case_insensitive": metrics.folded_accuracy(each, same),
            "top3": metrics.share((each.logits.topk(top).indices == each.truth[:, None]).any(1)),
            "digits_accuracy": digits.accuracy if len(digits.truth) else None,
            "digit_images": len(digits.truth),
            "macro_f1": f1_score(each.truth, each.predicted, average="macro"),
            "context_mean": context if name.endswith(ADAPTED) else 0.0,
        }
        for name, each in networks.items()
        for digits in [each.rows(digit[each.truth])]
    ]
    return pd.DataFrame(rows)


def confusable(
    networks: Networks, classes: Sequence[str], pairs: Sequence[Sequence[str]]
) -> pd.DataFrame:
    """Return for each network and pair of confusable classes the images, how many are correct and
    how many are predicted as the other one."""
    rows = []
    for (name, each), pair in itertools.product(networks.items(), pairs):
        members = torch.tensor([character in pair for character in classes])
        inside = each.rows(members[each.truth])
        correct, among = int(inside.correct.sum()), int(members[inside.predicted].sum())
        rows.append((name, " ".join(pair), len(inside.truth), correct, among - correct))
    return pd.DataFrame(rows, columns=["network", "classes", "images", "correct", "confused"])


def character_types(types: Sequence[str], ways: Mapping[str, Networks]) -> pd.DataFrame:
    """Return for each network and character type the images, and how many are correct in each way
    of predicting them."""
    correct = pd.concat(
        pd.DataFrame({way: networks[name].correct.int() for way, networks in ways.items()}).assign(
            network=name, type=types, images=1
        )
        for name in next(iter(ways.values()))
    )
    sums = correct.groupby(["network", "type"], sort=False, as_index=False).sum()
    return sums[["network", "type", "images", *ways]]


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
