"""The training loop: the same bits, whatever happens on the way."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from handwriting.core.errors import InputError
from handwriting.noise.forward_correction import Corrected
from handwriting.training import loop as training
from handwriting.training import model
from handwriting.training.augmentation import Augmentation
from handwriting.training.checkpoint import Checkpoint
from handwriting.training.live import Point
from handwriting.training.loop import Labelled, Recipe, fit
from handwriting.training.losses import Clean, Objective
from handwriting.training.model import Network, Shape
from handwriting.training.optimizer import Rates, orthogonal

SHAPE = Shape(
    classes=tuple("0123"),
    size=28,
    box=20,
    margin=2,
    widths=(8, 8, 16, 16),
    stem_stride=2,
    pooled=(1, 2),
    grid=1,
    place=0,
    temperature=1,
)
RECIPE = Recipe(
    batch_size=16,
    rates=Rates(
        convolutions=0.24,
        momentum=0.6,
        head=0.2,
        biases=0.05,
        head_momentum=0.85,
        weight_decay=5e-4,
        layer_decay=1,
    ),
    warmup=0.1,
    curve_points=4,
)
AUGMENTATION = Augmentation(rotation=10, scale=0.1, shear=0.1, shift=1)
Rate = Callable[[int, int, float], float]


def bars(count: int, seed: int = 0) -> Labelled:
    """Four classes of noisy pictures: a bar at one of four heights."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 4
    images = torch.randint(0, 60, (count, 1, 28, 28), generator=generator)
    for image, label in zip(images, labels.tolist(), strict=True):
        image[0, 5 * label + 4 : 5 * label + 7, 6:22] = 255
    return Labelled(images.to(torch.uint8), labels)


def trained(
    folder: Path,
    recipe: Recipe = RECIPE,
    seed: int = 0,
    epochs: float = 3,
    objective: Objective | None = None,
    data: Labelled | None = None,
) -> tuple[Network, list[Point]]:
    torch.set_num_threads(1)
    folder.mkdir(exist_ok=True)
    network = model.fresh(SHAPE, seed)
    checkpoint = Checkpoint("a test", f"{recipe} {seed} {epochs}", folder)
    curve, _ = fit(
        network,
        data or bars(64),
        bars(32, 1),
        recipe,
        AUGMENTATION,
        epochs,
        objective or Clean(0.1),
        seed,
        checkpoint,
    )
    return network, curve


def equal(one: Network, other: Network) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_the_same_seed_gives_the_same_weights_and_another_does_not(tmp_path: Path) -> None:
    runs = [trained(tmp_path / str(i), seed=seed) for i, seed in enumerate((0, 0, 1))]
    assert equal(runs[0][0], runs[1][0])
    assert runs[0][1] == runs[1][1]
    assert not equal(runs[0][0], runs[2][0])


def test_a_run_that_was_killed_ends_in_the_bits_of_one_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, curve = trained(tmp_path / "whole")
    for step in (1, 5, 11):
        folder = tmp_path / str(step)

        with monkeypatch.context() as patch:
            patch.setattr(Checkpoint, "due", lambda _: True)
            patch.setattr(training, "rate", interrupting(step))
            with pytest.raises(KeyboardInterrupt):
                trained(folder)
        resumed, same = trained(folder)
        assert equal(whole, resumed)
        assert same == curve


def interrupting(after: int) -> Callable[[int, int, float], float]:
    """The schedule, which is cut off after a step."""

    def rate(step: int, steps: int, warmup: float, original: Rate = training.rate) -> float:
        if step > after:
            raise KeyboardInterrupt
        return original(step, steps, warmup)

    return rate


def test_a_finished_training_is_not_repeated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, _ = trained(tmp_path)
    again, _ = trained(tmp_path)
    assert equal(first, again)
    assert "goes on after step 12" in capsys.readouterr().out


def test_a_checkpoint_of_other_params_is_not_used(tmp_path: Path) -> None:
    trained(tmp_path)
    other = replace(RECIPE, batch_size=8)
    fresh, _ = trained(tmp_path / "other", recipe=other)
    assert equal(fresh, trained(tmp_path, recipe=other)[0])


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 half of one"])
def test_a_damaged_checkpoint_is_as_good_as_none(tmp_path: Path, content: bytes) -> None:
    whole, _ = trained(tmp_path / "whole")
    tmp_path.joinpath("a-test.checkpoint").write_bytes(content)
    assert equal(whole, trained(tmp_path)[0])


def test_the_network_learns_what_can_be_learnt_and_nothing_from_shuffled_labels(
    tmp_path: Path,
) -> None:
    _, curve = trained(tmp_path / "right", epochs=10)
    assert curve[-1].accuracy == 1
    data = bars(64)
    order = torch.randperm(64, generator=torch.Generator().manual_seed(5))
    _, curve = trained(tmp_path / "shuffled", data=Labelled(data.images, data.targets[order]))
    assert curve[-1].accuracy < 0.6


