"""`AsyncCache`: the asyncio façade. The same names as `Cache`'s, awaited, over the same core.

asyncio and uvloop; anyio on its asyncio backend. Not trio: the connections are asyncio's transports.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar, Unpack
from weakref import WeakKeyDictionary

from unstale.core import closing as closed
from unstale.core import owing, refresh, verbs
from unstale.core.closing import Closing
from unstale.core.keyspace import NOTHING, Look, Target, assess, look
from unstale.core.owing import IN_PASSING, MOST, Passing, of_bump, of_completion
from unstale.core.pending import Pending
from unstale.core.policy import DEFAULT, Duration, Ttl
from unstale.core.ports import (
    AsyncStore,
    Bumped,
    Claim,
    Commit,
    Committed,
    Flight,
    Heads,
    Load,
    Mode,
    Modify,
    Opening,
    Peek,
    Reading,
    Scanned,
    Unmodified,
)
from unstale.core.refresh import Fill, load_only
from unstale.draw import chance, token
from unstale.errors import LoaderError, NotReplicatedError, QueueError, StoreError, StoreUnavailableError
from unstale.events import Failed, Invalidated, Queued
from unstale.facade import Cold, Facade, PlannedTags, Tags, TagsOfKey
from unstale.flights import Flights
from unstale.options import CacheOptions, make_keyspace, store_options
from unstale.stores.urls import is_cluster, open_async_store

if TYPE_CHECKING:
    from unstale.cached import AsyncCachedFunction, KeyOf, TagsOf
    from unstale.core.browse import Walk
    from unstale.core.inspection import Inspection
    from unstale.core.verified import Verification

P = ParamSpec("P")
T = TypeVar("T")
D = TypeVar("D")

AsyncRunner = Callable[[Coroutine[Any, Any, None]], object]
"""Has a coroutine done, elsewhere and soon: `unstale.runners.tasks()`, for one."""


class _AsyncIO:
    """The core's `IO` over an asyncio store."""

    def __init__(self, store: AsyncStore, runner: AsyncRunner | None) -> None:
        self._store = store
        self._runner = runner
        self.runs = runner is not None
        self._flights: WeakKeyDictionary[asyncio.AbstractEventLoop, Flights[asyncio.Event]] = WeakKeyDictionary()
        self._to_be_ended: set[asyncio.Task[Any]] = set()

    async def read(self, names: Sequence[bytes]) -> Reading:
        return await self._store.read(names)

    async def peek(self, entry: bytes, stamp_names: Sequence[bytes], remove: Sequence[bytes] = ()) -> Peek:
        return await self._store.peek(entry, stamp_names, remove)

    async def open(
        self, claims: Sequence[Claim], missing: Sequence[bytes], stamp_ttl: float, lag: float = 0.0
    ) -> Opening:
        """Open. One who is cancelled meanwhile does not keep the leases that he got: others would wait for nothing."""
        if not claims:
            return await self._store.open(claims, missing, stamp_ttl, lag)
        opening = self._begun(self._store.open(claims, missing, stamp_ttl, lag))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            if opening.done():
                self._give_back(claims, opening)
            else:
                opening.add_done_callback(lambda done: self._give_back(claims, done))
            raise

    def _give_back(self, claims: Sequence[Claim], done: asyncio.Task[Opening]) -> None:
        if done.cancelled() or done.exception() is not None:
            return
        claimed = zip(claims, done.result().claimed, strict=True)
        held = [(claim.lease, one.token) for claim, one in claimed if one.token is not None]
        if held:
            self._begun(self._store.release(held))

    def _begun(self, step: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """A step that goes on to its end if its caller is cancelled; a cancelled scope cancels each wait in it anew."""
        task = asyncio.ensure_future(step)
        self._to_be_ended.add(task)  # a loop holds its tasks weakly
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._to_be_ended.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waited has been told

    async def commit(self, commits: Sequence[Commit]) -> list[Committed]:
        """Store; what was loaded under a lease to the end, else the lease would stay."""
        if all(one.mode is not Mode.FILL for one in commits):
            return await self._store.commit(commits)
        return await asyncio.shield(self._begun(self._store.commit(commits)))

    async def release(self, held: Sequence[tuple[bytes, bytes]]) -> None:
        """Release, to the end."""
        await asyncio.shield(self._begun(self._store.release(held)))

    async def bump(
        self, stamp_names: Sequence[bytes], stamp_ttl: float, *, soft: bool = False, lag: float = 0.0
    ) -> list[Bumped]:
        """Bump, to the end: an invalidation that was asked for is better done."""
        return await asyncio.shield(self._begun(self._store.bump(stamp_names, stamp_ttl, soft=soft, lag=lag)))

    async def close_stamps(self, stamp_names: Sequence[bytes], owner: bytes, seconds: float, keep: float = 0.0) -> None:
        """Close. One who is cancelled meanwhile has begun nothing: what was closed for him is completed."""
        closing = self._begun(self._store.close_stamps(stamp_names, owner, seconds, keep))
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError:
            closing.add_done_callback(lambda _: self._begun(self._store.complete(stamp_names, owner, keep)))
            raise

    async def complete(
        self, stamp_names: Sequence[bytes], owner: bytes, keep: float = 0.0, lag: float = 0.0
    ) -> list[Bumped]:
        """Complete, to the end: until then nobody's values are stored."""
        return await asyncio.shield(self._begun(self._store.complete(stamp_names, owner, keep, lag)))

    async def modify(self, modify: Modify) -> int | Unmodified:
        return await self._store.modify(modify)

    async def heads(
        self, names: Sequence[bytes], size: int, stamp_names: Sequence[bytes] = (), remove: Sequence[bytes] = ()
    ) -> Heads:
        return await self._store.heads(names, size, stamp_names, remove)

    async def scan(self, cursor: int, match: bytes, count: int) -> Scanned:
        return await self._store.scan(cursor, match, count)

    async def remove(self, names: Sequence[bytes]) -> int:
        return await self._store.remove(names)

    async def check(self) -> None:
        await self._store.check()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def call(self, loader: Callable[..., Any], *arguments: Any) -> Any:
        if not callable(loader):
            raise LoaderError("The loader must be a function to call, not what calling it gives. Give an `async def`.")
        waiting = loader(*arguments)
        if not inspect.isawaitable(waiting):
            raise LoaderError(
                f"The loader returned {type(waiting).__name__}, which cannot be awaited. Give it an `async def`: a "
                "plain function that waits belongs into `asyncio.to_thread`."
            )
        return await waiting

    def spawn(self, load: Load) -> None:
        assert self._runner is not None  # noqa: S101 - asked first
        coroutine = load()
        try:
            self._runner(coroutine)
        except BaseException:
            coroutine.close()
            raise

    def go_on(self, steps: Coroutine[Any, Any, None]) -> bool:
        """By a task of the running loop, with which it ends."""
        self._begun(steps)
        return True

    def _own_flights(self) -> Flights[asyncio.Event]:
        loop = asyncio.get_running_loop()
        flights = self._flights.get(loop)
        if flights is None:
            flights = self._flights[loop] = Flights(asyncio.Event)
        return flights

    def lead(self, flight: Flight) -> bool:
        return self._own_flights().lead(flight)

    async def join(self, flight: Flight, seconds: float) -> bool:
        landing = self._own_flights().find(flight)
        if landing is None:
            return True
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await landing.event.wait()
        return not landing.failed

    def land(self, flight: Flight, *, failed: bool = False) -> None:
        landed = self._own_flights().land(flight, failed=failed)
        if landed is not None:
            landed.set()

    def monotonic(self) -> float:
        return time.monotonic()

    def now(self) -> float:
        return time.time()

    def chance(self) -> float:
        return chance()


class AsyncCache(Facade):
    """`Cache` for asyncio: the same names, awaited, with loaders that are `async def`.

    One connection for each event loop (on a cluster, to each node); the reads of one turn of the loop share a trip. It
    may be used by one loop after another, by loops in several threads, and after a fork in a loop of the child's own.
    """

    __slots__ = ()

    _store: AsyncStore
    _io: _AsyncIO
    _make_io = _AsyncIO

    @classmethod
    def from_url(cls, url: str, **options: Unpack[CacheOptions]) -> Self:
        """Make a cache for a URL, inside a loop or outside. See `Cache.from_url`; `max_connections` means nothing here.

        Args:
            url: redis://, rediss://, unix:// (with redis-py's options), redis+sentinel://, redis+cluster://,
                embedded:// or memory://.
            options: see `CacheOptions`; the usual ones are `namespace`, `ttl`, `timeout`.

        Raises:
            ConfigurationError: the URL or an option makes no sense.
            InvalidDurationError: a duration is not above zero.
        """
        space = make_keyspace(options, clustered=is_cluster(url))
        store = open_async_store(url, store_options(options))
        return cls(store, space, io=_AsyncIO(store, options.get("runner")))

    async def __aenter__(self) -> Self:
        """Use as a context manager that closes at the end."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        await self.close()

    async def _look(self, cold: Cold) -> Look:
        """Judge what the hit path could not."""
        return await assess(self._io, self._space, cold.target, cold.expected, cold.snapshot)

    async def get(self, key: str, default: D | None = None, *, tags: Tags = (), into: Any = None) -> Any | D | None:
        """Read a fresh value, in one trip. See `Cache.get`."""
        try:
            plan = (
                tags.plan
                if type(tags) is PlannedTags and tags.key is key and not self._hints
                else self._plan(key, tags)
            )
            values, identity = await self._store.read(plan[3])
            value = self._judge(key, plan, values, identity, into)
            if type(value) is Cold:
                value = await verbs.get(self._io, self._space, await self._look(value))
        except StoreError as error:
            self._without("get", error, [self._target(key, tags)])
            return default
        return default if value is NOTHING else value

    async def get_or_set(  # noqa: PLR0913 - what a cached value can be told, by name
        self,
        key: str,
        loader: Callable[[], Awaitable[T]],
        *,
        tags: Tags = (),
        ttl: Ttl = DEFAULT,
        stale_ttl: Ttl = DEFAULT,
        negative_ttl: Duration | None = None,
        into: Any = None,
    ) -> T:
        """Read a fresh value, or load it and store it under the stamps as they were before. See `Cache.get_or_set`.

        One who is cancelled while he loads gives his lease back; another loads.

        Raises:
            LoaderError: the loader returned what cannot be awaited.
        """
        life = self._life(ttl, stale_ttl, negative_ttl)
        try:
            plan = self._plan(key, tags)
            values, identity = await self._store.read(plan[3])
            value = self._judge(key, plan, values, identity, into)
            if type(value) is Cold:
                seen = await self._look(value)
            elif self._verifier is None or not self._verifier.wants(plan[0]):
                return value  # type: ignore[no-any-return]
        except StoreError as error:
            self._without("get_or_set", error, [self._target(key, tags)])
            return await load_only(self._io, self._space, loader, None)  # type: ignore[no-any-return]
        if type(value) is not Cold:
            return await self._verified(plan, key, value, loader, into)  # type: ignore[no-any-return]
        fill = Fill(loader, life, verifier=self._verifier)
        return await refresh.get_or_set(self._io, self._space, seen, fill)  # type: ignore[no-any-return]

    async def get_or_set_many(  # noqa: PLR0913 - as `get_or_set`
        self,
        keys: Iterable[str],
        load_missing: Callable[[list[str]], Awaitable[Mapping[str, T]]],
        *,
        tags: TagsOfKey = (),
        ttl: Ttl = DEFAULT,
        stale_ttl: Ttl = DEFAULT,
        negative_ttl: Duration | None = None,
        into: Any = None,
    ) -> dict[str, T]:
        """Read many fresh values in one trip; load what is missing by one call. See `Cache.get_or_set_many`."""
        from unstale.core import batch  # noqa: PLC0415 - who wants batches imports it

        targets = self._targets(keys, tags, into)
        life = self._life(ttl, stale_ttl, negative_ttl)
        return await batch.get_or_set_many(self._io, self._space, targets, load_missing, life, self._verifier)

    async def refresh(
        self,
        key: str,
        loader: Callable[[], Awaitable[T]],
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
            seen = await look(self._io, self._space, target)
        except StoreError as error:
            self._without("refresh", error, [target])
            return await load_only(self._io, self._space, loader, None)  # type: ignore[no-any-return]
        fill = Fill(loader, life, anew=True)
        return await refresh.refresh(self._io, self._space, seen, fill)  # type: ignore[no-any-return]

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
    ) -> Callable[[Callable[P, Coroutine[Any, Any, T]]], AsyncCachedFunction[P, T]]:
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
        from unstale.cached import AsyncCachedFunction, recipe_of  # noqa: PLC0415 - who decorates imports it

        self._life(ttl, stale_ttl, negative_ttl)  # a mistake shows here, not at the first call
        options = {"ttl": ttl, "stale_ttl": stale_ttl, "negative_ttl": negative_ttl, "into": into}

        def decorate(function: Callable[P, Coroutine[Any, Any, T]]) -> AsyncCachedFunction[P, T]:
            recipe = recipe_of(function, key, tags, ignore, type(self).__name__, is_async=True)
            return AsyncCachedFunction(function, self, recipe, options)

        return decorate

    async def get_many(self, keys: Iterable[str], *, tags: TagsOfKey = (), into: Any = None) -> dict[str, Any]:
        """Read many keys in one trip. See `Cache.get_many`."""
        plans = self._plans_of(keys, tags)
        if not plans:
            return {}
        names = list(dict.fromkeys(name for plan in plans.values() for name in plan[3]))
        try:
            values, identity = await self._store.read(names)
            served, cold = self._judge_many(plans, dict(zip(names, values, strict=True)), identity, into)
            if cold:
                served.update(await verbs.get_cold(self._io, self._space, cold))
        except StoreError as error:
            self._without("get_many", error, [Target(key, plan[0], plan[1], into) for key, plan in plans.items()])
            return {}
        return {key: served[key] for key in plans if key in served} if cold else served

    async def has_key(self, key: str, *, tags: Tags = ()) -> bool:
        """Whether there is a fresh entry; False when the server is away. The payload does not travel."""
        try:
            return await verbs.has_key(self._io, self._space, self._target(key, tags))
        except StoreError as error:
            self._without("has_key", error, [self._target(key, tags)])
            return False

    async def ttl(self, key: str, *, tags: Tags = ()) -> float | None:
        """Seconds until a fresh entry expires: infinite for no limit, None for no fresh entry. Raises StoreError."""
        return await verbs.ttl(self._io, self._space, self._target(key, tags))

    async def observe(self, key: str, *, tags: Tags = ()) -> None:
        """Look at tags before a value is computed whose own key is known only afterwards. See `Cache.observe`."""
        target = self._target(key, tags)
        try:
            await verbs.observe(self._io, self._space, target)
        except StoreError as error:
            self._without("observe", error, [target])

    async def set(
        self,
        key: str,
        value: Any,
        *,
        tags: Tags = (),
        ttl: Ttl = DEFAULT,
        computed: bool = True,
        looked_under: str | None = None,
    ) -> bool:
        """Store a value; whether it was stored. See `Cache.set`."""
        return not await self.set_many({key: value}, tags=tags, ttl=ttl, computed=computed, looked_under=looked_under)

    async def set_many(
        self,
        values: Mapping[str, Any],
        *,
        tags: TagsOfKey = (),
        ttl: Ttl = DEFAULT,
        computed: bool = True,
        looked_under: str | None = None,
    ) -> list[str]:
        """Store many values, in one trip; the keys that were not stored. See `Cache.set_many`."""
        items = list(zip(self._targets(values, tags), values.values(), strict=True))
        seconds_fresh, basis = self._space.policy.ttl_of(ttl), self._basis(computed, looked_under)
        return await verbs.set_many(self._io, self._space, items, seconds_fresh, basis)

    async def add(
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
        return await verbs.add(self._io, self._space, target, value, seconds_fresh, basis) is True

    async def replace(
        self,
        key: str,
        value: Any,
        *,
        tags: Tags = (),
        ttl: Ttl = DEFAULT,
        computed: bool = True,
        looked_under: str | None = None,
    ) -> bool:
        """Store a value only in the place of a fresh entry; whether it was stored. See `Cache.replace`."""
        target, seconds_fresh = self._target(key, tags), self._space.policy.ttl_of(ttl)
        basis = self._basis(computed, looked_under)
        return await verbs.replace(self._io, self._space, target, value, seconds_fresh, basis)

    async def touch(self, key: str, ttl: Ttl = DEFAULT, *, tags: Tags = ()) -> bool:
        """Give a fresh entry a new ttl, counted from now; whether there was one. Raises StoreError."""
        return await verbs.touch(self._io, self._space, self._target(key, tags), self._space.policy.ttl_of(ttl))

    async def incr(
        self, key: str, delta: int = 1, *, initial: int | None = None, tags: Tags = (), ttl: Ttl = DEFAULT
    ) -> int:
        """Add to a counter; the new count. See `Cache.incr`."""
        self._check_step(delta, initial)
        target, seconds_fresh = self._target(key, tags), self._space.policy.ttl_of(ttl)
        return await verbs.incr(self._io, self._space, target, (delta, initial), seconds_fresh)

    async def delete(self, key: str, *, tags: Tags = ()) -> bool:
        """Remove an entry and stop whoever is filling it by `get_or_set` from storing; whether a fresh entry was there.

        A `set` after a `get` is held back by its tags only, not by a delete in between.

        Raises:
            StoreError: it may still be there.
        """
        return await verbs.delete(self._io, self._space, self._target(key, tags))

    async def delete_many(self, keys: Iterable[str], *, tags: TagsOfKey = ()) -> int:
        """Remove entries and stop whoever is filling them from storing, all at one moment; how many were fresh.

        One trip (two where entries record tags that were not said). Raises StoreError: they may still be there.
        """
        targets = self._targets(keys, tags)
        return await verbs.delete_many(self._io, self._space, targets) if targets else 0

    def iter_keys(self, match: str = "*", *, count: int = 1000) -> AsyncIterator[str]:
        """Go through the keys with fresh entries: `async for key in cache.iter_keys()`. See `Cache.iter_keys`."""
        return self._keys(self._walk(match, count))

    async def _keys(self, walk: Walk) -> AsyncIterator[str]:
        from unstale.core import browse  # noqa: PLC0415 - who goes through keys imports it

        while not walk.done:
            for key in await browse.fresh_keys(self._io, self._space, walk):
                yield key

    async def delete_matching(self, match: str, *, count: int = 1000) -> int:
        """Remove the entries of all keys that match a glob; how many. See `Cache.delete_matching`."""
        from unstale.core import browse  # noqa: PLC0415 - who goes through keys imports it

        return await browse.delete_matching(self._io, self._space, self._walk(match, count, leases=True))

    async def inspect(self, key: str, *, tags: Tags = ()) -> Inspection:
        """What stands under a key, for people. See `Cache.inspect`."""
        from unstale.core import inspection  # noqa: PLC0415 - for people

        return await inspection.inspect(self._io, self._space, self._target(key, tags))

    async def invalidate(self, *tags: str, soft: bool = False) -> Invalidated | Queued:
        """Make every entry that carries one of these tags stale: one small write a tag. See `Cache.invalidate`.

        One who is cancelled, or times out, does not know whether it has taken effect: call it again.
        """
        names = self._tag_names(tags)
        done = await self._or_queue(
            names,
            verbs.invalidate(self._io, self._space, names, soft=soft),
            lambda: of_bump(self._space, token(), names, soft=soft),
        )
        return self._hinted(done)

    async def _or_queue(
        self, tags: Sequence[str], steps: Coroutine[Any, Any, Invalidated], make: Callable[[], Pending]
    ) -> Invalidated | Queued:
        """Have an invalidation take effect, or be queued. When one does, those that are queued can, too."""
        queue = self._space.queue
        try:
            done = await steps
        except StoreError as error:
            if queue is None or not self._is_kept(error):
                raise
            try:
                await asyncio.to_thread(queue.append, make())  # it waits for the disk
            except QueueError as failed:
                error.add_note(f"It could not be queued either. {failed}")
                raise error from failed
            return self._queued(tags, error)
        if queue is not None and queue.has_any() and queue.take_turn():
            try:
                await owing.drain(self._io, self._space, asyncio.to_thread, IN_PASSING)
            except StoreError as error:
                self._space.fail(Failed("drain", "", error))
            finally:
                queue.give_turn()
        return done

    async def drain(self) -> int:
        """Have what waits in the queue take effect now. See `Cache.drain`."""
        return (await owing.drain(self._io, self._space, asyncio.to_thread))[0]

    async def _settle(self, seconds: float) -> None:
        passing = Passing(seconds, MOST)
        try:
            self._check_drained((await owing.drain(self._io, self._space, asyncio.to_thread, passing))[1])
        except NotReplicatedError as error:
            self._settled(error)
        except StoreUnavailableError:
            raise
        except StoreError as error:
            raise QueueError(f"What is queued has not taken effect: {error}") from error

    async def begin_strict(self, *tags: str, limit: Duration = 60) -> Closing:
        """Close tags before a transaction commits. See `Cache.begin_strict`.

        One who is cancelled has begun nothing.
        """
        names, seconds = self._tag_names(tags), self._limit_seconds(limit)
        return await closed.begin(self._io, self._space, names, token(), seconds)

    async def complete(self, closing: Closing) -> Invalidated | Queued:
        """End a strict write, after its COMMIT or its rollback. See `Cache.complete`."""
        closing = self._closing(closing)
        return await self._or_queue(
            closing.tags,
            closed.complete(self._io, self._space, closing),
            lambda: of_completion(self._space, token(), closing.tags, closing.owner),
        )

    @asynccontextmanager
    async def strict(self, *tags: str, limit: Duration = 60) -> AsyncIterator[Closing]:
        """Close tags while a block writes what they are for. See `Cache.strict`."""
        closing = await self.begin_strict(*tags, limit=limit)
        try:
            yield closing
        except BaseException as error:
            try:
                await self.complete(closing)
            except StoreError as failed:
                self._not_completed(error, failed)
            raise
        await self.complete(closing)

    async def clear(self, *, over: Duration = 0) -> Invalidated | Queued:
        """Make every entry of this cache stale, at once or spread over seconds. See `Cache.clear`."""
        spread = self._clear_seconds(over)
        if self._prefix:
            return await self.invalidate()
        names = self._names
        return await self._or_queue(
            names.told_roots,
            verbs.clear(self._io, self._space, spread),
            lambda: of_bump(self._space, token(), names.roots, soft=False),
        )

    async def ping(self) -> None:
        """Reach the server, to find out at start-up. Raises StoreError with what to do."""
        await self._store.ping()

    def verification(self) -> Verification:
        """What verifying has found in this process since it began. No trip. See `Cache.verification`."""
        return self._verification()

    async def close(self) -> None:
        """Close the connections. On a scope this does nothing: they belong to the cache it was made from."""
        if not self._prefix:
            await self._store.close()
