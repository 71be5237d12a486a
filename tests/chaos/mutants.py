"""unstale with one mistake each: what somebody might write who has not met the leak, patched into a worker's process.

A mutant is a subject, named "mutants:name" in a phase, for processes with this folder on their path. The same phase
with what it is made of (`SOUND`) must come out clean, and with the mutant must not. A patch replaces what must be
there, and leaves a mark in the file `place.options["applied"]` when what it has put there was run: so a refactoring
turns no mutant into a sound one unnoticed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import wraps
from hashlib import blake2b
from pathlib import Path
from typing import Any

import redis as redis_py

from unstale.cache import Cache
from unstale.core import capture, closing, freshness, refresh
from unstale.core.ports import Bumped, Commit, Mode
from unstale.core.stamps import observe
from unstale.errors import StoreError
from unstale.events import Invalidated
from unstale.stores import commands, redis, scripts, wire
from unstale.tools.chaos.subject import Place, Subject, maker


class Patch:
    """Puts mistakes in the place of what is right."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._applied = Path(place.options["applied"])

    def ran(self) -> None:
        """Say that a mistake was run."""
        self._applied.touch()

    def put(self, owner: Any, name: str, make: Callable[[Any], Any]) -> None:
        """Replace a function or method by what `make` makes of it."""
        sound = getattr(owner, name)
        mistaken = make(sound)

        @wraps(sound)
        def counted(*arguments: Any, **named: Any) -> Any:
            self.ran()
            return mistaken(*arguments, **named)

        setattr(owner, name, counted)


@dataclass(frozen=True)
class Mutant:
    """A mistake, and what it is made in.

    Attributes:
        apply: makes the mistake, in this process, for good.
        sound: the subject that it is made in.
        is_of_readers: only readers have it: writers use the sound one.
    """

    apply: Callable[[Patch], None]
    sound: str
    is_of_readers: bool = False

    @property
    def beside(self) -> str:
        """What runs beside it: see `subject.beside`."""
        return str(getattr(maker(self.sound), "beside", ""))

    @property
    def writer(self) -> str:
        """What writers use: see `subject.writer_of`."""
        return self.sound if self.is_of_readers else f"mutants:{self.apply.__name__}"

    def __call__(self, place: Place) -> Subject:
        """Make the subject, with the mistake in it."""
        self.apply(Patch(place))
        made: Any = maker(self.sound)(place)
        return made


def of(sound: str, *, is_of_readers: bool = False) -> Callable[[Callable[[Patch], None]], Mutant]:
    """Make a mutant of what applies it."""
    return lambda apply: Mutant(apply, sound, is_of_readers)


def replaced(text: bytes, old: str, new: str) -> bytes:
    """A script's text with something else in the place of what must be in it, once."""
    assert text.count(old.encode()) == 1, old
    return text.replace(old.encode(), new.encode())


@of("unstale")
def stamps_after_the_load(patch: Patch) -> None:
    """The stamps are those that stand when the value is stored, not those from before its load."""

    def late(commit: Any) -> Any:
        def unseen(one: Commit) -> Commit:
            return one._replace(observed=(None,) * len(one.observed))

        return lambda store, commits: commit(store, [unseen(one) for one in commits])

    patch.put(redis.RedisStore, "commit", late)


@of("unstale")
def missing_equals_anything(patch: Patch) -> None:
    """A stamp that is missing is no reason to distrust an entry."""
    patch.put(freshness, "equal", lambda equal: lambda recorded, now: now is None or equal(recorded, now))


@of("unstale")
def counters_as_stamps(patch: Patch) -> None:
    """A stamp counts up from one, and so begins again when it was evicted."""
    count_up = scripts.Script("""
for i = 1, #KEYS do
  local count = redis.call('GET', KEYS[i])
  if count then redis.call('SET', KEYS[i], string.format('%016d', count + 1), 'PX', ARGV[1]) end
end
return #KEYS
""")
    scripts.BY_DIGEST[count_up.digest] = count_up

    def bump(_bump: Any) -> Any:
        def counting(names: Sequence[bytes], stamp_ttl: float) -> Any:
            command = commands._evalsha(count_up, names, commands.milliseconds(stamp_ttl))
            return commands.Trip([command], lambda replies, _: [Bumped.CHANGED] * int(commands.checked(replies[0])))

        return counting

    patch.put(commands, "new_stamp", lambda _: lambda: b"%016d" % 1)
    patch.put(commands, "bump", bump)


@of("unstale")
def time_as_stamps(patch: Patch) -> None:
    """A stamp is the time, in whole seconds."""
    patch.put(commands, "new_stamp", lambda _: lambda: b"%016d" % time.time())


@of("unstale")
def no_identity(patch: Patch) -> None:
    """All servers are the same one."""

    def prove(sound: Any) -> Any:
        def same(one: wire.Wire, replication: Any, asked_at: float) -> None:
            sound(one, replication, asked_at)
            one.identity = bytes(range(16))

        return same

    patch.put(wire.Wire, "prove", prove)


