"""The cold path of `get_or_set`, written once: observe, take the lease, load, store.

    look      MGET of the entry and its stamps (the hit path's own read)
    open      the lease, and the stamps that are missing; the load begins only after this reply
    load      the user's function
    commit    the value, staged, then put in place by a script if the lease is still ours and no stamp has changed

One loader holds the lease; the others wait and look again. Within a process they wait for its flight, which is joined
by key and observed stamps, so that they need not ask the server. Nobody takes another's value on trust. Under a closed
tag everybody loads for himself, and nothing is stored. When the store fails, the loader's value is returned anyway.

Where a value may be served meanwhile (softly stale, or fresh and due early) nobody waits: who gets the lease loads, or
has a runner load; all others, and whoever's load fails, serve what is there.

Everything here awaits only the injected `IO`; it never imports asyncio. A synchronous façade drives it without a loop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from unstale.core import capture
from unstale.core.capture import Inheritance
from unstale.core.entry import Draft
from unstale.core.freshness import Fresh
from unstale.core.keys import TagSet
from unstale.core.keyspace import NOTHING, Keyspace, Look, Target, is_due, look, serve, serve_spare, spare
from unstale.core.policy import waits
from unstale.core.ports import IO, Claim, Claimed, Commit, Committed, Flight, Handover, Mode, Opening, Outcome
from unstale.core.stamps import STAMP_SIZE, Observed
from unstale.errors import EncodeError, InvalidTagError, StoreError
from unstale.events import Failed, LoadFailed, Refused, Stored, Why

if TYPE_CHECKING:  # rarely wanted
    from unstale.core.verifier import Verifier

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
    Outcome.CHANGED: Why.LEASE,
    Outcome.EVICTED: Why.EVICTED,
    Outcome.IDENTITY: Why.IDENTITY,
}


class Life(NamedTuple):
    """How long a loaded value is served.

    Attributes:
        ttl: seconds fresh; infinite for no limit.
        stale_ttl: seconds more that it may be served while it is loaded anew.
        negative_ttl: seconds fresh for a None; None for the same as for any value.
    """

    ttl: float
    stale_ttl: float = 0.0
    negative_ttl: float | None = None

    def ttl_of(self, value: Any) -> float:
        """Seconds fresh for this value."""
        return self.ttl if value is not None or self.negative_ttl is None else self.negative_ttl


class Fill(NamedTuple):
    """One caller's wish to have a key filled.

    Attributes:
        loader: computes the value.
        life: how long the value is served.
        anew: load even if another has just filled the key.
        verifier: says whether a hit is loaded as well, and compared; None where none is.
    """

    loader: Loader
    life: Life
    anew: bool = False
    verifier: Verifier | None = None


class Observation(NamedTuple):
    """The stamps as they were before the load, by tag, the key's root among them."""

    stamps: dict[str, bytes]
    identity: bytes


async def get_or_set(io: IO, space: Keyspace, seen: Look, fill: Fill) -> Any:
    """The value of a key that the hit path could not serve: from the cache, or loaded.

    Returns:
        What the cache has, or what the loader returned, or what another loader has stored meanwhile.

    Raises:
        Whatever the loader raises, unchanged: nothing is stored then, and the lease goes.
        EncodeError: the codec cannot carry the loader's value.
    """
    if isinstance(seen.verdict, Fresh) and not is_due(io, space, seen):
        value = serve(space, seen)
        if value is NOTHING:
            return await refresh(io, space, seen, fill)
        return value if fill.verifier is None else await _verified(io, space, seen.target, fill, value)
    may_be_stale = isinstance(seen.verdict, Fresh) or fill.life.stale_ttl > 0  # the entry's word, and this caller's
    value = spare(space, seen) if may_be_stale else NOTHING
    if value is not NOTHING:
        return await _revalidate(io, space, seen, fill, value)
    serve(space, seen)  # nothing: it says so to the events hook
    return await refresh(io, space, seen, fill)


