"""Every interleaving of a few readers and writers of one tag, on the reference store: what closed stamps promise holds.

The scenarios are those of the design's model of closed stamps, with the store's own methods in place of the model's
steps, and with a clock that may turn at any time. States are relative to it, so that it may turn without end. Each
mechanism is also taken out, and must then be found to leak.

(a) No hit is older than an invalidation that had returned when the read began. (d) Nor older than a visible commit.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import pytest

from unstale.core.entry import Draft
from unstale.core.keys import Names
from unstale.core.layout import STAMPS_AT
from unstale.core.ports import Bumped, Commit, Mode
from unstale.core.stamps import LAG, STAMP_SIZE
from unstale.stores.memory import MemoryStore, _Cell

pytestmark = pytest.mark.no_cover

NAMES = Names("model")
KEY = b"k"
TAGS = NAMES.make_tagset("", ())
ENTRY, STAMP = NAMES.entry(KEY), NAMES.root_of(KEY)
TTL = math.inf
LIMIT = 2
"""Turns of the clock after which a strict writer's tag opens; a transaction takes fewer."""
BEHIND = 2
"""Turns of the clock by which the database's replica is behind at the most."""


class Reader(NamedTuple):
    """A reader: what he does next, what an invalidation had promised when he began, what he observed and loaded."""

    at: str = "idle"
    floor: int = 0
    seen: bytes | None = None
    value: int = 0
    left: int = 1


class Writer(NamedTuple):
    """A writer: what he does next, which version he has committed, and how many turns ago he began."""

    at: str = "start"
    version: int = 0
    age: int = 0


class State(NamedTuple):
    """Everything. `ages` is how many turns ago each version was committed that is not on the replica yet."""

    version: int
    ages: tuple[int, ...]
    floor: int
    evictions: int
    late: tuple[str, ...]
    stamp: Any
    entry: tuple[int, bytes] | None
    readers: tuple[Reader, ...]
    writers: tuple[Writer, ...]


class World(NamedTuple):
    """A scenario: who takes part, and what may happen.

    Attributes:
        writers: "strict", "rollback" (strict), "plain", or "bump" (an invalidation without a commit).
        readers: how often each reads.
        promise: "a" or "d".
        lagging: whether loaders read a replica that may be behind.
        lag: the `replica_lag` of all.
        evictions: how often the stamp may be lost.
        crash: whether a strict writer may die, before its commit or after it.
        late: which packet of a strict writer's may arrive once more at any time: "begin" or "complete".
        slow: whether a transaction may outlast its limit.
        timed: whether the clock turns.
    """

    writers: tuple[str, ...]
    readers: tuple[int, ...] = (2, 1)
    promise: str = "a"
    lagging: bool = False
    lag: float = 0.0
    evictions: int = 0
    crash: bool = False
    late: str = ""
    slow: bool = False
    timed: bool = False


@cache
def draft(version: int) -> Draft:
    """An entry that holds a version."""
    return Draft(KEY, TAGS, 0, bytes([version]), 1.0, TTL, 0.0, fenced=False)


@cache
def sealed(version: int, stamp: bytes) -> bytes:
    """Its bytes."""
    return draft(version).seal(bytes(16), (stamp,))


def _but_the_stamp(reader: Reader) -> tuple[str, int, int, int, bool]:
    """What a reader is told apart by before the stamps are renamed."""
    return reader.at, reader.floor, reader.value, reader.left, reader.seen is None


def stamp_of(data: bytes) -> bytes:
    """The stamp that an entry records."""
    return data[STAMPS_AT : STAMPS_AT + STAMP_SIZE]


