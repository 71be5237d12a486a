"""How long a trip may take, as a store hands it down to whatever waits: points in time, and seconds of silence."""

from __future__ import annotations

import math
from typing import NamedTuple

from unstale.core.breaker import Breaker


class Limits(NamedTuple):
    """One trip's limits.

    Attributes:
        answer: seconds that the server may be silent while an answer is awaited.
        connect_until: the monotonic time until which there must be a connection.
        until: the monotonic time at which all is over, though an answer be arriving.
        breaker: one whose opening ends the wait for an answer: what the trip is for is of no use any more.
    """

    answer: float
    connect_until: float = math.inf
    until: float = math.inf
    breaker: Breaker | None = None

    @property
    def are_moot(self) -> bool:
        """Whether the wait is to end, whatever time there is left."""
        return self.breaker is not None and self.breaker.is_open
