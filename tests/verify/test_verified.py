"""What was found, added up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unstale.core.verified import (
    BOUNDS,
    LEAST_JUDGED,
    MAX_KINDS,
    OTHERS,
    Counts,
    Verification,
    add_to,
    kind_of,
    settled_after,
    total_of,
)

few = st.integers(0, 50)
counts = st.builds(
    Counts,
    few,
    st.tuples(*[few] * (len(BOUNDS) + 1)),
    *[few] * 5,
)


@given(one=counts, other=counts)
def test_counts_add_up(one: Counts, other: Counts) -> None:
    """In any order, and with all that is asked of them."""
    both = one + other
    assert both == other + one
    assert both.judged == one.judged + other.judged
    assert [both.within(bound) for bound in BOUNDS] == [one.within(bound) + other.within(bound) for bound in BOUNDS]
    assert bool(both) == (bool(one) or bool(other))
    assert total_of([one, other]) == both


@given(found=counts)
def test_all_that_was_judged_is_the_same_settled_lost_or_unsettled(found: Counts) -> None:
    """And more are consistent within a longer time; the lost and the unsettled within none."""
    within = [found.within(seconds) for seconds in (0.0, *BOUNDS, 1e9)]
    assert within == sorted(within)
    assert within[0] == found.same
    assert within[-1] == found.judged - found.lost - found.unsettled - found.settled[-1]


@pytest.mark.parametrize("at_most", [0.0, 0.01, 0.0100001, 5.0, 60.0, 61.0])
def test_what_settled_counts_from_the_time_by_which_that_was_seen(at_most: float) -> None:
    """Not sooner."""
    one = settled_after(at_most)
    assert sum(one.settled) == 1
    assert [bound for bound in BOUNDS if one.within(bound)] == [bound for bound in BOUNDS if bound >= at_most]


@given(seconds=st.floats(0, 100))
def test_between_two_bounds_the_lower_one_counts(seconds: float) -> None:
    """So nothing is claimed that was not seen."""
    found = Counts(same=1, settled=tuple(range(1, len(BOUNDS) + 2)))
    lower = max((bound for bound in BOUNDS if bound <= seconds), default=0.0)
    assert found.within(seconds) == found.within(lower)


def test_kinds_are_bounded() -> None:
    """What comes beyond is counted all the same."""
    kinds: dict[str, Counts] = {}
    for number in range(MAX_KINDS + 50):
        add_to(kinds, f"kind {number}", Counts(same=1))
    add_to(kinds, "kind 0", Counts(lost=1))
    assert len(kinds) == MAX_KINDS + 1
    assert kinds[OTHERS] == Counts(same=50)
    assert kinds["kind 0"] == Counts(same=1, lost=1)
    assert total_of(kinds.values()) == Counts(same=MAX_KINDS + 50, lost=1)


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("orders:42", "orders:*"),
        ("user:42/orders", "user:*/orders"),
        (":1:user:42:orders", ":*:user:*:orders"),
        ("front-page", "front-page"),
        ("page|x?q=1&sort=name", "page|x?q=*&sort=name"),
        ("call:d41d8cd98f00b204e9800998ecf8427e", "call:*"),
        ("session:" + "x" * 30, "session:*"),
        ("product:umbrella", "product:umbrella"),
    ],
)
def test_kinds_of_keys(key: str, kind: str) -> None:
    """Ids are replaced; names are not known to be ids."""
    assert kind_of(key) == kind


def test_a_kind_that_always_differs() -> None:
    """A few reads must have been judged, and none may have been the same."""
    assert not Counts(lost=LEAST_JUDGED - 1).always_differs
    assert Counts(lost=LEAST_JUDGED).always_differs
    assert Counts(unrepeatable=LEAST_JUDGED).always_differs
    assert not Counts(same=1, lost=LEAST_JUDGED).always_differs


def test_the_share_within_some_seconds() -> None:
    """Of those that were judged: what failed or was skipped says nothing."""
    found = Verification(
        {"a": Counts(same=97, lost=1, failed=5, skipped=50), "b": settled_after(0.05) + settled_after(2)}
    )
    shares = [found.consistent_within(seconds) for seconds in (0, 0.1, 60)]
    assert [(one.good, one.judged) for one in shares] == [(97, 100), (98, 100), (99, 100)]
    assert all(0.9 < one.least < one.good / one.judged for one in shares)
    assert Verification().consistent_within(1).found is None
