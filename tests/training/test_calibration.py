"""Temperature scaling: probabilities are as often right as they say."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from handwriting.evaluation.metrics import Predictions, calibration_error
from handwriting.noise.forward_correction import ForwardCorrected
from handwriting.training import calibration, loop, model
from handwriting.training.loop import Labelled
from handwriting.training.losses import CrossEntropy, Objective
from tests.networks import SHAPE

SMOOTHED = CrossEntropy(label_smoothing=0.1)
COMPLEMENTARY = ForwardCorrected(tuple(tuple((i != j) / 9 for j in range(10)) for i in range(10)))


def sample(temperature: float, monkeypatch: pytest.MonkeyPatch) -> tuple[Tensor, Tensor]:
    """Return logits, which a network is made to answer with, and labels drawn from their softmax at
    a temperature."""
    generator = torch.Generator().manual_seed(0)
    logits = 6 * torch.rand(20_000, 10, generator=generator)
    labels = (logits / temperature).softmax(1).multinomial(1, generator=generator)[:, 0]
    monkeypatch.setattr(loop, "logits_of", lambda *_: logits)
    return logits, labels


def other_labels(labels: Tensor) -> Tensor:
    """Return a class for each image that is not its own."""
    return (labels + torch.randint(1, 10, labels.shape)) % 10


def found(labels: Tensor, objective: Objective, temperature: float = 1.0) -> float:
    network = model.fresh(replace(SHAPE, temperature=temperature), "a test", 0)
    return calibration.temperature(network, Labelled(torch.empty(1), labels), objective)


@pytest.mark.parametrize("true", [0.4, 1.0, 2.5])
def test_the_temperature_is_that_of_the_labels_whatever_the_training_smoothed(
    true: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    logits, labels = sample(true, monkeypatch)
    assert found(labels, SMOOTHED) == pytest.approx(true, rel=0.03)
    assert found(labels, SMOOTHED, 3.0) == pytest.approx(3 * true, rel=0.03)
    calibrated = Predictions(logits / found(labels, SMOOTHED), labels)
    assert calibration_error(calibrated) < 0.015


def test_labels_that_are_all_wrong_tell_it_too(monkeypatch: pytest.MonkeyPatch) -> None:
    _, labels = sample(0.5, monkeypatch)
    torch.manual_seed(0)
    assert found(other_labels(labels), COMPLEMENTARY) == pytest.approx(0.5, rel=0.2)


def test_without_a_mistake_it_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    logits, _ = sample(1.0, monkeypatch)
    assert found(logits.argmax(1), SMOOTHED) == pytest.approx(0.25, rel=0.01)
