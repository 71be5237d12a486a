"""One cache's fixed parts, and what one read saw of one key.

A `Look` is the beginning of everything but a plain hit: what to serve, which stamps were observed, which are missing.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from unstale.core import capture
from unstale.core.entry import Head, payload_of
from unstale.core.freshness import Fresh, Outdated, SoftStale, Unfit, Unknown, Verdict, judge, recorded_stamps
from unstale.core.keys import Names, TagSet
from unstale.core.payloads import Payloads
from unstale.core.pending import Queue
from unstale.core.policy import Policy, early_by
from unstale.core.ports import HEAD_PROBE, IO, Flight
from unstale.core.stamps import Observed, observe
from unstale.errors import DecodeError
from unstale.events import Hit, Hook, Miss, Stale, StaleHit, Trouble, Why

if TYPE_CHECKING:  # rarely wanted
    from unstale.core.verifier import Verifier

_serials = itertools.count(1)

MAX_HINTS: Final = 8192
LONGEST_LOAD: Final = 86400.0
"""What an entry says of its load is not believed beyond this: it decides how long leases last."""


class Hints(dict[tuple[bytes, TagSet], TagSet]):
    """Which tags the entries of some keys record beyond the declared ones. Only a guess, checked at every read."""

    def learn(self, raw_key: bytes, declared: TagSet, recorded: TagSet) -> None:
        """Keep a guess. When there are too many, all go: the next reads find out again, at one more trip each."""
        if recorded.tags != declared.tags:
            if len(self) >= MAX_HINTS:
                self.clear()
            self[raw_key, declared] = recorded
        else:
            self.pop((raw_key, declared), None)


class Slow(dict[bytes, float]):
    """Seconds that loaders took which outlasted their leases: nothing was stored that could tell the next one."""

    def learn(self, raw_key: bytes, load_seconds: float) -> None:
        """Keep a time; when there are too many, all go."""
        if len(self) >= MAX_HINTS:
            self.clear()
        self[raw_key] = load_seconds


class Prolonged(dict[bytes, float]):
    """When this process last prolonged stamps. A stamp that expires costs misses only, so a guess is good enough."""

    def due(self, names: Sequence[bytes], ttl: float, stamp_ttl: float, now: float) -> bool:
        """Whether stamps must be prolonged for an entry with this ttl.

        Not if that was done less than a quarter of their usual life ago, and the entry lives no longer than half of it.
        Whoever creates or changes a stamp meanwhile gives it that life anew.
        """
        lately = all(now - self.get(name, -math.inf) < stamp_ttl / 4 for name in names)
        return not (lately and math.isfinite(ttl) and ttl <= stamp_ttl / 2)

    def note(self, names: Sequence[bytes], now: float) -> None:
        """Note that stamps were prolonged. When there are too many, all notes go."""
        if len(self) >= MAX_HINTS:
            self.clear()
        self.update(dict.fromkeys(names, now))


@dataclass(frozen=True, slots=True, eq=False)
class Keyspace:
    """What all reads and writes of one cache share.

    Attributes:
        names: the layout in Redis.
        payloads: how values become payloads, and back.
        policy: durations and limits.
        fail: told of every failure that a caller does not see.
        emit: the events hook; None where nobody listens.
        hints: tags learnt from entries.
        prolonged: the stamps that need no prolonging for a while.
        slow: loading times of this process that no entry tells.
        serial: tells this keyspace's remembered stamps from another's.
        keeps_looks: an invalidation leaves what its own context remembers: what was computed before it is refused. By
            default it is forgotten outside `remembering()`, where a thread may go on for ever.
        queue: keeps invalidations that did not take effect.
        verifier: says which hits are loaded as well, and compared; None where none is.
    """

    names: Names
    payloads: Payloads
    policy: Policy
    fail: Callable[[Trouble], None]
    emit: Hook | None = None
    hints: Hints = field(default_factory=Hints)
    prolonged: Prolonged = field(default_factory=Prolonged)
    slow: Slow = field(default_factory=Slow)
    serial: int = field(default_factory=lambda: next(_serials))
    keeps_looks: bool = False
    queue: Queue | None = None
    verifier: Verifier | None = None

    def expected(self, raw_key: bytes, declared: TagSet) -> TagSet:
        """The tags whose stamps a read of this key should fetch."""
        return self.hints.get((raw_key, declared), declared) if self.hints else declared


class Target(NamedTuple):
    """A key, as a verb addresses it.

    Attributes:
        key: as the caller (and the events) know it.
        raw: its bytes, with the scope's name in front.
        declared: the tags that the caller named.
        into: the type that the value is to have; None for whatever the codec gives.
    """

    key: str
    raw: bytes
    declared: TagSet
    into: Any = None


class Snapshot(NamedTuple):
    """What one read of one key brought: the entry's bytes, the stamps of the expected tags and the root, and whose."""

    data: bytes | None
    stamps: Sequence[object]
    identity: bytes


