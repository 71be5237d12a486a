"""What all instances of one configured cache share in this process.

Django makes an instance of a backend for each thread, under ASGI for each request. So an instance holds nothing: pools,
signing keys, the matcher, and the plans of keys that were seen before are here, one engine for each configuration.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from redis.connection import parse_url

from unstale.aio import AsyncCache
from unstale.cache import Cache
from unstale.contrib.django import listening
from unstale.contrib.django.backend.options import BackendOptions, read_options
from unstale.contrib.django.backend.redis_side import RedisSide
from unstale.contrib.django.compat import settings_read
from unstale.contrib.django.migration import migrating
from unstale.contrib.django.migration.old_side import OldSide
from unstale.contrib.django.notices import UnstaleWarning
from unstale.contrib.django.patterns import Advisor, Matcher
from unstale.core import capture
from unstale.core.keys import ROOT_MARK, ROOTS, key_bytes
from unstale.core.keyspace import Keyspace
from unstale.core.pending import Pending
from unstale.errors import StoreError, UnstaleError
from unstale.events import Invalidated, Queued
from unstale.options import CacheOptions, make_keyspace, store_options
from unstale.stores.immediate import Immediate
from unstale.stores.memory import MemoryStore
from unstale.stores.urls import is_cluster, open_async_store, open_store

MAX_PLANS: Final = 16384
"""About a kilobyte each."""
ROOT_TAGS: Final = tuple(f"{ROOT_MARK}{number}" for number in range(ROOTS))
"""In place of tags: every entry of the cache."""
MAX_WARNINGS: Final = 1000
MAX_PAGE_TAGS: Final = 24
"""An entry carries 32 at most."""


class Role(NamedTuple):
    """What Django itself keeps under a key, as far as it matters.

    Attributes:
        computed: the value depends on what was read before it was set. A session does not.
        page_key: for the headers' key of a cached page: a stand-in for the key of the page itself, which is known only
            after the view ran. (It is the page's own if that does not vary.)
        page_tags: the stand-in's tags.
        looked_under: for a cached page: the stand-in under which its tags were looked at before the view ran.
    """

    computed: bool = True
    page_key: str = ""
    page_tags: tuple[str, ...] | None = ()
    looked_under: str = ""


class Plan(NamedTuple):
    """What a key comes to, once for all its uses.

    Attributes:
        key: the key as it is made, and as the core takes it.
        tags: whole names of the tags that it carries; None: too many, it is not stored.
        role: see Role.
    """

    key: str
    tags: tuple[str, ...] | None
    role: Role


def to_remove(plans: Iterable[Plan]) -> dict[str, tuple[str, ...]]:
    """The made keys of plans, and their tags, which on a cluster say where an entry lies."""
    return {plan.key: plan.tags or () for plan in plans}


Plans: TypeAlias = "dict[tuple[Any, ...], Plan]"
"""By the key and the version that were given; for an int by its type as well, since it equals what is another key."""


class _Raising(Cache):
    """A cache whose reads raise when the server is away, as Django's and django-redis's do unless told otherwise."""

    __slots__ = ()

    def _without(self, verb: str, error: StoreError, targets: Any, *, is_raised: bool = True) -> None:
        super()._without(verb, error, targets, is_raised=is_raised)
        raise error


class _AsyncRaising(AsyncCache):
    """The same for asyncio."""

    __slots__ = ()

    def _without(self, verb: str, error: StoreError, targets: Any, *, is_raised: bool = True) -> None:
        super()._without(verb, error, targets, is_raised=is_raised)
        raise error


class Follower(Protocol):
    """Has something to do after an invalidation took effect, by the whole names of its tags. Raises StoreError."""

    def follow(self, tags: Sequence[str]) -> None:
        """Do it."""

    async def afollow(self, tags: Sequence[str]) -> None:
        """Do it, awaited."""


class Engine:
    """The shared parts of one configured cache.

    Attributes:
        options: its options.
        cache: the core's cache.
        closures: the same for loaders that have no name: without a runner of other processes, which they cannot reach.
        async_cache: the same for asyncio, over the same keyspace: what one remembers the other is held to.
        matcher: TAG_PATTERNS.
        advisor: what to declare for a pattern that is not.
        has_server: whether there is one: memory:// has none.
        redis: redis-py's side.
        followers: who has something to do after each invalidation.
        serial: of the entries: those of two aliases with the same one are the same.
    """

    def __init__(self, options: BackendOptions) -> None:
        """Put the parts together; nothing is connected yet.

        Raises:
            ConfigurationError: an option or a pattern makes no sense.
        """
        self.options = options
        self.matcher = Matcher(options.patterns)
        told: CacheOptions = {**options.cache, "on_event": listening.hook_for(options.cache.get("on_event"))}
        space = _remembering_as_others(
            replace(make_keyspace(told, clustered=is_cluster(options.url)), keeps_looks=True), options
        )
        reaching = store_options(options.cache)
        store = open_store(options.url, reaching)
        async_store = Immediate(store) if isinstance(store, MemoryStore) else open_async_store(options.url, reaching)
        runner = options.cache.get("runner")
        kinds = (Cache, AsyncCache) if options.ignore_exceptions else (_Raising, _AsyncRaising)
        old: OldSide | None = None
        if options.migrating:
            old = OldSide(*options.old, self.matcher, space.names.namespace)
            kinds = migrating.kinds(options.migrating, old, kinds)
        self.serial = space.serial
        self.cache: Cache = kinds[0](store, space, io=Cache._make_io(store, runner))  # noqa: SLF001 - its own maker
        self.closures = self.cache
        if getattr(runner, "is_remote", False):
            self.closures = kinds[0](store, space, io=Cache._make_io(store, None))  # noqa: SLF001 - the same
        self.async_cache: AsyncCache = kinds[1](async_store, space)
        if options.migrating:
            migrating.bind(self.async_cache, self.cache)
        self._plans: dict[tuple[Callable[..., str], str, int], Plans] = {}
        self._pages: dict[str, frozenset[str]] = {}
        self._warned: set[str] = set()
        self.advisor = Advisor()
        self.has_server = not isinstance(store, MemoryStore)
        self.redis = RedisSide(options.url, reaching, space, old if options.migrating == migrating.SHARING else None)
        self.followers: list[Follower] = [self.redis] if self.has_server else []
        if space.queue is not None:
            space.queue.follow(self._follow_drained)

    def _follow_drained(self, done: Sequence[Pending]) -> None:
        """What was queued has taken effect: what follows a clear does now. Raises StoreError."""
        roots = set(map(self.cache._space.names.stamp, ROOT_TAGS))  # noqa: SLF001 - the facade's own
        if any(roots.issubset(one.names) for one in done):
            for follower in self.followers:
                follower.follow(ROOT_TAGS)

    def plans(self, key_func: Callable[..., str], key_prefix: str, version: int) -> Plans:
        """The plans of keys that were seen before with this way of making them."""
        return self._plans.setdefault((key_func, key_prefix, version), {})

    def is_news(self, about: str) -> bool:
        """Whether nothing was said about this matter in this process; the next time it is no news."""
        if about in self._warned or len(self._warned) >= MAX_WARNINGS:
            return False
        self._warned.add(about)
        return True

    def warn(self, text: str) -> None:
        """Say something about the project's code or settings."""
        warnings.warn(text, UnstaleWarning, stacklevel=4)

    def bump(self, names: tuple[str, ...], *, soft: bool = False) -> Invalidated | Queued:
        """Invalidate tags by their whole names, now; ROOT_TAGS stand for everything. Raises StoreError."""
        done = self.cache.clear() if names == ROOT_TAGS else self.cache.invalidate(*names, soft=soft)
        if isinstance(done, Queued):  # who follows does so when it takes effect
            return done
        for follower in self.followers:
            follower.follow(names)
        listening.tell(names)
        return done

    def clear_over(self, spread: float) -> None:
        """Invalidate everything over some seconds, a sixteenth at a time; it returns when all is stale.

        Raises:
            StoreError: a part may be stale already.
        """
        if isinstance(self.cache.clear(over=spread), Queued):
            return
        for follower in self.followers:
            follower.follow(ROOT_TAGS)
        listening.tell(ROOT_TAGS)

    async def abump(self, names: tuple[str, ...], *, soft: bool = False) -> Invalidated | Queued:
        """The same for asyncio."""
        cache = self.async_cache
        done = await (cache.clear() if names == ROOT_TAGS else cache.invalidate(*names, soft=soft))
        if isinstance(done, Queued):
            return done
        for follower in self.followers:
            await follower.afollow(names)
        listening.tell(names)
        return done

    def has_looked(self, key: str, tags: tuple[str, ...]) -> bool:
        """Whether this context remembers a look at all that an entry of this key would record."""
        target = self.cache._target(key, tags)  # noqa: SLF001 - the facade's own
        space = self.cache._space  # noqa: SLF001
        names = (*target.declared.stamp_names, space.names.root_of(target.raw, target.declared.home))
        return all(capture.recall(space.serial, target.raw, name) is not None for name in names)

    def place_of(self, key: str) -> tuple[str, ...]:
        """On a cluster, a tag that keeps a key where it would lie without tags; nothing elsewhere."""
        names = self.cache._space.names  # noqa: SLF001 - the facade's own
        return (names.untagged_home(key_bytes(key)),) if names.clustered else ()

    def page_tags(self, stand_in: str, tags: tuple[str, ...]) -> tuple[str, ...]:
        """The tags to look at before a page's view runs: its stand-in's, and those of its pages that were seen."""
        return tuple(sorted(self._pages.get(stand_in, frozenset()).union(tags)))[:MAX_PAGE_TAGS]

    def learn_page(self, stand_in: str, tags: tuple[str, ...]) -> None:
        """A page carries tags that its stand-in does not: look at them, too, the next time."""
        if len(self._pages) >= MAX_PLANS:
            self._pages.clear()
        self._pages[stand_in] = self._pages.get(stand_in, frozenset()).union(tags)

    def distrust(self, tags: Iterable[str]) -> None:
        """What this context saw of tags is no ground for a `set`: it may have computed from what was rolled back."""
        names = self.cache._space.names  # noqa: SLF001 - the facade's own
        distrusted = set(tags)
        if not distrusted.isdisjoint(ROOT_TAGS):  # all roots, of which a cluster has more
            distrusted.update(names.roots)
        capture.distrust(self.serial, map(names.stamp, distrusted))

    def lapse(self) -> None:
        """Forget what this context saw outside `remembering()`: its request has ended."""
        capture.lapse(self.serial)

    def close(self) -> None:
        """Close the connections, for good."""
        self.cache.close()
        self.redis.close()


_engines: dict[object, Engine] = {}
_serials: dict[tuple[object, str], int] = {}
"""Aliases that share their entries, such as two VERSIONs, remember together: what one clears the other forgets, and
what is invalidated through one in an open transaction is dirty for the other."""

_parsed: Final[Callable[[str], Mapping[str, object]]] = parse_url


def _remembering_as_others(space: Keyspace, options: BackendOptions) -> Keyspace:
    if options.url.startswith("memory:"):
        return space
    return replace(space, serial=_serials.setdefault((_place(options), space.names.namespace), space.serial))


def _place(options: BackendOptions) -> object:
    """Which database of which server, however it is written and whoever asks."""
    connection: Mapping[str, object] = options.cache.get("connection") or {}
    if not options.url.startswith(("redis://", "rediss://", "unix://")):
        return options.url, connection.get("db")
    with suppress(ValueError):  # a URL that cannot be read: who opens the store says so
        said: dict[str, object] = {"db": connection.get("db"), **_parsed(options.url)}
        host = said.get("path") or str(said.get("host", "localhost")).lower()
        return host, said.get("port", 6379), said["db"] or 0
    return options.url


_lock = threading.Lock()


def engine_of(location: object, params: Mapping[str, Any]) -> Engine:
    """The engine of a configuration; made when it is first asked for.

    Raises:
        ImproperlyConfigured, ConfigurationError: an option makes no sense. The text begins with the alias in CACHES.
    """
    secrets = (settings.SECRET_KEY, tuple(settings.SECRET_KEY_FALLBACKS))
    identity = (_frozen(location), _frozen(params), secrets, settings_read())
    engine = _engines.get(identity)
    if engine is None:
        with _lock:
            engine = _engines.get(identity)
            if engine is None:
                try:
                    engine = _engines[identity] = Engine(read_options(location, params))
                except (ImproperlyConfigured, UnstaleError) as error:
                    _name_alias(error, location, params)
                    raise
    return engine


def _name_alias(error: Exception, location: object, params: Mapping[str, Any]) -> None:
    """Put the alias in front of what is wrong: Django tells a backend all its settings, but not its alias."""
    for alias, one in settings.CACHES.items():
        rest = {name: value for name, value in one.items() if name not in ("BACKEND", "LOCATION")}
        if one.get("LOCATION", "") == location and rest == dict(params):
            error.args = (f"CACHES[{alias!r}]: {error}",)
            return


def _frozen(value: object) -> object:
    """A value that can be looked up: two configurations are one if they say the same."""
    if isinstance(value, Mapping):
        return tuple((key, _frozen(each)) for key, each in value.items())
    if isinstance(value, list | tuple):
        return tuple(map(_frozen, value))
    if isinstance(value, set | frozenset):
        return frozenset(map(_frozen, value))
    return value if getattr(type(value), "__hash__", None) else _Same(value)


class _Same:
    """What cannot be hashed is the same only if it is the same object, which is kept."""

    def __init__(self, value: object) -> None:
        self._value = value

    def __hash__(self) -> int:
        return id(self._value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other._value is self._value
