"""cleanlab (Northcutt, Jiang and Chuang 2021, arXiv 1911.00068), used as its documentation says.

Out-of-sample probabilities come from cross-validation of a CNN like the one of its tutorial on
images (docs.cleanlab.ai): two convolutions with batch normalisation and pooling, Adam.
"""

import warnings
from collections.abc import Callable
from typing import Any

import cleanlab  # type: ignore[import-untyped]
import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold
from torch import nn

from handwriting.data.dataset import Split
from handwriting.noise.diagnosis import Floats

_FOLDS, _EPOCHS, _BATCH = 5, 10, 64


def _network(classes: int) -> nn.Sequential:
    def block(inputs: int, outputs: int) -> list[nn.Module]:
        return [nn.Conv2d(inputs, outputs, 5), nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2)]

    head = [nn.Flatten(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, classes)]
    return nn.Sequential(*block(1, 6), *block(6, 16), *head)


def probabilities(split: Split) -> Floats:
    """Return out-of-sample probabilities of the given classes, [N, C]."""
    images, labels = torch.from_numpy(split.images) / 255, torch.from_numpy(split.labels)
    found = np.empty((len(labels), len(split.classes)))
    splitter = StratifiedKFold(_FOLDS, shuffle=True, random_state=0)
    with warnings.catch_warnings(action="ignore"):  # a class with fewer images than folds
        folds = [*splitter.split(found, split.labels)]
    for fold, (train_rows, test_rows) in enumerate(folds):
        torch.manual_seed(fold)
        network = _network(len(split.classes))
        optimizer = torch.optim.Adam(network.parameters())
        for _ in range(_EPOCHS):
            for batch in torch.split(torch.randperm(len(train_rows)), _BATCH):
                rows = torch.from_numpy(train_rows)[batch]
                loss = nn.functional.cross_entropy(network(images[rows]), labels[rows])
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
        with torch.inference_mode():
            found[test_rows] = network.eval()(images[test_rows]).softmax(1).numpy()
    return found


def judged(
    case: Any, shares: Floats, scores: Callable[..., dict[str, Any]]
) -> tuple[dict[str, Any], NDArray[np.bool_]]:
    """Return the scores of cleanlab with these probabilities, and its issues, bool [N]."""
    labels = case.split.labels
    quality = cleanlab.rank.get_label_quality_scores(labels, shares)
    try:
        issues = cleanlab.filter.find_label_issues(labels, shares)
        _, given, _ = cleanlab.count.estimate_latent(
            cleanlab.count.compute_confident_joint(labels, shares), labels
        )
        error = round(float(np.abs(given.T - case.matrix).mean()), 5)
    except (ValueError, AssertionError, IndexError, ZeroDivisionError):  # a class without labels
        issues, error = np.zeros(len(labels), bool), None
    row = scores(case, 1 - quality, shares.argmax(1), issues)
    return row | {"matrix_error": error, "share": round(float(1 - issues.mean()), 4)}, issues