class Look(NamedTuple):
    """One key, as one read saw it.

    Attributes:
        target: which key.
        root: the name of the key's root among tags.
        entry: the entry's name.
        data: the entry's bytes (or its beginning), None where there is none.
        current: the stamps that were read, by tag, the key's root among them.
        identity: of the server that answered.
        verdict: what the rule says.
    """

    target: Target
    root: str
    entry: bytes
    data: bytes | None
    current: dict[str, Observed]
    identity: bytes
    verdict: Verdict

    @property
    def head(self) -> Head | None:
        """The entry's head, where it can be read."""
        return self.verdict.head

    @property
    def load_seconds(self) -> float | None:
        """What loading this key took the last time, if the entry tells."""
        head = self.head
        return head.load_seconds if head and 0 < head.load_seconds <= LONGEST_LOAD else None

    @property
    def probe(self) -> bytes | None:
        """The entry's first bytes, to see later whether it is still the same one."""
        return self.data[:HEAD_PROBE] or None if self.data is not None else None

    def needed(self) -> tuple[str, ...]:
        """The tags that a fill records: the declared ones and the key's root, which comes last."""
        return (*self.target.declared.tags, self.root)

    def missing(self) -> tuple[str, ...]:
        """Those of them that have no stamp, or a closed one, which a read shows in the same way."""
        return tuple(tag for tag in self.needed() if self.current[tag] is None)

    def flight(self) -> Flight:
        """What this look's load is joined by."""
        return self.target.raw, tuple(self.current.values())

    def inherit(self, space: Keyspace) -> None:
        """If this fresh entry was read by a loader, the loader's result takes over what the entry recorded."""
        heir = capture.heir(space)
        head = self.head
        if heir is not None and head is not None:
            heir.add(recorded_stamps(head, self.root), self.identity if head.fenced else None)


async def look(io: IO, space: Keyspace, target: Target) -> Look:
    """Read one key and judge it."""
    expected = space.expected(target.raw, target.declared)
    values, identity = await io.read(space.names.read_names(target.raw, expected, target.declared.home))
    return await assess(io, space, target, expected, Snapshot(values[0], values[1:], identity))


async def look_at_head(io: IO, space: Keyspace, target: Target, *, remove: bool = False) -> tuple[Look, float]:
    """Read one key without its payload; also the seconds until it expires. With `remove`, entry and lease go."""
    expected = space.expected(target.raw, target.declared)
    entry, *stamp_names = space.names.read_names(target.raw, expected, target.declared.home)
    peek = await io.peek(entry, stamp_names, (entry, space.names.lease(entry)) if remove else ())
    return await assess(io, space, target, expected, Snapshot(peek.head, peek.stamps, peek.identity)), peek.ttl


async def assess(io: IO, space: Keyspace, target: Target, expected: TagSet, snapshot: Snapshot) -> Look:
    """Judge what a read brought. Where the entry records tags that were not read, read those as well."""
    [seen] = await assess_all(io, space, [(target, expected, snapshot)])
    return seen


async def assess_all(io: IO, space: Keyspace, read: Sequence[tuple[Target, TagSet, Snapshot]]) -> list[Look]:
    """`assess` for many keys, with at most one more trip for all of them."""
    now = io.now()
    first = [_weigh(space, *one, now) for one in read]
    unknown = sorted({tag for seen in first if isinstance(seen.verdict, Unknown) for tag in seen.verdict.tags})
    if unknown:
        values, identity = await io.read([space.names.stamp(tag) for tag in unknown])
        more = dict(zip(unknown, map(observe, values), strict=True))
        first = [
            _weigh_again(seen, more, identity, now) if isinstance(seen.verdict, Unknown) else seen for seen in first
        ]
    for seen in first:
        if isinstance(seen.verdict, Fresh | SoftStale):
            recorded = space.names.recorded_tagset(seen.verdict.head.tags)
            space.hints.learn(seen.target.raw, seen.target.declared, recorded)
    return first


