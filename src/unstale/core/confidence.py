"""What a sample says of all reads: the share that it found, and the least that the share is likely to be.

The bound is exact for independent draws: C. J. Clopper and E. S. Pearson, "The use of confidence or fiducial limits
illustrated in the case of the binomial", Biometrika 26 (1934), one-sided. It never promises more than it should, where
an approximation might: near a share of 1, where nines are. Where nothing bad was found it is the rule of three: 0 of n
is at most 3 / n, with 95 % confidence (J. A. Hanley and A. Lippman-Hand, "If nothing goes wrong, is everything all
right?", JAMA 249 (1983)).

Beyond MOST_SUMMED bad ones, whose chances would take long to add up, it is Chernoff's bound in place of the sum,
which is never below it: so the share that is promised is a little less.
"""

from __future__ import annotations

import math
from typing import Final

CONFIDENCE: Final = 0.95
_STEPS: Final = 60
"""Of a bisection: far below what a float tells apart near the bounds that n of this size has."""
MOST_SUMMED: Final = 1_000_000
_NEGLIGIBLE: Final = 1e-17


def least_share(good: int, judged: int, confidence: float = CONFIDENCE) -> float:
    """The least that the share of good ones among all is, with this confidence.

    Args:
        good: how many of the sample were.
        judged: the sample's size.
        confidence: how often such a statement is right, at the least; from above 0 to below 1.

    Returns:
        From 0 to below 1; 0 for an empty sample.
    """
    if judged <= 0 or good <= 0:
        return 0.0
    bad, miss = judged - good, 1 - confidence
    if bad == 0:
        return math.exp(math.log(miss) / judged)
    low, high = bad / judged, 1.0
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if _at_most(bad, judged, middle) > miss:
            low = middle
        else:
            high = middle
    return 1 - high


def _at_most(bad: int, judged: int, share: float) -> float:
    """The chance of at most so many bad ones, each of n being one with the chance `share`: at least bad / n."""
    if share >= 1:
        return 0.0
    if bad > MOST_SUMMED:
        found = bad / judged
        apart = found * math.log(found / share) + (1 - found) * math.log((1 - found) / (1 - share))
        return math.exp(-judged * apart)
    logarithm = (
        math.lgamma(judged + 1)
        - math.lgamma(bad + 1)
        - math.lgamma(judged - bad + 1)
        + bad * math.log(share)
        + (judged - bad) * math.log1p(-share)
    )
    term = total = 1.0
    for count in range(bad, 0, -1):  # from the largest term down, each by the one above it
        term *= count * (1 - share) / ((judged - count + 1) * share)
        total += term
        if term < _NEGLIGIBLE * total:
            break
    return math.exp(logarithm + math.log(total))
