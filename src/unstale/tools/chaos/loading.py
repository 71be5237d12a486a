"""The loaders: how a reader's value comes from the database, late or from far behind, as a phase has it."""

from __future__ import annotations

import time
from random import Random
from typing import Any, Final

from unstale.tools.chaos.job import Job
from unstale.tools.chaos.rows import Rows

PATIENCE_SECONDS: Final = 1.0
"""How long a loader waits for a replica that is further behind than is allowed, before it asks the primary."""
LOOK_SECONDS: Final = 0.005


class Loading:
    """One process's way to load."""

    def __init__(self, job: Job, rows: Rows) -> None:
        """Take what the job says about loads."""
        self._rows = rows
        self._shortest, self._longest = job.load_seconds
        self._lag_ns = round(job.lag_seconds * 1e9)

    def version(self, row: int, cursor: Any = None) -> int:
        """A row's version: by a cursor's transaction, from the replica, or from the primary."""
        if cursor is not None:
            return self._rows.load_by(cursor, row)
        return self._replicated(row) if self._lag_ns else self._rows.load(row)

    def seconds(self, random: Random) -> float:
        """How long this load takes after its query: what it has read grows old in this time."""
        return random.uniform(self._shortest, self._longest)

    def _replicated(self, row: int) -> int:
        """From the replica, as long as it is no further behind than the cache was told."""
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until:
            asked = time.monotonic_ns()
            version, as_of = self._rows.load_from_replica(row)
            if asked - as_of <= self._lag_ns:
                return version
            time.sleep(LOOK_SECONDS)
        return self._rows.load(row)
