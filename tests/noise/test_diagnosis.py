"""Diagnosis of label noise, from labels and posteriors that are sometimes wrong themselves."""

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.diagnosis import CASES, CLASSES, corrupted
from handwriting.noise import diagnosis
from handwriting.noise.diagnosis import Diagnosis, Floats, Labels


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


@pytest.mark.parametrize("how", CASES)
def test_2000_labels_show_what_is_wrong_with_them(how: str) -> None:
    rng = np.random.default_rng(3)
    truth = rng.integers(0, CLASSES, 2000)
    labels = corrupted(truth, how, rng)
    found = diagnosis.diagnose(predicted(truth, 0.97, rng), labels)
    assert found.kind in CASES[how], found
    right = float((labels == truth).mean())
    assert found.clean_fraction == pytest.approx(right, abs=0.03)
    assert np.allclose(found.matrix.sum(1), 1)
    assert min(found.bic.values()) == 0
    assert found.bic.get(found.kind, 0) == 0  # the others are named by the size of their number


def test_a_network_less_sure_than_it_is_right_does_not_make_more_labels_correct() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, CLASSES, 4000)
    labels = corrupted(truth, "symmetric 0.5", rng)
    modest = predicted(truth, 0.97, rng) ** 0.5
    modest /= modest.sum(1, keepdims=True)
    found = diagnosis.diagnose(modest, labels)
    assert found.clean_fraction == pytest.approx(0.5, abs=0.03)
    assert found.interval[0] <= 0.5 <= found.interval[1]


def test_the_interval_holds_the_true_share_mostly() -> None:
    held = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        truth = rng.integers(0, CLASSES, 3000)
        labels = corrupted(truth, "symmetric 0.3", rng)
        found = diagnosis.diagnose(predicted(truth, 0.99, rng), labels)
        held += found.interval[0] - 0.01 <= 0.7 <= found.interval[1] + 0.01
    assert held >= 9


def complementary(
    share: float, accuracy: float
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], Diagnosis]:
    """Of complementary labels with such a clean fraction: which are correct, which are believed to
    be, and the diagnosis by a network of such accuracy."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, CLASSES, 4000)
    labels = corrupted(truth, f"complementary {share}", rng)
    posteriors = predicted(truth, accuracy, rng, calibrated=True)
    found = diagnosis.diagnose(posteriors, labels)
    believed = diagnosis.believed_correct(posteriors, labels, found.matrix) > 0.5
    return labels == truth, believed, found


def test_the_labels_believed_correct_among_complementary_ones_mostly_are() -> None:
    right, believed, _ = complementary(0.02, 0.9995)
    assert right[believed].mean() > 0.9
    assert believed[right].mean() > 0.5


def test_a_kind_without_a_number_keeps_the_clean_fraction_in_its_matrix() -> None:
    right, believed, found = complementary(0.001, 0.9999)
    assert found.matrix.diagonal() == pytest.approx(found.clean_fraction, abs=1e-5)
    assert believed[right].mean() > 0.5


def test_em_finds_the_matrix_that_the_labels_were_drawn_from() -> None:
    rng = np.random.default_rng(1)
    matrix = rng.dirichlet(np.ones(CLASSES), CLASSES)
    truth = rng.integers(0, CLASSES, 20000)
    labels = np.array([rng.choice(CLASSES, p=matrix[each]) for each in truth])
    found = diagnosis.fit(
        predicted(truth, 0.99, rng, calibrated=True), labels, diagnosis.general
    ).matrix
    assert np.abs(found - matrix).max() < 0.04


@pytest.mark.parametrize("seed", [2, 4])
def test_confident_mistakes_are_not_taken_for_correct_labels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, CLASSES, 50000)
    labels = corrupted(truth, "complementary", rng)
    read = np.where(rng.random(len(truth)) < 0.005, rng.integers(0, CLASSES, len(truth)), truth)
    sure = rng.uniform(0.9, 0.9999, len(truth))[:, None]
    posteriors = np.where(np.eye(CLASSES)[read] > 0, sure, (1 - sure) / (CLASSES - 1))
    assert diagnosis.diagnose(posteriors, labels).interval[0] == 0
