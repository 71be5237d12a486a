"""A tag's stamp: what it can be, and when two are equal.

Open: 16 random bytes, a hard half and a soft half. Missing: no value at all; equals nothing, not even missing.
Closed: the tag is in flux; equals nothing either. In the stamp's place stands another Redis type, a sorted set of its
owners with their deadlines: neither a fill nor a plain invalidation can put a string there. Owners or time open it.
No clock and no counter: clocks differ between hosts and counters restart after an eviction; both bring old values back.
"""

from __future__ import annotations

from enum import Enum
from typing import Final, TypeAlias

STAMP_SIZE: Final = 16
"""Bytes of an open stamp."""

HARD_SIZE: Final = 8
"""Bytes of its hard half, which every invalidation changes; the rest is the soft half."""


LAG: Final = b"lag"
"""The owner for `replica_lag`, one for all: only the later of two deadlines counts, and no completion removes it."""


class _Closed(Enum):
    CLOSED = "closed"


CLOSED: Final = _Closed.CLOSED

Observed: TypeAlias = "bytes | _Closed | None"
"""What was seen under a stamp's name: an open stamp's bytes, CLOSED, or None for missing."""


def observe(reply: object) -> Observed:
    """Say what a reply under a stamp's name means. Anything that is not 16 bytes or missing counts as closed."""
    if reply is None:
        return None
    if isinstance(reply, bytes) and len(reply) == STAMP_SIZE:
        return reply
    return CLOSED


def equal(recorded: bytes, current: Observed) -> bool:
    """Whether a recorded stamp still stands: byte for byte, and only against an open one."""
    return isinstance(current, bytes) and recorded == current


def equal_but_softly(recorded: bytes, current: Observed) -> bool:
    """Whether a recorded stamp's hard half still stands: the value is stale at most softly."""
    return isinstance(current, bytes) and recorded[:HARD_SIZE] == current[:HARD_SIZE]
