"""The requests that a plan offers: how many, when, of whom; and always the same."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from statistics import fmean

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from unstale.tools.lab.plan import Plan
from unstale.tools.lab.schedule import ACTION, CATALOGUE, HISTORY, schedule, warm_up, window

PLANS = st.builds(
    Plan,
    rate=st.floats(1, 80),
    seconds=st.floats(0.1, 4),
    warm_seconds=st.floats(0, 2),
    actions=st.floats(0, 1),
    catalogue=st.floats(0, 1),
    users=st.integers(1, 50),
    together=st.integers(1, 7),
    together_seconds=st.floats(0, 3),
    pages=st.integers(1, 6),
    user_law=st.floats(0, 2),
    page_law=st.floats(0, 2),
    seed=st.integers(0, 1000),
)


@given(PLANS)
def test_the_rate_is_the_plans_with_every_seed(plan: Plan) -> None:
    """The window holds as many requests as its length at the plan's rate, and so does the warm-up."""
    assert (len(warm_up(plan)), len(window(plan))) == (
        round(plan.rate * plan.warm_seconds),
        round(plan.rate * plan.seconds),
    )


@given(PLANS)
def test_the_kinds_have_the_plans_parts(plan: Plan) -> None:
    """As many requests are actions, and as many reads are of the catalogue, as the plan says; to the request."""
    counts = Counter(due.kind for due in window(plan))
    total = sum(counts.values())
    actions = round(plan.actions * total)
    catalogue = round(plan.catalogue * (total - actions))
    assert (counts[ACTION], counts[CATALOGUE], counts[HISTORY]) == (actions, catalogue, total - actions - catalogue)


@given(PLANS)
def test_requests_come_in_the_order_of_time_from_the_warm_up_into_the_window(plan: Plan) -> None:
    """Times only grow, within the warm-up and the window."""
    times = [due.at for due in schedule(plan)]
    assert times == sorted(times)
    assert all(-plan.warm_seconds <= at < 0 for at in times[: len(warm_up(plan))])
    assert all(0 <= at <= plan.seconds for at in times[len(warm_up(plan)) :])


@given(PLANS)
def test_users_and_pages_are_the_plans(plan: Plan) -> None:
    """No request is of a user or a page that there is none of."""
    assert {due.user for due in schedule(plan)} <= set(range(plan.users))
    assert {due.page for due in schedule(plan)} <= set(range(1, plan.pages + 1))


@given(PLANS)
def test_the_same_plan_gives_the_same_requests(plan: Plan) -> None:
    """Nothing but the plan is drawn from, and not what is to run."""
    assert schedule(plan) == schedule(replace(plan, variants=("unstale",), keys=7, server="redis-server"))


def test_another_seed_gives_other_requests() -> None:
    """The seed is used for times, users and kinds."""
    first, second = window(Plan(seed=1)), window(Plan(seed=2))
    assert [due.at for due in first] != [due.at for due in second]
    assert [due.user for due in first] != [due.user for due in second]
    assert [due.kind for due in first] != [due.kind for due in second]


def test_a_longer_warm_up_leaves_the_window_as_it_is() -> None:
    """Two runs that warm up differently measure the same requests."""
    assert window(Plan(warm_seconds=1)) == window(Plan(warm_seconds=9))


@given(PLANS)
def test_a_visit_is_of_one_user_and_short(plan: Plan) -> None:
    """Ordered by user, requests fall into visits of the plan's size and length: no user has a part of one."""
    asked = window(replace(plan, users=1000, user_law=0.0, together_seconds=0.0))
    visits = Counter((due.user, due.at) for due in asked)
    whole, rest = divmod(len(asked), plan.together)
    assert sorted(visits.values(), reverse=True) == [plan.together] * whole + [rest] * (rest > 0)


def test_a_visits_requests_come_within_its_time_each_at_its_own() -> None:
    """Of one user who comes once, all is asked for within the time that the plan says, and not at once."""
    times = [due.at for due in window(Plan(rate=5, seconds=1, together=5, together_seconds=0.2))]
    assert 0 < times[-1] - times[0] <= 0.2
    assert len(set(times)) == 5


def test_gaps_are_those_of_independent_users() -> None:
    """As in a Poisson process, 1 - 1/e of the gaps are shorter than the mean one; evenly spaced, none would be."""
    times = [due.at for due in window(Plan(rate=2000, seconds=10, together=1))]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    mean_gap = fmean(gaps)
    assert abs(fmean(gap < mean_gap for gap in gaps) - 0.632) < 0.02


def test_users_come_by_a_zipf_law() -> None:
    """The busiest user comes 2**1.1 times as often as the second, and 10**1.1 times as often as the tenth."""
    counts = Counter(due.user for due in window(Plan(rate=20_000, seconds=10, together=1)))
    assert abs(counts[0] / counts[1] - 2**1.1) < 0.15
    assert abs(counts[0] / counts[9] - 10**1.1) < 1.5


def test_pages_come_by_a_zipf_law() -> None:
    """The first page is read 2**1.5 times as often as the second."""
    counts = Counter(due.page for due in window(Plan(rate=20_000, seconds=10, together=1)))
    assert abs(counts[1] / counts[2] - 2**1.5) < 0.15


def test_kinds_are_mixed_over_the_window() -> None:
    """Actions do not come all at the beginning: each quarter of the window has its part of them."""
    asked = window(Plan(rate=1000, seconds=8))
    quarters = [asked[start : start + 2000] for start in range(0, 8000, 2000)]
    assert all(abs(fmean(due.kind == ACTION for due in quarter) - 0.1) < 0.03 for quarter in quarters)