def test_complementary_labels_are_enough_to_learn(tmp_path: Path) -> None:
    data = bars(256)
    shift = torch.randint(1, 4, (256,), generator=torch.Generator().manual_seed(3))
    wrong = Labelled(data.images, (data.targets + shift) % 4)
    matrix = tuple(tuple(0.0 if i == k else 1 / 3 for k in range(4)) for i in range(4))
    network, _ = trained(tmp_path, epochs=12, objective=Corrected(matrix), data=wrong)
    truth = bars(32, 1)
    answers = training.logits_of(network, truth.images).argmax(1)
    assert (answers == truth.targets).float().mean() > 0.9


def test_the_curve_starts_untrained_ends_at_the_last_step_and_counts_images(tmp_path: Path) -> None:
    _, curve = trained(tmp_path)
    assert curve[0][:2] == (0, 0)
    assert curve[-1][:2] == (12, 12 * 16)
    assert [point.step for point in curve] == sorted({point.step for point in curve})


def test_no_epochs_leave_the_network_as_it_was(tmp_path: Path) -> None:
    network, curve = trained(tmp_path, epochs=0)
    assert equal(network, model.fresh(SHAPE, 0))
    assert len(curve) == 1


def test_a_loss_that_is_no_number_ends_the_run_and_keeps_the_last_good_checkpoint(
    tmp_path: Path,
) -> None:
    class Exploding(Clean):
        def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
            return super().loss(logits, targets) * (math.inf if self.exploded() else 1)

        def exploded(self) -> bool:
            return bool(list(tmp_path.glob("*.checkpoint")))

    trained(tmp_path, epochs=1)
    kept = tmp_path.joinpath("a-test.checkpoint").read_bytes()
    with pytest.raises(InputError, match="the loss is"):
        trained(tmp_path, epochs=2, objective=Exploding(0.1))
    assert tmp_path.joinpath("a-test.checkpoint").read_bytes() == kept


def test_weights_that_are_no_numbers_are_neither_kept_nor_shipped(tmp_path: Path) -> None:
    class Steep(Clean):
        def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
            endless = (logits * 0).abs().sum(1).sqrt()  # 0, with a gradient that is no number
            return super().loss(logits, targets) + endless

    with pytest.raises(InputError, match="a weight is no number after step"):
        trained(tmp_path, epochs=1, objective=Steep(0.1))
    assert not list(tmp_path.glob("*.checkpoint"))


def test_every_image_is_seen_equally_often() -> None:
    batches = list(training.batch_indices(10, 4, 5, seed=0))
    assert all(len(batch) == 4 for batch in batches)
    counts = torch.cat(batches).bincount(minlength=10)
    assert counts.tolist() == [2] * 10


def test_a_batch_is_never_larger_than_the_data() -> None:
    assert [len(batch) for batch in training.batch_indices(3, 8, 2, seed=0)] == [3, 3]


def test_the_schedule_rises_to_one_and_ends_near_zero() -> None:
    rates = [training.rate(step, 100, 0.1) for step in range(1, 101)]
    assert max(rates) == 1
    assert rates[0] == pytest.approx(0.1)
    assert rates[-1] < 0.02
    assert rates.index(max(rates)) == 9


def test_orthogonal_brings_all_singular_values_near_one() -> None:
    matrix = torch.randn(16, 72, generator=torch.Generator().manual_seed(0))
    singular = torch.linalg.svdvals(orthogonal(matrix))
    assert singular.min() > 0.5
    assert singular.max() < 1.4


def test_arms_with_one_seed_share_head_order_and_augmentation() -> None:
    heads = [model.transplant(model.fresh(SHAPE, base), tuple("01"), 7).head for base in (0, 1)]
    assert torch.equal(heads[0].weight, heads[1].weight)
    orders = [list(training.batch_indices(50, 8, 10, seed=7)) for _ in range(2)]
    assert all(torch.equal(a, b) for a, b in zip(*orders, strict=True))


@pytest.mark.parametrize("size", [28, 48])
@pytest.mark.parametrize("grid", [1, 3])
@pytest.mark.parametrize("stem_stride", [1, 2])
def test_one_body_serves_images_of_other_sizes(size: int, grid: int, stem_stride: int) -> None:
    pooled = (0, 1, 2) if stem_stride == 1 else (1, 2)
    shape = replace(SHAPE, size=size, grid=grid, stem_stride=stem_stride, pooled=pooled)
    network = model.fresh(shape, 0).eval()
    assert network(torch.zeros(2, 1, size, size, dtype=torch.uint8)).shape == (2, 4)
