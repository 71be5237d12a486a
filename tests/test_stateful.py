"""Models that Hypothesis drives at random: of a store, of the one rule, and of what is set after a look.

Each machine keeps a small account of its own of what must be so, and compares after every step.
"""

from __future__ import annotations

import contextvars
import itertools
import math
import os
import struct
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from servers import Server

from unstale import Cache, remembering
from unstale.core import codecs
from unstale.core.entry import Draft
from unstale.core.freshness import names_blob
from unstale.core.keys import ROOTS, Names, TagSet, ancestry, root_tag
from unstale.core.keyspace import Keyspace
from unstale.core.layout import STAMPS_AT, TIMES
from unstale.core.payloads import Payloads
from unstale.core.policy import Policy
from unstale.core.ports import (
    HEAD_PROBE,
    PEEK_BYTES,
    Bumped,
    Change,
    Claim,
    Commit,
    Committed,
    Mode,
    Modify,
    Outcome,
    Store,
    Unmodified,
)
from unstale.core.stamps import CLOSED, HARD_SIZE, STAMP_SIZE, Observed, observe
from unstale.errors import AbsentError, StoreRefusedError
from unstale.events import Event, Refused, Stored
from unstale.stores.memory import MemoryStore
from unstale.stores.options import StoreOptions
from unstale.stores.urls import open_store

pytestmark = pytest.mark.no_cover

NAMES = Names("model")


def machine_settings(examples: int, steps: int) -> settings:
    """Settings for so many runs of so many steps, on a machine of any speed."""
    return settings(
        max_examples=examples, stateful_step_count=steps, deadline=None, suppress_health_check=list(HealthCheck)
    )


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def pass_(self, seconds: float) -> None:
        self.now += seconds


KEYS = [b"k1", b"k2"]
TAGSETS = [NAMES.make_tagset("", tags) for tags in ((), ("a",), ("a", "b"))]
ENTRIES = [NAMES.entry(key) for key in KEYS]
LEASES = [NAMES.lease(entry) for entry in ENTRIES]
STAMPS = sorted({*TAGSETS[2].stamp_names, *map(NAMES.root_of, KEYS)})
EVERYTHING = [*ENTRIES, *LEASES, *STAMPS]
PAYLOADS = [(codecs.RAW, b"raw"), (codecs.COUNTER, struct.pack(">q", 5)), (codecs.COUNTER, b"short")]

a_key = st.integers(0, len(KEYS) - 1)
a_tagset = st.sampled_from(TAGSETS)
a_stamp = st.sampled_from(STAMPS)
some_stamps = st.lists(a_stamp, min_size=1, max_size=len(STAMPS), unique=True)
seldom = st.sampled_from([False, False, False, True])
a_limit = st.sampled_from([100.0, 1000.0, math.inf])
OBSERVED = ["none", "none", "current", "current", "current", "past", "strange", "other soft half"]


