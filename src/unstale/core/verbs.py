"""Every verb but the plain hit and the fill, written once over `IO`: a stale entry is absent to each of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

from unstale.core import capture, codecs
from unstale.core.capture import Seen
from unstale.core.entry import Draft
from unstale.core.freshness import Fresh, names_blob
from unstale.core.keys import TagSet
from unstale.core.keyspace import NOTHING, Keyspace, Look, Snapshot, Target, assess_all, look_at_head, serve
from unstale.core.layout import TIMES
from unstale.core.ports import HEAD_BYTES, IO, Bumped, Change, Commit, Committed, Mode, Modify, Outcome, Unmodified
from unstale.core.refresh import WHY_OF, report
from unstale.core.stamps import Observed
from unstale.core.stamps import observe as observed
from unstale.errors import AbsentError, NotACounterError, StoreFullError, StoreRefusedError
from unstale.events import Invalidated, Refused, Why

MAX_ROUNDS = 8
"""How often a verb looks again when others change the entry between its look and its write."""
ROOTS_A_TRIP = 512
"""How many roots are written together: on a cluster there are 16384, and nobody else waits for long."""


async def after_miss(io: IO, space: Keyspace, seen: Sequence[Look]) -> None:
    """Create the stamps that were missing, and remember all: a value computed from now on may be stored under them.

    A loader that runs around this read inherits them as well, since what the caller computes goes into its result.
    """
    created = await _create(io, space, sorted({tag for one in seen for tag in one.missing()}), seen[0].identity)
    heir = capture.heir(space)
    for one in seen:
        needed = {tag: created[tag] if tag in created else one.current[tag] for tag in one.needed()}
        known = {**{tag: stamp for tag, stamp in one.current.items() if stamp is not None}, **needed}
        by_name = [(space.names.stamp(tag), stamp) for tag, stamp in known.items()]
        capture.remember(space.serial, one.target.raw, by_name, one.identity)
        if heir is not None:
            opened = {tag: stamp for tag, stamp in needed.items() if isinstance(stamp, bytes)}
            if len(opened) != len(needed):
                heir.broken = True
            heir.add(opened.items(), one.identity if space.policy.fences(one.target.declared.tags) else None)


async def _create(io: IO, space: Keyspace, missing: Sequence[str], identity: bytes) -> dict[str, Observed]:
    """Create the stamps of tags that a look at a server found missing."""
    if not missing:
        return {}
    names = [space.names.stamp(tag) for tag in missing]
    opening = await io.open((), names, space.policy.stamp_ttl, space.policy.replica_lag)
    if opening.identity != identity:  # two servers: nothing can be said of what was seen
        return dict.fromkeys(missing)
    return dict(zip(missing, opening.stamps, strict=True))


async def observe(io: IO, space: Keyspace, target: Target) -> None:
    """Look at the stamps of a target's tags and at the roots, and remember them under its key, as a miss does.

    A value whose own key is known only when it was computed may then be set under what stood there before
    (`Basis.under`), with these tags or some of them, in any order: whichever root it has. A loader around this inherits
    what it would from a miss.
    """
    tags = [*target.declared.tags, *space.names.roots_beside(target.declared)]
    values, identity = await io.read([space.names.stamp(tag) for tag in tags])
    current = dict(zip(tags, map(observed, values), strict=True))
    current.update(await _create(io, space, [tag for tag in tags if current[tag] is None], identity))
    by_name = [(space.names.stamp(tag), stamp) for tag, stamp in current.items()]
    capture.remember(space.serial, target.raw, by_name, identity)
    heir = capture.heir(space)
    if heir is not None:
        root = space.names.root_tag(target.raw, target.declared.home)
        needed = [(tag, current[tag]) for tag in (*target.declared.tags, root)]
        opened = [(tag, stamp) for tag, stamp in needed if isinstance(stamp, bytes)]
        if len(opened) != len(needed):
            heir.broken = True
        heir.add(opened, identity if space.policy.fences(target.declared.tags) else None)


async def get(io: IO, space: Keyspace, seen: Look) -> Any:
    """Serve a fresh entry, or NOTHING: then the stamps are remembered for what is computed and set now."""
    value = serve(space, seen)
    if value is NOTHING:
        await after_miss(io, space, [seen])
    return value


async def look_many(io: IO, space: Keyspace, targets: Sequence[Target]) -> list[Look]:
    """Read many keys in one trip (two where entries record tags that nobody declared)."""
    plans = [(target, space.expected(target.raw, target.declared)) for target in targets]
    per_key = [space.names.read_names(target.raw, expected, target.declared.home) for target, expected in plans]
    names = list(dict.fromkeys(name for each in per_key for name in each))
    values, identity = await io.read(names)
    found = dict(zip(names, values, strict=True))
    return await assess_all(
        io,
        space,
        [
            (target, expected, Snapshot(found[each[0]], [found[name] for name in each[1:]], identity))
            for (target, expected), each in zip(plans, per_key, strict=True)
        ],
    )


async def get_cold(io: IO, space: Keyspace, read: Sequence[tuple[Target, TagSet, Snapshot]]) -> dict[str, Any]:
    """Serve, of keys that one trip has read, what the hit path could not; for the rest remember the stamps."""
    seen = await assess_all(io, space, read)
    served = {one.target.key: serve(space, one) for one in seen}
    missed = [one for one in seen if served[one.target.key] is NOTHING]
    if missed:
        await after_miss(io, space, missed)
    return {key: value for key, value in served.items() if value is not NOTHING}


class Basis(NamedTuple):
    """What a value that is set was computed from.

    Attributes:
        computed: whether it depends on anything that was read; if not, it is stored under the stamps that stand.
        under: the key (its bytes) whose look it is held to; None for its own, where there was one.
    """

    computed: bool = True
    under: bytes | None = None


COMPUTED = Basis()
"""What is held to what this context remembers of the key."""
UNCOMPUTED = Basis(computed=False)
"""What depends on nothing that was read: it needs no look before."""


class _Stand(NamedTuple):
    """What a set records: the stamps remembered from a miss, None for those to be taken as they stand at the store."""

    observed: tuple[bytes | None, ...]
    identity: bytes | None


def _stand(space: Keyspace, target: Target, basis: Basis) -> _Stand | Why:
    """What this context remembers of the stamps that a set needs; or why it must not be stored."""
    names = (*target.declared.stamp_names, space.names.root_of(target.raw, target.declared.home))
    if not basis.computed:
        return _Stand((None,) * len(names), None)
    observed: list[bytes | None] = []
    identity: bytes | None = None
    for name in names:
        memory = _memory(space, target, basis, name)
        if memory is Why.UNSEEN:
            return memory
        if memory is None:
            observed.append(None)
            continue
        stamp, seen_at = memory
        if not isinstance(stamp, bytes):
            return Why.CLOSED
        if identity not in (None, seen_at):
            return Why.IDENTITY
        observed.append(stamp)
        identity = seen_at
    return _Stand(tuple(observed), identity)


def _memory(space: Keyspace, target: Target, basis: Basis, name: bytes) -> Seen | Literal[Why.UNSEEN] | None:
    """What is remembered of a stamp: of the key's own look, or of the one that the value is held to instead.

    A key that must not be stored is not stored under another's look either.
    """
    if basis.under is None:
        return capture.recall(space.serial, target.raw, name)
    own = capture.recall(space.serial, target.raw, name, alone=True)
    if own is not None and not isinstance(own[0], bytes):
        return own
    return capture.recall(space.serial, basis.under, name, alone=True) or Why.UNSEEN


def draft_commit(  # noqa: PLR0913 - a set's arguments
    io: IO, space: Keyspace, mode: Mode, target: Target, value: Any, ttl: float, *, basis: Basis
) -> Commit | Why:
    """Make the commit of a set, an add or a replacement.

    Raises:
        EncodeError: the codec cannot carry the value.
    """
    encoded = space.payloads.encode(value)
    stand = _stand(space, target, basis)
    if isinstance(stand, Why):
        return stand
    entry = space.names.entry(target.raw, target.declared.home)
    stamp_names = (*target.declared.stamp_names, space.names.root_of(target.raw, target.declared.home))
    stamp_ttl = space.policy.stamp_ttl_for(ttl)
    fenced = space.policy.fences(target.declared.tags)
    return Commit(
        mode=mode,
        entry=entry,
        lease=space.names.lease(entry),
        stamp_names=stamp_names,
        observed=stand.observed,
        identity=stand.identity,
        draft=Draft(
            raw_key=target.raw,
            tagset=target.declared,
            codec=encoded.codec,
            payload=encoded.body,
            created_at=io.now(),
            ttl=ttl,
            load_seconds=0.0,
            fenced=fenced,
            compression=encoded.compression,
            signer=space.payloads.signer_for(encoded.codec),
        ),
        stamp_ttl=stamp_ttl,
        prolong=space.prolonged.due(stamp_names, ttl, space.policy.stamp_ttl, io.monotonic()),
    )


async def _with_stamps(io: IO, space: Keyspace, commits: Sequence[Commit]) -> list[Commit | Why]:
    """What is signed needs its stamps before it is sent: where they are unknown, take those that stand, in one trip.

    So does everything where loaders may lag: the store would create a missing stamp open, though it is to be closed.
    """
    lag = space.policy.replica_lag
    unknown = sorted(
        {
            name
            for one in commits
            if lag or one.draft.signer is not None
            for name, stamp in zip(one.stamp_names, one.observed, strict=True)
            if stamp is None
        }
    )
    if not unknown:
        return list(commits)
    try:
        opening = await io.open((), unknown, space.policy.stamp_ttl, lag)
    except StoreFullError:  # as an unsigned set: what was to be replaced goes
        for one in commits:
            if one.mode is Mode.SET:
                await io.peek(one.entry, one.stamp_names, (one.entry, one.lease))
        raise
    found = dict(zip(unknown, opening.stamps, strict=True))
    return [_completed(one, found, opening.identity) if lag or one.draft.signer is not None else one for one in commits]


def _completed(one: Commit, found: dict[bytes, Observed], identity: bytes) -> Commit | Why:
    known = zip(one.stamp_names, one.observed, strict=True)
    stamps = tuple(stamp if stamp is not None else found[name] for name, stamp in known)
    opened = tuple(stamp for stamp in stamps if isinstance(stamp, bytes))
    if len(opened) != len(stamps):
        return Why.CLOSED
    if one.identity not in (None, identity):
        return Why.IDENTITY
    return one._replace(observed=opened, identity=identity)


async def set_many(
    io: IO, space: Keyspace, values: Sequence[tuple[Target, Any]], ttl: float, basis: Basis = COMPUTED
) -> list[str]:
    """Store values, all in one trip. What may not be stored is removed instead: its key then holds nothing.

    Returns:
        The keys that were not stored.
    """
    drafts = [(target, draft_commit(io, space, Mode.SET, target, value, ttl, basis=basis)) for target, value in values]
    plain = [(target, draft) for target, draft in drafts if isinstance(draft, Commit)]
    completed = await _with_stamps(io, space, [commit for _, commit in plain])
    drafts = [(target, draft) for target, draft in drafts if isinstance(draft, Why)]
    drafts += [(target, draft) for (target, _), draft in zip(plain, completed, strict=True)]
    commits = [(target, draft) for target, draft in drafts if isinstance(draft, Commit)]
    unstored: list[str] = []
    for target, why in drafts:
        if isinstance(why, Why):
            await io.check()  # what is refused since no look was answered would not be removed either
            await look_at_head(io, space, target, remove=True)
            capture.stored(space.serial, target.raw)
            _refuse(space, target.key, why)
            unstored.append(target.key)
    done = await io.commit([commit for _, commit in commits]) if commits else []
    for (target, commit), committed in zip(commits, done, strict=True):
        capture.stored(space.serial, target.raw)
        if not report(io, space, target.key, commit, committed):
            unstored.append(target.key)
    return unstored


async def add(io: IO, space: Keyspace, target: Target, value: Any, ttl: float, basis: Basis = COMPUTED) -> bool | Why:
    """Store a value only if there is no fresh entry: True, False, or why it may not be stored."""
    for _ in range(MAX_ROUNDS):
        seen, _ttl = await look_at_head(io, space, target)
        if isinstance(seen.verdict, Fresh):
            return False
        commit = draft_commit(io, space, Mode.ADD, target, value, ttl, basis=basis)
        if isinstance(commit, Commit):
            [commit] = await _with_stamps(io, space, [commit])
        if isinstance(commit, Why):
            capture.stored(space.serial, target.raw)
            _refuse(space, target.key, commit)
            return commit
        commit = commit._replace(seen=seen.probe)
        [committed] = await io.commit([commit])
        if committed.outcome is not Outcome.EXISTS:
            capture.stored(space.serial, target.raw)
            return report(io, space, target.key, commit, committed) or WHY_OF[committed.outcome]
    return False  # others kept storing it: there is an entry


async def replace(io: IO, space: Keyspace, target: Target, value: Any, ttl: float, basis: Basis = COMPUTED) -> bool:
    """Store a value only in the place of a fresh entry, which must be fresh there and then; whether it was stored."""
    for _ in range(MAX_ROUNDS):
        seen, _ttl = await look_at_head(io, space, target)
        if not isinstance(seen.verdict, Fresh):
            return False
        draft = draft_commit(io, space, Mode.REPLACE, target, value, ttl, basis=basis)
        if isinstance(draft, Why):
            why = draft
            break
        commit = _in_place_of(space, seen, draft)
        if isinstance(commit, Why):
            why = commit
            break
        [committed] = await io.commit([commit])
        if not _is_overtaken(draft, committed):
            capture.stored(space.serial, target.raw)
            return report(io, space, target.key, commit, committed)
    else:
        why = Why.LEASE  # others keep replacing it
    capture.stored(space.serial, target.raw)
    _refuse(space, target.key, why)
    return False


def _in_place_of(space: Keyspace, seen: Look, draft: Commit) -> Commit | Why:
    """Hold a draft to the fresh entry that it replaces: where the context remembers nothing, to that entry's stamps."""
    if draft.identity not in (None, seen.identity):
        return Why.IDENTITY
    current = {space.names.stamp(tag): stamp for tag, stamp in seen.current.items() if isinstance(stamp, bytes)}
    known = zip(draft.stamp_names, draft.observed, strict=True)
    return draft._replace(
        observed=tuple(current[name] if stamp is None else stamp for name, stamp in known),
        identity=seen.identity,
        seen=seen.probe,
        beside=tuple((name, stamp) for name, stamp in current.items() if name not in draft.stamp_names),
    )


