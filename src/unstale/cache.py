"""`Cache`: the synchronous façade. Its store reads and waits; all else is `facade` and the core, run without a loop."""

from __future__ import annotations

import inspect
import os
import threading
import time
import weakref
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar, Unpack

from unstale.core import closing as closed
from unstale.core import owing, refresh, verbs
from unstale.core.closing import Closing
from unstale.core.keyspace import NOTHING, Look, Target, assess, look
from unstale.core.owing import IN_PASSING, MOST, Passing, of_bump, of_completion
from unstale.core.pending import Pending
from unstale.core.policy import DEFAULT, Duration, Ttl
from unstale.core.ports import Flight, Handover, Load, Store
from unstale.core.refresh import Fill, load_only
from unstale.draw import chance, token
from unstale.errors import LoaderError, NotReplicatedError, QueueError, StoreError, StoreUnavailableError
from unstale.events import Failed, Invalidated, Queued
from unstale.facade import Cold, Facade, PlannedTags, Tags, TagsOfKey
from unstale.flights import Flights
from unstale.options import CacheOptions, make_keyspace, store_options
from unstale.stores.immediate import Immediate
from unstale.stores.urls import is_cluster, open_store

if TYPE_CHECKING:
    from unstale.cached import CachedFunction, KeyOf, TagsOf
    from unstale.core.browse import Walk
    from unstale.core.inspection import Inspection
    from unstale.core.verified import Verification

P = ParamSpec("P")
T = TypeVar("T")
D = TypeVar("D")

Runner = Callable[["Job"], object]
"""Does a job elsewhere and soon: `executor.submit`, for one."""


class Job:
    """A load for a runner: called without arguments it is done. A runner of another process's work sends `leave()`."""

    __slots__ = ("_load",)

    def __init__(self, load: Load) -> None:
        self._load = load

    def __call__(self) -> None:
        """Load and store; a failure is told to the events hook, or the log."""
        _run(self._load())

    @property
    def loader(self) -> Callable[[], Any]:
        """The function that was given to `get_or_set`."""
        return self._load.loader

    def leave(self) -> Handover:
        """Leave it to another process, which does it by `take_over`. If none does, the lease runs out."""
        return self._load.leave()


class _StoppedError(Exception):
    """Carries a loader's StopIteration through coroutines, which would turn it into a RuntimeError (PEP 479)."""

    def __init__(self, error: StopIteration) -> None:
        super().__init__(error)
        self.error = error


class _SyncIO(Immediate):
    """The core's `IO` over a synchronous store: nothing in it ever suspends."""

    def __init__(self, store: Store, runner: Runner | None) -> None:
        super().__init__(store)
        self._runner = runner
        self.runs = runner is not None
        self._flights: Flights[threading.Event] = Flights(threading.Event)
        _ios.add(self)

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 - no loop drives this

    async def call(self, loader: Callable[..., Any], *arguments: Any) -> Any:
        if not callable(loader):
            raise LoaderError("The loader must be a function to call, not what calling it gives.")
        try:
            value = loader(*arguments)
        except StopIteration as error:
            raise _StoppedError(error) from error
        if inspect.isawaitable(value):
            if inspect.iscoroutine(value):
                value.close()
            raise LoaderError
        return value

    def spawn(self, load: Load) -> None:
        assert self._runner is not None  # noqa: S101 - asked first
        self._runner(Job(load))

    def go_on(self, steps: Coroutine[Any, Any, None]) -> bool:
        """By a thread of its own, which mostly sleeps; the interpreter does not wait for it when it ends."""
        try:
            threading.Thread(target=_run, args=(steps,), name="unstale-verify", daemon=True).start()
        except RuntimeError:  # there are too many, or the interpreter ends
            steps.close()
            return False
        return True

    def lead(self, flight: Flight) -> bool:
        return self._flights.lead(flight)

    async def join(self, flight: Flight, seconds: float) -> bool:
        landing = self._flights.find(flight)
        if landing is None:
            return True
        landing.event.wait(seconds)
        return not landing.failed

    def land(self, flight: Flight, *, failed: bool = False) -> None:
        landed = self._flights.land(flight, failed=failed)
        if landed is not None:
            landed.set()

    def forked(self) -> None:
        self._flights.forget()

    def monotonic(self) -> float:
        return time.monotonic()

    def now(self) -> float:
        return time.time()

    def chance(self) -> float:
        return chance()