class StoreMachine(RuleBasedStateMachine):
    """A store beside a dictionary of what must stand in it: bytes, or CLOSED for a closed stamp."""

    tolerance = 0.001
    timed = False

    def __init__(self) -> None:
        super().__init__()
        self.clock: Callable[[], float] = time.monotonic
        self.store: Store = self.make()
        self.identity = self.store.read([b"nothing"])[1]
        self.cells: dict[bytes, Observed] = {}
        self.until: dict[bytes, float] = {}
        self.stamps: list[bytes] = []
        self.tokens: list[bytes] = [b"never a token"]
        self.tagsets = [TAGSETS[0], TAGSETS[0]]

    def make(self) -> Store:
        """An empty store."""
        raise NotImplementedError

    def really_close(self, name: bytes) -> None:
        """Put a closed stamp in place."""
        raise NotImplementedError

    def really_put(self, name: bytes, data: bytes | None) -> None:
        """Put a value in place for ever, or remove what is there."""
        raise NotImplementedError

    def teardown(self) -> None:
        self.store.close()

    def put(self, name: bytes, data: Observed, seconds: float) -> None:
        """Note that something stands under a name now."""
        self.cells[name] = data
        self.until[name] = self.clock() + seconds

    def gone(self, *names: bytes) -> None:
        """Note that nothing stands there any more."""
        for name in names:
            self.cells.pop(name, None)
            self.until.pop(name, None)

    def string(self, name: bytes) -> bytes | None:
        """What a read sees."""
        data = self.cells.get(name)
        return data if isinstance(data, bytes) else None

    def stamp(self, name: bytes) -> Observed:
        """What stands under a stamp's name."""
        data = self.cells.get(name)
        return observe(data) if isinstance(data, bytes) else data

    def prolong(self, names: Sequence[bytes], seconds: float) -> None:
        """Note that stamps live at least so long from now."""
        for name in names:
            self.until[name] = max(self.until[name], self.clock() + seconds)

    def adopt(self, name: bytes, seconds: float) -> None:
        """Note the new stamp that the store has made: sixteen bytes that never were before."""
        stamp = self.store.read([name])[0][0]
        assert isinstance(observe(stamp), bytes)
        assert stamp not in self.stamps
        self.stamps.append(stamp)
        self.put(name, stamp, seconds)

    @invariant()
    def the_same_stands_there(self) -> None:
        """A read shows what the model has, and the same identity as ever."""
        values, identity = self.store.read(EVERYTHING)
        assert dict(zip(EVERYTHING, values, strict=True)) == {name: self.string(name) for name in EVERYTHING}
        assert identity == self.identity

    @invariant()
    def it_lives_as_long(self) -> None:
        """Everything expires when the model says."""
        for name in [name for name in EVERYTHING if self.string(name)]:
            left = self.until[name] - self.clock()
            ttl = self.store.peek(name, STAMPS[:1]).ttl
            assert ttl == pytest.approx(left, rel=0, abs=self.tolerance)

    @rule(which=a_key, missing=some_stamps, lease=st.booleans(), ttl=st.sampled_from([50.0, 500.0]))
    def open(self, which: int, missing: list[bytes], lease: bool, ttl: float) -> None:
        """The lease goes to the first; missing stamps are made, others found; the entry's beginning is shown."""
        claims = [Claim(ENTRIES[which], LEASES[which], 20.0)] if lease else []
        opening = self.store.open(claims, missing, ttl)
        free = LEASES[which] not in self.cells
        assert [one.token is not None for one in opening.claimed] == [free] * lease
        for one in opening.claimed:
            if one.token is not None:
                assert one.token not in self.tokens
                self.tokens.append(one.token)
                self.put(LEASES[which], one.token, 20.0)
        for name in missing:
            if name not in self.cells:
                self.adopt(name, ttl)
        assert opening.stamps == [self.stamp(name) for name in missing]
        assert [one.head for one in opening.claimed] == [self.beginning(which, HEAD_PROBE)] * lease
        assert opening.identity == self.identity

    def beginning(self, which: int, size: int) -> bytes | None:
        """An entry's first bytes; None where there is none, or none are wanted."""
        entry = self.string(ENTRIES[which])
        return entry[:size] if entry and size else None

    def observed(self, name: bytes, how: str, draw: int) -> bytes | None:
        """A stamp as a commit claims to have seen it."""
        now = self.stamp(name)
        open_now = now if isinstance(now, bytes) else None
        return {
            "none": None,
            "current": open_now,
            "past": self.stamps[draw % len(self.stamps)] if self.stamps else None,
            "strange": b"never stood here",
            "other soft half": open_now and open_now[:HARD_SIZE] + b"softsoft",
        }[how]

    def seen(self, which: int, how: str) -> bytes | None:
        """The entry's beginning, as an add claims to have seen it."""
        return {"none": None, "current": self.beginning(which, HEAD_PROBE), "strange": b"x" * HEAD_PROBE}[how]

    @rule(
        which=a_key,
        mode=st.sampled_from(Mode),
        tagset=a_tagset,
        observed=st.lists(st.tuples(st.sampled_from(OBSERVED), st.integers(0, 99)), min_size=3, max_size=3),
        held=st.sampled_from([True, True, True, False]),
        seen=st.sampled_from(["none", "current", "current", "strange"]),
        beside=st.lists(st.tuples(a_stamp, st.sampled_from(OBSERVED), st.integers(0, 99)), max_size=2),
        ttl=a_limit,
        stamp_ttl=a_limit,
        payload=st.sampled_from(PAYLOADS),
        fenced=st.booleans(),
        elsewhere=seldom,
        prolong=st.booleans(),
    )
    def commit(self, **choice: Any) -> None:
        """A draft is stored or refused as its conditions say."""
        one = self.commit_of(**choice)
        self.tagsets[choice["which"]] = choice["tagset"]
        [committed] = self.store.commit([one])
        self.account(one, committed)

    def commit_of(self, **choice: Any) -> Commit:
        """A commit as it was chosen."""
        key, entry, lease = (column[choice["which"]] for column in (KEYS, ENTRIES, LEASES))
        tagset, (codec, payload) = choice["tagset"], choice["payload"]
        names = (*tagset.stamp_names, NAMES.root_of(key))
        token = (self.string(lease) or b"no lease") if choice["held"] else b"no lease of mine"
        return Commit(
            mode=choice["mode"],
            entry=entry,
            lease=lease,
            stamp_names=names,
            observed=tuple(self.observed(name, *how) for name, how in zip(names, choice["observed"], strict=False)),
            identity=b"of another serve" if choice["elsewhere"] else None,
            draft=Draft(key, tagset, codec, payload, float(len(self.stamps)), choice["ttl"], 0.5, choice["fenced"]),
            stamp_ttl=choice["stamp_ttl"],
            prolong=choice["prolong"],
            token=token if choice["mode"] is Mode.FILL else b"",
            seen=self.seen(choice["which"], choice["seen"]),
            beside=self.beside(names, choice["beside"]) if choice["mode"] is Mode.REPLACE else (),
        )

    def beside(self, names: Sequence[bytes], drawn: list[tuple[bytes, str, int]]) -> tuple[tuple[bytes, bytes], ...]:
        """Further stamps as a commit claims to have seen them."""
        seen = {name: self.observed(name, how, draw) for name, how, draw in drawn if name not in names}
        return tuple((name, stamp) for name, stamp in seen.items() if stamp is not None)

    def expected(self, one: Commit) -> tuple[Outcome, int]:
        """What must become of a commit."""
        if one.mode is Mode.FILL and self.cells.get(one.lease) != one.token:
            return Outcome.LEASE, 0
        entry = self.string(one.entry)
        if one.mode is Mode.ADD and entry is not None and (one.seen is None or not entry.startswith(one.seen)):
            return Outcome.EXISTS, 0
        if one.mode is Mode.REPLACE and (entry is None or one.seen is None or not entry.startswith(one.seen)):
            return Outcome.CHANGED, 0
        for position, (name, observed) in enumerate((*zip(one.stamp_names, one.observed, strict=True), *one.beside)):
            now = self.stamp(name)
            if now is CLOSED:
                return Outcome.CLOSED, position
            if observed is not None and (now is None or now[:HARD_SIZE] != observed[:HARD_SIZE]):
                return Outcome.STALE, position
        return Outcome.STORED, 0

    def account(self, one: Commit, committed: Committed) -> None:
        """Compare a commit's outcome, and note what it has changed."""
        outcome, position = self.expected(one)
        foreign = one.draft.fenced and one.identity not in (None, self.identity)
        told = Outcome.IDENTITY if foreign and outcome is Outcome.STORED else outcome
        assert (committed.outcome, committed.position) == (told, position)
        if outcome is Outcome.STORED:
            for name in [name for name in one.stamp_names if name not in self.cells]:
                self.adopt(name, one.stamp_ttl)
            further = [name for name, _ in one.beside]
            self.prolong((*one.stamp_names, *further) if one.prolong else (), one.stamp_ttl)
            stamps = [
                observed or self.string(name) for observed, name in zip(one.observed, one.stamp_names, strict=True)
            ]
            data = one.draft.seal(one.identity or self.identity, tuple(stamps))
            self.put(one.entry, data, one.draft.ttl)
            self.gone(one.lease)
            assert committed.size == (len(data) if told is Outcome.STORED else 0)
        else:
            if one.mode is Mode.SET:
                self.gone(one.entry, one.lease)
            elif self.cells.get(one.lease) == one.token:
                self.gone(one.lease)
            self.tolerate_stamps_made_in_vain(one, position)

    def tolerate_stamps_made_in_vain(self, one: Commit, position: int) -> None:
        """A set that is refused for a later stamp may have made the missing ones before it."""
        for name, observed in zip(one.stamp_names[:position], one.observed, strict=False):
            if observed is None and name not in self.cells and self.store.read([name])[0][0] is not None:
                self.adopt(name, one.stamp_ttl)

    @rule(which=a_key, mine=st.booleans())
    def release(self, which: int, mine: bool) -> None:
        """A lease is given back by its holder only."""
        held = self.string(LEASES[which])
        self.store.release([(LEASES[which], held if held and mine else self.tokens[0])])
        if mine:
            self.gone(LEASES[which])

    @rule(which=a_key, names=some_stamps, remove=st.sampled_from([False, False, True]))
    def peek(self, which: int, names: list[bytes], remove: bool) -> None:
        """A peek shows the entry's beginning and the stamps; then what is to go goes."""
        removed = (ENTRIES[which], LEASES[which]) if remove else ()
        peek = self.store.peek(ENTRIES[which], names, removed)
        assert peek.head == self.beginning(which, PEEK_BYTES)
        assert peek.stamps == [observe(self.string(name)) for name in names]
        assert (peek.ttl == 0.0) == (peek.head is None)
        assert peek.identity == self.identity
        self.gone(*removed)

    @rule(
        which=st.lists(a_key, min_size=1, max_size=3),
        names=st.one_of(st.just([]), some_stamps),
        size=st.sampled_from([1, 64, PEEK_BYTES]),
        remove=seldom,
    )
    def heads(self, which: list[int], names: list[bytes], size: int, remove: bool) -> None:
        """Heads are beginnings and stamps in their order; then what is to go goes."""
        removed = [name for one in which for name in (ENTRIES[one], LEASES[one])] if remove else []
        heads = self.store.heads([ENTRIES[one] for one in which], size, names, removed)
        assert heads.heads == [self.beginning(one, size) for one in which]
        assert heads.stamps == [observe(self.string(name)) for name in names]
        assert heads.identity == self.identity
        self.gone(*removed)

    @rule(glob=st.sampled_from(["*", "*:[el]:*"]))
    def scan(self, glob: str) -> None:
        """A scan gives all that is there, closed stamps as well, and nothing else."""
        found, cursor, begun = set(), 0, False
        while cursor or not begun:
            cursor, page, identity = self.store.scan(cursor, glob.encode(), 5)
            found.update(page)
            begun = True
            assert identity == self.identity
        there = set(self.cells) - {name for name in self.cells if glob != "*" and name in STAMPS}
        assert {name for name in found if name in EVERYTHING} == there & set(EVERYTHING)

    @rule(names=st.lists(st.sampled_from(EVERYTHING), min_size=1, unique=True))
    def remove(self, names: list[bytes]) -> None:
        """What is removed was there, as many as it says."""
        assert self.store.remove(names) == len([name for name in names if name in self.cells])
        self.gone(*names)

    @rule(names=some_stamps, ttl=st.sampled_from([50.0, 500.0]))
    def bump(self, names: list[bytes], ttl: float) -> None:
        """A bump changes what is open, creates nothing, and opens nothing."""
        met = {name: self.cells.get(name) for name in names}
        expected = [
            Bumped.MISSING if now is None else Bumped.CLOSED if now is CLOSED else Bumped.CHANGED
            for now in met.values()
        ]
        assert self.store.bump(names, ttl) == expected
        for name, bumped in zip(names, expected, strict=True):
            if bumped is Bumped.CHANGED:
                self.adopt(name, ttl)

    @rule(which=a_key, other=a_tagset, expect_other=seldom, delta=st.sampled_from([1, -1, -6, 2**53 - 1, 0]))
    def increase(self, which: int, other: TagSet, expect_other: bool, delta: int) -> None:
        """A fresh counter counts within its range; nothing else does."""
        tagset = other if expect_other else self.tagsets[which]
        modify = self.modification(which, tagset, Change.INCREASE, delta=delta)
        data = self.string(modify.entry) or b""
        count = int.from_bytes(data[-8:], signed=True) + delta
        expected: int | Unmodified = self.unmodified(modify) or count
        if isinstance(expected, int) and (data[6] != codecs.COUNTER or len(data) != self.head_size(modify) + 8):
            expected = Unmodified.NOT_A_COUNTER
        elif isinstance(expected, int) and abs(count) > codecs.MAX_COUNTER:
            expected = Unmodified.RANGE
        assert self.store.modify(modify) == expected
        if isinstance(expected, int):
            self.cells[modify.entry] = data[:-8] + struct.pack(">q", count)

    @rule(which=a_key, other=a_tagset, expect_other=seldom, ttl=a_limit, stamp_ttl=a_limit)
    def touch(self, which: int, other: TagSet, expect_other: bool, ttl: float, stamp_ttl: float) -> None:
        """A fresh entry gets new times, and its stamps live on; nothing else changes."""
        tagset = other if expect_other else self.tagsets[which]
        times = TIMES.pack(7.0, ttl)
        modify = self.modification(which, tagset, Change.TOUCH, times=times, ttl=ttl, stamp_ttl=stamp_ttl)
        expected = self.unmodified(modify) or 0
        assert self.store.modify(modify) == expected
        if expected == 0:
            data = self.string(modify.entry) or b""
            self.put(modify.entry, data[:8] + times + data[8 + len(times) :], ttl)
            self.prolong(modify.stamp_names, stamp_ttl)

    def modification(self, which: int, tagset: TagSet, change: Change, **fields: Any) -> Modify:
        """A change of an entry that is taken to have these tags."""
        names = (*tagset.stamp_names, NAMES.root_of(KEYS[which]))
        return Modify(change, ENTRIES[which], names, tagset.shape, names_blob(tagset, KEYS[which]), **fields)

    def head_size(self, modify: Modify) -> int:
        """Where the payload begins."""
        return STAMPS_AT + STAMP_SIZE * len(modify.stamp_names) + len(modify.names)

    def unmodified(self, modify: Modify) -> Unmodified | None:
        """Why an entry may not be changed; None where it may."""
        data = self.string(modify.entry)
        if data is None:
            return Unmodified.ABSENT
        names_at = self.head_size(modify) - len(modify.names)
        if not data.startswith(modify.shape) or not data.startswith(modify.names, names_at):
            return Unmodified.OTHER
        recorded = [data[at : at + STAMP_SIZE] for at in range(STAMPS_AT, names_at, STAMP_SIZE)]
        same_server = data[5] == 0 or data[28:44] == self.identity
        if same_server and recorded == [self.stamp(name) for name in modify.stamp_names]:
            return None
        return Unmodified.STALE

    @rule(name=st.sampled_from(EVERYTHING))
    def evict(self, name: bytes) -> None:
        """Whatever the server evicts is missing."""
        self.really_put(name, None)
        self.gone(name)

    @rule(name=a_stamp)
    def close_stamp(self, name: bytes) -> None:
        """A closed stamp is put in place."""
        self.really_close(name)
        self.put(name, CLOSED, math.inf)

    @rule(
        name=st.sampled_from([*ENTRIES, *STAMPS]), data=st.sampled_from([b"short", b"x" * 17, b"\xf5\x01" + bytes(90)])
    )
    def foreign(self, name: bytes, data: bytes) -> None:
        """Somebody else writes there."""
        self.really_put(name, data)
        self.put(name, data, math.inf)

    @precondition(lambda self: self.timed)
    @rule(seconds=st.sampled_from([0.0, 1.0, 19.9, 20.0, 60.0, 100.0, 600.0]))
    def time_passes(self, seconds: float) -> None:
        """What has lived its time is missing."""
        self.clock.pass_(seconds)  # type: ignore[attr-defined]
        self.gone(*[name for name, until in self.until.items() if until <= self.clock()])


