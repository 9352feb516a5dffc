"""A network that follows its own weights."""

import copy
from pathlib import Path

import torch

from handwriting.training import model
from handwriting.training import runs as arms
from handwriting.training.averaging import Averaged
from handwriting.training.checkpoint import Checkpoint
from handwriting.training.model import Network, Shape

SHAPE = Shape(
    classes=("0", "1"),
    size=12,
    box=10,
    margin=1,
    widths=(4, 6),
    stem_stride=1,
    pooled=(0,),
    grid=1,
    place=3,
    temperature=1.0,
)
IMAGES = torch.randint(0, 256, (8, 1, 12, 12), generator=torch.Generator().manual_seed(0)).byte()
PLACE = torch.randn(8, 4, generator=torch.Generator().manual_seed(1))


def shake(network: Network, seed: int) -> None:
    """Move the weights as a step of training does, and see a batch."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator))
    network.train()(IMAGES, PLACE)


def test_the_average_is_the_exponential_one_of_all_states() -> None:
    followed = Averaged(model.fresh(SHAPE, 0), 0.8)
    expected = {k: v.clone() for k, v in model.fresh(SHAPE, 0).state_dict().items()}
    for seed in range(5):
        shake(followed, seed)
        state = followed.state_dict()
        # The statistics of batch normalisation are followed as they were before this batch.
        for name in ("head.weight", "body.0.weight", "place.weight", "head.bias"):
            expected[name].lerp_(state[name], 0.2)
    average = followed.average().state_dict()
    for name in ("head.weight", "body.0.weight", "place.weight", "head.bias"):
        expected[name].lerp_(followed.state_dict()[name], 0.2)
        assert torch.allclose(average[name], expected[name], atol=1e-5)


def test_the_average_has_what_was_learnt_of_hands() -> None:
    followed = Averaged(model.fresh(SHAPE, 0), 0.8)
    followed.hand.learn(PLACE, torch.arange(8) % 2, torch.arange(8) // 4)
    shake(followed, 0)
    learnt, average = followed.hand.state_dict(), followed.average().hand.state_dict()
    assert learnt["mean"].abs().max() > 0
    assert all(torch.equal(average[name], tensor) for name, tensor in learnt.items())


def test_following_changes_nothing_of_the_training() -> None:
    plain = model.fresh(SHAPE, 0)
    followed = Averaged(copy.deepcopy(plain), 0.9)
    for seed in range(3):
        shake(plain, seed)
        shake(followed, seed)
    assert torch.equal(plain.eval()(IMAGES, PLACE), followed.eval()(IMAGES, PLACE))
    for name, tensor in plain.state_dict().items():
        assert torch.equal(tensor, followed.state_dict()[name])


def test_an_average_without_memory_is_the_last_state() -> None:
    followed = Averaged(model.fresh(SHAPE, 0), 0.0)
    shake(followed, 0)
    average = followed.average()
    assert type(average) is Network
    assert torch.equal(average(IMAGES, PLACE), followed.eval()(IMAGES, PLACE))


def test_a_checkpoint_has_the_averages(tmp_path: Path) -> None:
    followed = Averaged(model.fresh(SHAPE, 0), 0.9)
    shake(followed, 0)
    Checkpoint("one", "key", tmp_path).save(followed, [], 1, [])
    again = Averaged(model.fresh(SHAPE, 1), 0.9)
    assert Checkpoint("one", "key", tmp_path).restore(again, [])[0] == 1
    assert torch.equal(again.average()(IMAGES, PLACE), followed.average()(IMAGES, PLACE))


def test_another_decay_is_another_training() -> None:
    keys = {arms.key(Averaged(model.fresh(SHAPE, 0), decay), {}) for decay in (0.9, 0.95)}
    assert len(keys) == 2
