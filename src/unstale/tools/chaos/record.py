"""What readers and writers have seen, as they write it down while it happens: one file for each process.

Times are of CLOCK_MONOTONIC in nanoseconds, which is one clock for all processes of a machine. A reader takes `began`
before it asks, a writer `effective` after the answer: so overlaps count for the cache. A record is written whole, so
that a process that is killed leaves at most one torn record at its file's end.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple


class Source(IntEnum):
    """Where a read's value came from."""

    CACHE = 0
    LOADER = 1
    """This reader's own loader ran: the value is the database's word, not the cache's."""
    ERROR = 2
    """The read raised. What, is in the file of errors."""
    CANCELLED = 3
    """Its task was cancelled, which is no error."""


class Effect(IntEnum):
    """What became of a write's invalidation."""

    EFFECTIVE = 0
    """The call returned, having taken effect: from now on the promise G1 holds."""
    QUEUED = 1
    """Durable, not yet in effect: G2 promises that it will be."""
    RAISED = 2
    """The call raised: nothing is promised."""
    ROLLED_BACK = 3
    """There was no commit."""
    UNKNOWN = 4
    """Committed; then the process was killed before the call returned."""
    STRICT = 5
    """Effective, and closed before the commit: no read that began after it was visible may be older."""


class Read(NamedTuple):
    """One read of one key.

    Attributes:
        key: the key's number, its row being `key % rows`; the kind of key is told by `key // rows`.
        began: before the cache was asked.
        ended: after it answered.
        source: where the value came from.
        row: the row that the value says it is of; -1 where there was no value.
        version: the row's version in the value; of a nested value its oldest, compared with that row's floor.
    """

    key: int
    began: int
    ended: int
    source: Source
    row: int
    version: int


class Write(NamedTuple):
    """One write of one row.

    Attributes:
        row: which.
        version: that it committed (or would have).
        began: before the transaction.
        committed: after COMMIT returned; 0 where it did not.
        ended: after the invalidation returned; 0 where it did not.
        effect: what became of it.
    """

    row: int
    version: int
    began: int
    committed: int
    ended: int
    effect: Effect


class Strike(NamedTuple):
    """One fault.

    Attributes:
        name: the fault's.
        began: before it was done.
        ended: after it was healed.
        what: what was done, for people.
    """

    name: str
    began: int
    ended: int
    what: str
