"""Self-training: which pseudo-labels a network gives, and how they are stored."""

from pathlib import Path

import numpy as np
import pytest
import torch

from handwriting.core.errors import InputError
from handwriting.noise import self_training
from handwriting.noise.self_training import SelfTraining
from handwriting.training import model
from handwriting.training.augmentation import Augmentation
from tests.networks import SHAPE
from tests.noise.test_forward_correction import COMPLEMENTARY


def test_a_network_labels_only_what_it_is_sure_of_and_never_with_the_impossible() -> None:
    network = model.fresh(SHAPE, "a test", 0)
    with torch.no_grad():
        network.head.bias[4] = 50.0  # it says 4, whatever it sees
    images = torch.zeros(20, 1, 28, 28, dtype=torch.uint8)
    given = torch.arange(20) % 10
    how = SelfTraining(
        views=2, temperature=0.5, confidence=0.9, label_smoothing=0.1, augmentation=Augmentation()
    )
    found = self_training.distributions(network, images, given, COMPLEMENTARY, how, "a test", 0)
    assert torch.equal(found.argmax(1)[given != 4], torch.full((18,), 4))
    assert torch.allclose(found[given != 4].sum(1), torch.ones(18))
    assert torch.allclose(found[given != 4].amin(1), torch.full((18,), 0.01))  # smoothed
    assert (found[given == 4] == 0).all()  # 4 is impossible, and of the rest it is not sure
    labels = self_training.labels_of(found)
    assert set(labels[given.numpy() == 4]) == {self_training.NONE}
    assert set(labels[given.numpy() != 4]) == {4}


def test_pseudo_labels_are_read_as_stored_and_another_file_is_refused(tmp_path: Path) -> None:
    path, labels = tmp_path / "labels.npy", np.arange(-1, 11, dtype=np.int8).reshape(2, 2, 3)
    self_training.store(labels, path, tmp_path)
    assert np.array_equal(self_training.load(path), labels)
    np.save(path, np.array([object()]))
    with pytest.raises(InputError, match=r"labels\.npy: not a file of pseudo-labels"):
        self_training.load(path)
