"""The database's lagging replica: rows are copied as they were some time ago, with the moment at which they were so."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import Final

from unstale.tools.chaos.rows import Rows

BEHIND: Final = 0.7
"""The part of the allowed lag by which the copy is behind on purpose; the rest is for a machine that is busy."""
LOOK_SECONDS: Final = 0.02


def replicate(rows: Rows, lag_seconds: float, stop: threading.Event) -> None:
    """Copy until told to stop."""
    waiting: deque[tuple[int, list[int]]] = deque()
    behind = round(BEHIND * lag_seconds * 1e9)
    while not stop.wait(LOOK_SECONDS):
        now = time.monotonic_ns()  # before the query: what was committed by now is in it
        waiting.append((now, rows.newest()))
        ripe = None
        while waiting and waiting[0][0] <= now - behind:
            ripe = waiting.popleft()
        if ripe is not None:
            rows.replicate(ripe[1], as_of=ripe[0])
