"""Images of no class: how far they are, and how likely."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from handwriting.noise import outliers
from tests import digits

COUNT, FEATURES = 600, 12


def clusters(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Features of three classes, of which one direction varies ten times as much as the others."""
    generator = torch.Generator().manual_seed(seed)
    classes = torch.arange(count) % 3
    spread = torch.ones(FEATURES)
    spread[0] = 10
    centres = 20 * torch.eye(FEATURES)[1:4]
    noise = torch.randn(count, FEATURES, generator=generator)
    return centres[classes] + noise * spread, classes


def test_a_distance_is_1_typically_and_counts_directions_by_how_much_they_vary() -> None:
    train, classes = clusters(COUNT, 0)
    held_out, _ = clusters(COUNT, 1)
    usual = outliers.distances(train, classes, held_out)
    assert np.median(usual) == pytest.approx(1, abs=0.15)
    along, across = held_out.clone(), held_out.clone()
    along[:, 0] += 10
    across[:, 8] += 10
    assert np.median(outliers.distances(train, classes, along)) < 1.3
    assert np.median(outliers.distances(train, classes, across)) > 2


def test_a_few_images_of_no_class_in_training_do_not_hide_others() -> None:
    train, classes = clusters(COUNT, 0)
    odd = torch.arange(COUNT) % 20 == 3
    train[odd] += 30 * torch.randn(int(odd.sum()), FEATURES)
    held_out, _ = clusters(COUNT, 1)
    far = held_out[:30] + 30 * torch.randn(30, FEATURES)
    usual = outliers.distances(train, classes, held_out)
    assert outliers.distances(train, classes, far).min() > np.quantile(usual, 0.9)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_a_class_of_one_image_and_features_that_never_vary_are_no_error(count: int) -> None:
    train = torch.zeros(count, FEATURES)
    found = outliers.distances(train, torch.arange(count) % 2, torch.ones(3, FEATURES))
    assert found.shape == (3,)


def test_digits_in_pieces_are_unlike_the_others_and_so_is_what_is_far() -> None:
    rng = np.random.default_rng(0)
    images = digits.split(1000).images.copy()
    pieces = images[:20].reshape(20, 4, 7, 4, 7).swapaxes(2, 3).reshape(20, 16, 49)
    pieces = rng.permuted(pieces, axis=1).reshape(20, 4, 4, 7, 7).swapaxes(2, 3)
    images[:20] = pieces.reshape(20, 1, 28, 28)
    distances = rng.uniform(0.8, 1.2, 1000)
    distances[20:25] = 9
    found = outliers.unlike(images, distances)
    assert {*range(20, 25)} <= {*found.argsort()[-30:].tolist()}
    assert roc_auc_score(np.arange(1000) < 25, found) > 0.95
    assert abs(np.median(found)) < 1


def test_images_that_are_all_alike_are_no_error() -> None:
    assert np.isfinite(outliers.unlike(np.zeros((4, 1, 28, 28), np.uint8), np.ones(4))).all()


def labelled(strange: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unlikeness, likelihood of the label, and its frequency, of 1,000 images, the first so many
    of which are of no class: far from the others, under labels that do not fit."""
    rng = np.random.default_rng(0)
    unlike = rng.normal(0, 1, 1000)
    unlike[:strange] = rng.normal(6, 1, strange)
    likely = np.full(1000, 0.97)
    likely[:strange] = rng.choice([0.97, 0.003], strange, p=[0.1, 0.9])
    return unlike, likely, np.full(1000, 0.1)


def test_what_is_far_and_has_any_label_is_of_no_class() -> None:
    found = outliers.probabilities(*labelled(30))
    assert (found[:30] > 0.5).mean() > 0.9
    assert found[30:].max() < 0.1


def test_where_all_labels_fit_nothing_is_of_no_class_however_far_it_is() -> None:
    unlike, likely, anyhow = labelled(30)
    assert (outliers.probabilities(unlike, np.full_like(likely, 0.97), anyhow) == 0).all()


def test_wrong_labels_of_images_like_the_others_are_not_taken_for_images_of_no_class() -> None:
    unlike, likely, anyhow = labelled(0)
    likely[::10] = 0.03
    assert outliers.probabilities(unlike, likely, anyhow).max() < 0.5