class MemoryMachine(StoreMachine):
    """The reference store, with a clock of its own."""

    timed = True

    def make(self) -> Store:
        self.clock = Clock()
        self.memory = MemoryStore(self.clock)
        return self.memory

    def really_close(self, name: bytes) -> None:
        self.memory.close_stamps([name], b"another", math.inf)

    def really_put(self, name: bytes, data: bytes | None) -> None:
        self.memory._remove(name)
        if data is not None:
            self.memory._put(name, data, math.inf)


class ServerMachine(StoreMachine):
    """A store on a real server; nothing expires while it runs."""

    tolerance = 5.0

    def __init__(self, url: str, client: redis.Redis) -> None:
        self.url, self.client = url, client
        super().__init__()

    def make(self) -> Store:
        self.client.flushdb()
        return open_store(self.url, StoreOptions(timeout=5.0))

    def really_close(self, name: bytes) -> None:
        self.really_put(name, None)
        self.client.zadd(name, {"owner": 4102444800})

    def really_put(self, name: bytes, data: bytes | None) -> None:
        self.client.delete(name)
        if data is not None:
            self.client.set(name, data)


def test_memory_store() -> None:
    """The reference store does what the model does, and lets things expire in time."""
    run_state_machine_as_test(MemoryMachine, settings=machine_settings(150, 40))


