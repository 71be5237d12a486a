"""`Cache`: the synchronous façade. The hit path stands here, lean; all else is the core's, driven without a loop."""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeAlias, TypeVar, cast

from unstale.core import capture, codecs, verbs
from unstale.core.freshness import payload_at
from unstale.core.keys import END, Names, TagSet, check_tag, key_bytes, quote_part, root_tag
from unstale.core.keyspace import NOTHING, Keyspace, Look, Snapshot, Target, assess, serve
from unstale.core.layout import CODEC_AT, FLAGS_AT
from unstale.core.policy import DEFAULT, Duration, Policy, Ttl, seconds
from unstale.core.ports import Bumped, Commit, Committed, Modify, Opening, Peek, Reading, Store, Unmodified
from unstale.core.refresh import Fill, load_only, refresh
from unstale.core.stamps import CLOSED
from unstale.errors import (
    ConfigurationError,
    DecodeError,
    InvalidTagError,
    LoaderError,
    NotACounterError,
    StoreClosedError,
    StoreError,
)
from unstale.events import Failed, Hit, Hook, Invalidated
from unstale.stores.options import StoreOptions
from unstale.stores.urls import open_store

T = TypeVar("T")
D = TypeVar("D")
Tags: TypeAlias = Sequence[str]


class _Stopped(BaseException):
    """Carries a loader's StopIteration through coroutines, which would turn it into a RuntimeError (PEP 479)."""

    def __init__(self, error: StopIteration) -> None:
        super().__init__(error)
        self.error = error


class _SyncIO:
    """The core's `IO` over a synchronous store: nothing in it ever suspends."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def read(self, names: Sequence[bytes]) -> Reading:
        return self._store.read(names)

    async def peek(self, entry: bytes, stamp_names: Sequence[bytes], remove: Sequence[bytes] = ()) -> Peek:
        return self._store.peek(entry, stamp_names, remove)

    async def open(
        self, entry: bytes | None, missing: Sequence[bytes], lease: bytes | None, lease_seconds: float, stamp_ttl: float
    ) -> Opening:
        return self._store.open(entry, missing, lease, lease_seconds, stamp_ttl)

    async def commit(self, commits: Sequence[Commit]) -> list[Committed]:
        return self._store.commit(commits)

    async def release(self, lease: bytes, token: bytes) -> None:
        self._store.release(lease, token)

    async def bump(self, stamp_names: Sequence[bytes], stamp_ttl: float) -> list[Bumped]:
        return self._store.bump(stamp_names, stamp_ttl)

    async def modify(self, modify: Modify) -> int | Unmodified:
        return self._store.modify(modify)

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 - no loop drives this

    async def call(self, loader: Callable[[], Any]) -> Any:
        try:
            value = loader()
        except StopIteration as error:
            raise _Stopped(error) from error
        if inspect.isawaitable(value):
            if inspect.iscoroutine(value):
                value.close()
            raise LoaderError
        return value

    def monotonic(self) -> float:
        return time.monotonic()

    def now(self) -> float:
        return time.time()


def _run(steps: Coroutine[Any, Any, T]) -> T:
    """Drive a coroutine that never suspends to its end."""
    try:
        steps.send(None)
    except StopIteration as done:
        value: T = done.value
        return value
    except _Stopped as stopped:
        error = stopped.error
    else:
        steps.close()
        raise RuntimeError("a synchronous step suspended")
    raise error


class _Reporter:
    """Tells of the store's failures: to the hook, or else to the log, at most once a second."""

    def __init__(self, hook: Hook | None) -> None:
        self._hook = hook
        self._silent_until = 0.0
        self._unsaid = 0

    def __call__(self, event: Failed) -> None:
        if self._hook is not None:
            self._hook(event)
            return
        self._unsaid += 1
        if time.monotonic() >= self._silent_until:
            self._silent_until = time.monotonic() + 1.0
            count, self._unsaid = self._unsaid, 0
            import logging  # noqa: PLC0415 - only a failure pays for it

            text = "%s failed, gone on without the cache (%d such since the last line): %s"
            logging.getLogger("unstale").warning(text, event.operation, count, event.error)


class _Cold:
    """What the hit path leaves to the core: everything it has read so far."""

    __slots__ = ("arguments",)

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments


