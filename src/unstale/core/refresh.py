"""The cold path of `get_or_set`, written once: observe, take the lease, load, store.

    look      MGET of the entry and its stamps (the hit path's own read)
    open      the lease, and the stamps that are missing; the load begins only after this reply
    load      the user's function
    commit    the value, staged, then put in place by a script if the lease is still ours and no stamp has changed

One loader holds the lease; the others wait and look again. Nobody takes another's value on trust. Under a closed tag
everybody loads for himself, and nothing is stored. When the store fails, the loader's value is returned all the same.

Everything here awaits only the injected `IO`; it never imports asyncio. A synchronous façade drives it without a loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from unstale.core import capture, codecs
from unstale.core.capture import Inheritance
from unstale.core.entry import Draft
from unstale.core.keys import TagSet, root_tag
from unstale.core.keyspace import NOTHING, Keyspace, Look, look, serve
from unstale.core.policy import waits
from unstale.core.ports import IO, Commit, Committed, Mode, Opening, Outcome
from unstale.core.stamps import STAMP_SIZE
from unstale.errors import InvalidTagError, StoreError
from unstale.events import Failed, Refused, Stored, Why

Loader = Callable[[], Any]

VERB = "get_or_set"
MAX_LEASES = 3.0
"""For how many leases' time one waits at the most, when their holders die or are refused one after the other."""
MAX_STRANGE = 3
"""How often a look and its opening may be answered by different servers before the value is loaded without storing."""

WHY_OF = {
    Outcome.STALE: Why.STALE,
    Outcome.CLOSED: Why.CLOSED,
    Outcome.LEASE: Why.LEASE,
    Outcome.EXISTS: Why.LEASE,
    Outcome.EVICTED: Why.EVICTED,
    Outcome.IDENTITY: Why.IDENTITY,
}


@dataclass(frozen=True, slots=True)
class Fill:
    """One caller's wish to have a key filled: the loader, and how long its value stays fresh in seconds."""

    loader: Loader
    ttl: float


@dataclass(frozen=True, slots=True)
class Observation:
    """The stamps as they were before the load, by tag, the key's root among them."""

    stamps: dict[str, bytes]
    identity: bytes


async def refresh(io: IO, space: Keyspace, seen: Look, fill: Fill) -> Any:
    """Fill a key that was not fresh when it was looked at.

    Returns:
        What the loader returned, or what another loader has stored meanwhile.

    Raises:
        Whatever the loader raises, unchanged: nothing is stored then, and the lease goes.
        EncodeError: the codec cannot carry the loader's value.
    """
    try:
        way = await _approach(io, space, seen)
    except StoreError as error:
        space.fail(Failed(VERB, seen.target.key, error))
        return await load_only(io, space, fill.loader, None)
    match way:
        case _Found(value):
            return value
        case _Unstored(why, observation):
            value = await load_only(io, space, fill.loader, observation)
            _refused(space, seen.target.key, why)
            return value
        case _Leased():
            return await _load_and_store(io, space, way, fill)


@dataclass(frozen=True, slots=True)
class _Found:
    """Another has filled the key meanwhile."""

    value: Any


@dataclass(frozen=True, slots=True)
class _Unstored:
    """Load, but do not store; what could be observed is still inherited."""

    why: Why
    observation: Observation | None


@dataclass(frozen=True, slots=True)
class _Leased:
    """Load and store: the lease is ours, and every stamp was observed."""

    seen: Look
    observation: Observation
    lease: bytes
    token: bytes


