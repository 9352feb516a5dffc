"""Diagnosis of label noise, from labels and posteriors that are sometimes wrong themselves."""

import numpy as np
import pytest

from bench.label_noise import FAULTS, draw
from handwriting.noise import diagnosis
from handwriting.noise.diagnosis import Floats, Labels
from handwriting.noise.wording import _SENTENCES

TEN = 10
ASYMMETRIC = {7: (7, 1), 2: (2, 7), 3: (3, 8), 5: (5, 6), 6: (6, 5)}


def predicted(truth: Labels, classes: int, rng: np.random.Generator, doubt: float = 0.02) -> Floats:
    """Posteriors that are as often right as they say: sure of most images, and in doubt of a few
    between the class of the greatest share and one other."""
    rows = np.arange(len(truth))
    second = rng.beta(0.2, 0.2 / doubt - 0.2, len(truth)).clip(0, 0.5)
    wrong = rng.random(len(truth)) < second
    other = rng.permutation(truth)
    posteriors = np.full((len(truth), classes), 1e-5)
    posteriors[rows, np.where(wrong, other, truth)] += 1 - second
    posteriors[rows, np.where(wrong, truth, other)] += second
    return np.asarray(posteriors / posteriors.sum(1, keepdims=True))


def drawn(fault: str, count: int, seed: int) -> tuple[Labels, Labels, Floats, Floats]:
    """True labels, faulty labels, posteriors, and the matrix that the labels are drawn from."""
    rng = np.random.default_rng([seed, count])
    truth, matrix = rng.integers(0, TEN, count), FAULTS[fault].matrix(rng)
    return truth, draw(matrix, truth, rng), predicted(truth, TEN, rng), matrix


def counted(truth: Labels, labels: Labels) -> Floats:
    """The matrix that one would count who knew the truth."""
    counts = np.zeros((TEN, TEN))
    np.add.at(counts, (truth, labels), 1)
    return np.asarray(counts / counts.sum(1, keepdims=True))


def error(found: Floats, matrix: Floats) -> float:
    return float(np.abs(found - matrix).mean())


@pytest.mark.parametrize("fault", FAULTS)
def test_2000_labels_show_what_is_wrong_with_them_and_its_matrix(fault: str) -> None:
    for seed in (0, 1):
        truth, labels, posteriors, matrix = drawn(fault, 2000, seed)
        found = diagnosis.diagnose(posteriors, labels)
        assert found.kind in FAULTS[fault].kinds, found.bic
        assert error(found.matrix, matrix) <= max(0.01, 1.1 * error(counted(truth, labels), matrix))
        assert np.allclose(found.matrix.sum(1), 1)
        assert (found.matrix >= 0).all()
        assert min(found.bic.values()) == 0
        assert found.kind in _SENTENCES


def test_nineteen_of_twenty_intervals_hold_the_true_share() -> None:
    held = []
    for seed, fault in enumerate([*FAULTS] * 2):
        truth, labels, posteriors, _ = drawn(fault, 1500, seed)
        found = diagnosis.diagnose(posteriors, labels)
        low, high = found.interval
        assert 0 <= low <= found.clean_fraction <= high <= 1
        held.append(low <= (labels == truth).mean() <= high)
    assert np.mean(held) >= 0.95


def test_an_interval_narrows_with_more_labels() -> None:
    def width(count: int) -> float:
        _, labels, posteriors, _ = drawn("symmetric 40", count, 0)
        low, high = diagnosis.diagnose(posteriors, labels).interval
        return high - low

    assert width(16000) < 0.5 * width(1000)


def test_of_two_exchanged_classes_no_label_is_right_and_of_the_others_all_are() -> None:
    _, labels, posteriors, _ = drawn("two exchanged", 2000, 0)
    matrix = diagnosis.diagnose(posteriors, labels).matrix
    right = np.ones(TEN)
    right[[3, 8]] = 0
    assert np.abs(matrix.diagonal() - right).max() < 0.001
    assert min(matrix[3, 8], matrix[8, 3]) > 0.999


def test_an_absorbed_class_has_a_row_of_its_own() -> None:
    _, labels, posteriors, _ = drawn("one absorbed", 2000, 0)
    assert 7 not in labels
    matrix = diagnosis.diagnose(posteriors, labels).matrix
    assert matrix[7, 1] > 0.999
    assert np.delete(matrix.diagonal(), 7).min() > 0.999


def test_classes_of_which_some_labels_are_flipped_keep_diagonals_of_their_own() -> None:
    _, labels, posteriors, _ = drawn("asymmetric 40", 6000, 0)
    matrix = diagnosis.diagnose(posteriors, labels).matrix
    for true, cells in ASYMMETRIC.items():
        assert matrix[true, cells] == pytest.approx([0.6, 0.4], abs=0.06)
    assert np.delete(matrix.diagonal(), [*ASYMMETRIC]).min() > 0.98


def test_each_class_has_its_own_share_of_right_labels() -> None:
    _, labels, posteriors, matrix = drawn("uneven", 6000, 0)
    found = diagnosis.diagnose(posteriors, labels).matrix
    assert np.abs(found.diagonal() - matrix.diagonal()).max() < 0.06


