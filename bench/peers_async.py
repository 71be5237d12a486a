"""The libraries that are awaited, each set up as its own documentation recommends. See `peers_sync`."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, ClassVar, Final

import aiocache
import cashews
import glide
from aiocache.serializers import PickleSerializer
from fastapi_cache import FastAPICache
from fastapi_cache.backends.redis import RedisBackend
from fastapi_cache.decorator import cache as fastapi_cached
from redis import asyncio as aioredis

from bench.peers_base import TTL, Page, Peer, encoded, tag_set

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Load = Callable[[], Awaitable[Page]]


class Cashews(Peer):
    """cashews with tags."""

    name = "cashews"
    how = "delete_tags(tag)"
    # "Cashews provide the tag system: you can tag cache keys, so they will be stored in a separate SET to avoid high
    # load on redis storage." Its `secret`, which signs values, is left out in its favour: unsigned is faster.
    source = "cashews README: Cache invalidation"
    is_async = True
    options: ClassVar[dict[str, Any]] = {}
    prefix = ""
    lock = False

    async def open(self) -> None:
        """See Peer."""
        self._cache = cashews.Cache()
        self._cache.setup(self.server.url(self.database), **self.options)
        await self._cache.ping()

        @self._cache(ttl=TTL, key="page:{group}:{number}", tags=["group:{group}"], lock=self.lock)
        async def read_page(group: str, number: int, load: Load) -> Page:  # noqa: ARG001 - they are in the key
            return await load()

        self._read_page = read_page

    async def close(self) -> None:
        """See Peer."""
        await self._cache.close()

    async def read(self, group: str, number: int, load: Load) -> Page:
        """See Peer."""
        value: Page = await self._read_page(group, number, load)
        return value

    async def invalidate(self, group: str) -> object:
        """See Peer."""
        return await self._cache.delete_tags(f"group:{group}")

    def entry(self, group: str, number: int) -> str:
        """See Peer."""
        return f"{self.prefix}page:{group}:{number}"

    def beside(self, group: str, numbers: Sequence[int]) -> Iterable[tuple[Any, ...]]:
        """See Peer. The set holds names without the prefix."""
        return tag_set(f"_tag:group:{group}", [f"page:{group}:{number}" for number in numbers])


class CashewsClientSide(Cashews):
    """cashews with tags and its client-side cache: hits are served from this process's memory."""

    name = "cashews client_side"
    how = "delete_tags(tag); the server tells the clients"
    # "To use the tags in a more efficient way please use it with the client side feature."
    source = "cashews README: Cache invalidation, Redis"
    remark = "Hits come from the process's memory."
    is_local = True
    options: ClassVar[dict[str, Any]] = {"client_side": True}
    prefix = "cashews:"


class CashewsLock(Cashews):
    """cashews with tags, one load at a time."""

    name = "cashews lock=True"
    source = "cashews README: Locked"
    lock = True


class Aiocache(Peer):
    """aiocache's decorator, a namespace for each group."""

    name = "aiocache"
    how = "clear(namespace)"
    # README: @cached(ttl=10, cache=Cache.REDIS, key="key", serializer=PickleSerializer(), port=6379, namespace="main"):
    # "With this we can store python objects in backends like Redis!"
    source = "aiocache README: Usage; BaseCache.clear"
    remark = "It asks for all KEYS of the namespace, which walks the whole keyspace, then deletes them in one command."
    is_async = True

    decorator: ClassVar[Any] = aiocache.cached

    async def open(self) -> None:
        """See Peer."""
        self._options = {"endpoint": "127.0.0.1", "port": self.server.port, "db": self.database}
        self._cache = aiocache.Cache(aiocache.Cache.REDIS, serializer=PickleSerializer(), **self._options)
        self._readers: dict[str, Callable[..., Awaitable[Page]]] = {}

    def _reader(self, group: str) -> Callable[..., Awaitable[Page]]:
        if group not in self._readers:

            async def read_page(_number: int, load: Load) -> Page:
                return await load()

            cached = self.decorator(
                ttl=TTL,
                cache=aiocache.Cache.REDIS,
                key_builder=lambda _function, number, _load: f"page:{number}",
                serializer=PickleSerializer(),
                namespace=group,
                **self._options,
            )
            self._readers[group] = cached(read_page)
        return self._readers[group]

    async def close(self) -> None:
        """See Peer."""
        for reader in self._readers.values():
            await reader.cache.close()  # type: ignore[attr-defined]
        await self._cache.close()

    async def read(self, group: str, number: int, load: Load) -> Page:
        """See Peer."""
        return await self._reader(group)(number, load)

    async def invalidate(self, group: str) -> object:
        """See Peer."""
        return await self._cache.clear(namespace=group)

    def entry(self, group: str, number: int) -> str:
        """See Peer."""
        return f"{group}:page:{number}"


