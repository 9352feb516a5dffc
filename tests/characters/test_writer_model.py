"""What others by a hand tell of an image: nothing where there are none, and twins apart."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from handwriting.characters import writer_model as hand
from handwriting.characters.writer_model import Hand
from handwriting.data import alphabet

CLASSES = alphabet.CHARACTERS
HANDS, EACH = 40, 62
WRITER = torch.arange(HANDS).repeat_interleave(EACH)
LABELS = torch.arange(EACH).repeat(HANDS)
SHARED, APART, REST = 0.5, 0.2, 0.1  # variances


KIND = np.array([hand._KINDS.index(alphabet.kind(each)) for each in CLASSES])
MEAN = np.random.default_rng(0).normal(0, 1, (EACH, 4))
MEAN[KIND == 2] = MEAN[KIND == 1] - [1, 1, 0, 0]  # capitals as small letters, but larger


def written(seed: int) -> Tensor:
    """Standardised places by hands of a seed, float32 [N, 4]."""
    random = np.random.default_rng(seed)
    of_hand = random.normal(0, SHARED**0.5, (HANDS, 1, 4))
    of_kind = random.normal(0, APART**0.5, (HANDS, 3, 4))[:, KIND]
    rest = random.normal(0, REST**0.5, (HANDS, EACH, 4))
    return torch.from_numpy(MEAN + of_hand + of_kind + rest).float().flatten(0, 1)


PLACE = written(1)


@pytest.fixture(scope="module")
def learnt() -> Hand:
    model = Hand(CLASSES)
    model.learn(PLACE, LABELS, WRITER)
    return model


def single(place: Tensor) -> Tensor:
    """Logits of one who sees the letter, but the case of N to Z by size and place alone, as usual
    as they are of it in all hands."""
    total = SHARED + APART + REST
    far = place[:, None] - torch.from_numpy(MEAN).float()
    logits = -far.square().sum(2) / (2 * total)
    letter = [each.lower() if each.lower() > "m" else each for each in CLASSES]
    other = torch.tensor([[a != b for b in letter] for a in letter])
    return logits.masked_fill(other[LABELS], -100.0)


def share(logits: Tensor) -> float:
    return (logits.argmax(1) == LABELS).float().mean().item()


def test_the_parts_of_the_numbers_are_found_again(learnt: Hand) -> None:
    one = torch.eye(4, dtype=torch.float64)
    model = Hand(CLASSES)
    many = torch.cat([written(seed) for seed in range(10)])
    hands = torch.cat([WRITER + HANDS * i for i in range(10)])
    model.learn(many, LABELS.repeat(10), hands)
    assert (model.shared - SHARED * one).abs().max() < 0.1
    assert (model.apart - APART * one).abs().max() < 0.04
    assert (model.within.mean(0) - REST * one).abs().max() < 0.01
    assert (learnt.mean[10:36] - learnt.mean[36:])[:, :2].mean().item() == pytest.approx(1, abs=0.2)


def test_an_image_alone_or_of_an_unknown_hand_is_read_as_it_was_to_the_bit(learnt: Hand) -> None:
    logits = single(PLACE)
    assert torch.equal(learnt.together(logits, PLACE, torch.full_like(WRITER, -1)), logits)
    assert torch.equal(learnt.together(logits, PLACE, torch.arange(len(WRITER))), logits)
    nothing = torch.zeros_like(learnt.told(logits, PLACE))
    assert torch.equal(learnt.read(logits, PLACE, nothing), logits)


def test_the_others_tell_capitals_from_small_letters_also_of_new_hands(learnt: Hand) -> None:
    for place in (PLACE, written(2)):
        logits = single(place)
        alone, together = share(logits), share(learnt.together(logits, place, WRITER))
        assert alone < 0.93
        assert together > 0.96


def test_a_hand_that_wrote_one_kind_of_characters_alone_is_read_no_worse(learnt: Hand) -> None:
    place = written(2)
    logits = single(place)
    read = learnt.together(logits, place, WRITER * 3 + torch.tensor(learnt.kinds)[LABELS])
    for kind in (1, 2):
        of_kind = torch.from_numpy(kind == KIND)[LABELS]
        right, before = (
            (each.argmax(1) == LABELS)[of_kind].float().mean() for each in (read, logits)
        )
        assert right > before


def test_the_order_and_the_other_hands_of_a_folder_change_nothing(learnt: Hand) -> None:
    logits = single(PLACE)
    read = learnt.together(logits, PLACE, WRITER)
    order = torch.randperm(len(WRITER), generator=torch.Generator().manual_seed(1))
    shuffled = learnt.together(logits[order], PLACE[order], WRITER[order])
    assert torch.allclose(shuffled, read[order], atol=1e-4)
    first = WRITER == 0
    assert torch.allclose(
        learnt.together(logits[first], PLACE[first], WRITER[first]), read[first], atol=1e-4
    )


def test_what_others_tell_adds_up(learnt: Hand) -> None:
    logits, others = single(PLACE), hand.others([str(each) for each in WRITER.tolist()])
    told = learnt.told(logits, PLACE)[others].sum(1)
    read = learnt.read(logits, PLACE, told)
    assert torch.allclose(read, learnt.together(logits, PLACE, WRITER), atol=1e-4)


def beside_one(classes: tuple[str, str], other: list[float], kinds: int) -> tuple[float, float]:
    """How much another image by the hand, at 2 in one number, makes the first class of one at 2.5
    likelier than the second: found, and by Student's densities written out.

    The means are 1 and -1, the variances 3 shared, 1 apart and 0.5 within; what the two images have
    in common if the one is of the first, of the second class: 4 where it is of the other's kind.
    """
    model, one = Hand(classes), torch.eye(4, dtype=torch.float64)
    model.mean[0, 0], model.mean[1, 0] = 1.0, -1.0
    model.shared.copy_(3 * one)
    model.apart.copy_(1 * one)
    model.within.copy_((0.5 * one).repeat(2, 1, 1))
    place = torch.zeros(2, 4)
    place[0, 0], place[1, 0] = 2.5, 2.0
    read = model.together(torch.tensor([[0.0, 0.0], other]), place, torch.zeros(2).long())
    weight = torch.tensor(other).softmax(0).tolist()
    seen = weight[0] - weight[1]
    variances = [0.5 + 1 - seen**2, 0.5, 0.5, 0.5]  # of the other's four numbers, given its hand
    usual = [4.0 if kinds == 1 else 3 + weight[0] ** 2 + weight[1] ** 2] * 4
    density = []
    for mean, of_kind in ((1.0, weight[0]), (-1.0, weight[1])):
        common = 4.0 if kinds == 1 else 3 + of_kind
        for told in (True, False):
            far, volume = 0.0, 0.0
            for k in range(4):
                total = usual[k] + variances[k]
                shift = common / total * (2.0 - seen) * (k == 0) * told
                spread = 4.5 - common**2 / total * told
                far += (((2.5 - mean) * (k == 0) - shift) ** 2) / spread
                volume += math.log(spread) / 2
            density.append(-(16 + 4) / 2 * math.log1p(far / 16) - volume)
    expected = density[0] - density[1] - density[2] + density[3]
    return (read[0, 0] - read[0, 1]).item(), expected


@pytest.mark.parametrize(
    ("classes", "other", "kinds"),
    [
        (("A", "B"), [50.0, -50.0], 1),  # it is an A
        (("A", "B"), [1.0, 0.0], 1),  # either
        (("A", "b"), [50.0, -50.0], 2),  # of another kind than the second class
        (("A", "b"), [1.0, 0.0], 2),
    ],
    ids=["certain", "uncertain", "of another kind", "of an uncertain kind"],
)
def test_one_other_says_what_bayes_rule_does(
    classes: tuple[str, str], other: list[float], kinds: int
) -> None:
    found, expected = beside_one(classes, other, kinds)
    assert found == pytest.approx(expected, abs=1e-4)
    assert abs(found) > 0.1


def test_an_image_of_unusual_size_keeps_to_its_pixels_and_says_little_of_its_hand(
    learnt: Hand,
) -> None:
    """A hand writes an N as small as nothing else; it is none of what its size alone would have."""
    logits, place = single(PLACE), PLACE.clone()
    odd = (WRITER == 0) & (CLASSES.index("N") == LABELS)
    place[odd, :2] -= 6
    logits[odd] = -8.0
    logits[odd, CLASSES.index("N")] = 0.0
    read = learnt.together(logits, place, WRITER)
    assert CLASSES[int(read[odd].argmax(1))] == "N"
    beside, without = (WRITER == 0) & ~odd, learnt.together(logits[~odd], place[~odd], WRITER[~odd])
    changed = (read[beside].argmax(1) != without[(WRITER == 0)[~odd]].argmax(1)).sum()
    assert changed <= 2


@pytest.mark.parametrize(
    "writers",
    [
        torch.arange(len(WRITER)),
        torch.zeros_like(WRITER),
        WRITER * 3 + LABELS % 3,
        torch.where(WRITER < 5, -1, WRITER),
    ],
    ids=["each image by its own hand", "one hand", "hands of few classes", "some not known"],
)
def test_whoever_wrote_what_the_model_is_made_of_numbers(writers: Tensor) -> None:
    model, some = Hand(CLASSES), LABELS != 5  # of one class there is none
    model.learn(PLACE[some], LABELS[some], writers[some])
    assert all(each.isfinite().all() for each in model.state_dict().values())
    read = model.together(single(PLACE), PLACE, WRITER)
    assert read.isfinite().all()


def test_a_model_that_has_learnt_nothing_changes_next_to_nothing() -> None:
    logits = single(PLACE)
    read = Hand(CLASSES).together(logits, PLACE, WRITER)
    assert (read - logits).abs().max() < 0.1


def test_names_of_hands_become_numbers_and_none_stays_unknown() -> None:
    assert hand.numbered(["b", None, "a", "b"]).tolist() == [1, -1, 0, 1]


def test_the_others_of_an_image_are_those_by_its_hand_without_itself() -> None:
    assert hand.others(["b", "a", "b", "b", "a"]).tolist() == [
        [2, 3],
        [4, -1],
        [0, 3],
        [0, 2],
        [1, -1],
    ]
    assert hand.others(["a", "b"]).shape == (2, 0)
