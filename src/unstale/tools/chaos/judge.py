"""What of a history breaks the promise. Pure: histories in, counts out; no clock, no file, no database.

The *floor* of a row at a moment is the newest version of it whose invalidation had returned, effective, by then.

    stale       served from the cache, older than the row's floor when the read began
    older than visible   served from the cache, older than a version that was committed when the read began: what a
                strict write promises not to happen, and any other does not
    lost        at the end, all healed and carried out, served from the cache older than what is promised to be gone
    wrong       an answer for another key, or of another row
    phantom     a version that the database never had, or had only later
    errors      the read raised

Everything is decided in the cache's favour: a read's time is when it began, a write's when its call had returned. A
value that the reader's own loader has just loaded is the database's word. Versions of a row are counted up by one under
a lock, so the newest one that the database has at the end says which were ever committed.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from unstale.tools.chaos.record import Effect, Read, Source, Strike, Write

FIRST_VERSION: Final = 1
"""Of each row, before anything was written."""
EXAMPLES: Final = 5
"""Of each kind of fault so many are told in full."""
CALM_AFTER_NS: Final = 500_000_000
"""How long after a fault its misses are still its own."""
_NS: Final = 1e9
_IN_EFFECT: Final = frozenset({Effect.EFFECTIVE, Effect.STRICT})


class History(NamedTuple):
    """What there is to judge.

    Attributes:
        rows: how many rows there are.
        reads: of all readers while the load ran, in any order.
        writes: of all writers, in any order.
        final: one read of each key, after all was healed and carried out.
        newest: each row's version in the database at the end.
        strikes: the faults.
    """

    rows: int
    reads: Iterable[Read]
    writes: Sequence[Write]
    final: Iterable[Read]
    newest: Sequence[int]
    strikes: Sequence[Strike] = ()


class Promise(NamedTuple):
    """What is promised in a phase.

    Attributes:
        outbox: an invalidation takes effect even if its process died right after COMMIT.
        grace_seconds: reads that begin within a fault, or so long after it, are not judged for staleness.
        graced: names of the faults that this holds for; none named: for all.
    """

    outbox: bool = False
    grace_seconds: float = 0.0
    graced: tuple[str, ...] = ()


class Counts(msgspec.Struct, kw_only=True):
    """What was found. See the module for the words."""

    reads: int = 0
    """All that were begun and recorded, cancelled ones too."""
    hits: int = 0
    loads: int = 0
    cancelled: int = 0
    calm_hits: int = 0
    calm_loads: int = 0
    not_judged: int = 0
    """Hits within a fault's grace."""
    writes: int = 0
    """Committed."""
    effects: dict[str, int] = {}
    strikes: dict[str, int] = {}
    stale: int = 0
    stalest_seconds: float = 0.0
    """The longest that a stale value was served after the invalidation had returned."""
    older_than_visible: int = 0
    lost: int = 0
    wrong: int = 0
    phantom: int = 0
    errors: int = 0
    final_reads: int = 0
    examples: dict[str, list[str]] = {}
    """Of each kind of fault the first few, in words."""

    @property
    def hit_rate(self) -> float | None:
        """Hits by hits and loads; None: there were no reads."""
        return _part(self.hits, self.loads)

    @property
    def calm_hit_rate(self) -> float | None:
        """The same, of the reads that began while nothing was broken."""
        return _part(self.calm_hits, self.calm_loads)


def judge(history: History, promise: Promise) -> Counts:
    """Count what breaks the promise.

    Args:
        history: what happened. Its reads are gone through once, and not kept.
        promise: what is promised in this phase.
    """
    found = _Judge(history, promise)
    for read in history.reads:
        found.read(read)
    for read in history.final:
        found.final(read)
    return found.counts


class Floor:
    """One row's floor: a version for each moment."""

    __slots__ = ("_times", "_versions")

    def __init__(self, raised: Iterable[tuple[int, int]]) -> None:
        """Take (moment, version) in any order: a version counts from its moment on."""
        self._times: list[int] = []
        self._versions = [FIRST_VERSION]
        for moment, version in sorted(raised):
            if version > self._versions[-1]:
                self._times.append(moment)
                self._versions.append(version)

    def at(self, moment: int) -> int:
        """The version that the row had at least."""
        return self._versions[bisect_right(self._times, moment)]

    def passed(self, version: int) -> int:
        """The moment at which the floor rose above a version that it did rise above."""
        return self._times[bisect_right(self._versions, version) - 1]


class Within:
    """Whether a moment lies within one of several spans of time."""

    __slots__ = ("_bounds",)

    def __init__(self, spans: Iterable[tuple[int, int]]) -> None:
        """Take (begin, end) in any order; both ends belong to it."""
        bounds: list[int] = []
        for begin, end in sorted(spans):
            if bounds and begin <= bounds[-1]:
                bounds[-1] = max(bounds[-1], end + 1)
            else:
                bounds += [begin, end + 1]
        self._bounds = bounds

    def __contains__(self, moment: int) -> bool:
        """See the class."""
        return bool(bisect_right(self._bounds, moment) & 1)


