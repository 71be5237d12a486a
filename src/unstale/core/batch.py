"""`get_or_set_many`: one trip to look, one to open, one load of what is missing, one to store. Each key is race-safe.

As in `refresh`, each key has its own lease and its own observed stamps. A batch loads what it got leases for, and
stores it, before it waits for what others are loading; so two batches never wait for each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from unstale.core import capture
from unstale.core.capture import Inheritance
from unstale.core.keyspace import NOTHING, Keyspace, Look, Target, serve, serve_spare, spare
from unstale.core.policy import waits
from unstale.core.ports import IO, Claimed, Commit, Outcome
from unstale.core.refresh import (
    MAX_LEASES,
    Life,
    Loaded,
    Observation,
    bequeath,
    claim_of,
    commit_of,
    is_same_server,
    last_load,
    observe_all,
    pass_on,
    report,
)
from unstale.core.stamps import Observed
from unstale.core.verbs import look_many
from unstale.errors import EncodeError, LoaderError, StoreClosedError, StoreError
from unstale.events import Failed, LoadFailed, Refused, Why

if TYPE_CHECKING:  # rarely wanted
    from unstale.core.verifier import Verifier

LoadMissing = Callable[[list[str]], Any]

VERB = "get_or_set_many"


@dataclass(frozen=True, slots=True)
class _Held:
    """A key to load: with its lease and what was observed before, or only to be loaded, and why."""

    seen: Look
    observation: Observation | None
    token: bytes | None
    why: Why | None = None

    @property
    def key(self) -> str:
        return self.seen.target.key


@dataclass(slots=True)
class _Batch:
    """What is known so far: the values, and the looks at what has none yet."""

    load: LoadMissing
    life: Life
    values: dict[str, Any] = field(default_factory=dict)
    left: list[Look] = field(default_factory=list)
    unknown: set[str] = field(default_factory=set)
    """What `load` was asked for and left out."""
    raised: BaseException | None = None
    """What `load` raised: no failure of this cache's store, though it may be a StoreError."""


async def get_or_set_many(
    io: IO,
    space: Keyspace,
    targets: Sequence[Target],
    load: LoadMissing,
    life: Life,
    verifier: Verifier | None = None,
) -> dict[str, Any]:
    """The values of many keys; what is missing is loaded by one call, unless others are loading some of it already.

    Each hit may be verified, by a call of `load` for its key alone.

    Returns:
        The values, by key, in the order of the keys. What `load` left out is left out.

    Raises:
        Whatever `load` raises, unchanged: nothing is stored then, and the leases go.
        LoaderError: it returned no mapping.
        EncodeError: the codec cannot carry a value.
    """
    batch = _Batch(load, life)
    try:
        batch.left = await look_many(io, space, targets)
        _serve(space, batch)
        if verifier is not None:
            await _verify(io, space, batch, targets, verifier)
        await _fill(io, space, batch)
    except StoreError as error:
        if error is batch.raised or isinstance(error, StoreClosedError):
            raise
        space.fail(Failed(VERB, "", error))
        unserved = [
            target.key for target in targets if target.key not in batch.values and target.key not in batch.unknown
        ]
        batch.values.update(await load_only_many(io, space, load, unserved))
    return {target.key: batch.values[target.key] for target in targets if target.key in batch.values}


def _serve(space: Keyspace, batch: _Batch) -> None:
    """Take what is fresh."""
    looked, batch.left = batch.left, []
    for seen in looked:
        value = serve(space, seen)
        if value is NOTHING:
            batch.left.append(seen)
        else:
            batch.values[seen.target.key] = value


async def _verify(io: IO, space: Keyspace, batch: _Batch, targets: Sequence[Target], verifier: Verifier) -> None:
    """Verify those of the hits that are drawn. A loader that verifies gets all of its own loaded."""
    from unstale.core import verifying  # noqa: PLC0415 - who verifies imports it

    for target in targets:
        if target.key in batch.values and verifier.wants(target.raw):
            served = verifying.Served(target, batch.values[target.key], partial(_load_one, batch.load, target.key))
            batch.values[target.key] = await verifying.serve(io, space, verifier, served)


