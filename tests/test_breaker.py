"""The breaker's decisions: when reads no longer ask, when one probes, and who may."""

from __future__ import annotations

import math

import pytest

from unstale.core.breaker import (
    FAILURES,
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    LOST_SECONDS,
    PATIENT_EVERY,
    Breaker,
    Leave,
)

ALL = 1.0
"""The chance with which a pause has its whole length."""


def opened(now: float = 0.0) -> Breaker:
    """A breaker that has just opened."""
    breaker = Breaker()
    for _ in range(FAILURES):
        breaker.failed(Leave.ASK, now, ALL)
    return breaker


def test_calm() -> None:
    """Without a failure all ask, and the hot path sees that it need not."""
    breaker = Breaker()
    assert (breaker.is_troubled, breaker.is_open, breaker.is_patient) == (False, False, True)
    assert breaker.leave(0.0) is Leave.ASK


def test_a_few_failures_trouble_it() -> None:
    """Failures below the limit: reads ask on, within shorter limits for a new connection."""
    breaker = Breaker()
    said = [breaker.failed(Leave.ASK, 0.0, ALL) for _ in range(FAILURES - 1)]
    assert said == [0] * (FAILURES - 1)
    assert (breaker.is_troubled, breaker.is_open, breaker.is_patient) == (True, False, False)
    assert breaker.leave(0.0) is Leave.ASK


def test_only_failures_in_a_row_open_it() -> None:
    """A success in between begins the count anew."""
    breaker = Breaker()
    for _ in range(3 * FAILURES):
        breaker.failed(Leave.ASK, 0.0, ALL)
        breaker.succeeded(Leave.ASK, 0.0)
    assert (breaker.is_troubled, breaker.is_open) == (False, False)


def test_it_opens_once() -> None:
    """The failure that opens it says how many there were; those of other threads that follow say nothing."""
    breaker = Breaker()
    said = [breaker.failed(Leave.ASK, 0.0, ALL) for _ in range(FAILURES + 5)]
    assert said == [0] * (FAILURES - 1) + [FAILURES] + [0] * 5


def test_an_open_one_lets_nobody_ask_until_a_probe_is_due() -> None:
    """Then one may, and only one."""
    breaker = opened()
    assert breaker.leave(FIRST_PAUSE_SECONDS * 0.99) is Leave.GO_ON
    assert [breaker.leave(FIRST_PAUSE_SECONDS) for _ in range(3)] == [Leave.PROBE, Leave.GO_ON, Leave.GO_ON]


def test_a_probe_that_succeeds_closes_it() -> None:
    """All ask again, and it is said for how long they did not."""
    breaker = opened(10.0)
    assert breaker.leave(11.0) is Leave.PROBE
    assert breaker.succeeded(Leave.PROBE, 12.5) == pytest.approx(2.5)
    assert (breaker.is_troubled, breaker.is_open) == (False, False)
    assert breaker.succeeded(Leave.ASK, 13.0) is None


def test_it_opens_again() -> None:
    """After it closed it takes as many failures as before."""
    breaker = opened()
    breaker.succeeded(breaker.leave(1.0), 1.0)
    said = [breaker.failed(Leave.ASK, 2.0, ALL) for _ in range(FAILURES)]
    assert said == [0] * (FAILURES - 1) + [FAILURES]
    assert breaker.leave(2.0) is Leave.GO_ON


def test_pauses_double_up_to_the_longest() -> None:
    """The longest is short enough for a server that is back to be seen within a second."""
    breaker, now, pauses = opened(), 0.0, []
    for _ in range(6):
        due = breaker._probe_at
        pauses.append(due - now)
        now = due
        assert breaker.leave(now) is Leave.PROBE
        assert breaker.failed(Leave.PROBE, now, ALL) == 0
    expected = [min(FIRST_PAUSE_SECONDS * 2**number, LONGEST_PAUSE_SECONDS) for number in range(6)]
    assert pauses == pytest.approx(expected)
    assert LONGEST_PAUSE_SECONDS < 1.0


def test_half_of_a_pause_is_drawn() -> None:
    """Processes that saw the server go at one moment do not probe at one moment."""
    breaker = Breaker()
    for _ in range(FAILURES):
        breaker.failed(Leave.ASK, 0.0, 2**-32)
    assert breaker._probe_at == pytest.approx(FIRST_PAUSE_SECONDS / 2)