class Cache:
    """A cache on Redis or Valkey whose entries are invalidated by tags, without deleting keys.

    An entry is fresh if and only if every stamp that it recorded equals that tag's stamp now. To every verb a stale
    entry is absent. Reads survive a dead server: `get` gives its default, `get_or_set` calls the loader, and an event
    (or the log) says so. Writes raise.

    A cache may be used from many threads, after a fork, and under gevent.
    """

    __slots__ = ("_emit", "_hints", "_io", "_names", "_prefix", "_raw_prefix", "_space", "_store", "_tagset")

    def __init__(self, store: Store, space: Keyspace, *, prefix: str = "") -> None:
        """Put the parts together; `from_url` is the usual way."""
        self._store = store
        self._space = space
        self._prefix = prefix
        self._raw_prefix = prefix.encode()
        self._io = _SyncIO(store)
        self._names = space.names
        self._tagset = space.names.tagset
        self._hints = space.hints
        self._emit = space.emit

    @classmethod
    def from_url(  # noqa: PLR0913 - all a cache's options, by name
        cls,
        url: str,
        *,
        namespace: str = "unstale",
        ttl: Duration = 300.0,
        timeout: Duration = 0.3,
        max_connections: int = 64,
        codec: str = "msgpack",
        fence: str = "tags",
        lease: Duration = 10.0,
        stamp_ttl: Duration = 86400.0,
        on_event: Hook | None = None,
    ) -> Self:
        """Make a cache for a URL.

        Args:
            url: redis://, rediss://, unix:// (with redis-py's options), embedded:// or memory://.
            namespace: what its names in Redis begin with; several caches can share a database by it.
            ttl: seconds that an entry stays fresh where a call says nothing; None for no limit.
            timeout: seconds for connecting and for each answer. A call ends within about three times this.
            max_connections: most connections of this process.
            codec: for values other than bytes and small unsigned integers: "msgpack", "json" or "raw".
            fence: "tags" binds entries with tags to the server's identity, so that a failover or a restart from an old
                snapshot cannot bring them back; "all" binds every entry.
            lease: seconds that a loader may take before another may try, where the last load's time is not known.
            stamp_ttl: seconds that a stamp lives at least; entries that live longer prolong theirs.
            on_event: called with each event (`unstale.events`).

        Raises:
            ConfigurationError: the URL or an option makes no sense.
            InvalidDurationError: a duration is not above zero.
        """
        if timeout is None or lease is None:
            raise ConfigurationError("timeout and lease need a limit in seconds.")
        if type(max_connections) is not int or max_connections < 1:
            raise ConfigurationError("max_connections must be an int of at least 1.")
        policy = Policy(seconds(ttl), seconds(stamp_ttl, "stamp_ttl"), seconds(lease, "lease"), fence)
        space = Keyspace(Names(namespace), codecs.codec_named(codec), policy, _Reporter(on_event), on_event)
        return cls(open_store(url, StoreOptions(seconds(timeout, "timeout"), max_connections)), space)

    def __repr__(self) -> str:
        """Name the namespace and the scope, never the URL."""
        scope = f" scope={self._prefix[:-1]!r}" if self._prefix else ""
        return f"<Cache namespace={self._names.namespace!r}{scope}>"

    def __enter__(self) -> Self:
        """Use as a context manager that closes at the end."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def _hit(self, key: str, tags: Tags) -> Any:
        """The value of a fresh entry, in one trip, or a `_Cold`."""
        raw = self._raw_prefix + key_bytes(key)
        try:
            declared = self._tagset(self._prefix, tags) if type(tags) is tuple else self._tagset_of(tags)
        except TypeError:  # a tuple that holds what cannot be hashed
            declared = self._tagset_of(tags)
        expected = self._hints.get((raw, declared), declared) if self._hints else declared
        values, identity = self._store.read(self._names.read_names(raw, expected, declared.home))
        data = values.pop(0)
        if data is not None:
            at = payload_at(data, expected, expected.blob + raw + END, values, identity)
            if at:
                codec = data[CODEC_AT]
                try:
                    value = data[at:] if codec == codecs.RAW else codecs.decode(codec, memoryview(data)[at:])
                except DecodeError:  # the core says why
                    return _Cold(Target(key, raw, declared), expected, Snapshot(data, values, identity))
                if capture.running() is not None:
                    self._bequeath(raw, expected, cast("list[bytes]", values), identity if data[FLAGS_AT] else None)
                if self._emit is not None:
                    self._emit(Hit(key))
                return value
        return _Cold(Target(key, raw, declared), expected, Snapshot(data, values, identity))

    def _bequeath(self, raw: bytes, tagset: TagSet, stamps: list[bytes], identity: bytes | None) -> None:
        """A hit inside a loader: the loader's result depends on it."""
        heir = capture.heir(self._space)
        if heir is not None:
            heir.add(zip((*tagset.tags, root_tag(raw)), stamps, strict=True), identity)

    def _finish(self, cold: _Cold) -> tuple[Any, Look]:
        """Judge what the hit path could not; the value or NOTHING, and the look."""
        seen = _run(assess(self._io, self._space, *cold.arguments))
        return serve(self._space, seen), seen

    def get(self, key: str, default: D | None = None, *, tags: Tags = ()) -> Any | D | None:
        """Read a fresh value, in one trip.

        What misses remembers the stamps it saw, so that a `set` that follows in the same request or task stores under
        what stood there before the value was computed (`remembering` bounds that memory).

        Args:
            key: the key.
            default: what to return when there is no fresh entry, or the server is away.
            tags: tags that the entry must record. Saying them also spares the first read of a key a second trip.

        Returns:
            The value (a cached None is one), or the default.

        Raises:
            InvalidKeyError, InvalidTagError: the key or a tag is bad.
        """
        try:
            value = self._hit(key, tags)
            if type(value) is _Cold:
                value, seen = self._finish(value)
                if value is NOTHING:
                    _run(verbs.after_miss(self._io, self._space, [seen]))
        except StoreError as error:
            self._without("get", error, [self._target(key, tags)])
            return default
        return default if value is NOTHING else value

    def get_or_set(self, key: str, loader: Callable[[], T], *, tags: Tags = (), ttl: Ttl = DEFAULT) -> T:
        """Read a fresh value, or load it and store it under the stamps as they were before the load.

        One loader per key runs at a time, over all processes; the others wait for its value, look again, and load
        themselves when its lease has run out. When the server is away the loader is called and nothing is stored.

        Args:
            key: the key.
            loader: computes the value, from no arguments.
            tags: what the value depends on; `invalidate` of any of them, or of an ancestor, makes it stale. What the
                loader reads from this cache is added to them.
            ttl: seconds that it stays fresh; None for no limit; by default the cache's own.

        Returns:
            The value. Straight from the loader it is the loader's own object; from the cache it is the codec's.

        Raises:
            Whatever the loader raises, unchanged; nothing is stored then.
            EncodeError: the codec cannot carry the value.
            LoaderError: the loader returned an awaitable.
            InvalidKeyError, InvalidTagError, InvalidDurationError: an argument is bad.
        """
        fill_ttl = self._space.policy.ttl_of(ttl)
        try:
            value = self._hit(key, tags)
            if type(value) is not _Cold:
                return value  # type: ignore[no-any-return]
            value, seen = self._finish(value)
        except StoreError as error:
            self._without("get_or_set", error, [self._target(key, tags)])
            return _run(load_only(self._io, self._space, loader, None))  # type: ignore[no-any-return]
        if value is NOTHING:
            value = _run(refresh(self._io, self._space, seen, Fill(loader, fill_ttl)))
        return value  # type: ignore[no-any-return]

    def get_many(self, keys: Iterable[str], *, tags: Tags | Callable[[str], Tags] = ()) -> dict[str, Any]:
        """Read many keys in one trip (two, the first time, for entries with tags that were not said).

        Args:
            keys: the keys.
            tags: the tags of all, or a function that gives each key's.

        Returns:
            The fresh values, by key; the others are left out. Empty when the server is away.
        """
        targets = {key: self._target(key, tags(key) if callable(tags) else tags) for key in keys}
        if not targets:
            return {}
        try:
            return _run(verbs.get_many(self._io, self._space, list(targets.values())))
        except StoreError as error:
            self._without("get_many", error, list(targets.values()))
            return {}

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

    def set(self, key: str, value: Any, *, tags: Tags = (), ttl: Ttl = DEFAULT) -> bool:
        """Store a value, in one trip.

        After a `get` of these tags that missed in the same request or task, it is stored under the stamps that the
        `get` saw: if one has been invalidated since, nothing is stored, and what stood under the key goes. Without
        such a `get` it is stored under the stamps that stand now; then nothing is promised about what was invalidated
        while the value was computed. Prefer `get_or_set`.

        Returns:
            Whether it was stored.

        Raises:
            EncodeError: the codec cannot carry the value.
            StoreError: the server did not do it.
        """
        return not self.set_many({key: value}, tags=tags, ttl=ttl)

    def set_many(
        self, values: Mapping[str, Any], *, tags: Tags | Callable[[str], Tags] = (), ttl: Ttl = DEFAULT
    ) -> list[str]:
        """Store many values, in one trip; each as `set` does.

        Returns:
            The keys that were not stored.
        """
        items = [(self._target(key, tags(key) if callable(tags) else tags), value) for key, value in values.items()]
        return _run(verbs.set_many(self._io, self._space, items, self._space.policy.ttl_of(ttl)))

    def add(self, key: str, value: Any, *, tags: Tags = (), ttl: Ttl = DEFAULT) -> bool:
        """Store a value only if there is no fresh entry; whether it was stored. Raises as `set` does."""
        target, seconds_fresh = self._target(key, tags), self._space.policy.ttl_of(ttl)
        return _run(verbs.add(self._io, self._space, target, value, seconds_fresh)) is True

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
            NotACounterError: the entry is no unsigned integer, or would leave 0 … 2**53 - 1.
            StoreError: the server did not do it, or nobody knows whether it did.
        """
        if type(delta) is not int or abs(delta) > codecs.MAX_COUNTER:
            raise NotACounterError("A counter's delta must be an int of at most 2**53 - 1.")
        if initial is not None and (type(initial) is not int or not 0 <= initial <= codecs.MAX_COUNTER):
            raise NotACounterError("A counter begins from an int from 0 to 2**53 - 1.")
        target, seconds_fresh = self._target(key, tags), self._space.policy.ttl_of(ttl)
        return _run(verbs.incr(self._io, self._space, target, (delta, initial), seconds_fresh))

    def delete(self, key: str, *, tags: Tags = ()) -> bool:
        """Remove an entry and stop whoever is filling it from storing; whether a fresh entry was there. One trip.

        Raises:
            StoreError: it may still be there.
        """
        return _run(verbs.delete(self._io, self._space, self._target(key, tags)))

    def invalidate(self, *tags: str) -> Invalidated:
        """Make every entry that carries one of these tags stale, whoever stored it: one small write a tag, one trip.

        A read that begins after this returned never gets from the cache a value whose loader began before. Call it
        after the COMMIT of what it is for.

        Args:
            tags: the tags. A scope adds its name in front; without any, a scope invalidates all that is its own.

        Returns:
            What was done, once it has taken effect.

        Raises:
            StoreError: it has not taken effect, or nobody knows. Call it again.
        """
        if not tags and not self._prefix:
            raise InvalidTagError("Say which tags to invalidate, or call clear() for everything.")
        names = [self._prefix + check_tag(tag) for tag in tags] or [self._prefix[:-1]]
        return _run(verbs.invalidate(self._io, self._space, names))

    def clear(self) -> Invalidated:
        """Make every entry of this cache (of this scope, on a scope) stale, at a cost that does not grow with them."""
        return self.invalidate() if self._prefix else _run(verbs.clear(self._io, self._space))

    def scope(self, kind: str, *ids: object) -> Self:
        """A bound cache: its keys and tags are this thing's alone.

        `cache.scope("user", 42)` keeps its entries under the tag `user:42`, its key `orders` as `user:42/orders`, its
        tag `orders` as `user:42/orders`; its `invalidate()` makes all of them stale.

        Args:
            kind: what it is.
            ids: which one; separators in them are escaped.
        """
        name = self._prefix + ":".join(quote_part(part) for part in (kind, *ids))
        check_tag(name)
        return type(self)(self._store, self._space, prefix=f"{name}/")

    def ping(self) -> None:
        """Reach the server, to find out at start-up. Raises StoreError with what to do."""
        self._store.ping()

    def close(self) -> None:
        """Close the connections. On a scope this does nothing: they belong to the cache it was made from."""
        if not self._prefix:
            self._store.close()

    def _tagset_of(self, tags: Tags) -> TagSet:
        """The set of declared tags. Only tuples are looked up as they are: other iterables may change or run out."""
        try:
            return self._tagset(self._prefix, tags if isinstance(tags, str) else tuple(tags))
        except TypeError as error:
            raise InvalidTagError(f"tags must be a list or tuple of str: {error}.") from error

    def _target(self, key: str, tags: Tags) -> Target:
        declared = self._tagset_of(tags)
        return Target(key, self._raw_prefix + key_bytes(key), declared)

    def _without(self, verb: str, error: StoreError, targets: Sequence[Target]) -> None:
        """Go on without the cache. A cache that was closed is a mistake of the caller's, though.

        What could not be looked up is computed under stamps that nobody saw: neither a set that follows nor a loader
        around this may store it.
        """
        if isinstance(error, StoreClosedError):
            raise error
        heir = capture.heir(self._space)
        if heir is not None:
            heir.broken = True
        for target in targets:
            names = (*target.declared.stamp_names, self._names.root_of(target.raw))
            capture.remember(self._space.serial, target.raw, [(name, CLOSED) for name in names], b"")
        self._space.fail(Failed(verb, targets[0].key if len(targets) == 1 else "", error))