def _weigh(space: Keyspace, target: Target, expected: TagSet, snapshot: Snapshot, now: float) -> Look:
    data, stamps, identity = snapshot
    data = data if isinstance(data, bytes) else None  # a server that answers with something else has no entry
    home = target.declared.home
    root = space.names.root_tag(target.raw, home)
    current = {tag: observe(stamp) for tag, stamp in zip((*expected.tags, root), stamps, strict=True)}
    verdict = judge(data, target.raw, target.declared.tags, current, identity, root, now)
    return Look(target, root, space.names.entry(target.raw, home), data, current, identity, verdict)


def _weigh_again(seen: Look, more: Mapping[str, Observed], identity: bytes, now: float) -> Look:
    """Judge once more with the stamps of further tags, which must come from the same server."""
    current = {**more, **seen.current}
    verdict = judge(seen.data, seen.target.raw, seen.target.declared.tags, current, seen.identity, seen.root, now)
    if isinstance(verdict, Fresh | SoftStale) and verdict.head.fenced and identity != seen.identity:
        verdict = Unfit(Why.IDENTITY, verdict.head)
    return seen._replace(current=current, verdict=verdict)


class _Nothing:
    """The type of NOTHING."""


NOTHING: Final = _Nothing()
"""In place of a value: there is no fresh one. A cached None is a value."""


def serve(space: Keyspace, seen: Look) -> Any:
    """The value of a look, or NOTHING; says what happened to the events hook."""
    match seen.verdict:
        case Fresh(head):
            value = value_of(space, seen, head)
            if value is NOTHING:
                return _missed(space, Miss(seen.target.key, Why.UNDECODABLE))
            seen.inherit(space)
            if space.emit is not None:
                space.emit(Hit(seen.target.key))
            return value
        case Outdated(tag, _) | SoftStale(str() as tag, _):
            return _missed(space, Stale(seen.target.key, tag, not isinstance(seen.current[tag], bytes)))
        case SoftStale(None, _):
            return _missed(space, Miss(seen.target.key, Why.EXPIRED))
        case Unfit(why, _):
            return _missed(space, Miss(seen.target.key, why))
        case Unknown() | SoftStale():  # assess() has read what was unknown
            raise AssertionError(seen.verdict)


def spare(space: Keyspace, seen: Look) -> Any:
    """The value that may be served while a key is loaded anew, or NOTHING. Say so to the events hook: `serve_spare`."""
    match seen.verdict:
        case Fresh(head) | SoftStale(_, head):
            return value_of(space, seen, head)
        case _:
            return NOTHING


def serve_spare(space: Keyspace, seen: Look, value: Any) -> Any:
    """Serve what `spare` gave. Whoever computes from it inherits what it recorded, and so is soft-stale where it is."""
    seen.inherit(space)
    if space.emit is not None:
        key, verdict = seen.target.key, seen.verdict
        space.emit(StaleHit(key, verdict.tag) if isinstance(verdict, SoftStale) else Hit(key))
    return value


def value_of(space: Keyspace, seen: Look, head: Head) -> Any:
    """The value of an entry that may be served; NOTHING where the codec cannot read it."""
    data = seen.data or b""
    try:
        return space.payloads.value(data, payload_of(data, head.size), seen.target.into)
    except DecodeError:
        return NOTHING


def is_due(io: IO, space: Keyspace, seen: Look) -> bool:
    """Whether this reader, by chance, is to load a fresh value anew before its ttl is over (XFetch)."""
    head = seen.head
    if head is None or not head.timed or not space.policy.beta or not seen.load_seconds:
        return False
    left = head.created_at + head.ttl - io.now()
    return early_by(seen.load_seconds, space.policy.beta, io.chance()) >= left


def _missed(space: Keyspace, event: Miss | Stale) -> Any:
    if space.emit is not None:
        space.emit(event)
    return NOTHING
