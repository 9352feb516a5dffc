"""How good the answers of a network are: every ratio with its count, every mean with its spread."""

import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from scipy.stats import binomtest, t
from sklearn.metrics import f1_score, precision_recall_fscore_support
from torch import Tensor

from handwriting.data import alphabet


class Answers(NamedTuple):
    """What one network says of images that it has not learnt from."""

    logits: Tensor  # float32 [N, classes]
    truth: Tensor  # int64 [N]

    @property
    def right(self) -> Tensor:
        """bool [N]."""
        return self.logits.argmax(1) == self.truth


def measure(runs: Sequence[Answers], images: int | None = None) -> dict[str, Any]:
    """The accuracy over several runs, be they seeds (of the same images) or folds (of others).

    The spread is the sample standard deviation between the runs. The interval is of the sampling of
    the images, of which there are `images` in all where the runs have the same ones. The
    calibration error is the runs' mean, or, where each has other images, that of all together: of
    few images it would be the noise of its own bins.
    """
    alike = runs if images else [Answers(*map(torch.cat, zip(*runs, strict=True)))]
    correct = [int(run.right.sum()) for run in runs]
    answered = sum(len(run.truth) for run in runs)
    images = images or answered
    low, high = interval(round(sum(correct) * images / answered), images)
    accuracies = [count / len(run.truth) for count, run in zip(correct, runs, strict=True)]
    return {
        "accuracy": sum(correct) / answered,
        "accuracy_sd": statistics.stdev(accuracies) if len(accuracies) > 1 else 0.0,
        "accuracy_low": low,
        "accuracy_high": high,
        "correct": correct,
        "loss": statistics.fmean(F.cross_entropy(*run).item() for run in runs),
        "calibration_error": statistics.fmean(calibration_error(run) for run in alike),
    }


def between_hands(right: Tensor, hands: Sequence[str]) -> dict[str, Any]:
    """The interval of the accuracy, of bool [N], where images by one hand (its writer) are read
    alike: see over_hands()."""
    low, high = over_hands(right, hands)
    return {
        "accuracy_low": max(0.0, low),
        "accuracy_high": min(1.0, high),
        "hands": len(set(hands)),
    }


def over_hands(values: Tensor, hands: Sequence[str]) -> tuple[float, float]:
    """Where the mean of values [N] is with 95% confidence, over the sampling of the hands.

    The clustered standard error (Miller 2024, arXiv 2411.00640), and Student's t with a degree of
    freedom less than there are hands.
    """
    middle = values.double().mean().item()
    apart = values.double() - middle
    names = sorted(set(hands))
    sums = torch.zeros(len(names), dtype=torch.double)
    sums.index_add_(0, torch.tensor([names.index(hand) for hand in hands]), apart)
    error = sums.square().sum().sqrt().item() / len(values)
    error *= (len(names) / (len(names) - 1)) ** 0.5
    reach = float(t.ppf(0.975, len(names) - 1)) * error
    return middle - reach, middle + reach


def interval(right: int, images: int) -> tuple[float, float]:
    """Where the share of right answers is with 95% confidence, by its `images` (Wilson 1927)."""
    found = binomtest(right, images).proportion_ci(0.95, method="wilson")
    return float(found.low), float(found.high)


def calibration_error(answers: Answers, bins: int = 15) -> float:
    """Expected calibration error: confidence against accuracy in `bins` equal ranges of confidence
    (Guo et al. 2017, arXiv 1706.04599)."""
    confidence = answers.logits.softmax(1).amax(1)
    which = (confidence * bins).long().clamp(max=bins - 1)
    gaps = torch.zeros(bins).index_add_(0, which, answers.right.float() - confidence).abs()
    return (gaps.sum() / len(confidence)).item()


