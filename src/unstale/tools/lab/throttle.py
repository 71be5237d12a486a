"""A process held to a fraction of a core, without root: as a cgroup's CPU quota does it, by stopping and continuing it.

Time is cut into periods of 100 ms (the kernel's default for a quota, too). Once the process has used its quota of CPU
in a period, it is stopped until the next. What it did not use is lost; what it used too much is taken from the next
period, so that the mean is exact even where this program was woken late.

Nothing here waits: `Throttle.step` says when it wants to be called again.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Final

import psutil

PERIOD_SECONDS: Final = 0.1
LEAST_SECONDS: Final = 0.0005
"""Between two steps: a shorter sleep is not worth its wake-up."""


def cpu_seconds_by_clock(pid: int) -> float:
    """CPU time that all threads of a process have used, by its clock (Linux): to the nanosecond, in a microsecond.

    Raises:
        ProcessLookupError: there is no such process.
    """
    try:
        return time.clock_gettime((~pid << 3) | 2)  # as clock_getcpuclockid(3) gives it
    except OSError as error:
        raise ProcessLookupError(f"There is no process {pid}.") from error


def cpu_seconds_by_psutil(pid: int) -> float:
    """The same, wherever psutil runs; on Linux only to 10 ms. Raises as the other does."""
    try:
        used = psutil.Process(pid).cpu_times()
    except psutil.Error as error:
        raise ProcessLookupError(f"There is no process {pid}.") from error
    return float(used.user + used.system)


cpu_seconds: Final = cpu_seconds_by_clock if sys.platform == "linux" else cpu_seconds_by_psutil


class Throttle:
    """Stops and continues one process. Whoever ends its use continues the process, or ends it."""

    def __init__(
        self,
        pid: int,
        fraction: float,
        *,
        used: Callable[[int], float] = cpu_seconds,
        now: Callable[[], float] = time.monotonic,
        send: Callable[[int, int], None] = os.kill,
    ) -> None:
        """Begin a period.

        Args:
            pid: of the process, which must be this user's.
            fraction: of one core, above 0.
            used: CPU seconds that a process has used.
            now: seconds of a clock that never goes back.
            send: sends a process a signal.
        """
        self._pid = pid
        self._quota = fraction * PERIOD_SECONDS
        self._used = used
        self._now = now
        self._send = send
        self._stopped = False
        self._ends_at = now() + PERIOD_SECONDS
        self._allowed = used(pid) + self._quota
        """The process's CPU time at which it is to be stopped."""

    def step(self) -> float:
        """Stop the process, continue it, or let it be.

        Returns:
            The seconds until the next step.

        Raises:
            ProcessLookupError: there is no such process any more.
        """
        now, used = self._now(), self._used(self._pid)
        if now >= self._ends_at:
            self._begin_period(now, used)
        stop = used >= self._allowed
        if stop != self._stopped:
            self._send(self._pid, signal.SIGSTOP if stop else signal.SIGCONT)
            self._stopped = stop
        left = self._ends_at - now
        return max(LEAST_SECONDS, left if stop else min(left, self._allowed - used))

    def _begin_period(self, now: float, used: float) -> None:
        passed = 1 + int((now - self._ends_at) / PERIOD_SECONDS)  # more than one if we were woken late
        too_much = max(0.0, used - self._allowed - (passed - 1) * self._quota)
        self._ends_at += passed * PERIOD_SECONDS
        self._allowed = used - too_much + self._quota
