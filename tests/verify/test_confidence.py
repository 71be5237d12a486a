"""What a sample says of all reads."""

from __future__ import annotations

import random
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstale.core import confidence
from unstale.core.confidence import least_share
from unstale.core.sampling import gap


def at_most(bad: int, judged: int, share: float) -> float:
    """The chance of at most so many bad ones, by the definition."""
    return sum(comb(judged, n) * share**n * (1 - share) ** (judged - n) for n in range(bad + 1))


samples = st.integers(1, 200).flatmap(lambda judged: st.tuples(st.integers(1, judged), st.just(judged)))


@given(sample=samples, sure=st.sampled_from([0.8, 0.95, 0.99]))
def test_it_is_the_share_at_which_so_good_a_sample_is_just_too_lucky(sample: tuple[int, int], sure: float) -> None:
    """Were the share of good ones only this, a sample as good would come with the chance that is left."""
    good, judged = sample
    least = least_share(good, judged, sure)
    assert at_most(judged - good, judged, 1 - least) == pytest.approx(1 - sure, rel=1e-6)
    assert 0 < least < good / judged


@pytest.mark.parametrize("judged", [10, 1000, 10**6])
def test_none_bad_is_the_rule_of_three(judged: int) -> None:
    """At most 3 / n are bad, with 95 % confidence, and no less than that by a tenth."""
    assert 2.5 / judged < 1 - least_share(judged, judged) < 3 / judged


@pytest.mark.parametrize(("good", "judged"), [(0, 0), (0, 7)])
def test_nothing_good_says_nothing(good: int, judged: int) -> None:
    """Also where nothing was judged."""
    assert least_share(good, judged) == 0.0


def test_large_samples() -> None:
    """By the tables of chi-squared: 3 of 10^7 are at most 7.7537 of 10^7; 10,000 of 10^6 lie near 1 %."""
    assert 1 - least_share(10**7 - 3, 10**7) == pytest.approx(7.7537e-7, rel=1e-4)
    assert 0.0101 < 1 - least_share(990_000, 10**6) < 0.0102


@pytest.mark.parametrize(("bad", "judged"), [(1, 10), (500, 1000), (5000, 10**6), (999_999, 10**6)])
def test_beyond_what_can_be_summed_less_is_promised(monkeypatch: pytest.MonkeyPatch, bad: int, judged: int) -> None:
    """Never more than the exact bound, and by Chernoff's 2.5 standard deviations below in place of 1.6."""
    exact = least_share(judged - bad, judged)
    monkeypatch.setattr(confidence, "MOST_SUMMED", 0)
    bound = least_share(judged - bad, judged)
    assert 0 < bound < exact
    found = (judged - bad) / judged
    assert found - bound < 2 * (found - exact)


@pytest.mark.parametrize("judged", [10**12, 10**18])
def test_counts_beyond_all_reason(judged: int) -> None:
    """They are no work."""
    assert 0.4999 < least_share(judged // 2, judged) < 0.5


def test_samples_of_reads_of_which_the_share_is_known() -> None:
    """Reads of which 2 % are bad, in runs, as an outage makes them; sampled by gaps: the bound holds 19 times of 20."""
    draw = random.Random(1)
    reads, trials, held = 20_000, 400, 0
    bad = {read for start in range(0, reads, 1000) for read in range(start, start + 20)}
    for _ in range(trials):
        at, good, judged = gap(0.02, 1 - draw.random()) - 1, 0, 0
        while at < reads:
            judged += 1
            good += at not in bad
            at += gap(0.02, 1 - draw.random())
        held += least_share(good, judged) <= 1 - len(bad) / reads
    assert held / trials >= 0.95
