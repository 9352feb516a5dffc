"""Classification metrics, one definition each, with counts, intervals and standard deviations."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy.stats import binomtest, t
from sklearn.metrics import precision_recall_fscore_support
from torch import Tensor

from handwriting.core import files
from handwriting.core.errors import say


class Predictions(NamedTuple):
    """The output of one network for images that it was not trained on."""

    logits: Tensor  # float32 [N, classes]
    truth: Tensor  # int64 [N]

    @property
    def predicted(self) -> Tensor:
        """int64 [N]."""
        return self.logits.argmax(1)

    @property
    def correct(self) -> Tensor:
        """bool [N]."""
        return self.predicted == self.truth

    @property
    def accuracy(self) -> float:
        return share(self.correct)

    def rows(self, chosen: Tensor) -> "Predictions":
        """Return the predictions for some of the images."""
        return Predictions(self.logits[chosen], self.truth[chosen])


def measure(
    runs: Sequence[Predictions],
    fold_of: NDArray[np.int64] | None = None,
    writers: Sequence[str] = (),
    same: Tensor | None = None,
) -> dict[str, float]:
    """Return the metrics that every network has, in the order of their file.

    `runs` are predictions for the same images, one for each seed. With `fold_of`, int64 [N], there
    is one, and the images of each fold count as a run of their own. `low` and `high` are the 95%
    interval of the accuracy over the writers of the images, or over the images where `writers` are
    not known or fewer than two. `folded` is the accuracy up to confusable(), bool [C, C].
    """
    folds = [] if fold_of is None else [torch.from_numpy(fold_of == i) for i in np.unique(fold_of)]
    parts = [runs[0].rows(fold) for fold in folds] or runs
    correct = torch.stack([run.correct for run in runs]).double()
    accuracy, images, clusters = correct.mean().item(), correct.shape[1], len(set(writers))
    if clusters > 1:
        low, high = clustered_interval(correct.mean(0), writers)
    else:  # Wilson 1927
        whole = round(correct.sum().item() / len(runs))
        low, high = binomtest(whole, images).proportion_ci(0.95, method="wilson")
    return {
        "accuracy": accuracy,
        "low": max(0.0, low),
        "high": min(1.0, high),
        "sd": stdev(part.accuracy for part in parts) if len(parts) > 1 else 0.0,
        "loss": fmean(map(nll, parts)),
        "ece": fmean(map(calibration_error, runs)),
        "folded": accuracy if same is None else fmean(folded_accuracy(r, same) for r in runs),
        "runs": len(parts),
        "images": images,
        "writers": clusters if clusters > 1 else 0,
    }


def write(source: str, network: str, metrics: Mapping[str, float], scratch: Path) -> None:
    """Write metrics/<source>/<network>.json, and say the accuracy."""
    files.write_json(Path(f"metrics/{source}/{network}.json"), dict(metrics), scratch)
    interval = f"interval {100 * metrics['low']:.2f} to {100 * metrics['high']:.2f}"
    say(f"{network}: {metrics['accuracy']:.2%} of {metrics['images']:,} images, {interval}")


def share(values: Tensor) -> float:
    """Return the share of True in bool [N]."""
    return values.double().mean().item()


def clustered_interval(values: Tensor, writers: Sequence[str]) -> tuple[float, float]:
    """Return the 95% interval of a mean, of float64 [N], over the sampling of their writers.

    The clustered standard error (Miller 2024, arXiv 2411.00640) and Student's t with one degree of
    freedom less than there are writers.
    """
    mean = values.mean().item()
    sums = pd.Series(values - mean).groupby(list(writers)).sum()
    count = len(sums)
    error = float((sums**2).sum() ** 0.5) / len(values) * (count / (count - 1)) ** 0.5
    reach = float(t.ppf(0.975, count - 1)) * error
    return mean - reach, mean + reach


class Difference(NamedTuple):
    """The second accuracy minus the first."""

    mean: float  # over the images
    low: float  # of the 95% interval over writers
    high: float
    deviation: float  # sample standard deviation between folds


def difference(
    first: NDArray[np.bool_],
    second: NDArray[np.bool_],
    fold: NDArray[np.int64],
    writers: Sequence[str],
) -> Difference:
    """Compare two networks: which images they classify correctly, bool [N], the fold of each image,
    int64 [N], and its writer."""
    gain = second.astype(float) - first
    low, high = clustered_interval(torch.from_numpy(gain), writers)
    mean, deviation = fold_accuracy(gain, fold)
    return Difference(mean, max(-1.0, low), min(1.0, high), deviation)


def fold_accuracy(correct: NDArray[Any], fold: NDArray[np.int64]) -> tuple[float, float]:
    """Return the mean over all images, and the standard deviation of the folds' means."""
    folds = pd.Series(correct).groupby(fold).mean()
    return float(correct.mean()), float(folds.std()) if len(folds) > 1 else 0.0


