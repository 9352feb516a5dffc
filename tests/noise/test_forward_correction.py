"""Forward correction: known special cases, and an accuracy estimated without a true label."""

import pytest
import torch
import torch.nn.functional as F

from handwriting.noise import forward_correction
from handwriting.noise.forward_correction import ForwardCorrected

ONE = torch.eye(10, dtype=torch.float64)
CLEAN = ForwardCorrected(tuple(map(tuple, ONE.tolist())))
COMPLEMENTARY = ForwardCorrected(tuple(map(tuple, ((1 - ONE) / 9).tolist())))
LOGITS = 3 * torch.randn(64, 10, generator=torch.Generator().manual_seed(0))
LABELS = torch.randint(0, 10, (64,), generator=torch.Generator().manual_seed(1))


def test_the_correction_of_clean_labels_is_cross_entropy() -> None:
    expected = F.cross_entropy(LOGITS, LABELS, reduction="none")
    assert torch.allclose(CLEAN.loss(LOGITS, LABELS), expected, atol=1e-5)


def test_the_correction_of_complementary_labels_is_minus_log_of_1_minus_p() -> None:
    p = LOGITS.softmax(1).gather(1, LABELS[:, None])[:, 0]
    expected = -torch.log((1 - p) / 9)
    assert torch.allclose(COMPLEMENTARY.loss(LOGITS, LABELS), expected, atol=1e-4)


def test_it_stays_exact_where_the_network_is_sure_of_the_impossible() -> None:
    sure = torch.zeros(1, 10)
    sure[0, 3] = 100
    assert COMPLEMENTARY.loss(sure, torch.tensor([3])).item() == pytest.approx(100, rel=1e-3)


def test_distributions_add_their_cross_entropy_and_zeros_add_nothing() -> None:
    without = forward_correction.with_distributions(LABELS, torch.zeros(64, 10))
    plain = COMPLEMENTARY.loss(LOGITS, LABELS)
    assert torch.equal(COMPLEMENTARY.loss(LOGITS, without), plain)
    answers = F.one_hot((LABELS + 1) % 10, 10).float()
    given = forward_correction.with_distributions(LABELS, answers)
    extra = F.cross_entropy(LOGITS, (LABELS + 1) % 10, reduction="none")
    assert torch.allclose(COMPLEMENTARY.loss(LOGITS, given), plain + extra, atol=1e-5)


def test_the_accuracy_is_estimated_without_a_true_label() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.randint(0, 10, (50000,), generator=generator)
    given = (truth + torch.randint(1, 10, (50000,), generator=generator)) % 10
    said = torch.where(torch.rand(50000, generator=generator) < 0.8, truth, (truth + 3) % 10)
    estimate = COMPLEMENTARY.accuracy(F.one_hot(said, 10).float(), given)
    assert estimate == pytest.approx(0.8, abs=0.02)