def test_a_read_from_before_closes_nothing() -> None:
    """A success of one who had leave before it opened says nothing of how the server is since."""
    breaker = opened()
    assert breaker.succeeded(Leave.ASK, 0.01) is None
    assert breaker.is_open


def test_a_probe_that_withdraws_leaves_it_to_the_next() -> None:
    """One that was cancelled has learned nothing, and no pause begins."""
    breaker = opened()
    assert breaker.leave(1.0) is Leave.PROBE
    breaker.withdrew(Leave.PROBE)
    assert breaker.leave(1.0) is Leave.PROBE


def test_a_withdrawal_of_another_gives_nothing() -> None:
    """One who had no probe's leave has none to give back."""
    breaker = opened()
    assert breaker.leave(1.0) is Leave.PROBE
    breaker.withdrew(Leave.ASK)
    assert breaker.leave(1.0) is Leave.GO_ON


def test_a_probe_that_was_lost() -> None:
    """A thread that died with its probe does not keep the breaker open for ever."""
    breaker = opened()
    assert breaker.leave(1.0) is Leave.PROBE
    assert breaker.leave(1.0 + LOST_SECONDS * 0.99) is Leave.GO_ON
    assert [breaker.leave(1.0 + LOST_SECONDS) for _ in range(2)] == [Leave.PROBE, Leave.GO_ON]


def test_a_child_probes_for_itself() -> None:
    """After a fork the thread that was probing is the parent's."""
    breaker = opened()
    assert breaker.leave(1.0) is Leave.PROBE
    breaker.forked()
    assert breaker.leave(1.0) is Leave.PROBE


def test_a_write_that_succeeds_makes_a_probe_due() -> None:
    """It does not close it: a write has more time than a read."""
    breaker = opened()
    breaker.heard(0.01)
    assert breaker.is_open
    assert breaker.leave(0.01) is Leave.PROBE


def test_a_write_that_succeeds_ends_trouble() -> None:
    """Failures before it are not in a row with those after it."""
    breaker = Breaker()
    breaker.failed(Leave.ASK, 0.0, ALL)
    breaker.heard(0.0)
    assert (breaker.is_troubled, breaker._probe_at) == (False, math.inf)


def test_some_probes_are_patient() -> None:
    """Each fourth has the whole time to connect: a server whose connections take longer comes up in the end."""
    breaker, patient, now = opened(), [], 0.0
    for _ in range(2 * PATIENT_EVERY):
        now += 1.0
        assert breaker.leave(now) is Leave.PROBE
        patient.append(breaker.is_patient)
        breaker.failed(Leave.PROBE, now, ALL)
    assert patient.count(True) == 2
    assert not patient[0]


def test_held_back() -> None:
    """Whatever the reads have seen, they do not ask until a probe has succeeded."""
    breaker = Breaker()
    assert breaker.hold_back(0.0, ALL)
    assert not breaker.hold_back(0.0, ALL)
    assert breaker.leave(0.0) is Leave.PROBE
    assert breaker.leave(0.0) is Leave.GO_ON
    breaker.failed(Leave.PROBE, 0.0, ALL)
    assert breaker.leave(0.0) is Leave.GO_ON
    assert breaker.leave(1.0) is Leave.PROBE
    assert breaker.succeeded(Leave.PROBE, 1.0) == pytest.approx(1.0)


def test_held_back_while_one_probes() -> None:
    """That probe closes nothing: it does not know of it. The next is due at once."""
    breaker = opened()
    assert breaker.leave(1.0) is Leave.PROBE
    breaker.hold_back(1.5, ALL)
    assert breaker.succeeded(Leave.PROBE, 2.0) is None
    assert breaker.is_open
    assert breaker.leave(2.0) is Leave.PROBE
    assert breaker.succeeded(Leave.PROBE, 2.5) is not None


def test_held_back_after_it_closed() -> None:
    """It opens anew, and a read's success from before does not close it."""
    breaker = opened()
    breaker.succeeded(breaker.leave(1.0), 1.0)
    assert breaker.hold_back(2.0, ALL)
    assert breaker.succeeded(Leave.ASK, 2.0) is None
    assert (breaker.is_open, breaker.leave(3.0)) == (True, Leave.PROBE)