class _Judge:
    """The counting of one history."""

    def __init__(self, history: History, promise: Promise) -> None:
        self.counts = Counts()
        self._rows, self._newest, self._strikes = history.rows, history.newest, sorted(history.strikes, key=_began)
        committed = [one for one in history.writes if one.committed]
        in_effect = [one for one in history.writes if one.effect in _IN_EFFECT]
        self._floors = _floors(history.rows, ((one.row, one.ended, one.version) for one in in_effect))
        self._visible = _floors(history.rows, ((one.row, one.committed, one.version) for one in committed))
        self._begun = _begun(history.writes)
        self._promised = _promised(history, promise)
        grace, calm = round(promise.grace_seconds * _NS), CALM_AFTER_NS
        graced = [one for one in history.strikes if grace and (not promise.graced or one.name in promise.graced)]
        self._graced = Within((one.began, one.ended + grace) for one in graced)
        self._disturbed = Within((one.began, one.ended + calm) for one in history.strikes)
        for write in history.writes:
            self.counts.effects[write.effect.name] = self.counts.effects.get(write.effect.name, 0) + 1
        for strike in history.strikes:
            self.counts.strikes[strike.name] = self.counts.strikes.get(strike.name, 0) + 1
        self.counts.writes = len(committed)

    def read(self, read: Read) -> None:
        """A read while the load ran."""
        counts, source = self.counts, read[3]
        counts.reads += 1
        if source is Source.CACHE:
            counts.hits += 1
            counts.calm_hits += read[1] not in self._disturbed
            if self._is_possible(read):
                self._is_fresh(read)
        elif source is Source.LOADER:
            counts.loads += 1
            counts.calm_loads += read[1] not in self._disturbed
            self._is_possible(read)
        elif source is Source.ERROR:
            counts.errors += 1
            self._tell("errors", read, "it raised")
        else:
            counts.cancelled += 1

    def final(self, read: Read) -> None:
        """A read at the end."""
        self.counts.final_reads += 1
        if read.source is Source.ERROR:
            self.counts.errors += 1
            self._tell("errors", read, "it raised, when all was healed")
        elif self._is_possible(read) and read.source is Source.CACHE and read.version < self._promised[read.row]:
            self.counts.lost += 1
            self._tell("lost", read, f"{self._promised[read.row]} is promised")

    def _is_possible(self, read: Read) -> bool:
        """Whether it is an answer to what was asked, and the database has had it by then."""
        row, version = read[4], read[5]
        if row != read[0] % self._rows:
            self.counts.wrong += 1
            self._tell("wrong", read, f"it is of {_whose(row)}")
            return False
        begun = self._begun.get((row, version), 0)
        if version < FIRST_VERSION or version > self._newest[row] or begun > read[2]:
            self.counts.phantom += 1
            self._tell("phantom", read, "the database begins it later" if begun else "the database never had it")
            return False
        return True

    def _is_fresh(self, read: Read) -> None:
        _, began, _, _, row, version = read
        visible, floor = self._visible[row].at(began), self._floors[row].at(began)
        if version >= visible and version >= floor:
            return
        if began in self._graced:
            self.counts.not_judged += 1
            return
        if version < visible:
            self.counts.older_than_visible += 1
            age = (began - self._visible[row].passed(version)) / _NS
            self._tell("older_than_visible", read, f"a newer one had been committed for {1000 * age:.3f} ms")
        if version < floor:
            age = (began - self._floors[row].passed(version)) / _NS
            self.counts.stale += 1
            self.counts.stalest_seconds = max(self.counts.stalest_seconds, age)
            self._tell("stale", read, f"{floor} had been invalidated; a newer one for {1000 * age:.3f} ms")

    def _tell(self, kind: str, read: Read, what: str) -> None:
        told = self.counts.examples.setdefault(kind, [])
        if len(told) < EXAMPLES:
            told.append(f"key {read.key}, version {read.version}: {what}; {self._when(read.began)}")

    def _when(self, moment: int) -> str:
        """Where in the run it was, told by the last fault before."""
        place = bisect_right(self._strikes, moment, key=_began)
        if not place:
            return "before any fault"
        last = self._strikes[place - 1]
        if moment <= last.ended:
            return f"{(moment - last.began) / _NS:.3f} s into {last.name}"
        return f"{(moment - last.ended) / _NS:.3f} s after {last.name}"


def _floors(rows: int, raised: Iterable[tuple[int, int, int]]) -> list[Floor]:
    """A floor for each row, of (row, moment, version)."""
    by_row: list[list[tuple[int, int]]] = [[] for _ in range(rows)]
    for row, moment, version in raised:
        by_row[row].append((moment, version))
    return [Floor(one) for one in by_row]


def _begun(writes: Iterable[Write]) -> dict[tuple[int, int], int]:
    """When each version of each row was first begun."""
    found: dict[tuple[int, int], int] = {}
    for one in writes:
        found[one.row, one.version] = min(one.began, found.get((one.row, one.version), one.began))
    return found


def _promised(history: History, promise: Promise) -> list[int]:
    """For each row the version that nothing in the cache may be older than, once all is carried out."""
    known = {(one.row, one.version) for one in history.writes if one.effect is not Effect.UNKNOWN}
    newest = [FIRST_VERSION] * history.rows
    for one in history.writes:
        if one.effect is Effect.UNKNOWN:
            # Killed before COMMIT, its version became another's: what is promised is that one's.
            is_promised = promise.outbox and (one.row, one.version) not in known
        else:
            is_promised = one.effect in _IN_EFFECT or one.effect is Effect.QUEUED
        if is_promised and newest[one.row] < one.version <= history.newest[one.row]:
            newest[one.row] = one.version
    return newest


def _began(strike: Strike) -> int:
    return strike.began


def _whose(row: int) -> str:
    return f"row {row}" if row >= 0 else f"key {key_of(row)}" if row < -1 else "nothing"


def other_key(key: int) -> int:
    """What is recorded as a read's row where its value says that it is of another key."""
    return -2 - key


def key_of(row: int) -> int:
    """The key that `other_key` was given."""
    return -2 - row


def _part(hits: int, loads: int) -> float | None:
    return hits / (hits + loads) if hits + loads else None
