"""Geometry features: of about mean 0 and deviation 1, and finite for ink of no size."""

import numpy as np

from handwriting.data import geometry


def test_the_mean_image_has_features_of_zero() -> None:
    mean = np.array([[np.exp(-0.747), np.exp(-1.321), 0.525, 0.488]], np.float32)
    assert np.abs(geometry.standardised(mean)).max() < 1e-5
    wider = mean * np.array([1, np.exp(0.338), 1, 1], np.float32)
    assert np.allclose(geometry.standardised(wider), [[0, 1, 0, 0]], atol=1e-5)


def test_ink_of_no_size_has_finite_features() -> None:
    found = geometry.standardised(np.zeros((2, 4), np.float32))
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