_ios: weakref.WeakSet[_SyncIO] = weakref.WeakSet()


def _after_fork() -> None:
    for io in list(_ios):
        io.forked()


os.register_at_fork(after_in_child=_after_fork)


def _run(steps: Coroutine[Any, Any, T]) -> T:
    """Drive a coroutine that never suspends to its end."""
    try:
        steps.send(None)
    except StopIteration as done:
        value: T = done.value
        return value
    except _StoppedError as stopped:
        error = stopped.error
    else:
        steps.close()
        raise RuntimeError("a synchronous step suspended")
    raise error


async def _here(function: Callable[..., T], *arguments: Any) -> T:
    """Call a function that may wait: so does its caller's thread."""
    return function(*arguments)


class Cache(Facade):
    """A cache on Redis or Valkey whose entries are invalidated by tags, without deleting keys.

    An entry is fresh if and only if every stamp that it recorded equals that tag's stamp now. To every verb a stale
    entry is absent. Reads survive a dead server: `get` gives its default, `get_or_set` calls the loader, and an event
    (or the log) says so. Writes raise.

    A cache may be used from many threads, after a fork, and under gevent. On a cluster (redis+cluster://) the first tag
    of a key says where its entry lies: name the same first tag in every verb; a scope does so by itself.
    """

    __slots__ = ()

    _store: Store
    _io: _SyncIO
    _make_io = _SyncIO

    @classmethod
    def from_url(cls, url: str, **options: Unpack[CacheOptions]) -> Self:
        """Make a cache for a URL.

        Args:
            url: redis://, rediss://, unix:// (with redis-py's options), redis+sentinel://, redis+cluster://,
                embedded:// or memory://.
            options: see `CacheOptions`; the usual ones are `namespace`, `ttl`, `timeout`.

        Raises:
            ConfigurationError: the URL or an option makes no sense.
            InvalidDurationError: a duration is not above zero.
        """
        space = make_keyspace(options, clustered=is_cluster(url))
        store = open_store(url, store_options(options))
        return cls(store, space, io=_SyncIO(store, options.get("runner")))

    def __enter__(self) -> Self:
        """Use as a context manager that closes at the end."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def _look(self, cold: Cold) -> Look:
        """Judge what the hit path could not."""
        return _run(assess(self._io, self._space, cold.target, cold.expected, cold.snapshot))

    def get(self, key: str, default: D | None = None, *, tags: Tags = (), into: Any = None) -> Any | D | None:
        """Read a fresh value, in one trip.

        What misses remembers the stamps it saw, so that a `set` that follows in the same request or task stores under
        what stood there before the value was computed (`remembering` bounds that memory).

        Args:
            key: the key.
            default: what to return when there is no fresh entry, or the server is away.
            tags: tags that the entry must record. A `set` that follows is held to what is seen of them. Saying them
                also spares the first read of a key a second trip. On a cluster the first one says where the entry lies:
                name the same one in every verb.
            into: the type that the value is to have (a dataclass, msgspec struct, pydantic model, a list of them …);
                what cannot be made into it is a miss. None for whatever the codec gives.

        Returns:
            The value (a cached None is one), or the default.

        Raises:
            InvalidKeyError, InvalidTagError: the key or a tag is bad.
        """
        try:
            plan = (
                tags.plan
                if type(tags) is PlannedTags and tags.key is key and not self._hints
                else self._plan(key, tags)
            )
            values, identity = self._store.read(plan[3])
            value = self._judge(key, plan, values, identity, into)
            if type(value) is Cold:
                value = _run(verbs.get(self._io, self._space, self._look(value)))
        except StoreError as error:
            self._without("get", error, [self._target(key, tags)])
            return default
        return default if value is NOTHING else value

    def get_or_set(  # noqa: PLR0913 - what a cached value can be told, by name
        self,
        key: str,
        loader: Callable[[], T],
        *,
        tags: Tags = (),
        ttl: Ttl = DEFAULT,
        stale_ttl: Ttl = DEFAULT,
        negative_ttl: Duration | None = None,
        into: Any = None,
    ) -> T:
        """Read a fresh value, or load it and store it under the stamps as they were before the load.

        One loader per key runs at a time, over all processes; the others wait for its value, look again, and load
        themselves when its lease has run out. When the server is away the loader is called and nothing is stored.

        Args:
            key: the key.
            loader: computes the value, from no arguments.
            tags: what the value depends on; `invalidate` of any of them, or of an ancestor, makes it stale. What the
                loader reads from this cache is added to them. On a cluster the first one says where the entry lies.
            ttl: seconds that it stays fresh; None for no limit; by default the cache's own.
            stale_ttl: seconds more that it may be served while one reader (or the cache's runner) loads it anew, and
                where that load fails; also what `invalidate(…, soft=True)` leaves servable. By default the cache's own.
            negative_ttl: seconds that a None stays fresh; None for the same as for any value.
            into: the type that a cached value is to have; see `get`.

        Returns:
            The value. Straight from the loader it is the loader's own object; from the cache it is the codec's.

        Raises:
            Whatever the loader raises, unchanged; nothing is stored then.
            EncodeError: the codec cannot carry the value.
            LoaderError: the loader returned an awaitable.
            InvalidKeyError, InvalidTagError, InvalidDurationError: an argument is bad.
        """
        life = self._life(ttl, stale_ttl, negative_ttl)
        try:
            plan = self._plan(key, tags)
            values, identity = self._store.read(plan[3])
            value = self._judge(key, plan, values, identity, into)
            if type(value) is Cold:
                seen = self._look(value)
            elif self._verifier is None or not self._verifier.wants(plan[0]):
                return value  # type: ignore[no-any-return]
        except StoreError as error:
            self._without("get_or_set", error, [self._target(key, tags)])
            return _run(load_only(self._io, self._space, loader, None))  # type: ignore[no-any-return]
        if type(value) is not Cold:
            return _run(self._verified(plan, key, value, loader, into))  # type: ignore[no-any-return]
        fill = Fill(loader, life, verifier=self._verifier)
        return _run(refresh.get_or_set(self._io, self._space, seen, fill))  # type: ignore[no-any-return]

    def get_or_set_many(  # noqa: PLR0913 - as `get_or_set`
        self,
        keys: Iterable[str],
        load_missing: Callable[[list[str]], Mapping[str, T]],
        *,
        tags: TagsOfKey = (),
        ttl: Ttl = DEFAULT,
        stale_ttl: Ttl = DEFAULT,
        negative_ttl: Duration | None = None,
        into: Any = None,
    ) -> dict[str, T]:
        """Read many fresh values in one trip; load what is missing by one call, and store each as `get_or_set` does.

        Args:
            keys: the keys.
            load_missing: given the keys that are missing, returns their values by key. What it leaves out is left out
                of the result and not stored; what it adds is ignored. Keys that others load at this moment are waited
                for, and only if they do not come it is called again, for these.
            tags: the tags of all, or a function that gives each key's.
            ttl: see `get_or_set`.
            stale_ttl: see `get_or_set`.
            negative_ttl: see `get_or_set`.
            into: see `get`.

        Returns:
            The values, by key, in the order of the keys.

        Raises:
            As `get_or_set`; also LoaderError where `load_missing` returns no mapping.
        """
        from unstale.core import batch  # noqa: PLC0415 - who wants batches imports it

        targets = self._targets(keys, tags, into)
        life = self._life(ttl, stale_ttl, negative_ttl)
        return _run(batch.get_or_set_many(self._io, self._space, targets, load_missing, life, self._verifier))

    def refresh(
        self,
        key: str,
        loader: Callable[[], T],
        *,
        tags: Tags = (),
        ttl: Ttl = DEFAULT,
        stale_ttl: Ttl = DEFAULT,
        negative_ttl: Duration | None = None,
    ) -> T:
        """Load a value now, whatever is kept, and store it as `get_or_set` does; one who loads already is waited for.

        Arguments, result and errors are those of `get_or_set`.
        """
        target, life = self._target(key, tags), self._life(ttl, stale_ttl, negative_ttl)
        try:
            seen = _run(look(self._io, self._space, target))
        except StoreError as error:
            self._without("refresh", error, [target])
            return _run(load_only(self._io, self._space, loader, None))  # type: ignore[no-any-return]
        fill = Fill(loader, life, anew=True)
        return _run(refresh.refresh(self._io, self._space, seen, fill))  # type: ignore[no-any-return]

    def cached(  # noqa: PLR0913 - as `get_or_set`
        self,
        key: KeyOf,
        *,
        tags: TagsOf = (),
        ttl: Ttl = DEFAULT,
        stale_ttl: Ttl = DEFAULT,
        negative_ttl: Duration | None = None,
        into: Any = None,
        ignore: Iterable[str] = (),
    ) -> Callable[[Callable[P, T]], CachedFunction[P, T]]:
        """Decorate a function or a method: its results are kept in this cache.

        Args:
            key: a template such as "orders:{user_id}" that names every argument, or a function that makes the key from
                the same arguments. Put a name of the function's own in it: keys are the cache's, not the function's.
            tags: templates, or a function that makes the tags from the same arguments.
            ttl: see `get_or_set`.
            stale_ttl: see `get_or_set`.
            negative_ttl: seconds that a result of None stays fresh; None for the same as for any result.
            into: see `get`.
            ignore: arguments that the result does not depend on, which the key need not name.

        Returns:
            A decorator. The function keeps its signature; it has `key_for`, `refresh` and `invalidate` besides, each
            called with the function's own arguments.

        Raises:
            ConfigurationError: a template names no argument, the key leaves one out, or the function is of no kind that
                this cache can decorate.
        """
        from unstale.cached import CachedFunction, recipe_of  # noqa: PLC0415 - who decorates imports it

        self._life(ttl, stale_ttl, negative_ttl)  # a mistake shows here, not at the first call
        options = {"ttl": ttl, "stale_ttl": stale_ttl, "negative_ttl": negative_ttl, "into": into}

        def decorate(function: Callable[P, T]) -> CachedFunction[P, T]:
            recipe = recipe_of(function, key, tags, ignore, type(self).__name__, is_async=False)
            return CachedFunction(function, self, recipe, options)

        return decorate

    def get_many(self, keys: Iterable[str], *, tags: TagsOfKey = (), into: Any = None) -> dict[str, Any]:
        """Read many keys in one trip (two, the first time, for entries with tags that were not said).

        Args:
            keys: the keys.
            tags: the tags of all, or a function that gives each key's.
            into: see `get`.

        Returns:
            The fresh values, by key; the others are left out. Empty when the server is away.
        """
        plans = self._plans_of(keys, tags)
        if not plans:
            return {}
        names = list(dict.fromkeys(name for plan in plans.values() for name in plan[3]))
        try:
            values, identity = self._store.read(names)
            served, cold = self._judge_many(plans, dict(zip(names, values, strict=True)), identity, into)
            if cold:
                served.update(_run(verbs.get_cold(self._io, self._space, cold)))
        except StoreError as error:
            self._without("get_many", error, [Target(key, plan[0], plan[1], into) for key, plan in plans.items()])
            return {}
        return {key: served[key] for key in plans if key in served} if cold else served

    def has_key(self, key: str, *, tags: Tags = ()) -> bool:
        """Whether there is a fresh entry; False when the server is away. The payload does not travel."""
        try:
            return _run(verbs.has_key(self._io, self._space, self._target(key, tags)))
        except StoreError as error:
            self._without("has_key", error, [self._target(key, tags)])
            return False

    def ttl(self, key: str, *, tags: Tags = ()) -> float | None:
        """Seconds until a fresh entry expires: infinite for no limit, None for no fresh entry. Raises StoreError."""
        return _run(verbs.ttl(self._io, self._space, self._target(key, tags)))

    def observe(self, key: str, *, tags: Tags = ()) -> None:
        """Look at tags before a value is computed whose own key is known only afterwards. One trip, or two.

        What is seen under the tags and under all of this cache's roots is remembered under `key` in this request or
        task. `set(…, looked_under=key)` of any key then stores under these stamps, if all of its own tags are among
        them and none has been invalidated since. When the server is away that set is refused.

        Args:
            key: a name for this look. Outside `remembering()` a set of the same key ends what is remembered under it,
                so choose one that is never set.
            tags: the tags.

        Raises:
            InvalidKeyError, InvalidTagError: the key or a tag is bad.
        """
        target = self._target(key, tags)
        try:
            _run(verbs.observe(self._io, self._space, target))
        except StoreError as error:
            self._without("observe", error, [target])

    def set(
        self,
        key: str,
        value: Any,
        *,
        tags: Tags = (),
        ttl: Ttl = DEFAULT,
        computed: bool = True,
        looked_under: str | None = None,
    ) -> bool:
        """Store a value, in one trip.

        After a `get` of these tags that missed in the same request or task, it is stored under the stamps that the
        `get` saw: if one has been invalidated since, nothing is stored, and what stood under the key goes. Without
        such a `get` it is stored under the stamps that stand now; then nothing is promised about what was invalidated
        while the value was computed. So it is with each tag that the `get` of this key did not name: name the same tags
        in both. Prefer `get_or_set`.

        Args:
            key: the key.
            value: what the codec carries.
            tags: what the value depends on. On a cluster the first one says where the entry lies.
            ttl: seconds that it stays fresh; None for no limit; by default the cache's own.
            computed: False for a value that depends on nothing that was read (a session, a counter): it is stored under
                the stamps that stand now, whatever this request or task remembers.
            looked_under: another key, whose look the value was computed after (see `observe`): it is held to the stamps
                that were seen then, and refused if one of its own was not among them.

        Returns:
            Whether it was stored.

        Raises:
            EncodeError: the codec cannot carry the value.
            StoreError: the server did not do it.
        """
        return not self.set_many({key: value}, tags=tags, ttl=ttl, computed=computed, looked_under=looked_under)

    def set_many(
        self,
        values: Mapping[str, Any],
        *,
        tags: TagsOfKey = (),
        ttl: Ttl = DEFAULT,
        computed: bool = True,
        looked_under: str | None = None,
    ) -> list[str]:
        """Store many values, in one trip; each as `set` does.

        Returns:
            The keys that were not stored.
        """
        items = list(zip(self._targets(values, tags), values.values(), strict=True))
        seconds_fresh, basis = self._space.policy.ttl_of(ttl), self._basis(computed, looked_under)
        return _run(verbs.set_many(self._io, self._space, items, seconds_fresh, basis))

    def add(
        self,
        key: str,
        value: Any,
        *,
        tags: Tags = (),
        ttl: Ttl = DEFAULT,
        computed: bool = True,
        looked_under: str | None = None,
    ) -> bool:
        """Store a value only if there is no fresh entry; whether it was stored. Raises as `set` does."""
        target, seconds_fresh = self._target(key, tags), self._space.policy.ttl_of(ttl)
        basis = self._basis(computed, looked_under)
        return _run(verbs.add(self._io, self._space, target, value, seconds_fresh, basis)) is True

    def replace(
        self,
        key: str,
        value: Any,
        *,
        tags: Tags = (),
        ttl: Ttl = DEFAULT,
        computed: bool = True,
        looked_under: str | None = None,
    ) -> bool:
        """Store a value only in the place of a fresh entry; whether it was stored. Raises as `set` does.

        Where this request or task remembers no look at its stamps, it is held to those of the entry that it replaces.
        If it is not stored, what is there stays.
        """
        target, seconds_fresh = self._target(key, tags), self._space.policy.ttl_of(ttl)
        basis = self._basis(computed, looked_under)
        return _run(verbs.replace(self._io, self._space, target, value, seconds_fresh, basis))

    def touch(self, key: str, ttl: Ttl = DEFAULT, *, tags: Tags = ()) -> bool:
        """Give a fresh entry a new ttl, counted from now; whether there was one. Raises StoreError."""
        return _run(verbs.touch(self._io, self._space, self._target(key, tags), self._space.policy.ttl_of(ttl)))

    def incr(self, key: str, delta: int = 1, *, initial: int | None = None, tags: Tags = (), ttl: Ttl = DEFAULT) -> int:
        """Add to a counter, in one trip; its ttl stays.

        Args:
            key: the key.
            delta: what to add; negative to subtract.
            initial: what to begin from where there is no fresh entry.
            tags: the counter's tags.
            ttl: seconds, for a counter that begins now.

        Returns:
            The new count.

        Raises:
            AbsentError: there is no fresh entry, and no `initial`.
            NotACounterError: the entry is no integer from -(2**53 - 1) to 2**53 - 1, or would leave that range.
            StoreError: the server did not do it, or nobody knows whether it did.
        """
        self._check_step(delta, initial)
        target, seconds_fresh = self._target(key, tags), self._space.policy.ttl_of(ttl)
        return _run(verbs.incr(self._io, self._space, target, (delta, initial), seconds_fresh))

    def delete(self, key: str, *, tags: Tags = ()) -> bool:
        """Remove an entry and stop whoever is filling it by `get_or_set` from storing; whether a fresh one was there.

        One trip. A `set` after a `get` is held back by its tags only, not by a delete in between.

        Raises:
            StoreError: it may still be there.
        """
        return _run(verbs.delete(self._io, self._space, self._target(key, tags)))

    def delete_many(self, keys: Iterable[str], *, tags: TagsOfKey = ()) -> int:
        """Remove entries and stop whoever is filling them from storing, all at one moment; how many were fresh.

        One trip (two where entries record tags that were not said). Raises StoreError: they may still be there.
        """
        targets = self._targets(keys, tags)
        return _run(verbs.delete_many(self._io, self._space, targets)) if targets else 0

    def iter_keys(self, match: str = "*", *, count: int = 1000) -> Iterator[str]:
        """Go through the keys with fresh entries, by a scan of the whole database in small steps: for people and tools.

        Args:
            match: a glob as Redis has them (`*`, `?`, `[a-c]`, `[^a]`, a backslash before what stands for itself), of
                the key as this cache, or scope, knows it. `unstale.core.globs.escape` makes one of a text.
            count: names that the server looks at in each step.

        Returns:
            An iterator of the keys, in no order, each once. What is stored or removed meanwhile may be missed. A loader
            does not come to depend on what it gives.

        Raises:
            InvalidKeyError, ConfigurationError: an argument is bad.
            StoreError: while it goes on; what was given until then is right.
        """
        return self._keys(self._walk(match, count))

    def _keys(self, walk: Walk) -> Iterator[str]:
        from unstale.core import browse  # noqa: PLC0415 - who goes through keys imports it

        while not walk.done:
            yield from _run(browse.fresh_keys(self._io, self._space, walk))

    def delete_matching(self, match: str, *, count: int = 1000) -> int:
        """Remove the entries of all keys that match a glob, and stop whoever is filling one of them from storing.

        It scans the whole database three times, and takes as long as that takes; `invalidate` is one small write.

        Args:
            match: see `iter_keys`.
            count: names that the server looks at in each step, and removes at a time.

        Returns:
            How many entries were removed, the stale ones included.

        Raises:
            InvalidKeyError, ConfigurationError: an argument is bad.
            StoreError: a part may be there still. Call it again.
        """
        from unstale.core import browse  # noqa: PLC0415 - who goes through keys imports it

        return _run(browse.delete_matching(self._io, self._space, self._walk(match, count, leases=True)))

    def inspect(self, key: str, *, tags: Tags = ()) -> Inspection:
        """What stands under a key, for people: fresh or why not, its tags and whether their stamps still stand.

        It is no read: no value travels (but what is short), nothing is remembered, no event told. Raises StoreError.
        """
        from unstale.core import inspection  # noqa: PLC0415 - for people

        return _run(inspection.inspect(self._io, self._space, self._target(key, tags)))

    def invalidate(self, *tags: str, soft: bool = False) -> Invalidated | Queued:
        """Make every entry that carries one of these tags stale, whoever stored it: one small write a tag, one trip.

        A read that begins after this returned never gets from the cache a value whose loader began before. Call it
        after the COMMIT of what it is for.

        Args:
            tags: the tags. A scope adds its name in front; without any, a scope invalidates all that is its own.
            soft: entries with a `stale_ttl` may still be served while one reader loads them anew: nobody waits, and
                nothing is promised of their freshness until then. To all else they are stale.

        Returns:
            What was done, once it has taken effect. `Queued` where that could not be in `invalidate_timeout` seconds
            and the cache has a queue: it will take effect when the server is back.

        Raises:
            StoreError: it has not taken effect, or nobody knows, and it is not queued. Call it again.
        """
        names = self._tag_names(tags)
        done = self._or_queue(
            names,
            verbs.invalidate(self._io, self._space, names, soft=soft),
            lambda: of_bump(self._space, token(), names, soft=soft),
        )
        return self._hinted(done)

    def _or_queue(
        self, tags: Sequence[str], steps: Coroutine[Any, Any, Invalidated], make: Callable[[], Pending]
    ) -> Invalidated | Queued:
        """Have an invalidation take effect, or be queued. When one does, those that are queued can, too."""
        queue = self._space.queue
        try:
            done = _run(steps)
        except StoreError as error:
            if queue is None or not self._is_kept(error):
                raise
            try:
                queue.append(make())
            except QueueError as failed:
                error.add_note(f"It could not be queued either. {failed}")
                raise error from failed
            return self._queued(tags, error)
        if queue is not None and queue.has_any() and queue.take_turn():
            try:
                _run(owing.drain(self._io, self._space, _here, IN_PASSING))
            except StoreError as error:
                self._space.fail(Failed("drain", "", error))
            finally:
                queue.give_turn()
        return done

    def drain(self) -> int:
        """Have what waits in the queue take effect now; how many invalidations that were. Without a queue, none.

        A cache does it by itself: when the server answers again, and before its first read. This is for a process of
        its own that does nothing else, started once a minute, say: it serves those that have died.

        Raises:
            NotReplicatedError: all have taken effect, and none is queued, but too few replicas know of some.
            StoreError: what is not done is still there.
        """
        return _run(owing.drain(self._io, self._space, _here))[0]

    def _settle(self, seconds: float) -> None:
        try:
            self._check_drained(_run(owing.drain(self._io, self._space, _here, Passing(seconds, MOST)))[1])
        except NotReplicatedError as error:
            self._settled(error)
        except StoreUnavailableError:
            raise
        except StoreError as error:
            raise QueueError(f"What is queued has not taken effect: {error}") from error

    def begin_strict(self, *tags: str, limit: Duration = 60) -> Closing:
        """Close tags before a transaction commits, so that no reader is served anything older than its commit.

        From here until `complete` whoever reads these tags loads for himself, and nothing is stored: reads are never
        older than what is visible in the database, as long as all who write these tags are strict and the server
        loses no closed stamp (by eviction, a flush, or a failover without WAIT); what `invalidate` promises holds
        even then. Usually `strict` is simpler.

        Args:
            tags: the tags, as for `invalidate`.
            limit: seconds after which the tags open without `complete`, as when this process dies. The transaction
                must have ended by then. With `replica_lag` that much later.

        Returns:
            What `complete` needs, plain data: it may be kept in an outbox, and completed by another process.

        Raises:
            StoreError: the tags are not closed, or nobody knows: do not commit. What was closed opens by itself.
            InvalidDurationError: the limit is not above zero.
        """
        names, seconds = self._tag_names(tags), self._limit_seconds(limit)
        return _run(closed.begin(self._io, self._space, names, token(), seconds))

    def complete(self, closing: Closing) -> Invalidated | Queued:
        """End a strict write, after its COMMIT or its rollback. It may be called again, and from any process.

        A tag opens with the last of those who closed it (with `replica_lag` that much later). What was cached under it
        before is stale.

        Args:
            closing: what `begin_strict` returned, or the same made again: `Closing(tags, owner)`. Its tags are whole
                names, also on a scope.

        Returns:
            What was done, once it has taken effect; or `Queued`, as for `invalidate`.

        Raises:
            StoreError: the tags are still closed, or nobody knows. Call it again; else they open at their deadline.
            ConfigurationError, InvalidTagError: this is no closing.
        """
        closing = self._closing(closing)
        return self._or_queue(
            closing.tags,
            closed.complete(self._io, self._space, closing),
            lambda: of_completion(self._space, token(), closing.tags, closing.owner),
        )

    @contextmanager
    def strict(self, *tags: str, limit: Duration = 60) -> Iterator[Closing]:
        """Close tags while a block writes what they are for: begin before it, complete after it, also when it raises.

            with cache.strict("user:42"), transaction.atomic(): ...

        The COMMIT must be inside. See `begin_strict`.

        Args:
            tags: the tags, as for `invalidate`.
            limit: seconds that the block may take at the most.

        Raises:
            StoreError: before the block, which then does not run: the tags could not be closed. After it: they could
                not be opened; what was committed stays so, and they open at their deadline. Where the block has raised,
                its own error passes instead, with a note.
        """
        closing = self.begin_strict(*tags, limit=limit)
        try:
            yield closing
        except BaseException as error:
            try:
                self.complete(closing)
            except StoreError as failed:
                self._not_completed(error, failed)
            raise
        self.complete(closing)

    def clear(self, *, over: Duration = 0) -> Invalidated | Queued:
        """Make every entry of this cache (of this scope, on a scope) stale, at a cost that does not grow with them.

        Args:
            over: seconds over which to spread it, a sixteenth of the entries at a time, so that the database behind
                does not have to load everything at once. It returns when all are stale.

        Raises:
            StoreError: as `invalidate`; a part may be stale already.
        """
        spread = self._clear_seconds(over)
        if self._prefix:
            return self.invalidate()
        names = self._names
        return self._or_queue(
            names.told_roots,
            verbs.clear(self._io, self._space, spread),
            lambda: of_bump(self._space, token(), names.roots, soft=False),
        )

    def ping(self) -> None:
        """Reach the server, to find out at start-up. Raises StoreError with what to do."""
        self._store.ping()

    def verification(self) -> Verification:
        """What verifying has found in this process since it began: see `verify` of `CacheOptions`. No trip.

        Scopes, and a `Cache` and an `AsyncCache` over one keyspace, are one cache in this. Where nothing is verified it
        is empty.
        """
        return self._verification()

    def close(self) -> None:
        """Close the connections. On a scope this does nothing: they belong to the cache it was made from."""
        if not self._prefix:
            self._store.close()


def take_over(cache: Cache, key: str, left: Handover, loader: Callable[[], Any], **options: Any) -> bool:
    """Do a load that a runner of another process has left: see `Job.leave`.

    The stamps are observed here, right before the loader is called: what is invalidated meanwhile is not stored.

    Args:
        cache: over the same server and namespace.
        key: the key.
        left: what `leave` gave.
        loader: computes the value.
        options: those of `get_or_set`.

    Returns:
        Whether the loader was called: not if somebody else has filled the key since, or is about to.

    Raises:
        Whatever the loader raises, and as `get_or_set`.
        StoreError: the key could not be looked at.
    """
    target = cache._target(key, options.get("tags", ()))  # noqa: SLF001 - this module's own class
    times = (options.get("ttl", DEFAULT), options.get("stale_ttl", DEFAULT), options.get("negative_ttl"))
    fill = Fill(loader, cache._life(*times))  # noqa: SLF001 - the same
    return _run(refresh.take_over(cache._io, cache._space, target, left, fill))  # noqa: SLF001 - the same
