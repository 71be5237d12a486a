"""The four ways of keeping a user's cached pages up to date, each as it is usually written.

A variant stores, reads and invalidates, in its own format and under its own keys. It neither measures nor judges.
Imports are inside: a client process loads only the library that its variant uses.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from demo.orders import Page

TTL_SECONDS = 3600

Loader: TypeAlias = Callable[[], Page]


@dataclass(frozen=True, slots=True)
class Setup:
    """What a variant is made from."""

    url: str
    """The server."""
    prefix: str
    """What all its keys begin with."""
    pages: int
    """How many pages each user has."""


class Variant(Protocol):
    """What the client processes need of a variant."""

    def fill(self, user: int, pages: list[Page]) -> None:
        """Store all pages of a user, before the run."""

    def read(self, user: int, page: int, loader: Loader) -> Page:
        """A page, from the cache or else from the loader, which the cache then keeps."""

    def invalidate(self, user: int) -> None:
        """Have all pages of a user loaded anew. Called after the COMMIT of what the user did."""


class PatternDeletes:
    """`cache.delete_pattern("user:42:*")` of django-redis, set up as its README says, with hiredis installed."""

    def __init__(self, setup: Setup) -> None:
        from django.conf import settings  # noqa: PLC0415 - see the module's rule

        backend = {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": setup.url,
            "KEY_PREFIX": setup.prefix,
            "OPTIONS": {"CLIENT_CLASS": "django_redis.client.DefaultClient"},
        }
        settings.configure(CACHES={"default": backend})
        from django.core.cache import cache  # noqa: PLC0415 - it reads the settings

        self._cache: Any = cache

    def fill(self, user: int, pages: list[Page]) -> None:
        """See Variant."""
        self._cache.set_many({_key(user, page["page"]): page for page in pages}, timeout=TTL_SECONDS)

    def read(self, user: int, page: int, loader: Loader) -> Page:
        """See Variant."""
        key = _key(user, page)
        found: Page | None = self._cache.get(key)
        if found is None:
            found = loader()
            self._cache.set(key, found, timeout=TTL_SECONDS)
        return found

    def invalidate(self, user: int) -> None:
        """See Variant."""
        self._cache.delete_pattern(f"user:{user}:*")


class KnownKeyDeletes:
    """One UNLINK of all keys that the user's pages can have: one command, one trip, the cheapest form of a delete."""

    def __init__(self, setup: Setup) -> None:
        self._redis = _client(setup.url)
        self._prefix = setup.prefix
        self._pages = range(setup.pages)

    def fill(self, user: int, pages: list[Page]) -> None:
        """See Variant."""
        pipeline = self._redis.pipeline(transaction=False)
        for page in pages:
            pipeline.set(self._name(user, page["page"]), json.dumps(page), ex=TTL_SECONDS)
        pipeline.execute()

    def read(self, user: int, page: int, loader: Loader) -> Page:
        """See Variant."""
        name = self._name(user, page)
        found = self._redis.get(name)
        if found is not None:
            cached: Page = json.loads(found)
            return cached
        loaded = loader()
        self._redis.set(name, json.dumps(loaded), ex=TTL_SECONDS)
        return loaded

    def invalidate(self, user: int) -> None:
        """See Variant."""
        self._redis.unlink(*[self._name(user, page) for page in self._pages])

    def _name(self, user: int, page: int) -> str:
        return f"{self._prefix}:{_key(user, page)}"


class TimeStamps:
    """The article's three functions: values carry the time at which they were stored, users that of their action."""

    def __init__(self, setup: Setup) -> None:
        self._redis = _client(setup.url)
        self._prefix = setup.prefix

    def user_cache_set(self, key: str, data: Page, duration: int) -> None:
        """Store the data with the present time."""
        self._redis.set(key, json.dumps({"data": data, "stored_at": time.time()}), ex=duration)

    def user_cache_get(self, user: int, key: str) -> Page | None:
        """The data, unless the user has acted since it was stored."""
        acted_at = self._redis.get(f"{self._prefix}:ua:{user}")
        found = self._redis.get(key)
        if found is None:
            return None
        entry = json.loads(found)
        if acted_at is not None and entry["stored_at"] < float(acted_at):
            return None
        data: Page = entry["data"]
        return data

    def update_user_cache_timestamp(self, user: int) -> None:
        """Note that the user has acted just now."""
        self._redis.set(f"{self._prefix}:ua:{user}", time.time(), ex=TTL_SECONDS)

    def fill(self, user: int, pages: list[Page]) -> None:
        """See Variant."""
        pipeline = self._redis.pipeline(transaction=False)
        for page in pages:
            entry = json.dumps({"data": page, "stored_at": time.time()})
            pipeline.set(f"{self._prefix}:{_key(user, page['page'])}", entry, ex=TTL_SECONDS)
        pipeline.execute()

    def read(self, user: int, page: int, loader: Loader) -> Page:
        """See Variant."""
        key = f"{self._prefix}:{_key(user, page)}"
        found = self.user_cache_get(user, key)
        if found is None:
            found = loader()
            self.user_cache_set(key, found, TTL_SECONDS)
        return found

    def invalidate(self, user: int) -> None:
        """See Variant."""
        self.update_user_cache_timestamp(user)


class Unstale:
    """`cache.scope("user", 42)`: all that is kept there carries the tag user:42, whose one stamp is changed."""

    def __init__(self, setup: Setup) -> None:
        from unstale import Cache  # noqa: PLC0415 - see the module's rule

        self._cache = Cache.from_url(setup.url, namespace=setup.prefix, ttl=TTL_SECONDS)

    def fill(self, user: int, pages: list[Page]) -> None:
        """See Variant."""
        self._cache.scope("user", user).set_many({f"orders:{page['page']}": page for page in pages})

    def read(self, user: int, page: int, loader: Loader) -> Page:
        """See Variant."""
        return self._cache.scope("user", user).get_or_set(f"orders:{page}", loader)

    def invalidate(self, user: int) -> None:
        """See Variant."""
        self._cache.scope("user", user).invalidate()


VARIANTS: dict[str, tuple[str, Callable[[Setup], Variant]]] = {
    "a": ("pattern deletes", PatternDeletes),
    "b": ("known-key deletes", KnownKeyDeletes),
    "c": ("time stamps", TimeStamps),
    "d": ("unstale", Unstale),
}
"""By letter: what it is called, and what makes one."""


def titles(letters: Iterable[str]) -> dict[str, str]:
    """What the variants are called."""
    return {letter: VARIANTS[letter][0] for letter in letters}


def _key(user: int, page: int) -> str:
    return f"user:{user}:orders:{page}"


def _client(url: str) -> Any:
    import redis  # noqa: PLC0415 - see the module's rule

    return redis.Redis.from_url(url)
