"""The training loop: the same bits, whatever happens on the way."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from handwriting.core.errors import InputError
from handwriting.noise.forward_correction import ForwardCorrected
from handwriting.training import loop, model
from handwriting.training.loop import Labelled, fit
from handwriting.training.losses import CrossEntropy
from handwriting.training.model import Network
from handwriting.training.optimizer import Factors, orthogonal
from handwriting.training.resume import CurvePoint, Progress
from tests import networks
from tests.networks import bars

SHAPE = replace(networks.SHAPE, classes=tuple("0123"), widths=(8, 8, 16, 16), pool_after=(1, 2))
RECIPE = replace(networks.RECIPE, batch_size=16, curve_points=4)
PLAN = replace(networks.PLAN, recipe=RECIPE, epochs=3)


def trained(
    folder: Path, data: Labelled | None = None, **changes: Any
) -> tuple[Network, list[CurvePoint]]:
    """A network and its curve, by the plan with these changes."""
    torch.set_num_threads(1)
    folder.mkdir(exist_ok=True)
    plan = replace(PLAN, **changes)
    network = model.fresh(SHAPE, "a test", plan.seed)
    progress = Progress("a test", str(plan), folder)
    curve, _ = fit(network, data or bars(64), bars(32, 1), plan, progress)
    return network, curve


def equal(one: Network, other: Network) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_the_same_seed_gives_the_same_weights_and_another_does_not(tmp_path: Path) -> None:
    runs = [trained(tmp_path / str(i), seed=seed) for i, seed in enumerate((0, 0, 1))]
    assert equal(runs[0][0], runs[1][0])
    assert runs[0][1] == runs[1][1]
    assert not equal(runs[0][0], runs[2][0])


def test_a_finished_training_is_not_repeated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (first, _), (again, _) = (trained(tmp_path) for _ in range(2))
    assert equal(first, again)
    assert "resumes after step 12" in capsys.readouterr().out


def test_a_checkpoint_of_another_plan_or_damaged_is_as_good_as_none(tmp_path: Path) -> None:
    whole, _ = trained(tmp_path / "whole")
    trained(tmp_path, recipe=replace(RECIPE, batch_size=8))
    path = tmp_path / "a-test.checkpoint"
    for content in (path.read_bytes(), b"", b"not a checkpoint", b"PK\x03\x04 half of one"):
        path.write_bytes(content)
        assert equal(whole, trained(tmp_path)[0])


def test_a_network_learns_its_labels_and_nothing_from_shuffled_ones(tmp_path: Path) -> None:
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
    network, _ = trained(tmp_path, epochs=12, objective=ForwardCorrected(matrix), data=wrong)
    truth = bars(32, 1)
    answers = loop.logits_of(network, truth.images).argmax(1)
    assert (answers == truth.targets).float().mean() > 0.9


def test_the_curve_starts_untrained_ends_at_the_last_step_and_counts_images(tmp_path: Path) -> None:
    _, curve = trained(tmp_path)
    assert curve[0][:2] == (0, 0)
    assert curve[-1][:2] == (12, 12 * 16)
    assert [point.step for point in curve] == sorted({point.step for point in curve})


def test_no_epochs_leave_the_network_as_it_was(tmp_path: Path) -> None:
    network, curve = trained(tmp_path, epochs=0)
    assert equal(network, model.fresh(SHAPE, "a test", 0))
    assert len(curve) == 1


class Exploding(CrossEntropy):
    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        return super().loss(logits, targets) * math.inf


class Steep(CrossEntropy):
    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        endless = (logits * 0).abs().sum(1).sqrt()  # 0, with a gradient that is no number
        return super().loss(logits, targets) + endless


@pytest.mark.parametrize(
    ("objective", "problem"), [(Exploding, "the loss is"), (Steep, "non-finite weight after step")]
)
def test_what_is_not_finite_ends_the_run_and_keeps_the_last_good_checkpoint(
    objective: type[CrossEntropy], problem: str, tmp_path: Path
) -> None:
    trained(tmp_path, epochs=1)
    kept = tmp_path.joinpath("a-test.checkpoint").read_bytes()
    with pytest.raises(InputError, match=problem):
        trained(tmp_path, epochs=2, objective=objective(label_smoothing=0.1))
    assert tmp_path.joinpath("a-test.checkpoint").read_bytes() == kept


def batches(count: int, size: int, steps: int, seed: int = 0) -> list[Tensor]:
    plan = replace(PLAN, recipe=replace(RECIPE, batch_size=size), seed=seed)
    return list(loop.batch_indices(count, steps, plan))


def test_every_image_is_seen_equally_often() -> None:
    drawn = batches(10, 4, 5)
    assert all(len(batch) == 4 for batch in drawn)
    assert torch.cat(drawn).bincount(minlength=10).tolist() == [2] * 10


def test_a_batch_is_never_larger_than_the_data() -> None:
    assert [len(batch) for batch in batches(3, 8, 2)] == [3, 3]


def test_the_schedule_rises_to_one_and_ends_near_zero() -> None:
    rates = [loop.triangle(0.1, step, 100).muon for step in range(1, 101)]
    assert max(rates) == 1
    assert rates[0] == pytest.approx(0.1)
    assert rates[-1] < 0.02
    assert rates.index(max(rates)) == 9


def test_orthogonal_brings_all_singular_values_near_one() -> None:
    matrix = torch.randn(16, 72, generator=torch.Generator().manual_seed(0))
    singular = torch.linalg.svdvals(orthogonal(matrix))
    assert singular.min() > 0.5
    assert singular.max() < 1.4


def test_a_schedule_may_raise_a_learning_rate_until_no_loss_is_finite(tmp_path: Path) -> None:
    def rising(_: float, step: int, steps: int) -> Factors:
        return Factors(1e-3 * 1e6 ** (step / steps), 1, 1)

    plan = replace(PLAN, epochs=20, schedule=rising, recorded=80, strict=False)
    network, progress = model.fresh(SHAPE, "a test", 0), Progress("a test", "", tmp_path)
    curve, steps = fit(network, bars(64), None, plan, progress)
    assert curve == []
    assert steps.shape == (80, 2)
    assert steps[:20, 0].isfinite().all()
