"""unstale, in each of the ways in which its README has it used, called and awaited. Needs nothing but unstale."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Final

from bench import fill
from bench.peers_base import DEPENDENT_SIZE, TTL, Page, Peer, page
from unstale import AsyncCache, Cache, remembering
from unstale.core.keys import Names

Load = Callable[[], Awaitable[Page]]
TIMEOUT: Final = 10
"""Seconds for an answer: a server that has just deleted 100,000 keys for another library may be slow to give one."""


class Unstale(Peer):
    """`get_or_set`, with three stamps: the tag, its ancestor, the root."""

    name = "unstale Cache"
    how = "invalidate(tag)"
    source = "README, Example"

    def open(self) -> None:
        """See Peer."""
        self._cache = Cache.from_url(self.server.url(self.database), namespace=fill.NAMESPACE, ttl=TTL, timeout=TIMEOUT)

    def close(self) -> None:
        """See Peer."""
        self._cache.close()

    @staticmethod
    def tag(group: str) -> str:
        """A group's tag."""
        return f"user:{group}/pages"

    @staticmethod
    def key(group: str, number: int) -> str:
        """A page's key; all keys of a group have the same length."""
        return f"page:{group}:{number:08d}"

    def read(self, group: str, number: int, load: Callable[[], Page]) -> Page:
        """See Peer."""
        return self._cache.get_or_set(self.key(group, number), load, tags=(self.tag(group),))

    def invalidate(self, group: str) -> object:
        """See Peer."""
        return self._cache.invalidate(self.tag(group))

    def entry(self, group: str, number: int) -> bytes:
        """See Peer."""
        return Names(fill.NAMESPACE).entry(self.key(group, number).encode())

    def put(self, group: str, size: int) -> None:
        """See Peer: copies that are entries of their own keys."""
        url = self.server.url(self.database)
        with Cache.from_url(url, namespace=fill.NAMESPACE, ttl=TTL, timeout=TIMEOUT) as cache:
            keys = [self.key(group, number) for number in range(size)]
            value: Any = page(size=DEPENDENT_SIZE)
            fill.entries(self.server, self.database, cache, [(self.tag(group), keys)], value)


class UnstaleGetSet(Unstale):
    """`get`, then `set` of what was loaded after the miss, in one request."""

    name = "unstale Cache: get, set"
    source = "README, What is promised: remembering()"

    def read(self, group: str, number: int, load: Callable[[], Page]) -> Page:
        """See Peer."""
        key, tags = self.key(group, number), (self.tag(group),)
        with remembering():
            value: Page | None = self._cache.get(key, tags=tags)
            if value is None:
                value = load()
                self._cache.set(key, value, tags=tags)
            return value


class UnstaleCached(Unstale):
    """The decorator."""

    name = "unstale Cache: @cached"
    source = "Cache.cached"

    def open(self) -> None:
        """See Peer."""
        super().open()

        @self._cache.cached(key="page:{group}:{padded}", tags=["user:{group}/pages"], ignore=["load"])
        def read_page(group: str, padded: str, load: Callable[[], Page]) -> Page:  # noqa: ARG001 - they are in the key
            return load()

        self._read_page = read_page

    def read(self, group: str, number: int, load: Callable[[], Page]) -> Page:
        """See Peer."""
        return self._read_page(group, f"{number:08d}", load)


class AsyncUnstale(Unstale):
    """`get_or_set` on asyncio."""

    name = "unstale AsyncCache"
    is_async = True

    async def open(self) -> None:
        """See Peer."""
        url = self.server.url(self.database)
        self._async = AsyncCache.from_url(url, namespace=fill.NAMESPACE, ttl=TTL, timeout=TIMEOUT)

    async def close(self) -> None:
        """See Peer."""
        await self._async.close()

    async def read(self, group: str, number: int, load: Load) -> Page:
        """See Peer."""
        return await self._async.get_or_set(self.key(group, number), load, tags=(self.tag(group),))

    async def invalidate(self, group: str) -> object:
        """See Peer."""
        return await self._async.invalidate(self.tag(group))


class AsyncUnstaleGetSet(AsyncUnstale):
    """`get`, then `set`, on asyncio, in one request."""

    name = "unstale AsyncCache: get, set"
    source = "README, What is promised: remembering()"

    async def read(self, group: str, number: int, load: Load) -> Page:
        """See Peer."""
        key, tags = self.key(group, number), (self.tag(group),)
        with remembering():
            value: Page | None = await self._async.get(key, tags=tags)
            if value is None:
                value = await load()
                await self._async.set(key, value, tags=tags)
            return value


class AsyncUnstaleCached(AsyncUnstale):
    """The decorator on asyncio."""

    name = "unstale AsyncCache: @cached"
    source = "AsyncCache.cached"

    async def open(self) -> None:
        """See Peer."""
        await super().open()

        @self._async.cached(key="page:{group}:{padded}", tags=["user:{group}/pages"], ignore=["load"])
        async def read_page(group: str, padded: str, load: Load) -> Page:  # noqa: ARG001 - they are in the key
            return await load()

        self._read_page = read_page

    async def read(self, group: str, number: int, load: Load) -> Page:
        """See Peer."""
        return await self._read_page(group, f"{number:08d}", load)


WAYS: Final[tuple[type[Peer], ...]] = (
    Unstale,
    UnstaleGetSet,
    UnstaleCached,
    AsyncUnstale,
    AsyncUnstaleGetSet,
    AsyncUnstaleCached,
)