async def _verified(io: IO, space: Keyspace, target: Target, fill: Fill, value: Any) -> Any:
    if fill.verifier is None or not fill.verifier.wants(target.raw):
        return value
    from unstale.core import verifying  # noqa: PLC0415 - who verifies imports it

    served = verifying.Served.of(target, value, fill.loader)
    return await verifying.serve(io, space, fill.verifier, served)


async def refresh(io: IO, space: Keyspace, seen: Look, fill: Fill) -> Any:
    """Fill a key, waiting for another who does so. Returns and raises as `get_or_set` does."""
    if capture.is_loading(space, seen.target.raw):
        value = await load_only(io, space, fill.loader, None)
        _refused(space, seen.target.key, Why.NESTED)
        return value
    wait_until = io.monotonic() + MAX_LEASES * _lease_seconds(space, seen)
    flight: Flight | None = seen.flight()
    try:
        while flight is not None and not io.lead(flight):
            if not await io.join(flight, wait_until - io.monotonic()):
                return await load_only(io, space, fill.loader, None)  # the next would wait as long, and the next
            seen = await look(io, space, seen.target)
            value = NOTHING if fill.anew else serve(space, seen)
            if value is not NOTHING:
                return value
            # What has no stamp after another's approach is closed (or the store failed): nobody waits there, so that
            # n readers do not look n times each.
            flight = seen.flight() if io.monotonic() < wait_until and not seen.missing() else None
    except StoreError as error:
        space.fail(Failed(VERB, seen.target.key, error))
        return await load_only(io, space, fill.loader, None)
    return await _fly(io, space, seen, fill, _Patience(flight, wait_until))


class _Patience(NamedTuple):
    """The flight that is led, if one is, and the monotonic time until which others' leases are waited for."""

    flight: Flight | None
    wait_until: float


async def _fly(io: IO, space: Keyspace, seen: Look, fill: Fill, patience: _Patience) -> Any:
    """Approach, load, store, and land."""
    flight = patience.flight
    try:
        try:
            way = await _approach(io, space, seen, patience.wait_until, anew=fill.anew)
        except StoreError as error:
            if flight is not None:
                io.land(flight, failed=True)
                flight = None
            space.fail(Failed(VERB, seen.target.key, error))
            way = _Unstored(None, None)
        match way:
            case _Found(value):
                return value
            case _Leased():
                return await _load_and_store(io, space, way, fill)
            case _Unstored(why, observation):
                if flight is not None:  # each for himself: nobody need wait for this load
                    io.land(flight)
                    flight = None
                value = await load_only(io, space, fill.loader, observation)
                if why is not None:
                    _refused(space, seen.target.key, why)
                return value
    finally:
        if flight is not None:
            io.land(flight)


async def _revalidate(io: IO, space: Keyspace, seen: Look, fill: Fill, value: Any) -> Any:
    """Load anew if nobody else does; serve `value` meanwhile, or where the load fails."""
    flight: Flight | None = seen.flight()
    if capture.is_loading(space, seen.target.raw) or not io.lead(seen.flight()):
        return serve_spare(space, seen, value)
    try:
        way = await _try_lease(io, space, seen)
        if way is None:
            return serve_spare(space, seen, value)
        if io.runs and _handed_over(io, space, way, fill, seen.flight()):
            flight = None
            return serve_spare(space, seen, value)
        try:
            return await _load_and_store(io, space, way, fill)
        except EncodeError:
            raise
        except Exception as error:
            space.fail(LoadFailed(seen.target.key, error))
            value = await _still_spare(io, space, seen, fill)
            if value is NOTHING:
                raise
            return value
    finally:
        if flight is not None:
            io.land(flight)


async def _try_lease(io: IO, space: Keyspace, seen: Look) -> _Leased | None:
    """The right to load, if it is to be had at once."""
    try:
        attempt = await _attempt(io, space, seen, _lease_seconds(space, seen))
        if attempt.way is None:
            await give_back(io, space, seen, attempt.claimed.token)
    except StoreError as error:
        space.fail(Failed(VERB, seen.target.key, error))
        return None
    return attempt.way


