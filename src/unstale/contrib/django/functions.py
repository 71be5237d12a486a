"""`cached`: functions whose results are kept in one of CACHES.

    @cached("orders:{user_id}", tags=["user:{user_id}/orders"], ttl=300, stale_ttl=60)
    def orders(user_id): ...

As `unstale.cached`, with what the backend knows: KEY_FUNCTION, KEY_PREFIX, VERSION, the tags of TAG_PATTERNS, and
transactions: what an open one has dirtied is neither served nor stored. The backend is looked up at each call, so
settings are not needed when the module is imported. What is decorated on a module's level has a name, so that a
worker can load it in place of the process that noticed that it is stale.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from importlib import import_module
from typing import Any, Final, TypeVar, cast

from django.core.cache.backends.base import DEFAULT_TIMEOUT

from unstale.cache import take_over
from unstale.cached import AsyncCachedFunction, CachedFunction, KeyOf, Recipe, TagsOf, check_function
from unstale.contrib.django.aliases import cache_named
from unstale.contrib.django.backend.asynchronous import BothCache
from unstale.contrib.django.backend.engine import Plan
from unstale.contrib.django.backend.sync import MISSING
from unstale.contrib.django.shared_tags import SharedTag
from unstale.contrib.django.travelling import CannotTravelError, packed, unpacked
from unstale.core.policy import DEFAULT, Duration, Ttl, seconds, stale_seconds
from unstale.core.ports import Handover
from unstale.errors import ConfigurationError

F = TypeVar("F", bound=Callable[..., Any])
REFRESH: Final = "refresh"


def cached(  # noqa: PLR0913 - as `Cache.cached`
    key: KeyOf,
    *,
    tags: TagsOf = (),
    ttl: Ttl = DEFAULT,
    stale_ttl: Ttl = DEFAULT,
    negative_ttl: Duration | None = None,
    into: Any = None,
    ignore: Iterable[str] = (),
    cache: str = "default",
) -> Callable[[Callable[..., Any]], Any]:
    """Decorate a function or a method, `def` or `async def`: its results are kept in a cache of CACHES.

    Args:
        key: a template such as "orders:{user_id}" that names every argument, or a function that makes the key from the
            same arguments. It is the project's own key: TAG_PATTERNS see it.
        tags: templates, or a function that makes the tags from the same arguments; besides those of TAG_PATTERNS.
        ttl: seconds (or a timedelta) fresh; None for no limit; by default the cache's TIMEOUT.
        stale_ttl: seconds more that a result may be served while it is loaded anew: by the cache's RUNNER, or else by
            one reader. By default OPTIONS["STALE_TTL"].
        negative_ttl: seconds that a result of None stays fresh; None for the same as for any result.
        into: the type that a cached result is to have; see `unstale.Cache.get`. Pickle needs none.
        ignore: arguments that the result does not depend on, which the key need not name.
        cache: the alias of the cache.

    Returns:
        A decorator. The function has `key_for`, `refresh` and `invalidate` besides, each called with its arguments.

    Raises:
        ConfigurationError: a template names no argument, the key leaves one out, or this is no function.
        InvalidDurationError: a duration is not above zero.
    """
    for given in (ttl, negative_ttl):
        if given is not DEFAULT:
            seconds(given)
    if stale_ttl is not DEFAULT:
        stale_seconds(stale_ttl)
    options = {"ttl": ttl, "stale_ttl": stale_ttl, "negative_ttl": negative_ttl, "into": into}

    def decorate(function: Callable[..., Any]) -> Any:
        is_async = inspect.iscoroutinefunction(function)
        check_function(function, "Cache", is_async=is_async)
        recipe = _Recipe(function, key, tags, ignore)
        if is_async:
            return AsyncCachedFunction(function, AsyncNamedCache(cache), recipe, options)
        return CachedFunction(function, NamedCache(cache), recipe, options)

    return decorate


class _Recipe(Recipe):
    """Its tags are those of TAG_PATTERNS and of registered models, to the byte."""

    tag_kind = SharedTag


class Call:
    """A call of a decorated function: the loader, which knows its name.

    Attributes:
        alias: the cache's.
        key: as the core takes it.
    """

    __slots__ = ("_load", "alias", "key")

    _load: partial[Any]

    def __init__(self, alias: str, key: str, load: Callable[[], Any]) -> None:
        self.alias = alias
        self.key = key
        self._load = cast("partial[Any]", load)

    def __call__(self) -> Any:
        """Call the function itself."""
        return self._load()

    def data(self) -> dict[str, Any]:
        """What tells another process which call this is.

        Raises:
            CannotTravelError: the function is not found under its name, or an argument is more than data.
        """
        function = self._load.func
        name = f"{function.__module__}:{function.__qualname__}"
        module = sys.modules.get(function.__module__)
        known = None if module is None or function.__module__ == "__main__" else _found(module, function.__qualname__)
        if known is None or known._function is not function:  # noqa: SLF001 - the package's own
            raise CannotTravelError(f"No other process finds {name} under this name: decorate it where it is defined.")
        arguments = packed([list(self._load.args), dict(self._load.keywords)])
        return {"do": REFRESH, "cache": self.alias, "key": self.key, "function": name, "arguments": arguments}


def _found(module: object, qualname: str) -> CachedFunction[..., Any] | None:
    """The decorated function of a name, also below other decorators that say what they wrap."""
    found: Any = module
    for part in qualname.split("."):
        found = getattr(found, part, None)
    while found is not None and not isinstance(found, CachedFunction):
        found = getattr(found, "__wrapped__", None)
    return found if found is not None and isinstance(found._cache, NamedCache) else None  # noqa: SLF001 - the same


def load_for_another(data: Mapping[str, Any], left: Handover) -> bool:
    """Do a load that another process has left to this one.

    Args:
        data: what `Call.data` gave there.
        left: what `Job.leave` gave there.

    Returns:
        Whether it was loaded: not if somebody else has, or is about to.

    Raises:
        CannotTravelError: this process knows no such function, or makes another key of the arguments.
        Whatever the function raises; StoreError; EncodeError.
    """
    module, _, qualname = str(data["function"]).partition(":")
    function = _found(import_module(module), qualname)
    if function is None:
        raise CannotTravelError(f"{data['function']} is not decorated with unstale.contrib.django.cached here.")
    arguments, named = unpacked(data["arguments"])
    key, load, options = function._call(tuple(arguments), named)  # noqa: SLF001 - the package's own
    named_cache = cast("NamedCache", function._cache)  # noqa: SLF001 - the same
    return named_cache.take_over(key, load, left, data, **options)


class _Named:
    """A cache of CACHES, by its alias."""

    def __init__(self, alias: str) -> None:
        self._alias = alias

    def _backend(self) -> BothCache:
        backend = cache_named(self._alias)
        if not isinstance(backend, BothCache):
            raise ConfigurationError(
                f"CACHES[{self._alias!r}] is no UnstaleCache, so nothing can be cached in it by tags. Name one by its "
                'alias; in tests, LOCATION="memory://" makes one without a server.'
            )
        return backend

    def _planned(
        self, key: str, tags: Iterable[str], options: dict[str, Any]
    ) -> tuple[BothCache, Plan, dict[str, Any]]:
        """The backend, the key, and what the core is told; `tags` is None where nothing may be stored."""
        backend = self._backend()
        plan = backend._plan(key, None)  # noqa: SLF001 - the package's own
        ttl = backend._ttl(DEFAULT_TIMEOUT if options["ttl"] is DEFAULT else options["ttl"])  # noqa: SLF001
        names = None if ttl == 0 else backend._tags(plan, tags, None)  # noqa: SLF001
        return backend, plan, {**options, "ttl": ttl, "tags": names}


class NamedCache(_Named):
    """What `unstale.cached` asks of a cache."""

    def get_or_set(self, key: str, load: Callable[[], Any], *, tags: tuple[str, ...], **options: Any) -> Any:
        """See `Cache.get_or_set`."""
        backend, plan, told = self._planned(key, tags, options)
        if told["tags"] is None or backend._may_not_fill(plan.key, told["tags"]):  # noqa: SLF001 - the package's own
            value = backend.get(key, MISSING, tags=tags)
            return load() if value is MISSING else value
        return backend.core.get_or_set(plan.key, Call(self._alias, plan.key, load), **told)

    def refresh(self, key: str, load: Callable[[], Any], *, tags: tuple[str, ...], **options: Any) -> Any:
        """See `Cache.refresh`."""
        backend, plan, told = self._planned(key, tags, options)
        if told["tags"] is None or backend._may_not_fill(plan.key, told["tags"]):  # noqa: SLF001 - the package's own
            return load()
        return backend.core.refresh(plan.key, load, **told)

    def invalidate(self, *tags: str) -> Any:
        """See `UnstaleCache.invalidate`."""
        return self._backend().invalidate(*tags)

    def take_over(
        self,
        key: str,
        load: Callable[[], Any],
        left: Handover,
        data: Mapping[str, Any],
        *,
        tags: tuple[str, ...],
        **options: Any,
    ) -> bool:
        """Do what another process has left. See `load_for_another`."""
        backend, plan, told = self._planned(key, tags, options)
        if plan.key != data["key"]:
            raise CannotTravelError(
                f"{data['function']} has another key here for the same arguments: it must follow from them alone, "
                "and settings and code must be the same."
            )
        if told["tags"] is None or backend._may_not_fill(plan.key, told["tags"]):  # noqa: SLF001 - the package's own
            return False  # a queue that works at once, inside the transaction of whoever asked
        return take_over(backend.core, plan.key, left, Call(self._alias, plan.key, load), **told)


class AsyncNamedCache(_Named):
    """The same for `async def`. It knows no transactions, since Django opens none there; and no runner."""

    async def get_or_set(
        self, key: str, load: Callable[[], Awaitable[Any]], *, tags: tuple[str, ...], **options: Any
    ) -> Any:
        """See `AsyncCache.get_or_set`."""
        backend, plan, told = self._planned(key, tags, options)
        if told["tags"] is None:
            value = await backend.aget(key, MISSING, tags=tags)
            return await load() if value is MISSING else value
        return await backend.async_core.get_or_set(plan.key, load, **told)

    async def refresh(
        self, key: str, load: Callable[[], Awaitable[Any]], *, tags: tuple[str, ...], **options: Any
    ) -> Any:
        """See `AsyncCache.refresh`."""
        backend, plan, told = self._planned(key, tags, options)
        if told["tags"] is None:
            return await load()
        return await backend.async_core.refresh(plan.key, load, **told)

    async def invalidate(self, *tags: str) -> Any:
        """See `UnstaleCache.ainvalidate`."""
        return await self._backend().ainvalidate(*tags)
