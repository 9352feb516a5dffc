"""Learning from wrong labels: known special cases, and answers that a network gives itself."""

import pytest
import torch
import torch.nn.functional as F

from handwriting.noise import forward_correction as correction
from handwriting.noise.forward_correction import Corrected, SelfTraining
from handwriting.training import model
from handwriting.training.augmentation import Augmentation
from handwriting.training.model import Shape

COMPLEMENTARY = Corrected(
    tuple(tuple(0.0 if i == j else 1 / 9 for j in range(10)) for i in range(10))
)
CLEAN = Corrected(tuple(tuple(float(i == j) for j in range(10)) for i in range(10)))
STILL = Augmentation()


def logits(count: int = 64) -> torch.Tensor:
    return 3 * torch.randn(count, 10, generator=torch.Generator().manual_seed(0))


def labels(count: int = 64) -> torch.Tensor:
    return torch.randint(0, 10, (count,), generator=torch.Generator().manual_seed(1))


def test_the_correction_of_clean_labels_is_cross_entropy() -> None:
    expected = F.cross_entropy(logits(), labels(), reduction="none")
    assert torch.allclose(CLEAN.loss(logits(), labels()), expected, atol=1e-5)


def test_the_correction_of_complementary_labels_is_minus_log_of_1_minus_p() -> None:
    p = logits().softmax(1).gather(1, labels()[:, None])[:, 0]
    expected = -torch.log((1 - p) / 9)
    assert torch.allclose(COMPLEMENTARY.loss(logits(), labels()), expected, atol=1e-4)


def test_it_stays_exact_where_the_network_is_sure_of_the_impossible() -> None:
    sure = torch.zeros(1, 10)
    sure[0, 3] = 100
    assert COMPLEMENTARY.loss(sure, torch.tensor([3])).item() == pytest.approx(100, rel=1e-3)


def test_answers_add_their_cross_entropy_and_zeros_add_nothing() -> None:
    without = correction.with_answers(labels(), torch.zeros(64, 10))
    plain = COMPLEMENTARY.loss(logits(), labels())
    assert torch.equal(COMPLEMENTARY.loss(logits(), without), plain)
    answers = F.one_hot((labels() + 1) % 10, 10).float()
    given = correction.with_answers(labels(), answers)
    extra = F.cross_entropy(logits(), (labels() + 1) % 10, reduction="none")
    assert torch.allclose(COMPLEMENTARY.loss(logits(), given), plain + extra, atol=1e-5)


def test_the_accuracy_is_estimated_without_a_true_label() -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.randint(0, 10, (50000,), generator=generator)
    given = (truth + torch.randint(1, 10, (50000,), generator=generator)) % 10
    said = torch.where(torch.rand(50000, generator=generator) < 0.8, truth, (truth + 3) % 10)
    estimate = COMPLEMENTARY.accuracy(F.one_hot(said, 10).float(), given)
    assert estimate == pytest.approx(0.8, abs=0.02)


def test_a_network_labels_only_what_it_is_sure_of_and_never_with_what_is_impossible() -> None:
    shape = Shape(
        classes=tuple("0123456789"),
        size=28,
        box=20,
        margin=2,
        widths=(8, 8),
        stem_stride=2,
        pooled=(1,),
        grid=1,
        place=0,
        temperature=1,
    )
    network = model.fresh(shape, 0)
    with torch.no_grad():
        network.head.bias[4] = 50.0  # it says 4, whatever it sees
    images = torch.zeros(20, 1, 28, 28, dtype=torch.uint8)
    given = torch.arange(20) % 10
    how = SelfTraining(views=2, temperature=0.5, confidence=0.9, smoothing=0.1, augmentation=STILL)
    answers = correction.self_labels(network, images, given, COMPLEMENTARY, how, 0)
    assert torch.equal(answers.argmax(1)[given != 4], torch.full((18,), 4))
    assert torch.allclose(answers[given != 4].sum(1), torch.ones(18))
    assert torch.allclose(answers[given != 4].amin(1), torch.full((18,), 0.01))  # smoothed
    assert (answers[given == 4] == 0).all()  # 4 is impossible, and of the rest it is not sure