def nll(predictions: Predictions) -> float:
    """Return the mean negative logarithm of the probability of the true class."""
    return F.cross_entropy(*predictions).item()


def brier(predictions: Predictions) -> float:
    """Return the mean squared distance of the probabilities from the one-hot truth, summed over
    the classes (Brier 1950)."""
    truth = F.one_hot(predictions.truth, predictions.logits.shape[1])
    return (predictions.logits.softmax(1) - truth).square().sum(1).mean().item()


def calibration_error(predictions: Predictions, bins: int = 15) -> float:
    """Return the expected calibration error over equal bins of confidence (Guo et al. 2017, arXiv
    1706.04599)."""
    found = calibration(predictions, bins)
    gaps = (found["accuracy"] - found["confidence"]).abs()
    return float(np.average(gaps, weights=found["images"]))


def calibration(predictions: Predictions, bins: int = 10) -> pd.DataFrame:
    """Return low, high, images, mean confidence and accuracy of each bin that is not empty."""
    confidence = predictions.logits.softmax(1).amax(1)
    bin_of = (confidence * bins).long().clamp(max=bins - 1).numpy()
    columns = {"confidence": confidence.double(), "accuracy": predictions.correct.double()}
    by_bin = pd.DataFrame({"images": 1, **columns}).groupby(bin_of)
    frame = by_bin.agg({"images": "sum", "confidence": "mean", "accuracy": "mean"})
    low, high = frame.index / bins, (frame.index + 1) / bins
    return frame.assign(low=low, high=high)[["low", "high", *frame]]


def confusable(classes: Sequence[str], pairs: Iterable[Sequence[str]]) -> Tensor:
    """Return bool [C, C]: whether two classes are equal or one of the pairs."""
    same = {each for one, other in pairs for each in ((one, other), (other, one))}
    return torch.tensor([[a == b or (a, b) in same for a in classes] for b in classes])


def folded_accuracy(predictions: Predictions, same: Tensor) -> float:
    """Return the accuracy where classes that are the `same`, bool [C, C], are not told apart."""
    return share(same[predictions.predicted, predictions.truth])


def per_class(predictions: Predictions, classes: Sequence[str]) -> pd.DataFrame:
    """Return class, images, precision, recall and F1 of each class."""
    precision, recall, f1, images = precision_recall_fscore_support(
        predictions.truth, predictions.predicted, labels=range(len(classes)), zero_division=0
    )
    scores = {"images": images, "precision": precision, "recall": recall, "f1": f1}
    return pd.DataFrame({"class": list(classes), **scores})


def confusions(predictions: Predictions, classes: Sequence[str]) -> pd.DataFrame:
    """Return one, other and how many times either was predicted for the other, most first."""
    pairs = torch.stack([predictions.truth, predictions.predicted], 1)[~predictions.correct]
    frame = pd.DataFrame(pairs.sort(1).values.numpy(), columns=["one", "other"])
    counts = frame.groupby(["one", "other"]).size().reset_index(name="times")
    counts[["one", "other"]] = np.array(classes, object)[counts[["one", "other"]]]
    return counts.sort_values("times", ascending=False, kind="stable")


def confusion(predictions: Predictions, classes: Sequence[str]) -> pd.DataFrame:
    """Return actual class, predicted class and images of each cell that is not empty."""
    pairs = {"actual": predictions.truth.numpy(), "predicted": predictions.predicted.numpy()}
    counts = pd.DataFrame(pairs).value_counts(sort=False).sort_index().reset_index(name="images")
    counts[["actual", "predicted"]] = np.array(classes, object)[counts[["actual", "predicted"]]]
    return counts


def table(classes: Sequence[str], networks: Mapping[str, Predictions]) -> pd.DataFrame:
    """Return row, actual class, and of each network the predicted class and its confidence."""
    truth = next(iter(networks.values())).truth
    columns: dict[str, Any] = {"row": range(len(truth)), "actual": [classes[i] for i in truth]}
    for name, predictions in networks.items():
        confidence, predicted = predictions.logits.softmax(1).max(1)
        columns[name] = [classes[i] for i in predicted]
        columns[f"{name}-confidence"] = confidence.double().numpy()
    return pd.DataFrame(columns)


def mean_curves(curves: pd.DataFrame, by: str) -> pd.DataFrame:
    """Return the mean learning curve of the runs of each value of the column `by`.

    Points of the same number in their runs are averaged; step and images_seen are of the first run.
    """
    point = curves.groupby([by, "seed"], sort=False).cumcount().rename("point")
    means = {"step": "first", "images_seen": "first", "loss": "mean", "accuracy": "mean"}
    return curves.groupby([by, point], sort=False).agg(means).reset_index(by)
