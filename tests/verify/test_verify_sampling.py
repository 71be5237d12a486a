"""Which reads are drawn, and what that may cost."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstale import Verify
from unstale.core.sampling import BURST_SECONDS, MAX_LIMIT, Budget, gap
from unstale.errors import ConfigurationError, InvalidDurationError

chances = st.floats(min_value=2**-53, max_value=1.0)


@given(rate=st.floats(min_value=1e-6, max_value=0.999), chance=chances)
def test_the_gap_is_where_the_chance_of_none_falls_below_the_drawn_one(rate: float, chance: float) -> None:
    """After n - 1 hits none is drawn with at least this chance, after n with less, but for a float's rounding."""
    count = gap(rate, chance)
    none_after = [math.exp(n * math.log1p(-rate)) for n in (count - 1, count)]
    assert none_after[0] >= chance * (1 - 1e-9)
    assert none_after[1] <= chance * (1 + 1e-9)


def test_each_hit_is_drawn_with_the_same_chance() -> None:
    """Over all chances in equal steps the gaps are distributed as the first success of independent draws is."""
    steps, rate = 100_000, 0.25
    counted = Counter(gap(rate, (step + 0.5) / steps) for step in range(steps))
    shares = [counted[n] / steps for n in range(1, 6)]
    assert shares == pytest.approx([rate * (1 - rate) ** n for n in range(5)], abs=1e-4)


def test_with_a_rate_of_one_each_hit_is_drawn() -> None:
    """Whatever the chance."""
    assert {gap(1.0, chance) for chance in (2**-53, 0.5, 1.0)} == {1}


def test_a_budget_is_a_share_of_time() -> None:
    """What is spent comes back at the share's pace, and no more than the burst is saved up."""
    budget = Budget(0.1)
    assert budget.has_any(100.0)
    budget.spend(BURST_SECONDS + 0.5)
    assert not budget.has_any(104.9)
    assert budget.has_any(105.1)
    assert budget.has_any(100_000.0)
    budget.spend(BURST_SECONDS)
    assert not budget.has_any(100_000.0)


@pytest.mark.parametrize(
    "options",
    [
        {"rate": -0.1},
        {"rate": 1.1},
        {"rate": True},
        {"rate": "0.1"},
        {"rate": math.nan},
        {"rate": 0.1, "share": 0.0},
        {"rate": 0.1, "share": 1.5},
        {"rate": 0.1, "limit": None},
        {"rate": 0.1, "limit": MAX_LIMIT + 1},
        {"rate": 0.1, "except_keys": "now:"},
        {"rate": 0.1, "except_keys": [""]},
        {"rate": 0.1, "same": 1},
        {"rate": 0.1, "gone": LookupError},
        {"rate": 0.1, "gone": [int]},
        {"rate": 0.1, "kind_of": "key"},
        {"rate": 0.1, "unless": True},
        {"rate": 0.1, "views": 1},
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(options: Any) -> None:
    """At once, and with a sentence."""
    with pytest.raises(ConfigurationError, match=r"^verify's"):
        Verify(**options)


def test_a_limit_is_a_duration() -> None:
    """As all others."""
    with pytest.raises(InvalidDurationError):
        Verify(0.1, limit=0)


def test_it_can_be_looked_up() -> None:
    """Also with a list: Django's settings are compared with those that were seen before."""
    assert len({Verify(0.1, except_keys=["a"]), Verify(0.1, except_keys=("a",))}) == 1  # type: ignore[arg-type]