def _handed_over(io: IO, space: Keyspace, way: _Leased, fill: Fill, flight: Flight) -> bool:
    """Whether the runner took the load."""
    try:
        io.spawn(_Elsewhere(io, space, way, fill, flight))
    except Exception as error:  # noqa: BLE001 - whatever a runner of the user's raises when it is shut down or full
        space.fail(LoadFailed(way.seen.target.key, error))
        return False
    return True


async def _still_spare(io: IO, space: Keyspace, seen: Look, fill: Fill) -> Any:
    """Serve, after a load that failed, what may still be served: a hard invalidation may have come meanwhile."""
    try:
        seen = await look(io, space, seen.target)
    except StoreError as error:
        space.fail(Failed(VERB, seen.target.key, error))
        return NOTHING
    if not isinstance(seen.verdict, Fresh) and not fill.life.stale_ttl:
        return NOTHING
    value = spare(space, seen)
    return value if value is NOTHING else serve_spare(space, seen, value)


class _Found(NamedTuple):
    """Another has filled the key meanwhile."""

    value: Any


class _Unstored(NamedTuple):
    """Load, but do not store; what could be observed is still inherited. `why` is None where the store has failed."""

    why: Why | None
    observation: Observation | None


class _Leased(NamedTuple):
    """Load and store: the lease is ours, and every stamp was observed."""

    seen: Look
    observation: Observation
    lease: bytes
    token: bytes


class _Elsewhere(NamedTuple):
    """A load on nobody's behalf, for a runner: see `ports.Load`."""

    io: IO
    space: Keyspace
    way: _Leased
    fill: Fill
    flight: Flight

    @property
    def loader(self) -> Loader:
        """What computes the value."""
        return self.fill.loader

    async def __call__(self) -> None:
        """Load and store; a failure is told to the events hook, or the log."""
        try:
            with capture.detached():
                await _load_and_store(self.io, self.space, self.way, self.fill)
        except Exception as error:  # noqa: BLE001 - told to the hook: there is no caller
            self.space.fail(LoadFailed(self.way.seen.target.key, error))
        finally:
            self.io.land(self.flight)

    def leave(self) -> Handover:
        """Leave it to another process."""
        self.io.land(self.flight)
        return Handover(self.way.token, self.way.seen.probe)


async def take_over(io: IO, space: Keyspace, target: Target, left: Handover, fill: Fill) -> bool:
    """Do a load that another process has left, as if it were begun here.

    The lease is given back and taken anew, and the stamps are observed here, right before the load: a queue may have
    kept the load for longer than the lease lasts, and a tag may have been invalidated since.

    Args:
        io: the world.
        space: the cache's.
        target: the key.
        left: what the other process said.
        fill: the loader, and how long its value is served.

    Returns:
        Whether the loader was called: not if somebody else has filled the key since, or is about to.

    Raises:
        Whatever the loader raises.
        EncodeError: the codec cannot carry its value.
        StoreError: the key could not be looked at.
    """
    entry = space.names.entry(target.raw, target.declared.home)
    with capture.detached():
        await io.release([(space.names.lease(entry), left.token)])
        seen = await look(io, space, target)
        if isinstance(seen.verdict, Fresh) and seen.probe != left.probe:
            return False
        way = await _try_lease(io, space, seen)
        if way is None:
            return False
        await _load_and_store(io, space, way, fill)
    return True


class _Attempt(NamedTuple):
    """What became of one attempt to get the lease.

    Attributes:
        claimed: what the store said.
        observation: the stamps before a load; None where one is closed.
        same_server: whether the look and the opening can be put together.
        same_entry: whether nobody has filled the key in between.
        way: the right to load and store, if that is what came of it.
    """

    claimed: Claimed
    observation: Observation | None
    same_server: bool
    same_entry: bool
    way: _Leased | None