@of("aimed:FilledBeside")
def identity_at_the_store(patch: Patch) -> None:
    """An entry records the server at which it is stored, not the one at which its stamps were seen."""

    def commit(sound: Any) -> Any:
        return lambda store, commits: sound(store, [one._replace(identity=None) for one in commits])

    patch.put(redis.RedisStore, "commit", commit)


@of("unstale")
def run_id_alone(patch: Patch) -> None:
    """A server that was a replica meanwhile is the same one afterwards."""

    def identity(sound: Any) -> Any:
        def of_run(run_id: bytes, replication: Any) -> bytes:
            sound(run_id, replication)
            return blake2b(run_id, digest_size=16).digest()

        return of_run

    patch.put(wire, "identity_of", identity)


@of("unstale", is_of_readers=True)
def demotion_ignored(patch: Patch) -> None:
    """A server is what it was when it was connected to; that it refuses to write is no reason to go elsewhere."""

    def prove(sound: Any) -> Any:
        def trusting(one: wire.Wire, replication: Any, asked_at: float) -> None:
            if not one.identity:
                sound(one, replication, asked_at)
            one.proved_until = asked_at + wire.PROOF_SECONDS

        return trusting

    patch.put(wire.Wire, "prove", prove)
    patch.put(redis, "any_error", lambda sound: lambda replies, kind: kind != "READONLY" and sound(replies, kind))


@of("unstale")
def flight_by_key_alone(patch: Patch) -> None:
    """Whoever wants a key that is being loaded takes the value of that load, whenever it began."""
    values: dict[bytes, Any] = {}

    def join(sound: Any) -> Any:
        async def trusting(io: Any, space: Any, seen: Any, fill: Any) -> Any:
            flight = (seen.target.raw, ())
            if not io.lead(flight):
                await io.join(flight, 10.0)
                return values[seen.target.raw]
            try:
                value = values[seen.target.raw] = await sound(io, space, seen, fill)
            finally:
                io.land(flight)
            return value

        return trusting

    patch.put(refresh, "refresh", join)


@of("unstale")
def stamps_kept_alive_by_set(patch: Patch) -> None:
    """Who stores a value prolongs its stamps by writing them once more."""

    def commit(sound: Any) -> Any:
        def prolonging(store: Any, commits: Sequence[Commit]) -> Any:
            done = sound(store, commits)
            sets = [
                (b"SET", name, stamp, b"PX", b"86400000")
                for one in commits
                for name, stamp in zip(one.stamp_names, one.observed, strict=True)
                if stamp is not None
            ]
            store._write(lambda _: commands.Trip(sets, lambda replies, _identity: replies))
            return done

        return prolonging

    patch.put(redis.RedisStore, "commit", commit)


@of("unstale")
def full_server_ignored(patch: Patch) -> None:
    """That the server had no memory for a new stamp is taken for done."""
    patch.put(commands, "_bumped", lambda sound: lambda reply: sound(reply) or Bumped.CHANGED)


@of("unstale")
def errors_swallowed(patch: Patch) -> None:
    """An invalidation that failed returns as if it had taken effect."""

    def invalidate(sound: Any) -> Any:
        def quietly(cache: Cache, *tags: str, soft: bool = False) -> Invalidated:
            try:
                done: Invalidated = sound(cache, *tags, soft=soft)
            except StoreError:
                return Invalidated(tags, 0)
            return done

        return quietly

    patch.put(Cache, "invalidate", invalidate)


@of("unstale-set")
def looks_forgotten(patch: Patch) -> None:
    """A `set` takes the stamps that stand, whatever the `get` before it saw."""
    patch.put(capture, "recall", lambda _: lambda *_arguments, **_named: None)


@of("unstale-delete")
def lease_not_checked(patch: Patch) -> None:
    """A fill is stored, whoever has the lease by now."""
    commands._MODES[Mode.FILL] = commands._MODES[Mode.SET]
    patch.put(commands, "commit", lambda sound: sound)


@of("aimed:NestedSlowly")
def nested_not_inherited(patch: Patch) -> None:
    """What a loader reads from the cache is nothing that its value depends on."""
    patch.put(capture, "heir", lambda _: lambda _owner: None)


@of("aimed:NestedSlowly")
def inherited_read_anew(patch: Patch) -> None:
    """Of what a loader has read from the cache only the tags are inherited; their stamps are read at the store."""

    def commit_of(sound: Any) -> Any:
        def anew(space: Any, seen: Any, observation: Any, *rest: Any) -> Any:
            commit = sound(space, seen, observation, *rest)
            if not isinstance(commit, Commit):
                return commit
            own = {space.names.stamp(tag) for tag in observation.stamps}
            named = zip(commit.stamp_names, commit.observed, strict=True)
            return commit._replace(observed=tuple(stamp if name in own else None for name, stamp in named))

        return anew

    patch.put(refresh, "commit_of", commit_of)


