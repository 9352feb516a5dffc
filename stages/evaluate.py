"""Measure the networks of one data set, all seeds, on images that no training has seen.

The digit sets are measured on MNIST's test split, the only stage that reads it. `characters` has no
test split of its own yet: it is measured on the validation images, and its JSON says so.

reads   data/tensors/<source>/mnist/test.safetensors, or characters/validation.safetensors,
        artifacts/<source>/seeds/<network>/ and <network>.pt
writes  metrics/<source>/<network>.json, artifacts/<source>/predictions/<network>.csv (of seed 0)
params  train.seeds
"""

import statistics
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import PositiveInt

from stages.common import dataset, entry, files, params
from stages.common.dataset import Split
from stages.predict import Classifier

NETWORKS = {
    "characters": ["characters", "digits"],
    "mnist": ["mnist-random", "mnist-digits", "mnist-characters"],
    "mnistTask3": [
        "mnistTask3-naive",
        "mnistTask3-random",
        "mnistTask3-digits",
        "mnistTask3-characters",
    ],
}


def main(scratch: Path, source: str, name: str) -> None:
    torch.set_num_threads(1)
    characters = name == "characters"
    split_name = "characters/validation" if characters else "mnist/test"
    split = dataset.load(Path(f"data/tensors/{source}/{split_name}.safetensors"))
    seeds = range(params.load("train.seeds", PositiveInt))
    for network in NETWORKS[name]:
        folder = Path(f"artifacts/{source}/seeds/{network}")
        paths = [Path(f"artifacts/{source}/{network}.pt"), *(folder / f"{i}.pt" for i in seeds[1:])]
        classifiers = [Classifier(path) for path in paths]
        chosen = split.rows(np.flatnonzero(split.labels < len(classifiers[0].classes)))
        logits = [classifier.logits(chosen.images) for classifier in classifiers]
        metrics = {"split": split_name.replace("/", " "), **measure(logits, chosen.labels)}
        files.write_json(Path(f"metrics/{source}/{network}.json"), metrics, scratch)
        predictions = Path(f"artifacts/{source}/predictions/{network}.csv")
        write_predictions(chosen, logits[0], predictions, scratch)
        print(
            f"{source} {network}: {100 * metrics['accuracy']:.2f}% of {metrics['images']:,} images"
            f" (sd {100 * metrics['accuracy_sd']:.2f} over {metrics['seeds']} seeds)"
        )


def measure(logits: list[torch.Tensor], labels: NDArray[np.int64]) -> dict[str, Any]:
    """What a number is, with its counts: means over the seeds, and the spread between them.

    `logits` holds float32 [N, classes] of each seed.
    """
    truth = torch.from_numpy(labels)
    correct = [int((each.argmax(1) == truth).sum()) for each in logits]
    accuracies = [count / len(labels) for count in correct]
    return {
        "accuracy": statistics.fmean(accuracies),
        "accuracy_sd": statistics.stdev(accuracies) if len(accuracies) > 1 else 0.0,
        "seeds": len(logits),
        "images": len(labels),
        "correct": correct,
        "loss": statistics.fmean(F.cross_entropy(each, truth).item() for each in logits),
        "calibration_error": statistics.fmean(calibration_error(each, truth) for each in logits),
    }


def calibration_error(logits: torch.Tensor, truth: torch.Tensor, bins: int = 15) -> float:
    """Expected calibration error: confidence against accuracy in `bins` equal ranges of confidence
    (Guo et al. 2017, arXiv 1706.04599)."""
    confidence, answer = logits.softmax(1).max(1)
    right = (answer == truth).float()
    which = (confidence * bins).long().clamp(max=bins - 1)
    gaps = torch.zeros(bins).index_add_(0, which, right - confidence).abs()
    return (gaps.sum() / len(truth)).item()


def write_predictions(split: Split, logits: torch.Tensor, path: Path, scratch: Path) -> None:
    """What one network, with logits float32 [N, classes], says of each row of a split, as CSV."""
    confidences, answers = logits.softmax(1).max(1)
    rows = zip(split.labels.tolist(), answers.tolist(), confidences.tolist(), strict=True)
    named = (
        (row, split.classes[truth], split.classes[answer], confidence)
        for row, (truth, answer, confidence) in enumerate(rows)
    )
    files.write_csv(path, ("row", "actual", "predicted", "confidence"), named, scratch)


if __name__ == "__main__":
    entry.run(main)