async def _attempt(io: IO, space: Keyspace, seen: Look, lease_seconds: float) -> _Attempt:
    missing = seen.missing()
    claim = claim_of(space, seen, lease_seconds)
    names = [space.names.stamp(tag) for tag in missing]
    opening = await io.open([claim], names, space.policy.stamp_ttl, space.policy.replica_lag)
    [claimed] = opening.claimed
    observation = observe_all(seen, dict(zip(missing, opening.stamps, strict=True)))
    same_server = is_same_server(space, seen, opening)
    same_entry = claimed.head == seen.probe
    way = None
    if same_server and same_entry and claimed.token is not None and observation is not None:
        way = _Leased(seen, observation, claim.lease, claimed.token)
    return _Attempt(claimed, observation, same_server, same_entry, way)


def claim_of(space: Keyspace, seen: Look, lease_seconds: float) -> Claim:
    """The claim for a look's key."""
    return Claim(seen.entry, space.names.lease(seen.entry), lease_seconds)


def is_same_server(space: Keyspace, seen: Look, opening: Opening) -> bool:
    """Whether what a look saw and what its opening created stand at one server, or need not."""
    return opening.identity == seen.identity or not space.policy.fences(seen.target.declared.tags)


def _lease_seconds(space: Keyspace, seen: Look) -> float:
    return space.policy.lease_for(last_load(space, seen))


def last_load(space: Keyspace, seen: Look) -> float | None:
    """Seconds that loading a key took the last time, if the entry or this process knows."""
    return seen.load_seconds or space.slow.get(seen.target.raw)


async def _approach(
    io: IO, space: Keyspace, seen: Look, wait_until: float, *, anew: bool
) -> _Found | _Unstored | _Leased:
    """Take the lease, or wait until another has filled the key."""
    lease_seconds = _lease_seconds(space, seen)
    last_took = last_load(space, seen)
    pauses: Iterator[float] = iter(())
    holder: bytes | None = None
    strange, waited = 0, False
    while True:
        attempt = await _attempt(io, space, seen, lease_seconds)
        claimed = attempt.claimed
        if attempt.observation is None and attempt.same_server:
            await give_back(io, space, seen, claimed.token)
            return _Unstored(Why.CLOSED, None)
        if attempt.same_server and attempt.same_entry:
            if attempt.way is not None and not waited:
                return attempt.way
            if claimed.token is None:
                if claimed.holder != holder:  # another has taken the lease over: it has its own time
                    holder, pauses = claimed.holder, waits(last_took, lease_seconds)
                pause = next(pauses, None)
                if pause is None or io.monotonic() > wait_until:
                    return _Unstored(Why.NO_LEASE, attempt.observation)
                waited = True
                await io.sleep(pause)
                continue
        await give_back(io, space, seen, claimed.token)
        strange += not attempt.same_server
        if strange > MAX_STRANGE:
            return _Unstored(Why.IDENTITY, None)
        waited = False
        seen = await look(io, space, seen.target)
        value = NOTHING if anew else serve(space, seen)
        if value is not NOTHING:
            return _Found(value)


def observe_all(seen: Look, created: Mapping[str, Observed]) -> Observation | None:
    """What stood under the tags before the load, or None if one of them is closed."""
    stamps = {**seen.current, **created}
    observed = {
        tag: stamp for tag in seen.needed() if isinstance(stamp := stamps[tag], bytes) and len(stamp) == STAMP_SIZE
    }
    return Observation(observed, seen.identity) if len(observed) == len(seen.needed()) else None


async def _load_and_store(io: IO, space: Keyspace, way: _Leased, fill: Fill) -> Any:
    inherited = Inheritance(space, None)
    try:
        began = io.monotonic()
        with capture.inheriting(space, way.seen.target.raw) as inherited:
            value = await io.call(fill.loader)
        done = io.monotonic()
        loaded = Loaded(value, inherited, done - began, io.now(), done)
        commit = commit_of(space, way.seen, way.observation, way.token, loaded, fill.life)
    except BaseException:
        pass_on(space, inherited, way.observation)  # the loader around may go on without the value
        await _give_back_quietly(io, space, way)
        raise
    if isinstance(commit, Why):
        bequeath(space, way.seen, None)
        await _give_back_quietly(io, space, way)
        _refused(space, way.seen.target.key, commit)
        return value
    bequeath(space, way.seen, commit)
    try:
        [committed] = await io.commit([commit])
    except StoreError as error:
        space.fail(Failed(VERB, way.seen.target.key, error))
    else:
        report(io, space, way.seen.target.key, commit, committed)
        if committed.outcome is Outcome.LEASE:
            space.slow.learn(way.seen.target.raw, commit.draft.load_seconds)
    return value