def _is_overtaken(draft: Commit, committed: Committed) -> bool:
    """Whether a replacement was refused since the entry that it saw is fresh no more: look again."""
    if committed.outcome is Outcome.STALE:  # by what the context remembers it is refused for good
        return committed.position >= len(draft.observed) or draft.observed[committed.position] is None
    return committed.outcome is Outcome.CHANGED


def _refuse(space: Keyspace, key: str, why: Why) -> None:
    if space.emit is not None:
        space.emit(Refused(key, why))


async def delete(io: IO, space: Keyspace, target: Target) -> bool:
    """Remove entry and lease, in one command; whether a fresh entry was there."""
    seen, _ = await look_at_head(io, space, target, remove=True)
    return isinstance(seen.verdict, Fresh)


async def delete_many(io: IO, space: Keyspace, targets: Sequence[Target]) -> int:
    """Remove entries and leases, all in one command; how many fresh entries were there.

    An entry with other tags than expected may have a longer head than is read: then it is not counted.
    """
    plans = [(target, space.expected(target.raw, target.declared)) for target in targets]
    names = [space.names.read_names(target.raw, expected, target.declared.home) for target, expected in plans]
    size = max(HEAD_BYTES, *(tags.names_at + len(names_blob(tags, target.raw)) for target, tags in plans))
    stamp_names = list(dict.fromkeys(name for each in names for name in each[1:]))
    leases = [space.names.lease(each[0]) for each in names]
    found = await io.heads([each[0] for each in names], size, stamp_names, [*(each[0] for each in names), *leases])
    stamps = dict(zip(stamp_names, found.stamps, strict=True))
    snapshots = [
        Snapshot(head, [stamps[name] for name in each[1:]], found.identity)
        for head, each in zip(found.heads, names, strict=True)
    ]
    seen = await assess_all(io, space, [(*plan, shot) for plan, shot in zip(plans, snapshots, strict=True)])
    return sum(isinstance(one.verdict, Fresh) for one in seen)