class Model:
    """The transitions of a scenario, made by a store."""

    def __init__(self, world: World, kind: type[MemoryStore] = MemoryStore) -> None:
        self.world = world
        self.clock = 0
        self.store = kind(lambda: float(self.clock))

    def initial(self) -> State:
        readers = tuple(Reader(left=reads) for reads in self.world.readers)
        writers = tuple(Writer() for _ in self.world.writers)
        return State(0, (), 0, self.world.evictions, (), None, None, readers, writers)

    def load(self, state: State) -> None:
        """Put a state into the store."""
        self.clock = 0
        cells: dict[bytes, _Cell] = {}
        if state.stamp is not None:
            value, until, owners = state.stamp
            cells[STAMP] = _Cell(value, until, dict(owners))
        if state.entry is not None:
            version, stamp = state.entry
            cells[ENTRY] = _Cell(sealed(version, stamp), TTL)
        self.store._cells = cells

    def dump(self, state: State, **changes: Any) -> State:
        """The state that the store is in now; stamps are renamed, since only their equality counts."""
        cell, entry = self.store._find(STAMP), self.store._find(ENTRY)
        state = state._replace(**changes)
        kept = None
        if entry is not None and entry.value is not None:
            kept = (entry.value[-1], stamp_of(entry.value))
        known: dict[bytes, bytes] = {}

        def name(stamp: bytes | None) -> bytes | None:
            return None if stamp is None else known.setdefault(stamp, bytes([len(known) + 1]) * 16)

        stamp = None
        if cell is not None:
            owners = sorted((owner, max(at - self.clock, 0.0)) for owner, at in cell.owners.items())
            stamp = (name(cell.value), cell.until - self.clock, tuple(owners))
        # Which reader is which does not matter: states that differ in that alone are one.
        readers = tuple(reader._replace(seen=name(reader.seen)) for reader in sorted(state.readers, key=_but_the_stamp))
        entry_now = None
        if kept is not None and (kept[1] in known or cell is None or cell.value is None):
            entry_now = (kept[0], name(kept[1]))
        return state._replace(stamp=stamp, entry=entry_now, readers=readers)

    def steps(self, state: State) -> Iterator[tuple[str, State, str | None]]:
        """Everything that can happen next: what it is called, what is then, and what it breaks."""
        for number in range(len(state.readers)):
            yield from self.read(state, number)
        for number, kind in enumerate(self.world.writers):
            yield from self.write(state, number, kind)
        yield from self.surroundings(state)

    def surroundings(self, state: State) -> Iterator[tuple[str, State, str | None]]:
        if state.ages:
            yield "the replica catches up", state._replace(ages=state.ages[1:]), None
        if state.evictions and state.stamp is not None:
            yield "evicted", state._replace(stamp=None, evictions=state.evictions - 1), None
        if self.world.timed and self.may_pass(state):
            self.load(state)
            self.clock = 1
            ages = tuple(age + 1 for age in state.ages)
            writers = tuple(
                writer._replace(age=min(writer.age + 1, LIMIT)) if writer.at == "inside" else writer
                for writer in state.writers
            )
            yield "time passes", self.dump(state, ages=ages, writers=writers), None
        for packet in state.late:
            self.load(state)
            self.send(packet)
            yield f"late {packet}", self.dump(state, late=()), None

    def may_pass(self, state: State) -> bool:
        """Whether the clock may turn: the replica keeps its promise, and transactions theirs."""
        behind = any(age + 1 >= BEHIND for age in state.ages)
        over = any(writer.at == "inside" and writer.age + 1 >= LIMIT for writer in state.writers)
        return not behind and (self.world.slow or not over)

    def send(self, packet: str) -> list[Bumped] | None:
        verb, owner = packet.split()
        keep = TTL if self.world.lag else 0.0
        if verb == "begin":
            return self.store.close_stamps([STAMP], owner.encode(), LIMIT + self.world.lag, keep)
        return self.store.complete([STAMP], owner.encode(), keep, self.world.lag)

    def read(self, state: State, number: int) -> Iterator[tuple[str, State, str | None]]:
        reader = state.readers[number]

        def then(label: str, broken: str | None = None, **changes: Any) -> tuple[str, State, str | None]:
            readers = list(state.readers)
            readers[number] = reader._replace(**changes)
            return f"R{number} {label}", self.dump(state, readers=tuple(readers)), broken

        self.load(state)
        match reader.at:
            case "idle" if reader.left:
                floor = state.version if self.world.promise == "d" else state.floor
                (data, stamp), _ = self.store.read([ENTRY, STAMP])
                if data is not None and stamp is not None and stamp_of(data) == stamp:
                    broken = f"a hit of v{data[-1]}, must be v{floor}" if data[-1] < floor else None
                    yield then(f"hits v{data[-1]}", broken, left=reader.left - 1)
                else:
                    yield then("misses", at="load" if stamp else "open", floor=floor, seen=stamp)
            case "open":
                [stamp] = self.store.open((), [STAMP], TTL, self.world.lag).stamps
                yield then("opens", at="load", seen=stamp if isinstance(stamp, bytes) else None)
            case "load":
                value = state.version - len(state.ages)
                yield then(f"loads v{value}", at="store", value=value)
            case "store":
                if reader.seen is not None:
                    given = (Mode.SET, ENTRY, NAMES.lease(ENTRY), (STAMP,), (reader.seen,), None)
                    self.store.commit([Commit(*given, draft(reader.value), TTL)])
                yield then("stores", at="idle", seen=None, value=0, floor=0, left=reader.left - 1)

    def write(self, state: State, number: int, kind: str) -> Iterator[tuple[str, State, str | None]]:
        writer, owner = state.writers[number], f"w{number}"

        def then(label: str, changes: dict[str, Any], **others: Any) -> tuple[str, State, None]:
            writers = list(state.writers)
            writers[number] = writer._replace(**changes)
            return f"W{number} {label}", self.dump(state, writers=tuple(writers), **others), None

        def late(verb: str) -> Sequence[tuple[str, ...]]:
            """No packet under way; or this one, once more."""
            return [state.late, (f"{verb} {owner}",)] if self.world.late == verb and not state.late else [state.late]

        ages = (*state.ages, 0) if self.world.lagging else ()
        floor = max(state.floor, writer.version)
        committed = {"version": state.version + 1, "ages": ages}
        match kind, writer.at:
            case (("strict" | "rollback"), "start"):
                for packets in late("begin"):
                    self.load(state)
                    self.send(f"begin {owner}")
                    yield then("begins", {"at": "inside"}, late=packets)
            case ("strict", "inside") | ("plain", "start"):
                self.load(state)
                yield then("commits", {"at": "committed", "age": 0, "version": state.version + 1}, **committed)
                if self.world.crash and kind == "strict":
                    yield then("commits and dies", {"at": "dead", "age": 0}, **committed)
                    yield then("dies", {"at": "dead", "age": 0})
            case ("strict", "committed") | ("rollback", "inside"):
                for packets in late("complete"):
                    self.load(state)
                    self.send(f"complete {owner}")
                    yield then("completes", {"at": "done", "age": 0}, floor=floor, late=packets)
            case ("plain", "committed") | ("bump", "start"):
                self.load(state)
                self.store.bump([STAMP], TTL, lag=self.world.lag)
                yield then("invalidates", {"at": "done", "age": 0}, floor=floor)