async def _approach(io: IO, space: Keyspace, seen: Look) -> _Found | _Unstored | _Leased:
    """Take the lease, or wait until another has filled the key."""
    lease = space.names.lease(seen.entry)
    last_took = seen.load_seconds or space.slow.get(seen.target.raw)
    lease_seconds = space.policy.lease_for(last_took)
    pauses: Iterator[float] = iter(())
    holder: bytes | None = None
    wait_until = io.monotonic() + MAX_LEASES * lease_seconds
    strange, waited = 0, False
    while True:
        missing = seen.missing()
        opening = await io.open(
            seen.entry, [space.names.stamp(tag) for tag in missing], lease, lease_seconds, space.policy.stamp_ttl
        )
        observation = _observe(seen, missing, opening)
        same_server = opening.identity == seen.identity or not space.policy.fences(seen.target.declared.tags)
        if observation is None and same_server:
            await _give_back(io, lease, opening.token)
            return _Unstored(Why.CLOSED, None)
        if same_server and opening.head == seen.probe:
            if opening.token is not None and observation is not None and not waited:
                return _Leased(seen, observation, lease, opening.token)
            if opening.token is None:
                if opening.holder != holder:  # another has taken the lease over: it has its own time
                    holder, pauses = opening.holder, waits(last_took, lease_seconds)
                pause = next(pauses, None)
                if pause is None or io.monotonic() > wait_until:
                    return _Unstored(Why.NO_LEASE, observation)
                waited = True
                await io.sleep(pause)
                continue
        await _give_back(io, lease, opening.token)
        strange += not same_server
        if strange > MAX_STRANGE:
            return _Unstored(Why.IDENTITY, None)
        waited = False
        seen = await look(io, space, seen.target)
        value = serve(space, seen)
        if value is not NOTHING:
            return _Found(value)


def _observe(seen: Look, missing: tuple[str, ...], opening: Opening) -> Observation | None:
    """What stood under the tags before the load, or None if one of them is closed."""
    stamps = {**seen.current, **dict(zip(missing, opening.stamps, strict=True))}
    observed = {
        tag: stamp for tag in seen.needed() if isinstance(stamp := stamps[tag], bytes) and len(stamp) == STAMP_SIZE
    }
    return Observation(observed, seen.identity) if len(observed) == len(seen.needed()) else None