async def has_key(io: IO, space: Keyspace, target: Target) -> bool:
    """Whether there is a fresh entry."""
    seen, _ = await look_at_head(io, space, target)
    await _inherit(io, space, seen)
    return isinstance(seen.verdict, Fresh)


async def _inherit(io: IO, space: Keyspace, seen: Look) -> None:
    """A loader that asks for an entry depends on it, be it there or not."""
    if capture.heir(space) is None:
        return
    if isinstance(seen.verdict, Fresh):
        seen.inherit(space)
    else:
        await after_miss(io, space, [seen])


async def ttl(io: IO, space: Keyspace, target: Target) -> float | None:
    """Seconds that a fresh entry has left; infinite for no limit; None where there is none."""
    seen, left = await look_at_head(io, space, target)
    await _inherit(io, space, seen)
    return max(left - seen.verdict.head.stale_ttl, 0.0) if isinstance(seen.verdict, Fresh) else None


async def _modify(io: IO, space: Keyspace, target: Target, make: Callable[[TagSet], Modify]) -> int | Unmodified:
    """Change an entry by a script that checks its stamps. Where its tags are not as expected, look, then try again."""
    tagset = space.expected(target.raw, target.declared)
    outcome: int | Unmodified = Unmodified.ABSENT
    for _ in range(MAX_ROUNDS):
        outcome = await io.modify(make(tagset))
        if outcome is not Unmodified.OTHER:
            return outcome
        seen, _ttl = await look_at_head(io, space, target)
        if not isinstance(seen.verdict, Fresh):
            return Unmodified.ABSENT
        tagset = space.names.recorded_tagset(seen.verdict.head.tags)
    return outcome


