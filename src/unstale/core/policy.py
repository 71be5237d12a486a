"""Durations and limits: every duration turned into seconds once, here, and the rules that compute one from another."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum
from typing import Final, TypeAlias

from unstale.core.keys import ROOT_MARK
from unstale.errors import ConfigurationError, InvalidDurationError


class _Unset(Enum):
    DEFAULT = "the cache's own"


DEFAULT: Final = _Unset.DEFAULT
"""In place of a ttl: the cache's own."""

Duration: TypeAlias = "float | timedelta | None"
"""Seconds, a timedelta, or None for no limit."""

Ttl: TypeAlias = "Duration | _Unset"

MAX_SECONDS: Final = 10 * 365 * 86400.0
MIN_SECONDS: Final = 0.001

MAX_BETA: Final = 100
"""Far more eager than the 1 to 5 that the paper on XFetch tries."""

FENCES: Final = ("tags", "all", "replay")


def seconds(duration: Duration, name: str = "ttl") -> float:
    """A duration in seconds; infinite for None.

    Args:
        duration: seconds, a timedelta, or None.
        name: what to call it in the error.

    Raises:
        InvalidDurationError: not a number, not above zero, under a millisecond, or over ten years.
    """
    given: object = duration
    if given is None:
        return math.inf
    if isinstance(given, timedelta):
        value = given.total_seconds()
    elif isinstance(given, int | float) and not isinstance(given, bool):
        value = float(min(max(given, -MAX_SECONDS), 2 * MAX_SECONDS))  # an int may be too large for a float
    else:
        raise InvalidDurationError(f"{name} must be seconds, a timedelta or None, not {type(given).__name__}.")
    if not MIN_SECONDS <= value <= MAX_SECONDS:
        raise InvalidDurationError(f"{name} must be at least 0.001 s and at most ten years; got {_shown(given)} s.")
    return value


def stale_seconds(duration: Duration, name: str = "stale_ttl") -> float:
    """A stale ttl, or another duration of this kind, in seconds: 0 for none; it has a limit, unlike a ttl."""
    if duration == 0 and not isinstance(duration, bool):
        return 0.0
    if duration is None:
        raise InvalidDurationError(f"{name} needs a limit: seconds or a timedelta; 0 for none.")
    return seconds(duration, name)


def _shown(given: object) -> str:
    seconds_given = given.total_seconds() if isinstance(given, timedelta) else given
    try:
        return repr(float(seconds_given))  # type: ignore[arg-type]
    except OverflowError:
        return "a number of far more"


@dataclass(frozen=True, slots=True)
class Policy:
    """How a cache behaves. All durations are seconds.

    Attributes:
        ttl: fresh for so long where a call says nothing; infinite for no limit.
        stamp_ttl: a stamp lives at least so long after it was written; entries that live longer prolong theirs.
        lease_seconds: how long a loader may take before another may try, where its last time is not known.
        fence: "tags": entries with tags are bound to the server's identity; "all": every entry is; "replay": none is.
        stale_ttl: more seconds that a value may be served stale while it is loaded anew, where a call says nothing.
        beta: how eagerly a value is loaded anew before its ttl is over (XFetch); 0 for never, 1 as in its paper.
        replica_lag: how far behind the database's primary the loaders may read; 0 where they read the primary.
    """

    ttl: float = 300.0
    stamp_ttl: float = 86400.0
    lease_seconds: float = 10.0
    fence: str = "tags"
    stale_ttl: float = 0.0
    beta: float = 0.0
    replica_lag: float = 0.0

    def __post_init__(self) -> None:
        """Check what the caller chose."""
        if type(self.beta) not in (int, float) or not 0 <= self.beta <= MAX_BETA:
            raise ConfigurationError(f"beta must be a number from 0 to {MAX_BETA}; got {self.beta!r}.")
        if self.fence not in FENCES:
            raise ConfigurationError(f"fence must be one of {', '.join(FENCES)}; got {self.fence!r}.")

    def ttl_of(self, ttl: Ttl) -> float:
        """The ttl of a call, in seconds."""
        return self.ttl if ttl is DEFAULT else seconds(ttl)

    def stale_ttl_of(self, stale_ttl: Ttl) -> float:
        """The stale ttl of a call, in seconds; 0 for none."""
        return self.stale_ttl if stale_ttl is DEFAULT else stale_seconds(stale_ttl)

    def fences(self, tags: tuple[str, ...]) -> bool:
        """Whether an entry with these tags is bound to the server's identity."""
        if self.fence == "tags":
            return any(not tag.startswith(ROOT_MARK) for tag in tags)
        return self.fence == "all"

    def stamp_ttl_for(self, ttl: float) -> float:
        """How long the stamps of an entry must live: longer than the entry itself."""
        return max(self.stamp_ttl, ttl + 60.0)

    @property
    def keep_closed(self) -> float:
        """Seconds that a closed stamp outlives its deadlines: where loaders may lag, a missing one is closed anew."""
        return self.stamp_ttl if self.replica_lag else 0.0

    def lease_for(self, load_seconds: float | None) -> float:
        """How long a lease lasts: four times the last load, from 1 s to 60 s; `lease_seconds` where none is known.

        A load that takes longer still gets half as much again as it took.
        """
        if load_seconds is None:
            return self.lease_seconds
        return max(1.0, min(4.0 * load_seconds, 60.0), 1.5 * load_seconds)


def waits(load_seconds: float | None, lease_seconds: float) -> Iterator[float]:
    """The pauses of one who waits for another's load: from 2 ms (or a quarter of the last load) to 50 ms.

    Their sum exceeds the lease by little: if its holder died, the waiter is the next to load.
    """
    pause = min(max((load_seconds or 0.0) / 4.0, 0.002), 0.05)
    waited = 0.0
    while waited <= lease_seconds + 0.1:
        yield pause
        waited += pause
        pause = min(pause * 1.5, 0.05)


def early_by(load_seconds: float, beta: float, chance: float) -> float:
    """Seconds before the end of its ttl at which this reader would load a value anew.

    XFetch (Vattani, Chierichetti, Lowenstein: Optimal Probabilistic Cache Stampede Prevention, VLDB 2015): the slower
    the load and the more readers, the earlier one of them begins, while the others still have a fresh value.

    Args:
        load_seconds: what the last load took.
        beta: eagerness; 1 as in the paper.
        chance: evenly drawn from above 0 to 1.
    """
    return -beta * load_seconds * math.log(chance)


def earliest(load_seconds: float, beta: float) -> float:
    """The most that `early_by` gives for a chance of at least 2**-53: before that no reader needs to draw."""
    return beta * load_seconds * 37.0
