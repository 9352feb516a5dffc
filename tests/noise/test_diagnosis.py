"""Diagnosis of label noise, from labels and posteriors that are sometimes wrong themselves."""

import numpy as np
import pytest

from bench.diagnosis import CASES, CLASSES, corrupted
from handwriting.noise import diagnosis
from handwriting.noise.diagnosis import Floats, Labels


def predicted(
    truth: Labels, accuracy: float, rng: np.random.Generator, *, calibrated: bool = False
) -> Floats:
    """Posteriors of a network of such accuracy, as sure of it throughout or, uncalibrated, never
    quite sure enough, and a little less so where it is wrong."""
    count = len(truth)
    wrong = rng.random(count) > accuracy
    said = np.where(wrong, (truth + rng.integers(1, CLASSES, count)) % CLASSES, truth)
    sure = np.where(wrong, rng.uniform(0.4, 0.95, count), rng.uniform(0.7, 0.9999, count))
    sure = np.full(count, accuracy) if calibrated else sure
    posteriors = np.repeat((1 - sure)[:, None] / (CLASSES - 1), CLASSES, axis=1)
    posteriors[np.arange(count), said] = sure
    return posteriors


def drawn(
    how: str, count: int, accuracy: float, seed: int, *, calibrated: bool = False
) -> tuple[Labels, Labels, Floats]:
    """True labels, such labels, and the posteriors of a network of such accuracy."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, CLASSES, count)
    labels = corrupted(truth, how, rng)
    return truth, labels, predicted(truth, accuracy, rng, calibrated=calibrated)


@pytest.mark.parametrize("how", CASES)
def test_2000_labels_show_what_is_wrong_with_them(how: str) -> None:
    truth, labels, posteriors = drawn(how, 2000, 0.97, seed=3)
    found = diagnosis.diagnose(posteriors, labels)
    assert found.kind in CASES[how], found
    right = float((labels == truth).mean())
    assert found.clean_fraction == pytest.approx(right, abs=0.03)
    assert np.allclose(found.matrix.sum(1), 1)
    assert min(found.bic.values()) == 0
    assert found.bic.get(found.kind, 0) == 0  # the others are named by the size of their number


def test_a_network_less_sure_than_it_is_right_does_not_make_more_labels_correct() -> None:
    _, labels, posteriors = drawn("symmetric 0.5", 4000, 0.97, seed=0)
    modest = posteriors**0.5
    found = diagnosis.diagnose(modest / modest.sum(1, keepdims=True), labels)
    assert found.clean_fraction == pytest.approx(0.5, abs=0.03)
    assert found.interval[0] <= 0.5 <= found.interval[1]


def test_the_interval_holds_the_true_share_mostly() -> None:
    held = 0
    for seed in range(10):
        _, labels, posteriors = drawn("symmetric 0.3", 3000, 0.99, seed)
        found = diagnosis.diagnose(posteriors, labels)
        held += found.interval[0] - 0.01 <= 0.7 <= found.interval[1] + 0.01
    assert held >= 9


@pytest.mark.parametrize(("clean", "accuracy"), [(0.02, 0.9995), (0.001, 0.9999)])
def test_the_labels_believed_correct_among_complementary_ones_mostly_are(
    clean: float, accuracy: float
) -> None:
    truth, labels, posteriors = drawn(f"complementary {clean}", 4000, accuracy, 0, calibrated=True)
    found = diagnosis.diagnose(posteriors, labels)
    correct, p_correct = (
        labels == truth,
        diagnosis.believed_correct(posteriors, labels, found.matrix),
    )
    assert correct[p_correct > 0.5].mean() > 0.9
    assert (p_correct[correct] > 0.5).mean() > 0.5
    assert found.matrix.diagonal() == pytest.approx(found.clean_fraction, abs=1e-5)


def test_em_finds_the_matrix_that_the_labels_were_drawn_from() -> None:
    rng = np.random.default_rng(1)
    matrix = rng.dirichlet(np.ones(CLASSES), CLASSES)
    truth = rng.integers(0, CLASSES, 20000)
    labels = np.array([rng.choice(CLASSES, p=matrix[each]) for each in truth])
    posteriors = predicted(truth, 0.99, rng, calibrated=True)
    found = diagnosis.fit(posteriors, labels, diagnosis.general)
    assert np.abs(found.matrix - matrix).max() < 0.04


@pytest.mark.parametrize("seed", [2, 4])
def test_confident_mistakes_are_not_taken_for_correct_labels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, CLASSES, 50000)
    labels = corrupted(truth, "complementary", rng)
    read = np.where(rng.random(len(truth)) < 0.005, rng.integers(0, CLASSES, len(truth)), truth)
    sure = rng.uniform(0.9, 0.9999, len(truth))[:, None]
    posteriors = np.where(np.eye(CLASSES)[read] > 0, sure, (1 - sure) / (CLASSES - 1))
    assert diagnosis.diagnose(posteriors, labels).interval[0] == 0