async def _load_one(load: LoadMissing, key: str, io: IO) -> Any:
    """One key's value. Raises KeyError where `load` leaves it out: there is none any more."""
    return checked(await io.call(load, [key]))[key]


async def _fill(io: IO, space: Keyspace, batch: _Batch) -> None:
    """Load and store what can be claimed; wait for the rest, and look again."""
    pauses: Iterator[float] | None = None
    lease_seconds = space.policy.lease_for(
        max((last_load(space, seen) or 0.0 for seen in batch.left), default=0) or None
    )
    wait_until = io.monotonic() + MAX_LEASES * lease_seconds
    while batch.left:
        late = io.monotonic() > wait_until
        held, others = await _claim(io, space, batch.left, lease_seconds)
        if late:
            held += [_Held(seen, None, None, Why.NO_LEASE) for seen in others]
            others = []
        others = _spared(space, batch, others)
        batch.left = others
        if held:
            await _load(io, space, batch, held)
        if not others:
            return
        pauses = pauses or waits(None, MAX_LEASES * lease_seconds)
        await io.sleep(next(pauses, 0.05))
        batch.left = await look_many(io, space, [seen.target for seen in others])
        _serve(space, batch)


def _spared(space: Keyspace, batch: _Batch, looks: list[Look]) -> list[Look]:
    """Serve what may be served while others load it; the looks that remain."""
    if not batch.life.stale_ttl:
        return looks
    remaining = []
    for seen in looks:
        value = spare(space, seen)
        if value is NOTHING:
            remaining.append(seen)
        else:
            batch.values[seen.target.key] = serve_spare(space, seen, value)
    return remaining


async def _claim(io: IO, space: Keyspace, looks: list[Look], lease_seconds: float) -> tuple[list[_Held], list[Look]]:
    """Try for a lease of each key: those that are to be loaded here, and those that others load or have just filled."""
    nested = [seen for seen in looks if capture.is_loading(space, seen.target.raw)]
    looks = [seen for seen in looks if seen not in nested]
    held = [_Held(seen, None, None, Why.NESTED) for seen in nested]
    if not looks:
        return held, []
    missing = sorted({tag for seen in looks for tag in seen.missing()})
    claims = [claim_of(space, seen, lease_seconds) for seen in looks]
    names = [space.names.stamp(tag) for tag in missing]
    opening = await io.open(claims, names, space.policy.stamp_ttl, space.policy.replica_lag)
    created = dict(zip(missing, opening.stamps, strict=True))
    unwanted: list[tuple[bytes, bytes]] = []
    others: list[Look] = []
    for seen, claim, claimed in zip(looks, claims, opening.claimed, strict=True):
        one = _judged(seen, claimed, created, same_server=is_same_server(space, seen, opening))
        if one is None:
            others.append(seen)
        else:
            held.append(one)
        if claimed.token is not None and (one is None or one.token is None):
            unwanted.append((claim.lease, claimed.token))
    if unwanted:
        try:
            await io.release(unwanted)
        except BaseException:
            await _give_back_quietly(io, space, held)
            raise
    return held, others


def _judged(seen: Look, claimed: Claimed, created: Mapping[str, Observed], *, same_server: bool) -> _Held | None:
    """Whether a key is to be loaded here; None to look again."""
    if not same_server or claimed.head != seen.probe:
        return None
    observation = observe_all(seen, {tag: stamp for tag, stamp in created.items() if tag in seen.missing()})
    if observation is None:
        return _Held(seen, None, None, Why.CLOSED)
    return _Held(seen, observation, claimed.token) if claimed.token is not None else None


