"""How long a trip may take, as a store hands it down to whatever waits: points in time, and seconds of silence."""

from __future__ import annotations

import math
from typing import NamedTuple


class Limits(NamedTuple):
    """One trip's limits.

    Attributes:
        answer: seconds that the server may be silent while an answer is awaited.
        connect_until: the monotonic time until which there must be a connection.
        until: the monotonic time at which all is over, though an answer be arriving.
    """

    answer: float
    connect_until: float = math.inf
    until: float = math.inf