def test_server_store(server: Server) -> None:
    """The store on a server does what the model does."""
    with server.client as client:
        run_state_machine_as_test(lambda: ServerMachine(server.url, client), settings=machine_settings(100, 40))


CACHE_KEYS = ["k0", "k1", "k2"]
CACHE_TAGS = ["u:1", "u:1/a", "u:2", "p"]
IDENTITY = "the server's identity"
NEVER = object()
Target = tuple[str, Sequence[str]]
Deps = dict[str, int]
"""What a value depends on: tags, roots and the identity, each with the moment since when."""

cache_key = st.sampled_from(CACHE_KEYS)
USUAL = [("k0", ("u:1/a",)), ("k1", ("u:1", "p")), ("k2", ())]
UNUSUAL = [("k0", ()), ("k0", ("u:1",)), ("k1", ("u:2",)), ("k2", ("p",))]
target = st.sampled_from([*USUAL * 4, *UNUSUAL])
"""A key and its tags: mostly those that all others use."""
cache_ttl = st.sampled_from([5.0, 100.0, 100.0, None])
CACHE_ROOTS = [root_tag(key.encode()) for key in CACHE_KEYS]
INVALIDATIONS = [("invalidate", tag) for tag in CACHE_TAGS]
loss = st.sampled_from(
    [
        *INVALIDATIONS * 3,
        ("clear", None),
        *(("evict", tag) for tag in (*CACHE_TAGS, *CACHE_ROOTS)),
        *(("close", tag) for tag in CACHE_TAGS),
        ("fail over", None),
    ]
)