async def _load(io: IO, space: Keyspace, batch: _Batch, held: list[_Held]) -> None:
    """One load for all of these; then one trip to store what may be stored."""
    inherited = Inheritance(space, None)
    try:
        began = io.monotonic()
        with capture.inheriting(space, *(one.seen.target.raw for one in held)) as inherited:
            values = checked(await io.call(batch.load, [one.key for one in held]))
        done = io.monotonic()
        timing = (inherited, done - began, io.now(), done)
        drafts = [
            (one, commit_of(space, one.seen, one.observation, one.token, Loaded(values[one.key], *timing), batch.life))
            for one in held
            if one.key in values and one.observation is not None and one.token is not None
        ]
    except BaseException as error:
        batch.raised = error
        for one in held:
            pass_on(space, inherited, one.observation)
        await _give_back_quietly(io, space, held)
        if (
            not isinstance(error, Exception)
            or isinstance(error, EncodeError)
            or not await _in_spite_of(io, space, batch, held, error)
        ):
            raise
        return
    batch.values.update({one.key: values[one.key] for one in held if one.key in values})
    batch.unknown.update(one.key for one in held if one.key not in values)
    await _settle(io, space, held, drafts, inherited)


async def _settle(
    io: IO, space: Keyspace, held: list[_Held], drafts: list[tuple[_Held, Commit | Why]], inherited: Inheritance
) -> None:
    """Store what may be stored; say why the rest is not, and hand on what it depends on."""
    commits = [(one, draft) for one, draft in drafts if isinstance(draft, Commit)]
    stored = {one.key for one, _ in commits}
    for one, draft in drafts:
        if isinstance(draft, Why):
            bequeath(space, one.seen, None)
            _refused(space, one.key, draft)
    unstored = [one for one in held if one.key not in stored]
    for one in unstored:
        pass_on(space, inherited, one.observation)
        if one.why is not None:
            _refused(space, one.key, one.why)
    await _give_back_quietly(io, space, unstored)
    if commits:
        await _store(io, space, commits)


async def _store(io: IO, space: Keyspace, commits: list[tuple[_Held, Commit]]) -> None:
    for one, commit in commits:
        bequeath(space, one.seen, commit)
    try:
        done = await io.commit([commit for _, commit in commits])
    except StoreError as error:
        space.fail(Failed(VERB, "", error))
        return
    for (one, commit), committed in zip(commits, done, strict=True):
        report(io, space, one.key, commit, committed)
        if committed.outcome is Outcome.LEASE:
            space.slow.learn(one.seen.target.raw, commit.draft.load_seconds)


async def _in_spite_of(io: IO, space: Keyspace, batch: _Batch, held: list[_Held], error: Exception) -> bool:
    """Serve what may be served though its load failed: all of it, or nothing."""
    if not batch.life.stale_ttl or any(spare(space, one.seen) is NOTHING for one in held):
        return False
    try:
        looks = await look_many(io, space, [one.seen.target for one in held])  # a hard invalidation may have come
    except StoreError as failed:
        space.fail(Failed(VERB, "", failed))
        return False
    if any(spare(space, seen) is NOTHING for seen in looks):
        return False
    for seen in looks:
        space.fail(LoadFailed(seen.target.key, error))
    _spared(space, batch, looks)
    return True


def checked(values: object) -> Mapping[str, Any]:
    """What the loader of a batch returned."""
    if not isinstance(values, Mapping):
        raise LoaderError(f"load_missing must return a mapping of keys to values, not {type(values).__name__}.")
    return cast("Mapping[str, Any]", values)


async def load_only_many(io: IO, space: Keyspace, load: LoadMissing, keys: Sequence[str]) -> dict[str, Any]:
    """Load without storing: the store is away."""
    if not keys:
        return {}
    inherited = Inheritance(space, None)
    try:
        with capture.inheriting(space) as inherited:
            values = checked(await io.call(load, list(keys)))
    finally:
        pass_on(space, inherited, None)
    return {key: values[key] for key in keys if key in values}


async def _give_back_quietly(io: IO, space: Keyspace, held: list[_Held]) -> None:
    """Release leases; if the store is gone they run out by themselves."""
    leases = [(space.names.lease(one.seen.entry), one.token) for one in held if one.token is not None]
    if not leases:
        return
    try:
        await io.release(leases)
    except StoreError as error:
        space.fail(Failed(VERB, "", error))


def _refused(space: Keyspace, key: str, why: Why) -> None:
    if space.emit is not None:
        space.emit(Refused(key, why))
