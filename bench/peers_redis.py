"""redis-py by hand: GET, SET EX, and a set of keys for each group. Needs nothing but redis-py."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import redis
from redis.cache import CacheConfig
from redis.connection import CacheProxyConnection

from bench.peers_base import TTL, Page, Peer, encoded, tag_set

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


class RedisPy(Peer):
    """GET, SET EX; the keys of a group are in a set."""

    name = "redis-py"
    how = "tag set: SMEMBERS, UNLINK"
    # A pipeline sends several commands in one trip: redis-py's docs, Pipelines and transactions.
    source = "Redis docs: cache-aside; redis-py docs: Pipelines"

    def open(self) -> None:
        """See Peer."""
        self._client = redis.Redis(port=self.server.port, db=self.database)

    def close(self) -> None:
        """See Peer."""
        self._client.close()

    def read(self, group: str, number: int, load: Callable[[], Page]) -> Page:
        """See Peer."""
        key = self.entry(group, number)
        stored = self._client.get(key)
        if stored is not None:
            found: Page = json.loads(stored)
            return found
        value = load()
        with self._client.pipeline(transaction=False) as pipe:
            pipe.set(key, encoded(value), ex=TTL).sadd(f"tag:{group}", key).execute()
        return value

    def invalidate(self, group: str) -> object:
        """See Peer."""
        tag = f"tag:{group}"
        return self._client.unlink(tag, *self._client.smembers(tag))

    def entry(self, group: str, number: int) -> str:
        """See Peer."""
        return f"page:{group}:{number}"

    def beside(self, group: str, numbers: Sequence[int]) -> Iterable[tuple[Any, ...]]:
        """See Peer."""
        return tag_set(f"tag:{group}", [self.entry(group, number) for number in numbers])


class RedisPyTracking(RedisPy):
    """The same with redis-py's client-side cache: hits are served from this process's memory."""

    name = "redis-py client-side cache"
    how = "tag set: SMEMBERS, UNLINK; the server tells the clients"
    # r = Redis(protocol=3, cache_config=CacheConfig()): the release notes of redis-py 5.1, and its docs on RESP 3.
    source = "redis-py docs: RESP 3 features, Client-side caching"
    is_local = True
    remark = (
        "Hits come from the process's memory. redis-py refuses this cache on servers other than Redis 7.4 or later; "
        "that check is lifted here."
    )

    def open(self) -> None:
        """See Peer. What the check stands for, CLIENT TRACKING, is there since Redis 6, and in Valkey."""
        CacheProxyConnection.MIN_ALLOWED_VERSION = "6.0.0"
        CacheProxyConnection.DEFAULT_SERVER_NAME = self.server.version.partition(" ")[0].lower()
        options: dict[str, Any] = {"protocol": 3, "cache_config": CacheConfig()}
        self._client = redis.Redis(port=self.server.port, db=self.database, **options)
