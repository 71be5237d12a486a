"""How fast a keyspace may be looked at: by the engine's time that it takes, as the server's own statistics have it.

Now and then the server's statistics are read before and after a batch. What the batch's commands took in between is its
cost; if others send the same commands meanwhile, that is in it, and the pace is slower than it had to be. Where the
server hides them, the time until the answer comes stands for it, which is more still.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from unstale.tools.doctor.costs import QUIET_TRIP_US
from unstale.tools.doctor.facts import Asker

EVERY: Final = 20
"""Batches from one measurement to the next."""
PACED: Final = frozenset({"getrange", "memory|usage", "pttl", "randomkey", "scan"})
"""What a batch may consist of, as the statistics call them."""
_COUNTED: Final = PACED | {"info"}
"""Reading the statistics costs, too."""


class Pace:
    """Rests after each batch, so that all of them take no more than a share of the engine's time."""

    def __init__(self, asker: Asker, share: float, stop: threading.Event) -> None:
        """Begin with the first batch.

        Args:
            asker: asks the server.
            share: of the engine's time, 0 to 1.
            stop: ends a rest.
        """
        self._asker = asker
        self._share = share
        self._stop = stop
        self._begun_at = 0.0
        self._batches = 0
        self._seconds_each = 0.0
        self.spent = 0.0
        """Seconds of the engine so far, at most."""

    def batch(self, send: Callable[[], int]) -> None:
        """Send one, and rest.

        Args:
            send: sends it, and says in how many trips.
        """
        if not self._batches:
            self._begun_at = time.monotonic()
        before = self._counted() if self._batches % EVERY == 0 else None
        began = time.monotonic()
        trips = send()
        took = time.monotonic() - began
        if before is not None:
            trips += 2
            after = self._counted()
            self._seconds_each = took if after is None else (after - before) / 1e6
        elif self._batches % EVERY == 0:  # it hides its statistics
            self._seconds_each = took
        self._batches += 1
        self.spent += self._seconds_each + trips * QUIET_TRIP_US.mid / 1e6
        self._stop.wait(max(0.0, self.spent / self._share - (time.monotonic() - self._begun_at)))

    def _counted(self) -> float | None:
        """µs in all commands of a batch's since the statistics began; None where they are hidden."""
        told = self._asker.info("commandstats")
        found = [told[f"cmdstat_{name}"]["usec"] for name in _COUNTED if f"cmdstat_{name}" in told]
        return float(sum(found)) if found else None
