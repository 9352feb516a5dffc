"""Images of no class: far from all others, with labels that have nothing to do with them."""

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.decomposition import PCA
from sklearn.isotonic import IsotonicRegression
from torch import Tensor

from handwriting.noise.diagnosis import Floats

_KEPT = 0.9  # of the images, those nearest to a class: what far ones are measured against
_RIDGE = 0.01  # of the mean variance of a feature
_ALIKE = 1e-6  # mean variance of features of images that are all alike
_FITTED = 10_000  # images that components are fitted to, at most: memory
_COMPONENTS = 60  # that images of a few classes are a mixture of
_START, _ROUNDS = 0.03, 40  # of the mixture: share of outliers, and iterations of EM
_WORTH = 8.0  # log likelihood that outliers must explain, or there are none


@torch.no_grad()
def distances(train: Tensor, classes: Tensor, held_out: Tensor) -> Floats:
    """Return the Mahalanobis distance of features, float32 [N, F], to those of the nearest class.

    Class means with one covariance (Lee et al. 2018, arXiv 1807.03888), of the training images
    [M, F] of these classes, int64 [M]; in units of the root of F. The farthest are left out: a
    few images of no class would stretch the covariance.
    """
    inside = torch.arange(len(train))
    for _ in range(2):
        kept = train[inside]
        _, label = np.unique(classes[inside].numpy(), return_inverse=True)
        means = torch.stack([kept[label == each].mean(0) for each in range(label.max() + 1)])
        centred = kept - means[label]
        covariance = centred.T @ centred / len(centred)
        least = covariance.diagonal().mean().clamp(min=_ALIKE)
        covariance += _RIDGE * least * torch.eye(len(covariance))
        factor = torch.linalg.cholesky(covariance)
        far = _nearest(train, means, factor)
        inside = far.argsort()[: max(1, int(_KEPT * len(train)))]
    return np.asarray(_nearest(held_out, means, factor).double().numpy())


def _nearest(features: Tensor, means: Tensor, factor: Tensor) -> Tensor:
    white, centres = (
        torch.linalg.solve_triangular(factor, each.T, upper=False).T for each in (features, means)
    )
    nearest = torch.cdist(white, centres).min(1).values / features.shape[1] ** 0.5
    return torch.as_tensor(nearest)


def unlike(images: NDArray[np.uint8], distances: Floats) -> Floats:
    """Return how unlike the others each of uint8 images [N, 1, S, S] is: [N], typically 0.

    By its features, or by what principal components of all images leave of its pixels: the larger,
    each in robust standard deviations of its logarithm.
    """
    flat = images.reshape(len(images), -1)
    some = flat[:: -(-len(flat) // _FITTED)] / np.float32(255)
    with np.errstate(invalid="ignore"):  # of the shares of a variance that is 0
        pca = PCA(min(_COMPONENTS, *some.shape), svd_solver="randomized", random_state=0).fit(some)
    left = [_left(pca, flat[i : i + _FITTED]) for i in range(0, len(flat), _FITTED)]
    return np.maximum(_standardised(distances), _standardised(np.concatenate(left)))


def _left(pca: PCA, images: NDArray[np.uint8]) -> Floats:
    """Return what the components leave of images [N, pixels], as sums of squares: [N]."""
    pixels = images / np.float32(255)
    rest = pca.inverse_transform(pca.transform(pixels)) - pixels
    return np.asarray((rest**2).sum(1))


def _standardised(values: Floats) -> Floats:
    logs = np.log(values + 1e-6)
    centre = np.median(logs)
    return np.asarray((logs - centre) / (1.4826 * np.median(np.abs(logs - centre)) + 1e-6))


def probabilities(unlike: Floats, likely: Floats, anyhow: Floats) -> Floats:
    """Return the probability of each image to be of no class: [N].

    An outlier has a label as any image may, with probability `anyhow`; another has one with
    probability `likely`, given its posterior. The share of outliers rises with `unlike`: EM with
    isotonic regression. Where that explains little, there are none.
    """
    prior = np.full(len(unlike), _START)
    plain = np.log(likely).sum()
    for _ in range(_ROUNDS):
        mixed = prior * anyhow + (1 - prior) * likely
        share = prior * anyhow / mixed
        prior = IsotonicRegression(y_min=1e-6, y_max=1 - 1e-6).fit_transform(unlike, share)
    mixed = prior * anyhow + (1 - prior) * likely
    gain = np.log(mixed).sum() - plain
    return prior * anyhow / mixed if gain > _WORTH else np.zeros(len(unlike))
