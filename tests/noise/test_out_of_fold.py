"""Networks of folds: what they say of an image does not depend on its label."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch

from handwriting.data import duplicates
from handwriting.data.dataset import Split
from handwriting.noise import out_of_fold
from handwriting.noise.out_of_fold import Folds, Predicted
from handwriting.training import model, resume
from handwriting.training.loop import Plan
from handwriting.training.losses import CrossEntropy
from handwriting.training.model import Network
from tests.networks import COMPUTE, PLAN, SHAPE, bars

COUNT = 240
FOUR = replace(SHAPE, classes=tuple("abcd"))
QUICK = replace(PLAN, epochs=3, objective=CrossEntropy(label_smoothing=0.0))
ALL = np.ones(COUNT, bool)


def split_of_bars(count: int = COUNT, speckles: float = 0.05) -> Split:
    """Four classes of bars that differ in their height, no two of them nearly equal."""
    found, rng = bars(count), np.random.default_rng(0)
    images = found.images.numpy()
    images[rng.random(images.shape) < speckles] = 255
    none = np.zeros((count, 0), np.float32)
    return Split(images, found.targets.numpy(), none, FOUR.classes, FOUR.ink_size)


def folds_of(split: Split, count: int, scratch: Path) -> Folds:
    digests = duplicates.digests(split.images)
    networks = [model.fresh(FOUR, "a test", seed) for seed in (0, 1)]
    return out_of_fold.of_digests(digests, networks, count, COMPUTE, scratch)


def trained(
    split: Split, scratch: Path, plan: Plan = QUICK, evidence: np.ndarray = ALL, count: int = 3
) -> tuple[Folds, Predicted]:
    scratch.mkdir(exist_ok=True)
    folds = folds_of(split, count, scratch)
    return out_of_fold.train(folds, split, torch.from_numpy(split.labels), evidence, plan)


def test_equal_images_are_in_one_fold_and_all_folds_have_some(tmp_path: Path) -> None:
    split = split_of_bars()
    images = split.images.copy()
    images[120:] = images[:120]
    folds = folds_of(replace(split, images=images), 5, tmp_path).fold_of
    assert (folds[120:] == folds[:120]).all()
    assert set(folds.tolist()) == set(range(5))


def test_the_folds_of_an_image_do_not_depend_on_the_other_images(tmp_path: Path) -> None:
    split, some = split_of_bars(), np.arange(7, 90, 3)
    whole = folds_of(split, 4, tmp_path).fold_of
    assert (folds_of(split.rows(some), 4, tmp_path).fold_of == whole[some]).all()


def head_of(network: Network) -> torch.Tensor:
    return network.head.weight.detach()


@pytest.mark.parametrize("cores", [1, 4])
def test_training_leaves_the_networks_and_the_folds_that_it_is_given_as_they_are(
    cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(joblib, "cpu_count", lambda: cores)
    split = split_of_bars()
    given = [model.fresh(FOUR, "a test", seed) for seed in (0, 1)]
    weights = [head_of(each).clone() for each in given]
    digests = duplicates.digests(split.images)
    folds = out_of_fold.of_digests(digests, given, 3, COMPUTE, tmp_path)
    after, _ = out_of_fold.train(folds, split, torch.from_numpy(split.labels), ALL, QUICK)
    for i in range(3):
        assert torch.equal(head_of(given[i % 2]), weights[i % 2])
        assert torch.equal(head_of(folds.networks[i]), weights[i % 2])
        assert not torch.equal(head_of(after.networks[i]), weights[i % 2])


def test_the_number_of_cores_changes_no_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, one = trained(split_of_bars(), tmp_path / "one")
    monkeypatch.setattr(joblib, "cpu_count", lambda: 1)
    _, other = trained(split_of_bars(), tmp_path / "other")
    assert (one.posteriors == other.posteriors).all()
    assert (one.distances == other.distances).all()


def test_networks_know_the_images_that_were_held_out(tmp_path: Path) -> None:
    split = split_of_bars()
    _, found = trained(split, tmp_path)
    assert found.posteriors.shape == (COUNT, 4)
    assert np.allclose(found.posteriors.sum(1), 1)
    assert (found.posteriors.argmax(1) == split.labels).mean() > 0.95
    assert (found.distances > 0).all()


@pytest.mark.parametrize("fold", [0, 2])
def test_the_labels_of_a_fold_have_no_influence_on_what_is_said_of_it(
    fold: int, tmp_path: Path
) -> None:
    split = split_of_bars()
    folds, before = trained(split, tmp_path / "before")
    held_out = folds.fold_of == fold
    labels = np.where(held_out, (split.labels + 1) % 4, split.labels)
    _, after = trained(replace(split, labels=labels), tmp_path / "after")
    for one, other in zip(before, after, strict=True):
        assert (one[held_out] == other[held_out]).all()
        assert (one[~held_out] != other[~held_out]).any()


def test_images_that_are_no_evidence_are_predicted_and_not_trained_on(tmp_path: Path) -> None:
    split = split_of_bars()
    evidence = np.arange(COUNT) % 5 > 0
    labels = np.where(evidence, split.labels, 0)
    _, before = trained(split, tmp_path / "before", evidence=evidence)
    _, after = trained(replace(split, labels=labels), tmp_path / "after", evidence=evidence)
    for one, other in zip(before, after, strict=True):
        assert (one == other).all()
    assert (before.posteriors.argmax(1) == split.labels)[~evidence].mean() > 0.9


def test_a_killed_training_of_folds_resumes_to_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    split, loss, steps = split_of_bars(), CrossEntropy.loss, iter(range(6))

    def until_killed(*given: torch.Tensor) -> torch.Tensor:
        if next(steps, None) is None:
            raise RuntimeError("killed")
        return loss(*given)  # type: ignore[arg-type]

    _, whole = trained(split, tmp_path / "whole")
    monkeypatch.setattr(resume, "_INTERVAL", 0)
    with monkeypatch.context() as patch:
        patch.setattr(CrossEntropy, "loss", until_killed)
        with pytest.raises(RuntimeError, match="killed"):
            trained(split, tmp_path / "killed")
    assert "resumes" not in capfd.readouterr().out
    assert [*(tmp_path / "killed").glob("*fold-0.checkpoint")]
    _, resumed = trained(split, tmp_path / "killed")
    assert "fold 0: resumes after step" in capfd.readouterr().out
    for one, other in zip(whole, resumed, strict=True):
        assert (one == other).all()


def test_a_checkpoint_of_other_labels_is_not_resumed_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(resume, "_INTERVAL", 0)
    split = split_of_bars()
    trained(split, tmp_path)
    assert [*tmp_path.glob("*.checkpoint")]
    trained(replace(split, labels=(split.labels + 1) % 4), tmp_path)
    assert "resumes" not in capfd.readouterr().out


def test_targets_may_be_distributions(tmp_path: Path) -> None:
    split = split_of_bars()
    targets = torch.eye(4)[(split.labels + 1) % 4]
    folds = folds_of(split, 3, tmp_path)
    _, found = out_of_fold.train(folds, split, targets, ALL, QUICK)
    assert (found.posteriors.argmax(1) == (split.labels + 1) % 4).mean() > 0.95


def noisy(images: torch.Tensor) -> Iterator[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    for _ in images:
        yield torch.randint(0, 256, (1, 28, 28), generator=generator).to(torch.uint8)


def test_images_of_no_class_are_far_from_all_classes(tmp_path: Path) -> None:
    split = split_of_bars()
    images = split.images.copy()
    odd = np.arange(COUNT) % 20 == 7
    images[odd] = torch.stack([*noisy(torch.from_numpy(images[odd]))]).numpy()
    _, found = trained(replace(split, images=images), tmp_path)
    assert found.distances[odd].min() > np.quantile(found.distances[~odd], 0.95)