async def _load_and_store(io: IO, space: Keyspace, way: _Leased, fill: Fill) -> Any:
    inherited = Inheritance(space, None)
    try:
        began = io.monotonic()
        with capture.inheriting(space) as inherited:
            value = await io.call(fill.loader)
        done = io.monotonic()
        commit = _commit(space, way, fill, _Loaded(value, inherited, done - began, io.now(), done))
    except BaseException:
        _pass_on(space, inherited, way.observation)  # the loader around may go on without the value
        await _give_back_quietly(io, space, way)
        raise
    if isinstance(commit, Why):
        _bequeath(space, None)
        await _give_back_quietly(io, space, way)
        _refused(space, way.seen.target.key, commit)
        return value
    _bequeath(space, _recorded(commit, way))
    try:
        [committed] = await io.commit([commit])
    except StoreError as error:
        space.fail(Failed(VERB, way.seen.target.key, error))
    else:
        report(io, space, way.seen.target.key, commit, committed)
        if committed.outcome is Outcome.LEASE:
            space.slow.learn(way.seen.target.raw, commit.draft.load_seconds)
    return value


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What a loader brought: its value, what it inherits, how many seconds it took, when it was done by both clocks."""

    value: Any
    inherited: Inheritance
    seconds: float
    at: float
    monotonic: float


def _commit(space: Keyspace, way: _Leased, fill: Fill, loaded: _Loaded) -> Commit | Why:
    """What to store: the value under the stamps observed before its load and those it inherited; or why nothing."""
    merged = merge(space, way.seen, way.observation, loaded.inherited)
    if isinstance(merged, Why):
        return merged
    tagset, stamps = merged
    number, payload = codecs.encode(loaded.value, space.codec)
    fenced = space.policy.fences(tagset.tags)
    draft = Draft(way.seen.target.raw, tagset, number, payload, loaded.at, fill.ttl, loaded.seconds, fenced)
    stamp_names = (*tagset.stamp_names, space.names.root_of(way.seen.target.raw))
    stamp_ttl = space.policy.stamp_ttl_for(fill.ttl)
    return Commit(
        mode=Mode.FILL,
        entry=way.seen.entry,
        lease=way.lease,
        stamp_names=stamp_names,
        observed=stamps,
        identity=way.observation.identity,
        draft=draft,
        stamp_ttl=stamp_ttl,
        prolong=space.prolonged.due(stamp_names, fill.ttl, space.policy.stamp_ttl, loaded.monotonic),
        token=way.token,
    )


def merge(
    space: Keyspace, seen: Look, observation: Observation, inherited: Inheritance
) -> tuple[TagSet, tuple[bytes, ...]] | Why:
    """The tags and stamps that a result records: its own, and those of what it was computed from."""
    if inherited.broken:
        return Why.UNAVAILABLE
    if any(observation.stamps.get(tag, stamp) != stamp for tag, stamp in inherited.stamps.items()):
        return Why.STALE
    stamps = {**inherited.stamps, **observation.stamps}
    root = root_tag(seen.target.raw)
    try:
        tagset = space.names.recorded_tagset(tuple(tag for tag in stamps if tag != root))
    except InvalidTagError:
        return Why.TOO_MANY_TAGS
    if inherited.identity not in (None, observation.identity):
        return Why.IDENTITY
    return tagset, (*(stamps[tag] for tag in tagset.tags), stamps[root])


async def load_only(io: IO, space: Keyspace, loader: Loader, observation: Observation | None) -> Any:
    """Load without storing. A loader around this one inherits what was observed, or is not stored either."""
    inherited = Inheritance(space, None)
    try:
        with capture.inheriting(space) as inherited:
            return await io.call(loader)
    finally:
        _pass_on(space, inherited, observation)


def _pass_on(space: Keyspace, inherited: Inheritance, observation: Observation | None) -> None:
    """Hand what a loader looked at, and what was observed before it, to the loader around it, if there is one."""
    heir = capture.heir(space)
    if heir is not None:
        heir.broken |= observation is None or inherited.broken
        heir.add(inherited.stamps.items(), inherited.identity)
        if observation is not None:
            heir.add(observation.stamps.items(), observation.identity)


def _recorded(commit: Commit, way: _Leased) -> Observation:
    tags = (*commit.draft.tagset.tags, root_tag(way.seen.target.raw))
    stamps = {tag: stamp for tag, stamp in zip(tags, commit.observed, strict=True) if stamp is not None}
    return Observation(stamps, way.observation.identity)


def _bequeath(space: Keyspace, recorded: Observation | None) -> None:
    """Hand what this load depends on to the loader around it, if there is one."""
    heir = capture.heir(space)
    if heir is not None:
        if recorded is None:
            heir.broken = True
        else:
            heir.add(recorded.stamps.items(), recorded.identity)


async def _give_back(io: IO, lease: bytes, token: bytes | None) -> None:
    if token is not None:
        await io.release(lease, token)


async def _give_back_quietly(io: IO, space: Keyspace, way: _Leased) -> None:
    """Release the lease; if the store is gone it runs out by itself."""
    try:
        await io.release(way.lease, way.token)
    except StoreError as error:
        space.fail(Failed(VERB, way.seen.target.key, error))


def report(io: IO, space: Keyspace, key: str, commit: Commit, committed: Committed) -> bool:
    """Say what became of a commit; whether it was stored."""
    stored = committed.outcome is Outcome.STORED
    if stored and commit.prolong:
        space.prolonged.note(commit.stamp_names, io.monotonic())
    if space.emit is not None:
        draft = commit.draft
        ttl = None if draft.ttl == float("inf") else draft.ttl
        space.emit(
            Stored(key, draft.tagset.tags, committed.size, draft.load_seconds, ttl)
            if stored
            else Refused(key, WHY_OF[committed.outcome])
        )
    return stored


def _refused(space: Keyspace, key: str, why: Why) -> None:
    if space.emit is not None:
        space.emit(Refused(key, why))
