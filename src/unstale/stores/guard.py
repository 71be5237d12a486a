"""One server's breaker with a clock, the limits of the trips to it, and who is told: a part of a store, or of its node.

A read asks `enter` for leave, and tells `left` what came of it; any other trip only tells. Where a trip that was to be
the first after an outage has work to do before it (`before_closing`), the breaker closes after that.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from time import monotonic
from typing import Any, Final

from unstale.core.breaker import Breaker, Leave
from unstale.errors import (
    BreakerOpenError,
    PoolExhaustedError,
    StoreClosedError,
    StoreError,
    StoreUnavailableError,
)
from unstale.events import BreakerClosed, BreakerOpened
from unstale.stores.limits import Limits
from unstale.stores.options import StoreOptions

CONNECT_STEPS: Final = 3
"""For so many time limits a new connection may take: the handshake, the credentials, the proof."""
LATE: Final = 1.5
KNOWN_FACTOR: Final = 2.0
"""So many times what the last connection took a new one may take while the server is in trouble."""


class Guard(Breaker):
    """A breaker that knows the time.

    Attributes:
        timeout: seconds for connecting, and again for each answer.
        read_timeout: seconds for the answer to a read.
        invalidate_timeout: seconds for an invalidation in all.
        watch: see StoreOptions.
        before_closing: what must be done at a server that is back, before reads ask it again; a probe awaits it. It is
            given the seconds that a read has.
    """

    __slots__ = ("_server", "_tell", "before_closing", "invalidate_timeout", "read_timeout", "timeout", "watch")

    def __init__(self, options: StoreOptions) -> None:
        """Begin calm."""
        super().__init__()
        self.timeout = options.timeout
        self.read_timeout = min(options.read_timeout, options.timeout)
        self.invalidate_timeout = options.invalidate_timeout
        self._tell, self._server = options.tell, options.server
        self.watch = options.watch
        self.before_closing: Callable[[float], Any] | None = None

    def enter(self) -> Leave:
        """Leave for a read. Raises BreakerOpenError where there is none."""
        if self.watch is not None and not self.is_troubled:
            self.watch()
        leave = self.leave(monotonic())
        if leave is Leave.GO_ON:
            raise BreakerOpenError
        return leave

    def check(self) -> None:
        """Raise BreakerOpenError while reads do not ask: what would follow one is not tried either."""
        if self.is_open:
            raise BreakerOpenError

    def of_read(self, connected_in: float, leave: Leave = Leave.PROBE, *, is_patient: bool | None = None) -> Limits:
        """The limits of a read. While the server is in trouble, a new connection has little more than an answer.

        Args:
            connected_in: seconds that the last new connection took; 0.0 if there was none.
            leave: the read's. If it is no probe, its waits end when the breaker opens.
            is_patient: whether it may take its time to connect; by default as the breaker has it.
        """
        longest = CONNECT_STEPS * self.timeout
        if not (self.is_patient if is_patient is None else is_patient):
            longest = min(longest, max(self.read_timeout, KNOWN_FACTOR * connected_in))
        breaker = None if leave is Leave.PROBE else self
        return Limits(self.read_timeout, monotonic() + longest, breaker=breaker)

    def of_fill(self) -> Limits:
        """The limits of what a loaded value is stored with: a lease is worth some patience, since the loader is not.

        Where others find out meanwhile that the server is away, it is over.
        """
        return Limits(self.timeout, monotonic() + CONNECT_STEPS * self.timeout, breaker=self)

    def of_write(self) -> Limits:
        """The limits of what changes an entry."""
        return Limits(self.timeout, monotonic() + CONNECT_STEPS * self.timeout)

    def of_invalidation(self) -> Limits:
        """The limits of an invalidation, which is over in time whatever the network does."""
        until = monotonic() + self.invalidate_timeout
        return Limits(self.timeout, until, until)

    def read_left(self, leave: Leave, error: BaseException | None) -> None:
        """A read is over: it succeeded (None), or this came of it."""
        if error is None:
            seconds = self.succeeded(leave, monotonic())
            if seconds is not None and self._tell is not None:
                self._tell(BreakerClosed(seconds, self._server))
        else:
            self._note(leave, error)

    def write_left(self, error: BaseException | None) -> None:
        """Any other trip is over."""
        if error is not None:
            self._note(Leave.ASK, error)
        elif self.is_troubled:
            self.heard(monotonic())

    def connected(self) -> None:
        """A new connection has come about, perhaps after those who wanted it went on: a probe is due at once."""
        self.due(monotonic())

    def hold(self) -> None:
        """Let reads go on without the server until a probe has seen to `before_closing`."""
        if self.hold_back(monotonic(), _chance()) and self._tell is not None:
            error = StoreUnavailableError("An invalidation is queued that has not taken effect.")
            self._tell(BreakerOpened(0, error, self._server))

    def retire(self) -> None:
        """The server has no place any more: where the breaker was open, it is over."""
        seconds = self.let_go(monotonic())
        if seconds is not None and self._tell is not None:
            self._tell(BreakerClosed(seconds, self._server))

    def _note(self, leave: Leave, error: BaseException) -> None:
        if isinstance(error, PoolExhaustedError | StoreClosedError | BreakerOpenError):
            self.withdrew(leave)
        elif isinstance(error, StoreUnavailableError):
            failures = self.failed(leave, monotonic(), _chance())
            if failures and self._tell is not None:
                self._tell(BreakerOpened(failures, error, self._server))
        elif isinstance(error, StoreError):  # it has answered
            self.read_left(leave, None)
        else:
            self.withdrew(leave)


def was_late(began: float, due: float) -> bool:
    """Whether a wait that ended in a time-out took much longer than it should have: this process was late, or stopped.

    Args:
        began: the monotonic time when it began.
        due: the one when it was to end.
    """
    return monotonic() - began > LATE * (due - began)


def _chance() -> float:
    """From above 0 to 1; not by `random`, whose state preforked workers share: they would probe together."""
    return (int.from_bytes(os.urandom(4), "big") + 1) / 2**32