def reliability(answers: Answers, bins: int = 10) -> list[tuple[float, float, int, float, float]]:
    """(low, high, images, mean confidence, accuracy) of each range of confidence that is used."""
    confidence = answers.logits.softmax(1).amax(1)
    which = (confidence * bins).long().clamp(max=bins - 1)
    rows = []
    for i in sorted(set(which.tolist())):
        inside = which == i
        sure, right = confidence[inside].mean().item(), mean(answers.right[inside])
        rows.append((i / bins, (i + 1) / bins, int(inside.sum()), sure, right))
    return rows


def nll(answers: Answers) -> float:
    """The mean negative logarithm of the probability given to the right class."""
    return F.cross_entropy(*answers).item()


def brier(answers: Answers) -> float:
    """The mean squared distance of the probabilities from 1 for the right class and 0 for others,
    summed over the classes (Brier 1950)."""
    probabilities = answers.logits.softmax(1)
    right = F.one_hot(answers.truth, probabilities.shape[1])
    return (probabilities - right).square().sum(1).mean().item()


def of_characters(answers: Answers) -> dict[str, Any]:
    """What else to ask of an answer among the 62 classes."""
    logits, truth = answers
    folded = torch.tensor([ord(each.lower()) for each in alphabet.CHARACTERS])
    digits = truth < len(alphabet.DIGITS)
    return {
        "case_folded_accuracy": mean(folded[logits.argmax(1)] == folded[truth]),
        "top3_accuracy": mean((logits.topk(3).indices == truth[:, None]).any(1)),
        # Taken for a letter is wrong, too; an archive may hold none.
        "digits_accuracy": mean(answers.right[digits]) if digits.any() else None,
        "digit_images": int(digits.sum()),
        "macro_f1": float(f1_score(truth, logits.argmax(1), average="macro")),
    }


def of_classes(answers: Answers) -> list[tuple[str, int, float, float, float]]:
    """(class, images, precision, recall, F1) of each of the 62 classes."""
    said, every = answers.logits.argmax(1), range(len(alphabet.CHARACTERS))
    scores = precision_recall_fscore_support(answers.truth, said, labels=[*every], zero_division=0)
    precision, recall, f1, count = (column.tolist() for column in scores)
    return list(zip(alphabet.CHARACTERS, count, precision, recall, f1, strict=True))


def confused(answers: Answers) -> list[tuple[str, str, int]]:
    """(class, other class, how often one was taken for the other), the most confused pair first."""
    pairs: Counter[tuple[str, str]] = Counter()
    for truth, said in zip(answers.truth.tolist(), answers.logits.argmax(1).tolist(), strict=True):
        if truth != said:
            one, other = sorted((truth, said))
            pairs[alphabet.CHARACTERS[one], alphabet.CHARACTERS[other]] += 1
    return [
        (*pair, count) for pair, count in sorted(pairs.items(), key=lambda each: (-each[1], each))
    ]


def of_twins(answers: Answers) -> list[tuple[Any, ...]]:
    """(twins, images, right, taken for a twin) of each group of classes that are alike."""
    said, rows = answers.logits.argmax(1), []
    for group in alphabet.TWINS:
        classes = torch.tensor([alphabet.CHARACTERS.index(each) for each in group])
        inside = torch.isin(answers.truth, classes)
        taken = inside & torch.isin(said, classes) & ~answers.right
        counts = (int(each.sum()) for each in (inside, inside & answers.right, taken))
        rows.append((group, *counts))
    return rows


def mean_curve(rows: Sequence[Mapping[str, str]]) -> list[tuple[int, int, float, float]]:
    """(step, images seen, mean loss, mean accuracy), from the rows of the learning curves of runs
    that were measured after the same steps."""
    runs: dict[str, list[Mapping[str, str]]] = {}
    for row in rows:
        runs.setdefault(row["run"], []).append(row)
    return [
        (
            int(points[0]["step"]),
            int(points[0]["images_seen"]),
            statistics.fmean(float(point["loss"]) for point in points),
            statistics.fmean(float(point["accuracy"]) for point in points),
        )
        for points in zip(*runs.values(), strict=True)
    ]


def mean(right: Tensor) -> float:
    """The share of True in bool [N]."""
    return right.double().mean().item()
