"""Whether two arms differ: paired differences, their interval, tests both ways, and a verdict."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from handwriting.core.errors import InputError

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
    equivalence_p_corrected: float
    margin: float  # the smallest difference of interest
    verdict: Verdict

    @property
    def within_margin(self) -> bool:
        """Whether the difference, be there one or not, is smaller than the one of interest."""
        return self.equivalence_p_corrected < LEVEL


def compare(right: NDArray[np.bool_], against: NDArray[np.bool_], margin: float) -> Comparison:
    """Compare two arms by which test images they read rightly, bool [seeds, images] each.

    A t test, since five pairs cannot reach p < 0.05 by ranks: the smallest p of Wilcoxon's is 1/16.
    Raises InputError for a single seed, of which nothing can be said.
    """
    if len(right) < 2:
        raise InputError("arms of a single seed cannot be compared: two at least, in params.yaml")
    more_right = right.sum(1) - against.sum(1)  # whole numbers: equal ones are equal
    by_seed = more_right / right.shape[1]
    by_image = (right.astype(float) - against).mean(0)
    reach = stats.norm.ppf(1 - LEVEL / 2) * stats.sem(by_image)
    found = Comparison(
        n=len(by_seed),
        difference=float(by_seed.mean()),
        low=float(by_seed.mean()),
        high=float(by_seed.mean()),
        images_low=float(by_image.mean() - reach),
        images_high=float(by_image.mean() + reach),
        p=1.0,
        p_corrected=1.0,
        effect=0.0,
        equivalence_p=float(abs(by_seed[0]) >= margin),
        equivalence_p_corrected=1.0,
        margin=margin,
        verdict="undecided",
    )
    if np.ptp(more_right) == 0:  # no spread for a test: within the margin, or not
        return found
    test = stats.ttest_1samp(by_seed, 0)
    interval = test.confidence_interval(1 - LEVEL)
    above = stats.ttest_1samp(by_seed, -margin, alternative="greater").pvalue
    below = stats.ttest_1samp(by_seed, margin, alternative="less").pvalue
    return replace(
        found,
        low=float(interval.low),
        high=float(interval.high),
        p=float(test.pvalue),
        effect=float(by_seed.mean() / by_seed.std(ddof=1)),
        equivalence_p=float(max(above, below)),
    )


def corrected(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons of one family, with both p corrected for their number, and a verdict.

    Benjamini and Yekutieli's (2001) step-up holds the false discovery rate however the tests depend
    on each other, and these do: they share networks, base networks and test images.
    """
    if not comparisons:
        return []
    unequal, equal = (
        stats.false_discovery_control([getattr(each, name) for each in comparisons], method="by")
        for name in ("p", "equivalence_p")
    )
    return [
        decided(replace(each, p_corrected=float(p), equivalence_p_corrected=float(q)))
        for each, p, q in zip(comparisons, unequal, equal, strict=True)
    ]


def decided(found: Comparison) -> Comparison:
    """The comparison with what its corrected p say."""
    if found.p_corrected < LEVEL:
        return replace(found, verdict="helps" if found.difference > 0 else "hurts")
    return replace(found, verdict="equivalent" if found.within_margin else "undecided")


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The t interval of a mean; the mean itself, twice, of values that are all one."""
    if np.ptp(values) == 0:
        return float(values[0]), float(values[0])
    found = stats.ttest_1samp(values, 0).confidence_interval(1 - LEVEL)
    return float(found.low), float(found.high)
