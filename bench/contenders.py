"""The ways to cache that race against each other: unstale's two, and two that are usual."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any, Final, Protocol

import redis

from examples.article import TimeStamps
from unstale import Cache
from unstale.errors import StoreUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

TTL = 60


class Contender(Protocol):
    """A way to cache, used by all threads of a process."""

    def read(self, number: int, load: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """A key's page, from the cache or from the loader."""

    def invalidate(self, number: int) -> None:
        """What a writer does after its commit. When it returns, it has taken effect."""


class GetOrSet:
    """unstale's `get_or_set`; writers invalidate the page's tag or the user's, in turns."""

    def __init__(self, url: str) -> None:
        self._cache = Cache.from_url(url, namespace="race", timeout=5, ttl=TTL)

    def read(self, number: int, load: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """See Contender."""
        return self._cache.get_or_set(f"page:{number}", load, tags=(f"user:{number}/pages",))

    def invalidate(self, number: int) -> None:
        """See Contender. An invalidation that did not take effect raises: it is called again."""
        tag = random.choice((f"user:{number}/pages", f"user:{number}"))
        while True:
            try:
                self._cache.invalidate(tag)
            except StoreUnavailableError:
                continue
            return


class GetThenSet(GetOrSet):
    """unstale's `get`, then `set` of what was loaded after the miss; a view caches two fragments of one user's page."""

    def read(self, number: int, load: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """See Contender. The second fragment is read and loaded before the first one is stored."""
        tags = (f"user:{number}/pages",)
        page: dict[str, Any] | None = self._cache.get(f"page:{number}", tags=tags)
        if page is not None:
            return page
        page = load()
        summary = self._cache.get(f"summary:{number}", tags=tags)
        if summary is None:
            self._cache.set(f"summary:{number}", load(), tags=tags)
        self._cache.set(f"page:{number}", page, tags=tags)
        return page


class Delete:
    """Cache-aside with redis-py: GET, SETEX; writers delete the key."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url, socket_timeout=5)

    def read(self, number: int, load: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """See Contender."""
        stored = self._client.get(f"page:{number}")
        if stored is None:
            page = load()
            self._client.setex(f"page:{number}", TTL, json.dumps(page))
            return page
        return json.loads(stored)  # type: ignore[no-any-return]

    def invalidate(self, number: int) -> None:
        """See Contender."""
        self._client.delete(f"page:{number}")


class Times:
    """The article's time stamps, as examples/article.py has them: one host, one clock."""

    def __init__(self, url: str) -> None:
        self._stamps = TimeStamps(redis.Redis.from_url(url, socket_timeout=5))

    def read(self, number: int, load: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """See Contender."""
        page: dict[str, Any] | None = self._stamps.user_cache_get(number, f"page:{number}")
        if page is None:
            page = load()
            self._stamps.user_cache_set(f"page:{number}", page, TTL)
        return page

    def invalidate(self, number: int) -> None:
        """See Contender."""
        self._stamps.update_user_cache_timestamp(number)


CONTENDERS: Final[dict[str, Callable[[str], Contender]]] = {
    "unstale get_or_set": GetOrSet,
    "unstale get, then set": GetThenSet,
    "GET, SETEX, DEL": Delete,
    "time stamps": Times,
}
OURS: Final = ("unstale get_or_set", "unstale get, then set")
