"""Images ranked by how likely their label is wrong."""

import numpy as np

from handwriting.noise.ranking import ranked

CLASSES = ("circle", "square", "NA")
EXCHANGED = np.array([[1, 0, 0], [0, 0, 1], [0, 1, 0]], float)
CLEAN = np.eye(3)


def test_exchanged_labels_come_first_with_the_class_they_are_of() -> None:
    labels = np.array([0, 1, 2, 0])
    posteriors = np.full((4, 3), 0.1)
    posteriors[range(4), [0, 2, 1, 0]] = 0.8
    table = ranked(posteriors, labels, 0.98 * EXCHANGED + 0.02 / 3, CLASSES)
    assert table["row"].tolist()[:2] == [1, 2]
    assert table["suggested"].tolist() == ["NA", "square", "circle", "circle"]
    assert (table["p_wrong"] > 0.9).tolist() == [True, True, False, False]


def test_of_clean_labels_the_ones_that_the_network_doubts_come_first() -> None:
    posteriors = np.array([[0.98, 0.01, 0.01], [0.1, 0.8, 0.1], [0.6, 0.2, 0.2]])
    table = ranked(posteriors, np.array([0, 0, 0]), 0.9 * CLEAN + 0.1 / 3, CLASSES)
    assert table["row"].tolist() == [1, 2, 0]
    assert table["suggested"].tolist() == ["circle"] * 3  # labels that are right so often prevail
    assert np.allclose(table["p_wrong"] + table["p_suggested"], 1)
