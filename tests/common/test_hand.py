"""What is known of a hand: the same numbers in training and in use, and none where nothing is."""

import pytest
import torch

from stages.common.learning import hand

PLACE = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
HANDS = torch.arange(40) % 3


def test_an_image_alone_has_the_numbers_of_an_unknown_hand() -> None:
    unknown = hand.known(PLACE, torch.full((40,), -1))
    assert torch.equal(unknown[:, 4:], torch.zeros(40, 5))
    assert torch.equal(hand.known(PLACE, torch.arange(40)), unknown)


def test_the_numbers_are_relative_to_mean_and_spread_of_the_hand() -> None:
    numbers = hand.known(PLACE, HANDS)
    for i in range(3):
        of_hand = HANDS.eq(i)
        centred = PLACE[of_hand] - PLACE[of_hand].mean(0)
        ratio = numbers[of_hand, 4:8] / centred
        assert torch.allclose(ratio, ratio[:1].expand_as(ratio), rtol=1e-3)
        assert torch.allclose(numbers[of_hand, 8], of_hand.sum().float().log())


def test_the_order_and_the_other_hands_of_a_folder_change_nothing() -> None:
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1))
    shuffled = hand.known(PLACE[order], HANDS[order])
    assert torch.allclose(shuffled, hand.known(PLACE, HANDS)[order], atol=1e-6)
    first = HANDS == 0
    alone = hand.known(PLACE[first], HANDS[first])
    assert torch.allclose(alone, hand.known(PLACE, HANDS)[first], atol=1e-6)


def test_in_training_all_or_some_or_none_of_the_hand_are_known() -> None:
    sampler = hand.Sampler(PLACE, HANDS)
    batch = torch.arange(40)
    counts, everything = [], hand.known(PLACE, HANDS)
    for seed in range(200):
        numbers = sampler.numbers(batch, PLACE, torch.Generator().manual_seed(seed))
        count = numbers[:, 8].exp().round()
        counts.append(count)
        full = count == torch.bincount(HANDS)[HANDS]
        assert torch.allclose(numbers[full], everything[full], atol=1e-5)
        alone = count == 1
        assert torch.allclose(numbers[alone, 4:8], torch.zeros(4), atol=1e-6)
    seen = torch.stack(counts)
    assert set(seen[:, 0].tolist()) == set(range(1, 15))
    assert (seen <= 2).float().mean() == pytest.approx(0.35, abs=0.15)


def test_beside_some_others_of_its_hand_an_image_has_the_numbers_of_that_company() -> None:
    sampler, rows = hand.Sampler(PLACE, HANDS), torch.arange(40)
    for count in (0, 1, 5, 100):
        numbers = sampler.beside(rows, count, torch.Generator().manual_seed(0))
        there = torch.bincount(HANDS)[HANDS] - 1
        assert torch.allclose(numbers[:, 8].exp(), 1.0 + there.clamp(max=count))
    assert torch.allclose(numbers, hand.known(PLACE, HANDS), atol=1e-5)
    one = sampler.beside(rows, 1, torch.Generator().manual_seed(0))
    pairs = [
        {tuple(hand.known(PLACE[[i, j]], torch.zeros(2).long())[0].tolist()) for j in range(40)}
        for i in range(40)
    ]
    assert all(
        any(torch.allclose(one[i], torch.tensor(pair), atol=1e-5) for pair in pairs[i])
        for i in range(40)
    )


def test_in_training_an_unknown_hand_stays_unknown() -> None:
    sampler = hand.Sampler(PLACE, torch.full((40,), -1))
    numbers = sampler.numbers(torch.arange(40), PLACE, torch.Generator().manual_seed(0))
    assert torch.equal(numbers, sampler.unknown())


def test_names_of_hands_become_numbers_and_none_stays_unknown() -> None:
    assert hand.numbered(["b", None, "a", "b"]).tolist() == [1, -1, 0, 1]
