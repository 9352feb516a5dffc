"""Whether two arms differ: paired differences, intervals, tests in both directions, verdicts."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from handwriting.core.errors import InputError

LEVEL = 0.05  # of all tests; intervals are of 1 - LEVEL
TESTS = ("p", "equivalence_p")
P = (*TESTS, *(f"{name}_corrected" for name in TESTS))


def compare(
    correct: NDArray[np.bool_], against: NDArray[np.bool_], margin: float
) -> dict[str, float]:
    """Return the difference of two arms' accuracies with its intervals and tests.

    The arms are the images that they classify correctly, bool [seeds, images]; seeds are pairs.
    `low` and `high` are the interval over seeds for these images, `images_low` and `images_high`
    over images for these networks. `p` is of a paired t test, since five pairs cannot reach 0.05 by
    ranks: the smallest p of Wilcoxon's is 1/16. `effect` is Cohen's d_z. `equivalence_p` is of two
    one-sided tests (Schuirmann 1987) against +- `margin`. Raises InputError for a single seed.
    """
    if len(correct) < 2:
        raise InputError("params.yaml: seeds: a single seed cannot be compared, two at least")
    more_correct = correct.sum(1) - against.sum(1)  # integers: equal ones are equal
    by_seed, by_image = more_correct / correct.shape[1], (correct.astype(float) - against).mean(0)
    (low, high), mean = interval(by_seed, (-1, 1)), by_image.mean()
    reach = stats.sem(by_image) * stats.norm.ppf(1 - LEVEL / 2)
    found = {"n": len(by_seed), "difference": by_seed.mean(), "low": low, "high": high}
    found |= {"images_low": max(-1.0, mean - reach), "images_high": min(1.0, mean + reach)}
    if np.ptp(more_correct) == 0:  # no spread for a test: within the margin, or not
        tests = {"p": 1.0, "effect": 0.0, "equivalence_p": float(abs(by_seed[0]) >= margin)}
        return found | tests | {"margin": margin}
    p, above, below = (
        stats.ttest_1samp(by_seed, value, alternative=side).pvalue
        for value, side in ((0, "two-sided"), (-margin, "greater"), (margin, "less"))
    )
    effect = by_seed.mean() / by_seed.std(ddof=1)
    tests = {"p": p, "effect": effect, "equivalence_p": max(above, below)}
    return found | tests | {"margin": margin}


def with_verdicts(comparisons: pd.DataFrame, family: str) -> pd.DataFrame:
    """Return rows of compare() with p values corrected within each family, and a verdict.

    Benjamini and Yekutieli's (2001) step-up holds the false discovery rate for any dependence
    between the tests. These share networks, pretrained checkpoints and test images.
    """
    families, found = comparisons.groupby(family), comparisons.copy()
    for name in TESTS:
        corrected = families[name].transform(stats.false_discovery_control, method="by")
        found[f"{name}_corrected"] = corrected
    different, within = (found[f"{name}_corrected"] < LEVEL for name in TESTS)
    cases = [different & (found["difference"] > 0), different, within]
    verdict = np.select(cases, ["helps", "hurts", "equivalent"], "undecided")
    return found.assign(within_margin=within.astype(int), verdict=verdict)


def interval(values: ArrayLike, bounds: tuple[float, float]) -> tuple[float, float]:
    """Return the t interval of a mean, within bounds; of equal values the mean itself, twice."""
    if np.ptp(values) == 0:
        return float(np.max(values)), float(np.max(values))
    found = stats.ttest_1samp(values, 0).confidence_interval(1 - LEVEL)
    return max(bounds[0], float(found.low)), min(bounds[1], float(found.high))
