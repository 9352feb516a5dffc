"""Whether two arms differ: paired differences, their interval, tests both ways, and a verdict."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

LEVEL = 0.05  # of all tests; intervals are of 1 - LEVEL

Verdict = Literal["helps", "hurts", "equivalent", "undecided"]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two arms whose seeds are pairs. Differences are of accuracies, 0.01 is one point."""

    n: int  # pairs
    difference: float
    low: float  # of the t interval of the mean difference: over seeds, for these test images
    high: float
    images_low: float  # of the normal interval over test images, for these networks
    images_high: float
    p: float  # of the paired t test
    p_corrected: float
    effect: float  # the mean difference in standard deviations of the differences (Cohen's d_z)
    equivalence_p: float  # of two one-sided tests (Schuirmann 1987) against +- the margin
    margin: float  # the smallest difference of interest
    verdict: Verdict


def compare(right: NDArray[np.bool_], against: NDArray[np.bool_], margin: float) -> Comparison:
    """Compare two arms by which test images they read rightly, bool [seeds, images] each.

    A t test, since five pairs cannot reach p < 0.05 by ranks: the smallest p of Wilcoxon's is 1/16.
    """
    by_seed = right.mean(1) - against.mean(1)
    by_image = (right.astype(float) - against).mean(0)
    test = stats.ttest_1samp(by_seed, 0)
    interval = test.confidence_interval(1 - LEVEL)
    above = stats.ttest_1samp(by_seed, -margin, alternative="greater").pvalue
    below = stats.ttest_1samp(by_seed, margin, alternative="less").pvalue
    reach = stats.norm.ppf(1 - LEVEL / 2) * stats.sem(by_image)
    deviation = by_seed.std(ddof=1)
    found = Comparison(
        n=len(by_seed),
        difference=float(by_seed.mean()),
        low=float(interval.low),
        high=float(interval.high),
        images_low=float(by_image.mean() - reach),
        images_high=float(by_image.mean() + reach),
        p=defined(test.pvalue),
        p_corrected=1.0,
        effect=float(by_seed.mean() / deviation) if deviation else 0.0,
        equivalence_p=defined(max(above, below)),
        margin=margin,
        verdict="undecided",
    )
    return found if deviation else replace(found, low=found.difference, high=found.difference)


def defined(p: float) -> float:
    """A test's p; 1 where all differences are one number, of which no test can tell anything."""
    return 1.0 if np.isnan(p) else float(p)


def corrected(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons of one family, with p corrected for their number and a verdict.

    Benjamini and Yekutieli's (2001) step-up holds however the tests depend on each other, and these
    do: they share arms.
    """
    if not comparisons:
        return []
    adjusted = stats.false_discovery_control([each.p for each in comparisons], method="by")
    return [
        replace(each, p_corrected=float(p), verdict=verdict(each, float(p)))
        for each, p in zip(comparisons, adjusted, strict=True)
    ]


def verdict(found: Comparison, p: float) -> Verdict:
    """What a comparison says, given its corrected p."""
    if p < LEVEL:
        return "helps" if found.difference > 0 else "hurts"
    return "equivalent" if found.equivalence_p < LEVEL else "undecided"


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The t interval of a mean; the mean itself, twice, of values that are all one."""
    found = stats.ttest_1samp(values, 0).confidence_interval(1 - LEVEL)
    if np.isnan(found.low):
        return float(np.mean(values)), float(np.mean(values))
    return float(found.low), float(found.high)