@of("aimed:StrictAmongPlain")
def bump_opens_a_closed_tag(patch: Patch) -> None:
    """A plain invalidation writes its stamp over whatever is there."""

    def bump(_sound: Any) -> Any:
        def over(names: Sequence[bytes], stamp_ttl: float) -> Any:
            ttl = commands.milliseconds(stamp_ttl)
            sets = [(b"SET", name, commands.new_stamp(), b"XX", b"PX", ttl) for name in names]
            return commands.Trip(sets, lambda replies, _: [Bumped.CHANGED for _ in map(commands.checked, replies)])

        return over

    patch.put(commands, "bump", bump)


@of("aimed:StrictAmongPlain")
def fill_opens_a_closed_tag(patch: Patch) -> None:
    """A fill takes a closed stamp, which a read shows as nothing, for a missing one, and writes a new one."""

    def open_(sound: Any) -> Any:
        def over(claims: Any, missing: Sequence[bytes], stamp_ttl: float, lag: float, held: Any) -> Any:
            trip = sound(claims, missing, stamp_ttl, lag, held)
            names = set(missing)
            removed = [(b"DEL", command[1]) for command in trip.commands if command[1] in names]
            return commands.Trip(
                [*removed, *trip.commands], lambda replies, one: trip.parse(replies[len(removed) :], one)
            )

        return over

    patch.put(commands, "open_", open_)


@of("aimed:StrictAmongPlain")
def old_stamp_put_back(patch: Patch) -> None:
    """A strict write that is over puts the stamp back that it found."""
    client = redis_py.Redis.from_url(patch.place.url)
    found: dict[str, list[tuple[bytes, bytes]]] = {}

    def begin(sound: Any) -> Any:
        async def noting(io: Any, space: Any, tags: Sequence[str], owner: str, limit: float) -> Any:
            names = [space.names.stamp(tag) for tag in tags]
            values, _ = await io.read(names)
            found[owner] = [(name, one) for name, one in zip(names, values, strict=True) if one is not None]
            return await sound(io, space, tags, owner, limit)

        return noting

    def complete(sound: Any) -> Any:
        async def putting_back(io: Any, space: Any, one: Any) -> Any:
            done = await sound(io, space, one)
            for name, stamp in found.pop(one.owner, ()):
                client.set(name, stamp, nx=True, ex=60)
            return done

        return putting_back

    patch.put(closing, "begin", begin)
    patch.put(closing, "complete", complete)


@of("aimed:SoftAmongHard")
def soft_by_get_and_set(patch: Patch) -> None:
    """A soft invalidation reads the stamp, and writes it with a new soft half."""

    def bump(sound: Any) -> Any:
        def in_two(
            store: Any, names: Sequence[bytes], stamp_ttl: float, *, soft: bool = False, lag: float = 0.0
        ) -> Any:
            if not soft:
                return sound(store, names, stamp_ttl, lag=lag)
            values, _ = store.read(tuple(names))
            time.sleep(0.01)
            sets = [
                (b"SET", name, value[:8] + commands.new_stamp()[8:], b"XX")
                for name, value in zip(names, values, strict=True)
                if isinstance(observe(value), bytes)
            ]
            if sets:
                store._write(lambda _: commands.Trip(sets, lambda replies, _identity: replies))
            return [Bumped.CHANGED] * len(names)

        return in_two

    patch.put(redis.RedisStore, "bump", bump)


@of("unstale-lag")
def lag_ignored(patch: Patch) -> None:
    """An invalidation is one like any other, although the loaders read a replica of the database that lags."""

    def bump(sound: Any) -> Any:
        return lambda store, names, stamp_ttl, *, soft=False, lag=0.0: sound(store, names, stamp_ttl, soft=soft)

    patch.put(redis.RedisStore, "bump", bump)


@of("unstale-django")
def invalidated_before_the_commit(patch: Patch) -> None:
    """What is invalidated inside a transaction takes effect at once, not with its COMMIT."""
    from unstale.contrib.django import transactions

    patch.put(transactions, "open_connections", lambda _: lambda _using=None: [])


@of("unstale-django")
def own_writes_stored(patch: Patch) -> None:
    """What a transaction has written itself is read and stored like anything else."""
    from unstale.contrib.django import transactions

    patch.put(transactions, "is_dirty", lambda _: lambda *_arguments: False)
    patch.put(transactions, "forbids_fill", lambda _: lambda: False)


@of("unstale-django")
def old_snapshots_stored(patch: Patch) -> None:
    """What was loaded in a transaction is stored, however old its snapshot is."""
    from unstale.contrib.django import transactions

    patch.put(transactions, "forbids_fill", lambda _: lambda: False)


MUTANTS: dict[str, Mutant] = {name: one for name, one in globals().items() if isinstance(one, Mutant)}
"""All of them, by name."""