@pytest.mark.parametrize("classes", [2, 3, 26, 62, 200])
@pytest.mark.parametrize("renamed", [False, True])
def test_any_number_of_classes_and_few_images_of_some(classes: int, renamed: bool) -> None:
    rng = np.random.default_rng(classes)
    few = [1, 2] if classes > 3 else []
    sizes = rng.permutation([*few, *[4000 // classes] * (classes - len(few) - 1), 20])
    truth = np.repeat(np.arange(classes), sizes)
    target = np.arange(classes)
    many = np.argsort(-np.bincount(truth, minlength=classes), kind="stable")[:2]
    target[many] = target[many[::-1]] if renamed else target[many]
    labels = target[truth]
    found = diagnosis.diagnose(predicted(truth, classes, rng, 0.01), labels)
    assert found.kind == ("permutation" if renamed else "clean")
    assert np.allclose(found.matrix.sum(1), 1)
    assert found.interval[0] <= (labels == truth).mean() <= found.interval[1]
    seen = np.unique(truth)
    assert np.abs(found.matrix[seen] - np.eye(classes)[target[seen]]).max() < 0.01


def test_a_class_of_neither_images_nor_labels_disturbs_nothing() -> None:
    rng = np.random.default_rng(0)
    truth = rng.choice(np.delete(np.arange(TEN), 5), 2000)
    labels = draw(FAULTS["symmetric 20"].matrix(rng), truth, rng)
    labels[labels == 5] = truth[labels == 5]
    found = diagnosis.diagnose(predicted(truth, TEN, rng), labels)
    assert np.isfinite(found.matrix).all()
    assert np.allclose(found.matrix.sum(1), 1)
    others = np.delete(np.arange(TEN), 5)
    shares = found.matrix[others, others]
    assert shares == pytest.approx((labels == truth).mean(), abs=0.06)


def test_the_order_of_the_images_does_not_matter() -> None:
    _, labels, posteriors, _ = drawn("pair flips 45", 1000, 0)
    order = np.random.default_rng(0).permutation(1000)
    one, other = (
        diagnosis.diagnose(posteriors[rows], labels[rows]) for rows in (slice(None), order)
    )
    assert one.kind == other.kind
    assert np.allclose(one.matrix, other.matrix, atol=1e-5)


@pytest.mark.parametrize("power", [0.5, 2])
def test_a_network_less_or_more_sure_than_it_is_right_leaves_the_share_as_it_is(
    power: float,
) -> None:
    truth, labels, posteriors, _ = drawn("symmetric 40", 4000, 0)
    other = posteriors**power
    found = diagnosis.diagnose(other / other.sum(1, keepdims=True), labels)
    right = float((labels == truth).mean())
    assert found.kind == "symmetric noise"
    assert found.clean_fraction == pytest.approx(right, abs=0.03)
    assert found.interval[0] <= right <= found.interval[1]


@pytest.mark.parametrize("seed", [2, 4])
def test_confident_mistakes_are_not_taken_for_correct_labels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, TEN, 50000)
    labels = draw(FAULTS["complementary"].matrix(rng), truth, rng)
    read = np.where(rng.random(len(truth)) < 0.005, rng.integers(0, TEN, len(truth)), truth)
    sure = rng.uniform(0.9, 0.9999, len(truth))[:, None]
    posteriors = np.where(np.eye(TEN)[read] > 0, sure, (1 - sure) / (TEN - 1))
    assert diagnosis.diagnose(posteriors, labels).interval[0] == 0


def test_em_finds_the_matrix_that_the_labels_were_drawn_from() -> None:
    rng = np.random.default_rng(1)
    matrix = rng.dirichlet(np.ones(TEN), TEN)
    truth = rng.integers(0, TEN, 20000)
    data = diagnosis.in_order(predicted(truth, TEN, rng), draw(matrix, truth, rng))
    found = diagnosis.fit(data, diagnosis.general)
    assert np.abs(found.matrix - matrix).max() < 0.04
    assert found.log_likelihood >= data.log_likelihood(matrix)
    assert data.counts(matrix).sum() == pytest.approx(20000)


@pytest.mark.parametrize("fault", ["symmetric 40", "two exchanged", "complementary, 2% right"])
def test_the_true_class_is_known_from_image_label_and_matrix(fault: str) -> None:
    truth, labels, posteriors, _ = drawn(fault, 4000, 0)
    found = diagnosis.diagnose(posteriors, labels)
    tempered = diagnosis.tempering(posteriors, labels, found.matrix)
    p_true = diagnosis.p_true(tempered, labels, found.matrix)
    assert np.allclose(p_true.sum(1), 1)
    assert (p_true.argmax(1) == truth).mean() >= (posteriors.argmax(1) == truth).mean()
    believed = p_true[np.arange(4000), labels] > 0.5
    correct = labels == truth
    assert correct[believed].mean() > 0.9
    assert believed[correct].mean() > 0.5


def test_a_clean_fraction_is_that_of_the_matrix_it_comes_with() -> None:
    truth, labels, posteriors, _ = drawn("asymmetric 40", 3000, 0)
    data = diagnosis.in_order(posteriors, labels)
    kind = diagnosis.fit(data, diagnosis.general).matrix
    matrix, share, (low, high) = diagnosis.clean_fraction([data], data.doubt, kind)
    totals = data.counts(matrix).sum(1)
    assert share == pytest.approx(matrix.diagonal() @ totals / totals.sum(), abs=1e-3)
    assert low <= (labels == truth).mean() <= high