class Loaded(NamedTuple):
    """What a loader brought: its value, what it inherits, how many seconds it took, when it was done by both clocks."""

    value: Any
    inherited: Inheritance
    seconds: float
    at: float
    monotonic: float


def commit_of(
    space: Keyspace, seen: Look, observation: Observation, token: bytes, loaded: Loaded, life: Life
) -> Commit | Why:
    """What to store: the value under the stamps observed before its load and those it inherited; or why nothing."""
    merged = merge(space, seen, observation, loaded.inherited)
    if isinstance(merged, Why):
        return merged
    tagset, stamps = merged
    ttl = life.ttl_of(loaded.value)
    encoded = space.payloads.encode(loaded.value)
    draft = Draft(
        raw_key=seen.target.raw,
        tagset=tagset,
        codec=encoded.codec,
        payload=encoded.body,
        created_at=loaded.at,
        ttl=ttl,
        load_seconds=loaded.seconds,
        fenced=space.policy.fences(tagset.tags),
        compression=encoded.compression,
        stale_ttl=life.stale_ttl,
        timed=life.stale_ttl > 0 or space.policy.beta > 0,
        signer=space.payloads.signer_for(encoded.codec),
    )
    stamp_names = (*tagset.stamp_names, space.names.root_of(seen.target.raw, seen.target.declared.home))
    return Commit(
        mode=Mode.FILL,
        entry=seen.entry,
        lease=space.names.lease(seen.entry),
        stamp_names=stamp_names,
        observed=stamps,
        identity=observation.identity,
        draft=draft,
        stamp_ttl=space.policy.stamp_ttl_for(draft.life),
        prolong=space.prolonged.due(stamp_names, draft.life, space.policy.stamp_ttl, loaded.monotonic),
        token=token,
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
    try:
        tagset = space.names.recorded_tagset(tuple(tag for tag in stamps if tag != seen.root))
    except InvalidTagError:
        return Why.TOO_MANY_TAGS
    if inherited.identities - {observation.identity}:
        return Why.IDENTITY
    return tagset, (*(stamps[tag] for tag in tagset.tags), stamps[seen.root])


async def load_only(io: IO, space: Keyspace, loader: Loader, observation: Observation | None) -> Any:
    """Load without storing. A loader around this one inherits what was observed, or is not stored either."""
    inherited = Inheritance(space, None)
    try:
        with capture.inheriting(space) as inherited:
            return await io.call(loader)
    finally:
        pass_on(space, inherited, observation)


def pass_on(space: Keyspace, inherited: Inheritance, observation: Observation | None) -> None:
    """Hand what a loader looked at, and what was observed before it, to the loader around it, if there is one."""
    heir = capture.heir(space)
    if heir is not None:
        heir.take_over(inherited)
        if observation is None:
            heir.broken = True
        else:
            heir.add(observation.stamps.items(), observation.identity)


def bequeath(space: Keyspace, seen: Look, commit: Commit | None) -> None:
    """Hand what a load depends on to the loader around it, if there is one; None: that cannot be said."""
    heir = capture.heir(space)
    if heir is None:
        return
    if commit is None:
        heir.broken = True
        return
    tags = (*commit.draft.tagset.tags, seen.root)
    stamps = [(tag, stamp) for tag, stamp in zip(tags, commit.observed, strict=True) if stamp is not None]
    heir.add(stamps, commit.identity)


async def give_back(io: IO, space: Keyspace, seen: Look, token: bytes | None) -> None:
    """Release a lease that is not wanted after all."""
    if token is not None:
        await io.release([(space.names.lease(seen.entry), token)])


async def _give_back_quietly(io: IO, space: Keyspace, way: _Leased) -> None:
    """Release the lease; if the store is gone it runs out by itself."""
    try:
        await io.release([(way.lease, way.token)])
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