def explore(model: Model) -> tuple[str | None, int]:
    """The shortest way to break the promise, or None where there is none; and how many states were seen."""
    first = model.initial()
    came_from: dict[State, tuple[State, str] | None] = {first: None}
    queue = deque([first])
    while queue:
        state = queue.popleft()
        for label, after, broken in model.steps(state):
            if broken:
                trail, at = [f"{label}: {broken}"], state
                while (step := came_from[at]) is not None:
                    at, label = step  # noqa: PLW2901 - the way back
                    trail.append(label)
                return "; ".join(reversed(trail)), len(came_from)
            if after not in came_from:
                came_from[after] = (state, label)
                queue.append(after)
    return None, len(came_from)


LAGGING: dict[str, Any] = {"lagging": True, "lag": BEHIND, "timed": True}
HOLDS = {
    "one strict writer": World(("strict",), promise="d"),
    "a rollback": World(("strict", "rollback"), promise="d"),
    "two strict writers": World(("strict", "strict"), promise="d"),
    "two strict writers, one dies": World(("strict", "strict"), (2,), promise="d", crash=True, timed=True),
    "a late completion": World(("strict", "strict"), (1, 1), promise="d", late="complete"),
    "a late begin": World(("strict", "strict"), (2,), promise="d", late="begin", timed=True),
    "another's invalidation": World(("strict", "bump"), promise="d"),
    "strict and plain": World(("strict", "plain"), evictions=1),
    "closed stamps are evicted": World(("strict", "strict"), (1, 1), evictions=1),
    "a transaction outlasts its limit": World(("strict", "strict"), (1, 1), slow=True, timed=True),
    "plain, lagging": World(("plain",), (2, 2), **LAGGING),
    "plain twice, lagging": World(("plain", "plain"), (1, 1), **LAGGING),
    "plain, lagging, evicted": World(("plain",), (2, 2), evictions=2, **LAGGING),
    "plain and another's, lagging": World(("plain", "bump"), evictions=1, **LAGGING),
    "strict, lagging": World(("strict",), (2, 2), **LAGGING),
    "two strict, lagging": World(("strict", "strict"), (2,), **LAGGING),
    "strict, lagging, evicted": World(("strict", "plain"), (2,), evictions=1, **LAGGING),
    "a rollback, lagging": World(("plain", "rollback"), **LAGGING),
    "strict dies, lagging": World(("strict", "plain"), (2,), crash=True, lagging=True, lag=BEHIND, timed=True),
    "a late completion, lagging": World(("strict", "plain"), (2,), late="complete", **LAGGING),
}


@pytest.mark.parametrize("world", HOLDS.values(), ids=HOLDS)
def test_holds(world: World) -> None:
    """No interleaving breaks the promise."""
    assert explore(Model(world))[0] is None


