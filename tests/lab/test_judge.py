"""What a stale answer is."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from unstale.tools.lab.judge import Judge, is_stale

ACTIONS = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 40)))
"""Answered actions: a user and an order's id each, in any order."""


def judge_of(actions: list[tuple[int, int]]) -> Judge:
    """A judge who has seen these answers."""
    judge = Judge()
    for user, order in actions:
        judge.answered(user, order)
    return judge


def test_only_an_older_version_is_stale() -> None:
    """The floor itself may be shown, and what is newer."""
    assert [is_stale(version, 7) for version in (6, 7, 8)] == [True, False, False]


def test_a_user_who_has_not_acted_has_no_floor() -> None:
    """Before the first action is answered, nothing can be stale."""
    assert Judge().began(3) == 0


def test_an_answer_before_the_request_raises_its_floor_and_one_after_it_does_not() -> None:
    """A version is judged by what had been answered when the request began, not when its answer came."""
    judge = judge_of([(1, 10)])
    floor = judge.began(1)
    judge.answered(1, 11)
    assert judge.behind(1, 10, floor) == 0
    assert judge.behind(1, 10, judge.began(1)) == 1


def test_behind_counts_the_users_own_actions() -> None:
    """Ids are the database's for all users: two orders of another one in between are not this user's."""
    judge = judge_of([(1, 10), (2, 11), (2, 12), (1, 13), (1, 14)])
    assert judge.behind(1, 10, judge.began(1)) == 2


def test_an_older_action_answered_later_does_not_lower_the_floor() -> None:
    """Two actions of one user at a time may be answered the other way round."""
    assert judge_of([(1, 11), (1, 10)]).began(1) == 11


def test_a_version_from_before_the_first_action_is_behind_all_of_them() -> None:
    """An answer that shows the seeded orders only has missed every action since."""
    judge = judge_of([(1, 1000), (1, 1001)])
    assert judge.behind(1, 20, judge.began(1)) == 2


@given(ACTIONS, st.integers(0, 3), st.integers(0, 41))
def test_behind_is_the_count_of_answered_orders_above_the_version(
    actions: list[tuple[int, int]], user: int, version: int
) -> None:
    """Each of the user's answered orders that is newer than the version counts once."""
    judge = judge_of(actions)
    newer = {order for whose, order in actions if whose == user and order > version}
    assert judge.behind(user, version, judge.began(user)) == len(newer)


@given(ACTIONS, ACTIONS, st.integers(0, 3), st.integers(0, 41))
def test_stale_is_what_is_behind_whatever_is_answered_meanwhile(
    before: list[tuple[int, int]], meanwhile: list[tuple[int, int]], user: int, version: int
) -> None:
    """Answers that come while a request is under way make it neither stale nor fresh."""
    judge = judge_of(before)
    floor = judge.began(user)
    for whose, order in meanwhile:
        judge.answered(whose, order)
    assert (judge.behind(user, version, floor) > 0) == is_stale(version, floor)


@given(ACTIONS)
def test_a_floor_only_rises(actions: list[tuple[int, int]]) -> None:
    """Whatever comes, in whatever order."""
    judge = Judge()
    floors = [(judge.answered(user, order), judge.began(1))[1] for user, order in actions]
    assert floors == sorted(floors)