@dataclass(frozen=True)
class Value:
    """A value, and what it depends on."""

    number: int
    deps: Deps


@dataclass(frozen=True)
class Kept:
    """An entry as it should stand in the store."""

    value: Value
    until: float


def number_of(kept: Kept | None) -> object:
    """What a read gives: the value, or NEVER, which is its default."""
    return kept.value.number if kept else NEVER


def counting(deps: Deps) -> Deps:
    """What counts of these: without tags, the server's identity does not."""
    tagged = any(tag[0] != "*" and tag is not IDENTITY for tag in deps)
    return {tag: since for tag, since in deps.items() if tagged or tag is not IDENTITY}


def inherit(deps: Deps, more: Deps) -> None:
    """Depend on what counts of another value, each since the earliest moment."""
    for tag, since in counting(more).items():
        deps[tag] = min(deps.get(tag, since), since)


class CacheMachine(RuleBasedStateMachine):
    """A cache in memory, and an account of when which tag was lost: invalidated, evicted, closed, cleared."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.store = MemoryStore(self.clock)
        self.events: list[Event] = []
        policy = Policy(ttl=100.0)
        space = Keyspace(NAMES, Payloads(codecs.codec_named("msgpack")), policy, self.events.append, self.events.append)
        self.cache = Cache(self.store, space)
        self.loading: list[str] = []
        self.cache._io.sleep = self.sleep
        self.cache._io.monotonic = self.clock
        self.ticks = itertools.count(1)
        self.numbers = itertools.count(1000, 1000)
        self.lost: Deps = {}
        self.closed: dict[str, float] = {}
        self.kept: dict[str, Kept] = {}

    async def sleep(self, seconds: float) -> None:
        """Who waits for a lease waits by the machine's clock."""
        self.clock.pass_(seconds)

    def elsewhere(self, function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Call something as a process does that has seen nothing yet."""
        return contextvars.Context().run(lambda: function(*arguments, **named))

    def needed(self, key: str, tags: Sequence[str]) -> set[str]:
        """The tags that an entry records, and its server's identity."""
        return {*(one for tag in tags for one in ancestry(tag)), root_tag(key.encode()), IDENTITY}

    def new_value(self, key: str, tags: Sequence[str]) -> Value:
        """A value that is loaded now."""
        now = next(self.ticks)
        return Value(next(self.numbers), dict.fromkeys(self.needed(key, tags), now))

    def stands(self, deps: Deps) -> bool:
        """Whether nothing that counts was lost since a value was loaded."""
        return all(self.lost.get(tag, 0) < since for tag, since in counting(deps).items())

    def unchanged(self, deps: Deps) -> bool:
        """Whether no tag was lost since then, whatever the server."""
        return all(self.lost.get(tag, 0) < since for tag, since in deps.items() if tag is not IDENTITY)

    def fresh(self, key: str, tags: Sequence[str] = ()) -> Kept | None:
        """The entry that must be served to who asks for these tags, or None where none may be."""
        kept = self.kept.get(key)
        if kept is None or kept.until <= self.clock() or not self.needed(key, tags) <= set(kept.value.deps):
            return None
        return kept if self.stands(kept.value.deps) else None

    def is_closed(self, tags: Sequence[str]) -> bool:
        """Whether one of these tags is closed now, itself or an ancestor."""
        return any(self.closed.get(one, 0.0) > self.clock() for tag in tags for one in ancestry(tag))

    def keep(self, key: str, value: Value, ttl: float | None) -> None:
        """Note that a value was stored."""
        self.kept[key] = Kept(value, self.clock() + (math.inf if ttl is None else ttl))

    def lose(self, how: str, what: str | None) -> None:
        """Lose a tag in one of the ways there are."""
        everything = [f"*{number}" for number in range(ROOTS)]
        match how:
            case "invalidate":
                self.cache.invalidate(what)
            case "clear":
                self.cache.clear()
            case "evict":
                self.store._remove(NAMES.stamp(what))
                self.closed.pop(what, None)
            case "close":
                self.store.close_stamps([NAMES.stamp(what)], b"another", 50.0)
                self.closed[what] = self.clock() + 50.0
            case "fail over":
                self.store.identity = os.urandom(16)
        gone = {"clear": everything, "fail over": [IDENTITY]}.get(how, [what])
        self.lost.update(dict.fromkeys(gone, next(self.ticks)))

    @rule(what=loss)
    def something_is_lost(self, what: tuple[str, str | None]) -> None:
        """A tag is invalidated, evicted or closed, everything is cleared, or the server is another."""
        self.elsewhere(self.lose, *what)

    @rule(seconds=st.sampled_from([1.0, 4.0, 30.0, 60.0]))
    def time_passes(self, seconds: float) -> None:
        """Entries and stamps grow old."""
        self.clock.pass_(seconds)


LEAF = st.one_of(
    loss,
    loss,
    st.tuples(st.just("pause"), st.sampled_from([0.5, 3.0, 12.0, 40.0])),
    st.tuples(st.just("get"), target),
    st.tuples(st.just("set"), st.tuples(target, cache_ttl)),
    st.tuples(st.just("delete"), cache_key),
    st.tuples(st.just("raise"), st.none()),
)


def load_of(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A load inside a loader, whose own loader does `inner`."""
    return st.tuples(st.just("load"), st.tuples(target, cache_ttl, inner))


# Three levels, each written out: st.recursive sometimes takes the function it is given for one that does not recurse.
PLAN = st.lists(LEAF, max_size=2)
PLAN = st.lists(st.one_of(LEAF, load_of(PLAN)), max_size=3)
PLAN = st.lists(st.one_of(LEAF, load_of(PLAN)), max_size=3)
"""What happens while a loader runs, other loads within it included."""


class LoaderFailedError(Exception):
    """A loader raises this."""


class RuleMachine(CacheMachine):
    """All verbs: a value is served if and only if nothing that it depends on was lost since its load began."""

    @rule(one=target, ttl=cache_ttl, plan=PLAN)
    def get_or_set(self, one: Target, ttl: float | None, plan: list[Any]) -> None:
        """What is fresh is served; else it is loaded, while whatever the plan says happens."""
        try:
            self.elsewhere(self.load, one, ttl, plan, {})
        except LoaderFailedError:
            assert any(step[0] == "raise" for step in flattened(plan))

    def load(self, one: Target, ttl: float | None, plan: list[Any], outer: Deps) -> None:
        """One get_or_set; what its value depends on, the loader around it depends on, too."""
        key, tags = one
        before, loads = self.fresh(key, tags), []

        def loader() -> int:
            value = self.new_value(key, tags)
            loads.append(value)
            self.loading.append(key)
            try:
                for what, how in plan:
                    self.perform(what, how, value.deps)
            finally:
                self.loading.pop()
            return value.number

        nested = key in self.loading
        got = self.cache.get_or_set(key, loader, tags=tags, ttl=ttl)
        if loads:
            assert before is None
            self.loaded(key, ttl, loads[-1], quiet=not plan and not nested and not self.is_closed(tags))
            value = loads[-1]
        else:
            kept = self.fresh(key, tags)
            assert kept is not None
            value = kept.value
        assert got == value.number
        inherit(outer, value.deps)

    def loaded(self, key: str, ttl: float | None, value: Value, *, quiet: bool) -> None:
        """Only what nothing was lost of is stored, and if nothing happened it is."""
        said = self.events[-1]
        assert isinstance(said, Stored | Refused)
        assert said.key == key
        if quiet:
            assert isinstance(said, Stored)
        if isinstance(said, Stored):
            assert self.unchanged(value.deps)
            self.keep(key, value, ttl)

    def perform(self, what: str, how: Any, deps: Deps) -> None:
        """One step of a plan, within a loader whose value depends on `deps`."""
        match what:
            case "raise":
                raise LoaderFailedError
            case "pause":
                self.clock.pass_(how)
            case "get":
                key, tags = how
                kept = self.fresh(key, tags)
                assert self.cache.get(key, NEVER, tags=tags) == number_of(kept)
                inherit(deps, kept.value.deps if kept else self.new_value(key, tags).deps)
            case "set":
                self.elsewhere(self.set, *how)
            case "delete":
                self.delete(how)
            case "load":
                self.load(*how, deps)
            case _:
                self.elsewhere(self.lose, what, how)

    @rule(tag=st.sampled_from(["u:1", "u:1/a", "p"]))
    def invalidated(self, tag: str) -> None:
        """A tag that many carry is invalidated."""
        self.elsewhere(self.lose, "invalidate", tag)

    @rule(one=target)
    def get(self, one: Target) -> None:
        """A read serves what is fresh, and nothing else."""
        key, tags = one
        kept = self.fresh(key, tags)
        assert self.elsewhere(self.cache.get, key, NEVER, tags=tags) == number_of(kept)

    @rule(said=st.booleans())
    def get_many(self, said: bool) -> None:
        """So does a read of many, whether it says the tags or not."""
        tags = dict(USUAL) if said else dict.fromkeys(CACHE_KEYS, ())
        kept = {key: self.fresh(key, tags[key]) for key in CACHE_KEYS}
        expected = {key: one.value.number for key, one in kept.items() if one}
        assert self.elsewhere(self.cache.get_many, CACHE_KEYS, tags=tags.get) == expected

    @rule(one=target)
    def look(self, one: Target) -> None:
        """Has_key and ttl see what is fresh, and nothing else."""
        key, tags = one
        kept = self.fresh(key, tags)
        assert self.cache.has_key(key, tags=tags) == (kept is not None)
        left = kept.until - self.clock() if kept else None
        assert self.cache.ttl(key, tags=tags) == left

    @rule(one=target, ttl=cache_ttl)
    def set(self, one: Target, ttl: float | None) -> None:
        """A set stores, but under a closed tag, where it leaves nothing."""
        key, tags = one
        value, closed = self.new_value(key, tags), self.is_closed(tags)
        assert self.elsewhere(self.cache.set, key, value.number, tags=tags, ttl=ttl) == (not closed)
        self.kept.pop(key, None)
        if not closed:
            self.keep(key, value, ttl)

    @rule(one=target, ttl=cache_ttl)
    def add(self, one: Target, ttl: float | None) -> None:
        """An add stores where nothing fresh is and no tag is closed."""
        key, tags = one
        value = self.new_value(key, tags)
        may = self.fresh(key, tags) is None and not self.is_closed(tags)
        assert self.elsewhere(self.cache.add, key, value.number, tags=tags, ttl=ttl) == may
        if may:
            self.keep(key, value, ttl)

    @rule(one=target, ttl=cache_ttl)
    def touch(self, one: Target, ttl: float | None) -> None:
        """A touch prolongs what is fresh, and nothing else."""
        key, tags = one
        kept = self.fresh(key, tags)
        assert self.cache.touch(key, ttl, tags=tags) == (kept is not None)
        if kept:
            self.keep(key, kept.value, ttl)

    @rule(one=target, ttl=cache_ttl)
    def replace_it(self, one: Target, ttl: float | None) -> None:
        """A replacement is stored where something fresh is."""
        key, tags = one
        kept, value = self.fresh(key, tags), self.new_value(key, tags)
        assert self.elsewhere(self.cache.replace, key, value.number, tags=tags, ttl=ttl) == (kept is not None)
        if kept:
            self.keep(key, value, ttl)

    @rule()
    def go_through(self) -> None:
        """Going through the keys gives those that are fresh."""
        assert set(self.cache.iter_keys()) == {key for key in CACHE_KEYS if self.fresh(key)}

    @rule(one=target)
    def inspect(self, one: Target) -> None:
        """An inspection says fresh of what is fresh, and of nothing else."""
        key, tags = one
        assert (self.cache.inspect(key, tags=tags).verdict == "fresh") == (self.fresh(key, tags) is not None)

    @rule(keys=st.lists(cache_key, unique=True), matching=st.booleans())
    def delete_many(self, keys: list[str], matching: bool) -> None:
        """A delete of many counts what was fresh; a pattern's delete removes it as well."""
        if matching:
            for key in keys:
                self.cache.delete_matching(key)
        else:
            assert self.cache.delete_many(keys) == len([key for key in keys if self.fresh(key)])
        for key in keys:
            self.kept.pop(key, None)

    @rule(one=target, delta=st.integers(-3, 5))
    def incr(self, one: Target, delta: int) -> None:
        """Counting goes on from what is fresh, and from nothing else."""
        key, tags = one
        kept = self.fresh(key, tags)
        if kept is None:
            with pytest.raises(AbsentError):
                self.cache.incr(key, delta, tags=tags)
        else:
            self.kept[key] = replace(kept, value=replace(kept.value, number=kept.value.number + delta))
            assert self.cache.incr(key, delta, tags=tags) == self.kept[key].value.number

    @rule(one=target)
    def incr_from(self, one: Target) -> None:
        """With something to begin from, counting begins anew where nothing is fresh, but not under a closed tag."""
        key, tags = one
        kept, value = self.fresh(key, tags), self.new_value(key, tags)
        if kept is None and self.is_closed(tags):
            with pytest.raises(StoreRefusedError):
                self.cache.incr(key, 1, initial=value.number, tags=tags)
            return
        start = kept or Kept(value, self.clock() + 100.0)
        counted = replace(start, value=replace(start.value, number=start.value.number + 1))
        assert self.cache.incr(key, 1, initial=value.number, tags=tags) == counted.value.number
        self.kept[key] = counted

    @rule(key=cache_key)
    def delete(self, key: str) -> None:
        """A delete says whether something fresh was there; nothing is afterwards."""
        assert self.cache.delete(key) == (self.fresh(key) is not None)
        self.kept.pop(key, None)


def flattened(plan: list[Any]) -> list[Any]:
    """All steps of a plan, those of the loads within it included."""
    return [one for step in plan for one in (step, *(flattened(step[1][2]) if step[0] == "load" else ()))]


def test_rule() -> None:
    """No verb, at no time, sees a value that depends on something lost since; and every other value is served."""
    run_state_machine_as_test(RuleMachine, settings=machine_settings(300, 50))


SHARING = [("k0", ("u:1",)), ("k1", ("u:1",)), ("k2", ("u:1/a",))]
sharing = st.sampled_from(SHARING)
"""A key and its tags, which it shares with the others."""
worker = st.integers(0, 3)


class LookThenSetMachine(CacheMachine):
    """Workers that look, miss, compute, and set later, some of them tasks of one request, with others in between."""

    def __init__(self) -> None:
        super().__init__()
        self.requests = ExitStack()
        self.workers: list[contextvars.Context] = []
        self.computed: dict[tuple[int, str], tuple[Value, Sequence[str]]] = {}
        self.begin_anew()

    @rule()
    def begin_anew(self) -> None:
        """All begin anew: two tasks of one request, and two of a context outside that has missed before."""
        self.requests.close()
        self.computed = {}
        request, outside = contextvars.Context(), contextvars.Context()
        memory = remembering()
        request.run(memory.__enter__)
        self.requests.callback(request.run, memory.__exit__, None, None, None)
        outside.run(self.cache.get, "never set")
        self.workers = [request.copy(), request.copy(), outside.copy(), outside.copy()]

    def teardown(self) -> None:
        self.requests.close()

    @rule(who=worker, one=sharing)
    def look(self, who: int, one: Target) -> None:
        """A worker looks; on a miss he computes a value from what is so now."""
        key, tags = one
        kept = self.fresh(key, tags)
        got = self.workers[who].run(self.cache.get, key, NEVER, tags=tags)
        assert got == number_of(kept)
        if kept is None:
            self.computed[who, key] = self.new_value(key, tags), tags

    @rule(who=worker)
    def look_at_two(self, who: int) -> None:
        """The same with two keys at once."""
        two = dict(SHARING[:2])
        kept = {key: self.fresh(key, tags) for key, tags in two.items()}
        got = self.workers[who].run(self.cache.get_many, two, tags=two.get)
        assert got == {key: one.value.number for key, one in kept.items() if one}
        for key in [key for key in two if key not in got]:
            self.computed[who, key] = self.new_value(key, two[key]), two[key]

    @precondition(lambda self: self.computed)
    @rule(which=st.integers(0, 11), ttl=cache_ttl, verb=st.sampled_from(["set", "set", "add", "replace"]))
    def store_it(self, which: int, ttl: float | None, verb: str) -> None:
        """He stores what he has computed: it is not stored if something was lost since he looked."""
        who, key = sorted(self.computed)[which % len(self.computed)]
        value, tags = self.computed.pop((who, key))
        stored = self.workers[who].run(getattr(self.cache, verb), key, value.number, tags=tags, ttl=ttl)
        if stored or verb == "set":
            self.kept.pop(key, None)
        if stored:
            assert self.unchanged(value.deps)
            self.keep(key, value, ttl)

    @rule(tag=st.sampled_from(["u:1", "u:1/a"]))
    def invalidated_elsewhere(self, tag: str) -> None:
        """Somebody else invalidates what the workers look at."""
        self.elsewhere(self.lose, "invalidate", tag)

    @rule(who=worker, what=loss)
    def lose_by_himself(self, who: int, what: tuple[str, str | None]) -> None:
        """What a worker invalidates himself, he no longer has a value of: so it is promised."""
        self.workers[who].run(self.lose, *what)
        now = max(self.lost.values())
        lost = {tag for tag, at in self.lost.items() if at == now}
        for at in [at for at, (value, _) in self.computed.items() if at[0] == who and lost & set(value.deps)]:
            del self.computed[at]

    @rule(one=sharing)
    def read(self, one: Target) -> None:
        """Anybody's read serves what is fresh, and nothing else."""
        key, tags = one
        kept = self.fresh(key, tags)
        assert self.elsewhere(self.cache.get, key, NEVER, tags=tags) == number_of(kept)


def test_look_then_set() -> None:
    """A value computed after a look is never stored over what was lost since the look."""
    run_state_machine_as_test(LookThenSetMachine, settings=machine_settings(200, 50))