def _modification(space: Keyspace, target: Target, tagset: TagSet, change: Change) -> dict[str, Any]:
    return {
        "change": change,
        "entry": space.names.entry(target.raw, target.declared.home),
        "stamp_names": (*tagset.stamp_names, space.names.root_of(target.raw, target.declared.home)),
        "shape": tagset.shape,
        "names": names_blob(tagset, target.raw),
    }


async def touch(io: IO, space: Keyspace, target: Target, ttl: float) -> bool:
    """Give a fresh entry a new ttl, from now; its stamps then live at least as long. Whether there was one."""
    times = TIMES.pack(io.now(), ttl)
    stamp_ttl = space.policy.stamp_ttl_for(ttl)
    outcome = await _modify(
        io,
        space,
        target,
        lambda tagset: Modify(
            **_modification(space, target, tagset, Change.TOUCH),
            now=io.now(),
            times=times,
            ttl=ttl,
            stamp_ttl=stamp_ttl,
        ),
    )
    return not isinstance(outcome, Unmodified)


async def incr(io: IO, space: Keyspace, target: Target, step: tuple[int, int | None], ttl: float) -> int:
    """Add to a counter; its ttl stays. `step` is the delta, and what to begin from (with `ttl`) where there is none.

    Raises:
        AbsentError: there is no fresh entry and no `initial`.
        NotACounterError: the entry is no counter, or would leave its range.
    """
    delta, initial = step
    for _ in range(MAX_ROUNDS):
        outcome = await _modify(
            io,
            space,
            target,
            lambda tagset: Modify(**_modification(space, target, tagset, Change.INCREASE), now=io.now(), delta=delta),
        )
        match outcome:
            case int():
                return outcome
            case Unmodified.NOT_A_COUNTER | Unmodified.RANGE:
                raise NotACounterError(f"{target.key!r}: " + (NotACounterError.__doc__ or ""))
            case Unmodified.ABSENT | Unmodified.STALE | Unmodified.OTHER:
                if initial is None:
                    raise AbsentError
        first = initial + delta
        if abs(first) > codecs.MAX_COUNTER:
            raise NotACounterError
        added = await add(io, space, target, first, ttl, UNCOMPUTED)
        if added is True:
            return first
        if isinstance(added, Why):
            raise StoreRefusedError(f"{target.key!r} could not be counted: {added.value}.")
    raise StoreRefusedError(f"{target.key!r} could not be counted: others keep replacing it.")