class AlwaysMissing(MemoryStore):
    """A completion opens whoever else has closed."""

    def complete(self, stamp_names: Sequence[bytes], *_: Any) -> list[Bumped]:
        self._remove(*stamp_names)
        return [Bumped.CHANGED]


class OnlyClosed(MemoryStore):
    """A completion leaves what is open by then."""

    def complete(self, stamp_names: Sequence[bytes], *arguments: Any) -> list[Bumped]:
        cell = self._find(stamp_names[0])
        return super().complete(stamp_names, *arguments) if cell and cell.value is None else [Bumped.MISSING]


class OnlyThere(MemoryStore):
    """Begin closes only what is there, as an invalidation does."""

    def close_stamps(self, stamp_names: Sequence[bytes], *arguments: Any) -> None:
        if self._find(stamp_names[0]) is not None:
            super().close_stamps(stamp_names, *arguments)


class Reopening(MemoryStore):
    """A plain invalidation puts an open stamp in a closed one's place."""

    def bump(self, stamp_names: Sequence[bytes], stamp_ttl: float, **_: Any) -> list[Bumped]:
        if self._find(stamp_names[0]) is not None:
            self._put(stamp_names[0], b"".join([b"again", bytes([len(self._cells)]) * 11]), stamp_ttl)
        return [Bumped.CHANGED]


class LastDeadline(MemoryStore):
    """A begin's deadline replaces everybody's."""

    def close_stamps(self, stamp_names: Sequence[bytes], owner: bytes, seconds: float, keep: float = 0.0) -> None:
        super().close_stamps(stamp_names, owner, seconds, keep)
        self._cells[stamp_names[0]].until = self._clock() + seconds / 2


class OpeningMissing(MemoryStore):
    """A fill opens what is missing, though loaders may lag."""

    def open(self, claims: Any, missing: Any, stamp_ttl: float, lag: float = 0.0) -> Any:
        return super().open(claims, missing, stamp_ttl)


class CompletingAtOnce(MemoryStore):
    """A completion opens at once, though loaders may lag."""

    def complete(self, stamp_names: Any, owner: bytes, keep: float = 0.0, lag: float = 0.0) -> Any:
        met = super().complete(stamp_names, owner, keep)
        for name in stamp_names:
            if self._find(name) is None:
                self._put(name, bytes([len(self._cells) + 100]) * 16, TTL)
        return met


class EndingLags(MemoryStore):
    """A completion ends the lag of another's invalidation."""

    def complete(self, stamp_names: Any, owner: bytes, keep: float = 0.0, lag: float = 0.0) -> Any:
        for name in stamp_names:
            cell = self._find(name)
            if cell is not None:
                cell.owners.pop(LAG, None)
                cell.owners.pop(owner, None)
                self._open_late(name, TTL, lag)
        return [Bumped.CHANGED]


LEAKS: dict[str, tuple[World, type[MemoryStore]]] = {
    "plain, lagging, without replica_lag": (World(("plain",), (2, 2), lagging=True, timed=True), MemoryStore),
    "strict, lagging, without replica_lag": (World(("strict",), (2, 2), lagging=True, timed=True), MemoryStore),
    "a lag too short": (World(("plain",), (2, 2), lagging=True, lag=1, timed=True), MemoryStore),
    "(d), evicted": (World(("strict",), promise="d", evictions=1), MemoryStore),
    "(d), outlasting its limit": (World(("strict",), promise="d", slow=True, timed=True), MemoryStore),
    "completion always opens": (World(("strict", "strict"), promise="d"), AlwaysMissing),
    "completion leaves what is open": (World(("strict", "strict"), evictions=1), OnlyClosed),
    "begin closes only what is there": (World(("strict",), promise="d"), OnlyThere),
    "an invalidation reopens": (World(("strict", "bump"), promise="d"), Reopening),
    "the last begin's deadline": (World(("strict", "strict"), promise="d", timed=True), LastDeadline),
    "a fill opens what is missing": (World(("plain",), (2, 2), evictions=1, **LAGGING), OpeningMissing),
    "a completion opens at once": (World(("strict",), (2, 2), **LAGGING), CompletingAtOnce),
    "a completion ends a lag": (World(("plain", "rollback"), (2, 2), **LAGGING), EndingLags),
}


@pytest.mark.parametrize(("world", "kind"), LEAKS.values(), ids=LEAKS)
def test_leaks(world: World, kind: type[MemoryStore]) -> None:
    """With a mechanism taken out, or a promise asked that is not made, a stale hit is found."""
    assert explore(Model(world, kind))[0] is not None
