"""When reads go on without asking a server that does not answer, and when one of them asks again. Pure: it takes `now`.

    calm       reads ask
    troubled   some have failed, one after the other: reads ask, within shorter limits
    open       FAILURES have: reads do not ask, but for one at a time, the probe, when it is due

Only reads heed it. An invalidation is always tried: not to try it would be to lose it.

It needs no lock: what one of several threads may do is taken from a list, which one of them empties.

The numbers: five failures in a row are what Envoy's outlier detection ejects a host for (`consecutive_5xx`) and what
Finagle's failure accrual takes; the pause doubles, and half of it is drawn ("Exponential Backoff and Jitter", AWS).
Both of these let a server rest for many seconds, since a probe costs them a user's request. Here it costs a read that
has another way to go, so the longest pause is short: a server that is back is seen within a second.
"""

from __future__ import annotations

import math
from enum import Enum, auto
from typing import Final

FAILURES: Final = 5
"""So many reads in a row, in all threads, must fail before others no longer ask."""
FIRST_PAUSE_SECONDS: Final = 0.1
LONGEST_PAUSE_SECONDS: Final = 0.8
LOST_SECONDS: Final = 10.0
"""A probe of which nothing was heard for so long has gone with its thread: another may try."""
PATIENT_EVERY: Final = 4
"""Each so many probes one has the whole time for a new connection, so that a far server comes up in the end."""


class Leave(Enum):
    """What a read may do."""

    ASK = auto()
    PROBE = auto()
    GO_ON = auto()
    """Without the server."""


class Breaker:
    """What the reads of one process know of one server.

    Attributes:
        is_troubled: whether a read must ask for leave: the hot path looks at this only.
        is_open: whether reads go on without the server.
    """

    __slots__ = (
        "_failures",
        "_held",
        "_held_before",
        "_lost_at",
        "_opened_at",
        "_pauses",
        "_probe",
        "_probe_at",
        "_to_close",
        "_to_open",
        "is_open",
        "is_troubled",
    )

    def __init__(self) -> None:
        """All is well."""
        self.is_troubled = self.is_open = False
        self._failures = self._pauses = self._held = self._held_before = 0
        self._opened_at = 0.0
        self._probe_at = self._lost_at = math.inf
        self._to_open, self._to_close = [True], list[bool]()
        self._probe = [True]

    def leave(self, now: float) -> Leave:
        """What a read may do now. Who is given PROBE says what came of it: `succeeded`, `failed` or `withdrew`."""
        if not self.is_open:
            return Leave.ASK
        if now < self._probe_at:
            return Leave.GO_ON
        if self._probe:
            try:
                self._probe.pop()
            except IndexError:
                return Leave.GO_ON
        elif now < self._lost_at:
            return Leave.GO_ON
        self._lost_at = now + LOST_SECONDS
        self._held_before = self._held
        return Leave.PROBE

    @property
    def is_patient(self) -> bool:
        """Whether a read may take its time to connect: none has failed, or it is a probe's turn to."""
        return not self.is_troubled or self._pauses % PATIENT_EVERY == PATIENT_EVERY - 1

    def failed(self, leave: Leave, now: float, chance: float) -> int:
        """A trip has failed.

        Args:
            leave: what it had been given.
            now: a time that only grows.
            chance: evenly drawn from above 0 to 1.

        Returns:
            If the breaker opened with this failure, how many there were in a row; else 0.
        """
        if leave is Leave.PROBE:
            self._pause(now, chance)
            return 0
        self._failures += 1
        self.is_troubled = True
        return self._failures if self._failures >= FAILURES and self._open(now, chance) else 0

    def hold_back(self, now: float, chance: float) -> bool:
        """Open, whatever the reads have seen, and stay so for a probe that began before; whether it was closed.

        The next read is the first probe: the server may well be there, as when a process begins with something owed.
        """
        self._held += 1
        opened = self._open(now, chance)
        if opened:
            self.due(now)
        return opened

    def _open(self, now: float, chance: float) -> bool:
        try:
            self._to_open.pop()
        except IndexError:  # it is, or another thread opens it
            return False
        self._opened_at, self._pauses = now, 0
        self._pause(now, chance)
        self.is_troubled = self.is_open = True
        self._to_close = [True]
        return True

    def _pause(self, now: float, chance: float) -> None:
        longest = min(FIRST_PAUSE_SECONDS * 2.0 ** min(self._pauses, 10), LONGEST_PAUSE_SECONDS)
        self._pauses += 1
        self._probe_at = now + longest * (1 + chance) / 2
        self._probe = [True]

    def withdrew(self, leave: Leave) -> None:
        """A read ended otherwise: nothing was learned of the server."""
        if leave is Leave.PROBE:
            self._probe = [True]

    def heard(self, now: float) -> None:
        """A trip that is no read has succeeded: a probe is due at once."""
        if self.is_open:
            self.due(now)
        else:
            self._failures, self.is_troubled = 0, False

    def due(self, now: float) -> None:
        """A probe is due at once."""
        self._probe_at = min(self._probe_at, now)

    def succeeded(self, leave: Leave, now: float) -> float | None:
        """A read has succeeded; the seconds that the breaker was open, if it closed with this one.

        One that had leave before it opened says nothing of how the server is since.
        """
        if self.is_open and leave is not Leave.PROBE:
            return None
        if self._held != self._held_before:  # held back anew since the probe began
            self._probe_at, self._probe = now, [True]
            return None
        try:
            self._to_close.pop()
        except IndexError:
            seconds = None
        else:
            seconds = now - self._opened_at
            self.is_open = False
        self._failures, self.is_troubled = 0, False
        self._probe = [True]
        if seconds is not None:
            self._to_open = [True]
            if self._held != self._held_before:  # another thread has, in between
                self._open(now, 1.0)
        return seconds

    def let_go(self, now: float) -> float | None:
        """The server is asked no more: another has its place. The seconds that the breaker was open, if it was."""
        try:
            self._to_close.pop()
        except IndexError:
            return None
        self.is_open = self.is_troubled = False
        return now - self._opened_at

    def forked(self) -> None:
        """In a child: the thread that was probing is the parent's."""
        self._probe = [True]