async def invalidate(io: IO, space: Keyspace, tags: Sequence[str], *, soft: bool = False) -> Invalidated:
    """Make every entry that carries one of these tags stale. One small write a tag, one trip.

    Args:
        io: the world.
        space: the cache's.
        tags: which, complete with the scope's name.
        soft: make them soft-stale only: they may be served while they are loaded anew. Not where loaders may lag: what
            is loaded anew at once could be the old value, stored as fresh. There it is as an invalidation without it.

    Returns:
        When it has taken effect.

    Raises:
        StoreError: it has not (or nobody knows): call it again.
    """
    return _done(space, tags, await _bump(io, space, tags, soft=soft))


async def _bump(io: IO, space: Keyspace, tags: Sequence[str], *, soft: bool = False) -> int:
    """Write the stamps of tags anew; how many were there."""
    names = [space.names.stamp(tag) for tag in tags]
    lag = space.policy.replica_lag
    soft = soft and not lag
    if not (soft or space.keeps_looks):
        capture.forget(space.serial, names)
    bumped = await io.bump(names, space.policy.stamp_ttl, soft=soft, lag=lag)
    return sum(one is Bumped.CHANGED for one in bumped)


def _done(space: Keyspace, tags: Sequence[str], bumped: int) -> Invalidated:
    """An invalidation that has taken effect: the events hook is told."""
    event = Invalidated(tuple(tags), bumped)
    if space.emit is not None:
        space.emit(event)
    return event


async def clear(io: IO, space: Keyspace, over_seconds: float = 0.0) -> Invalidated:
    """Make every entry of this cache stale: one write for each of its roots, at once or spread over a time.

    On one server that is one trip, on a cluster one for every ROOTS_A_TRIP slots. A ramped clear gives the loaders
    behind the cache a sixteenth of its entries at a time. It returns when the last root is written; until its root's
    turn an entry is fresh.
    """
    groups = space.names.root_groups()
    if not over_seconds:
        return _done(space, space.names.told_roots, await _bump_roots(io, space, space.names.roots))
    began, bumped = io.monotonic(), 0
    for number, group in enumerate(groups):
        due = began + over_seconds * number / (len(groups) - 1)
        while (left := due - io.monotonic()) > 0:
            await io.sleep(left)
        bumped += await _bump_roots(io, space, group)
    return _done(space, space.names.told_roots, bumped)


async def _bump_roots(io: IO, space: Keyspace, roots: Sequence[str]) -> int:
    parts = [roots[first : first + ROOTS_A_TRIP] for first in range(0, len(roots), ROOTS_A_TRIP)]
    return sum([await _bump(io, space, part) for part in parts])