class AiocacheStampede(Aiocache):
    """aiocache's decorator with its RedLock, one load at a time."""

    name = "aiocache cached_stampede"
    source = "aiocache: cached_stampede"
    decorator: ClassVar[Any] = aiocache.cached_stampede


def fastapi_key(
    func: Callable[..., Any],  # noqa: ARG001 - the library passes these by name
    namespace: str = "",
    *,
    request: object = None,  # noqa: ARG001
    response: object = None,  # noqa: ARG001
    args: tuple[Any, ...],
    kwargs: dict[str, Any],  # noqa: ARG001
) -> str:
    """A key builder of our own: the default one would hash the loader's address, too."""
    return f"{namespace}:{args[0]}"


class FastapiCache(Peer):
    """fastapi-cache2's decorator on a plain function, a namespace for each group."""

    name = "fastapi-cache2"
    how = "FastAPICache.clear(namespace)"
    # README, Quick Start: FastAPICache.init(RedisBackend(redis), prefix="fastapi-cache"); "You can also use the @cache
    # decorator on regular functions"; JsonCoder by default.
    source = "fastapi-cache2 README: Quick Start, Custom key builder; FastAPICache.clear"
    remark = "It walks the whole keyspace (KEYS) and deletes key by key, in one script: the server does nothing else."
    is_async = True

    async def open(self) -> None:
        """See Peer."""
        self._redis = aioredis.from_url(self.server.url(self.database))
        FastAPICache.reset()
        FastAPICache.init(RedisBackend(self._redis), prefix="fastapi-cache", key_builder=fastapi_key)
        self._readers: dict[str, Callable[..., Awaitable[Any]]] = {}

    def _reader(self, group: str) -> Callable[..., Awaitable[Any]]:
        if group not in self._readers:

            @fastapi_cached(expire=TTL, namespace=group)
            async def read_page(_number: int, load: Load) -> dict:  # type: ignore[type-arg] # it is told at run time
                return await load()

            self._readers[group] = read_page
        return self._readers[group]

    async def close(self) -> None:
        """See Peer."""
        await self._redis.aclose()
        FastAPICache.reset()

    async def read(self, group: str, number: int, load: Load) -> Page:
        """See Peer."""
        value: Page = await self._reader(group)(number, load)
        return value

    async def invalidate(self, group: str) -> object:
        """See Peer."""
        return await FastAPICache.clear(namespace=group)

    def entry(self, group: str, number: int) -> str:
        """See Peer."""
        return f"fastapi-cache:{group}:{number}"


class Glide(Peer):
    """valkey-glide on asyncio: GET, SET EX; the keys of a group are in a set."""

    name = "valkey-glide"
    how = "tag set: SMEMBERS, UNLINK"
    # As `peers_sync.GlideSync`. Its client-side cache is optional; without server_assisted it does not even hear of
    # deletes ("Server-side key changes are not propagated to the cache").
    source = "valkey-glide on PyPI: Async Standalone Mode"
    remark = "Its CPU is that of all threads of the process: it works in threads of its own."
    is_async = True

    async def open(self) -> None:
        """See Peer."""
        addresses = [glide.NodeAddress("127.0.0.1", self.server.port)]
        config = glide.GlideClientConfiguration(addresses, request_timeout=10_000, database_id=self.database)
        self._client = await glide.GlideClient.create(config)
        self._life = glide.ExpirySet(glide.ExpiryType.SEC, TTL)

    async def close(self) -> None:
        """See Peer."""
        await self._client.close()

    async def read(self, group: str, number: int, load: Load) -> Page:
        """See Peer."""
        key = self.entry(group, number)
        stored = await self._client.get(key)
        if stored is not None:
            found: Page = json.loads(stored)
            return found
        value = await load()
        batch = glide.Batch(is_atomic=False).set(key, encoded(value), expiry=self._life)
        await self._client.exec(batch.sadd(f"tag:{group}", [key]), raise_on_error=True)
        return value

    async def invalidate(self, group: str) -> object:
        """See Peer."""
        tag = f"tag:{group}"
        return await self._client.unlink([tag, *await self._client.smembers(tag)])

    def entry(self, group: str, number: int) -> str:
        """See Peer."""
        return f"page:{group}:{number}"

    def beside(self, group: str, numbers: Sequence[int]) -> Iterable[tuple[Any, ...]]:
        """See Peer."""
        return tag_set(f"tag:{group}", [self.entry(group, number) for number in numbers])


PEERS: Final[tuple[type[Peer], ...]] = (Cashews, CashewsClientSide, Aiocache, FastapiCache, Glide)
RACERS: Final[tuple[type[Peer], ...]] = (CashewsLock, AiocacheStampede)
"""Those that only race: their locks are for another problem."""
