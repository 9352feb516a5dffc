"""The examination of labels: what is trained on what, and what is listed."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from bench.label_noise import FAULTS, draw, with_copies, with_garbage
from handwriting.data import duplicates
from handwriting.data.dataset import Split
from handwriting.noise import examination, out_of_fold, ranking
from handwriting.noise.diagnosis import Floats
from handwriting.noise.examination import Effort
from handwriting.noise.ranking import LABEL, NO_CLASS, OTHER_LABEL
from handwriting.training import model
from handwriting.training.augmentation import Augmentation
from tests import digits, workspace
from tests.networks import COMPUTE, PLAN
from tests.noise.test_out_of_fold import COUNT, FOUR, split_of_bars

NETWORK = model.fresh(FOUR, "a test", 0)


def effort(scratch: Path) -> Effort:
    scratch.mkdir(exist_ok=True)
    return Effort(PLAN, (3, 3), 3, COMPUTE, scratch)


def knowing(split: Split, share: float = 0.97) -> Floats:
    """The posteriors of a network that is sure of the classes that bars have."""
    truth = np.arange(len(split.labels)) % 4
    posteriors = np.full((len(truth), 4), (1 - share) / 3)
    posteriors[np.arange(len(truth)), truth] = share
    return posteriors


@pytest.mark.parametrize("prior", [True, False])
def test_wrong_labels_are_listed_and_replaced_with_a_prior_or_without(
    prior: bool, tmp_path: Path
) -> None:
    split = split_of_bars()
    wrong = np.arange(COUNT) % 11 == 5
    labels = np.where(wrong, (split.labels + 2) % 4, split.labels)
    faulty = replace(split, labels=labels)
    found = examination.examine(
        faulty, [NETWORK], knowing(split) if prior else None, effort(tmp_path)
    )
    assert found.p_true.shape == found.posteriors.shape == (COUNT, 4)
    assert np.allclose(found.p_true.sum(1), 1)
    assert (found.p_true.argmax(1) == split.labels).mean() > 0.9
    low, high = found.diagnosis.interval
    assert low - 0.05 <= (~wrong).mean() <= high + 0.05  # these networks are tiny
    rows = ranking.ranked([str(i) for i in range(COUNT)], faulty, found)
    first = {int(row.path) for row in rows[: wrong.sum()]}
    assert len(first & {*np.flatnonzero(wrong)}) >= 0.9 * wrong.sum()
    assert rows[0].reason == LABEL


def test_clean_labels_are_called_so(tmp_path: Path) -> None:
    split = split_of_bars()
    found = examination.examine(split, [NETWORK], knowing(split), effort(tmp_path))
    assert found.diagnosis.kind == "clean"
    assert (found.p_true[np.arange(COUNT), split.labels] > 0.5).all()
    assert not found.conflicting.any()


def test_an_examination_is_repeated_to_the_same_bits(tmp_path: Path) -> None:
    split = split_of_bars()
    one, other = (
        examination.examine(split, [NETWORK], None, effort(tmp_path / name)) for name in ("a", "b")
    )
    for name in ("p_true", "p_outlier", "posteriors", "copies", "conflicting"):
        assert (getattr(one, name) == getattr(other, name)).all()
    assert one.diagnosis.interval == other.diagnosis.interval


def first_round(split: Split, prior: Floats, scratch: Path) -> tuple[bool, Floats]:
    """Whether the folds stay as they are, and what they say after the first training."""
    folds = out_of_fold.of_digests(duplicates.digests(split.images), [NETWORK], 3, COMPUTE, scratch)
    all_rows = np.ones(len(split.labels), bool)
    after, found = examination.corrected(folds, split, all_rows, prior, effort(scratch))
    return after is folds, found.posteriors


def test_a_prior_that_knows_better_than_a_training_is_kept(tmp_path: Path) -> None:
    split = split_of_bars()
    prior = knowing(split)
    random = np.random.default_rng(0).integers(0, 4, COUNT)
    kept, posteriors = first_round(replace(split, labels=random), prior, tmp_path)
    if not kept:  # chance may let a training explain random labels; then it says nothing more
        pytest.fail("networks trained on random labels replace one that knows the classes")
    assert (posteriors == prior).all()


def test_a_training_that_makes_the_labels_likelier_replaces_a_prior(tmp_path: Path) -> None:
    split = split_of_bars()
    unsure = 0.2 + 0.2 * np.eye(4)[split.labels]
    kept, posteriors = first_round(split, unsure, tmp_path)
    assert not kept
    assert (posteriors.argmax(1) == split.labels).mean() > 0.95


def test_nearly_equal_images_share_a_number_and_conflict_if_labels_differ() -> None:
    split = digits.split(100)
    images, labels = split.images.copy(), split.labels.copy()
    images[90] = images[10]
    images[90, 0, 14, 14] ^= 255  # nearly
    images[91], images[92] = images[10], images[20]
    labels[90], labels[91], labels[92] = labels[10], (labels[10] + 1) % 10, labels[20]
    groups, conflicting = examination.compare(replace(split, images=images, labels=labels))
    assert groups[10] == groups[90] == groups[91]
    assert groups[20] == groups[92]
    assert len({*groups.tolist()}) == 97
    assert np.flatnonzero(conflicting).tolist() == [10, 90, 91]


def test_copies_under_two_labels_are_no_evidence_and_are_listed_together(tmp_path: Path) -> None:
    split = split_of_bars()
    images, labels = split.images.copy(), split.labels.copy()
    images[-6:] = images[:6]
    labels[-6:] = (labels[:6] + 1) % 4
    faulty = replace(split, images=images, labels=labels)
    found = examination.examine(faulty, [NETWORK], None, effort(tmp_path))
    rows = ranking.ranked([str(i) for i in range(COUNT)], faulty, found)
    assert {row.path for row in rows if row.reason == OTHER_LABEL} == {
        str(i) for i in (*range(6), *range(COUNT - 6, COUNT))
    }
    assert {row.reason for row in rows[:12]} == {OTHER_LABEL}
    for one, other in zip(rows[:12:2], rows[1:12:2], strict=True):
        assert abs(int(one.path) - int(other.path)) == COUNT - 6
    assert found.diagnosis.kind == "clean"


def test_a_set_of_copies_alone_is_examined_all_the_same(tmp_path: Path) -> None:
    split = split_of_bars(speckles=0)
    labels = split.labels.copy()
    labels[:24] = (labels[:24] + 1) % 4
    faulty = replace(split, labels=labels)
    found = examination.examine(faulty, [NETWORK], knowing(split), effort(tmp_path))
    assert found.conflicting.all()
    p_wrong = 1 - found.p_true[np.arange(COUNT), labels]
    assert roc_auc_score(labels != split.labels, p_wrong) > 0.99


def examined_digits(split: Split, scratch: Path) -> examination.Examination:
    """Examine digits without any network that knows them, as `handwriting diagnose` does."""
    effort = examination.usual_effort(len(split.labels), scratch)
    return examination.examine(split, [examination.fresh_network(split)], None, effort)


def test_without_a_pipeline_labels_are_examined_as_params_yaml_says(tmp_path: Path) -> None:
    usual = examination.usual_effort(2000, tmp_path)
    shape = asdict(examination.fresh_network(digits.split(9)).shape)
    params = workspace.read_params(workspace.ROOT)
    settings, recipe = params["diagnose_labels"], asdict(usual.plan.recipe)
    expected = params["training"] | settings["training"] | {"batch_size": 128}  # of smaller sets
    assert {name: recipe[name] for name in expected} == expected
    assert usual.folds == settings["folds"]
    assert usual.plan.augmentation == Augmentation(**settings["augmentation"])
    medium = params["model_sizes"]["medium"] | {"crop_border": params["pretrain"]["crop_border"]}
    assert json.loads(json.dumps(shape)).items() >= medium.items()


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["none", "symmetric 20", "asymmetric 40"])
def test_labels_of_mnist_are_examined_without_a_network_that_knows_digits(
    fault: str, tmp_path: Path
) -> None:
    split, rng = digits.split(2000), np.random.default_rng(0)
    labels = draw(FAULTS[fault].matrix(rng), split.labels, rng)
    found = examined_digits(replace(split, labels=labels), tmp_path)
    assert found.diagnosis.kind in FAULTS[fault].kinds
    low, high = found.diagnosis.interval
    wrong = labels != split.labels
    assert low - 0.01 <= (~wrong).mean() <= high + 0.01
    if wrong.any():
        p_wrong = 1 - found.p_true[np.arange(2000), labels]
        assert roc_auc_score(wrong, p_wrong) > 0.97
        assert (found.p_true.argmax(1) == split.labels)[wrong].mean() > 0.9


@pytest.mark.slow
def test_garbage_and_copies_among_digits_are_listed_first_with_their_reason(
    tmp_path: Path,
) -> None:
    split, rng = digits.split(2000), np.random.default_rng(0)
    letters = 255 - split.images[:50].transpose(0, 1, 3, 2)
    images, labels, garbage = with_garbage(split.images, split.labels, letters, rng)
    images, labels, copies = with_copies(images, labels, rng)
    faulty = replace(split, images=images, labels=labels)
    found = examined_digits(faulty, tmp_path)
    rows = ranking.ranked([str(i) for i in range(2000)], faulty, found)
    reasons = {int(row.path): row.reason for row in rows}
    assert all(reasons[i] == OTHER_LABEL for i in np.flatnonzero(copies).tolist())
    listed = {int(row.path) for row in rows[:200]}
    strange = np.flatnonzero(garbage & ~copies).tolist()
    assert np.mean([i in listed for i in strange]) > 0.9
    assert np.mean([reasons[i] == NO_CLASS for i in strange]) > 0.5
