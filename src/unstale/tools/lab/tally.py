"""What became of the requests of one variant: kept one by one, and counted for the line that is shown each second.

No clock, no HTTP and no locust: `load` says what happened and when.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import msgspec

from unstale.tools.lab.results import Requests
from unstale.tools.lab.schedule import HISTORY, Due


@dataclass(slots=True)
class Attempt:
    """One request, from when it was due. It is as unanswered until its answer has come."""

    due: Due
    sent_late: float | None = None
    """Seconds; None: it was not sent."""
    took: float | None = None
    """Seconds since it was due."""
    status: int = 0
    hit: bool | None = None
    behind: int = 0

    @property
    def is_right(self) -> bool:
        """Whether it was answered, as the API promises."""
        return self.status in {200, 201}


class Second(msgspec.Struct, kw_only=True):
    """One line on stdout: what happened in about a second, warm-up and grace among them; the last one is shorter."""

    second: int
    """Which one of the window, from 1; 0 and less are before it."""
    offered: int = 0
    completed: int = 0
    """Answered as the API promises, whenever they were due."""
    errors: int = 0
    """Answered otherwise, or broken off."""
    stale: int = 0
    hits: int = 0
    """Of the reads."""
    reads: int = 0
    """Completed, of histories."""
    p99: float | None = None
    """Seconds, of the answers that came; None: none came."""
    generator_cpu_seconds: float | None = None
    """In the last line: see `Requests`."""


class Tally:
    """The requests of the window, and the counts of the running second."""

    def __init__(self) -> None:
        self._kept: list[Attempt] = []
        self._carried: list[Attempt] = []
        self._counts = Second(second=0)
        self._took: list[float] = []

    def offered(self, due: Due) -> Attempt:
        """A request is due now."""
        attempt = Attempt(due)
        if due.at >= 0:
            self._kept.append(attempt)
        self._counts.offered += 1
        return attempt

    def ended(self, attempt: Attempt) -> None:
        """It was answered, or broke off: all that can be known of it is in it."""
        if attempt.took is not None:
            self._took.append(attempt.took)
            if attempt.is_right and attempt.due.at < 0 <= attempt.due.at + attempt.took:
                self._carried.append(attempt)
        self._counts.completed += attempt.is_right
        self._counts.errors += not attempt.is_right
        self._counts.stale += attempt.behind > 0
        if attempt.is_right and attempt.due.kind == HISTORY:
            self._counts.reads += 1
            self._counts.hits += attempt.hit is True

    def second(self, number: int, generator_cpu_seconds: float | None = None) -> Second:
        """What has been counted since this was last called."""
        done, self._counts = self._counts, Second(second=number)
        done.second = number
        done.generator_cpu_seconds = generator_cpu_seconds
        self._took, took = [], sorted(self._took)
        if took:
            done.p99 = took[math.ceil(0.99 * len(took)) - 1]
        return done

    def requests(self) -> Requests:
        """The window's, as they are now: what is under way has no answer."""
        kept = self._kept
        return Requests(
            due=[one.due.at for one in kept],
            kind=[one.due.kind for one in kept],
            user=[one.due.user for one in kept],
            took=[one.took for one in kept],
            status=[one.status for one in kept],
            hit=[one.hit for one in kept],
            behind=[one.behind for one in kept],
            sent_late=[one.sent_late for one in kept],
            carried_kind=[one.due.kind for one in self._carried],
            carried_at=[one.due.at + (one.took or 0.0) for one in self._carried],
        )
