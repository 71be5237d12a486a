"""The libraries that are called without a loop, each set up as its own documentation recommends.

A comment says where that stands. What a library leaves open is chosen in its favour.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import glide_sync
from dogpile.cache import make_region

from bench.django_site import cache_at
from bench.peers_base import TTL, Page, Peer, encoded, tag_set

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

SCAN_ITERSIZE: Final = 100_000


class DjangoRedis(Peer):
    """django-redis through Django's `get_or_set`."""

    name = "django-redis"
    how = "delete_pattern(…, itersize=100_000)"
    # "To achieve the best performance while deleting many keys, you should set DJANGO_REDIS_SCAN_ITERSIZE to a
    # relatively high number (e.g., 100_000) by default in Django settings or pass it directly to the delete_pattern."
    source = "django-redis README: Scan & Delete keys in bulk; Django docs: cache.get_or_set"
    remark = "It walks the whole keyspace for a pattern, whatever matches."

    def open(self) -> None:
        """See Peer."""
        self._cache = cache_at("django_redis.cache.RedisCache", self.server.url(self.database))

    def close(self) -> None:
        """See Peer."""
        self._cache.close()

    def read(self, group: str, number: int, load: Callable[[], Page]) -> Page:
        """See Peer."""
        value: Page = self._cache.get_or_set(f"{group}:{number}", load, TTL)
        return value

    def invalidate(self, group: str) -> object:
        """See Peer."""
        return self._cache.delete_pattern(f"{group}:*", itersize=SCAN_ITERSIZE)

    def entry(self, group: str, number: int) -> str:
        """See Peer."""
        return f":1:{group}:{number}"


class Dogpile(Peer):
    """dogpile.cache on Redis, with its distributed lock."""

    name = "dogpile.cache"
    how = "region.delete_multi(keys), which the program must know"
    # The docstring of dogpile.cache.backends.redis.RedisBackend: distributed_lock "when multiple processes will be
    # talking to the same redis instance", thread_local_lock False with it, redis_expiration_time "larger than dogpile's
    # cache expiration".
    source = "dogpile.cache: RedisBackend, CacheRegion.get_or_create, delete_multi"
    remark = "It has no groups: the program hands it the keys to delete, and must know them all."

    def open(self) -> None:
        """See Peer."""
        arguments: dict[str, Any] = {
            "host": "127.0.0.1",
            "port": self.server.port,
            "db": self.database,
            "redis_expiration_time": 2 * TTL,
            "distributed_lock": True,
            "thread_local_lock": False,
        }
        self._region = make_region().configure("dogpile.cache.redis", expiration_time=TTL, arguments=arguments)
        self._known: dict[str, list[str]] = {}

    def read(self, group: str, number: int, load: Callable[[], Page]) -> Page:
        """See Peer."""
        value: Page = self._region.get_or_create(self.entry(group, number), load)
        return value

    def invalidate(self, group: str) -> object:
        """See Peer."""
        return self._region.delete_multi(self._known.get(group) or [self.entry(group, 0)])

    def entry(self, group: str, number: int) -> str:
        """See Peer."""
        return f"{group}:{number}"

    def put(self, group: str, size: int) -> None:
        """See Peer."""
        super().put(group, size)
        self._known[group] = [self.entry(group, number) for number in range(size)]

    def seconds_left(self, group: str, number: int) -> float:
        """See Peer: dogpile's own expiration comes before Redis's."""
        return super().seconds_left(group, number) - TTL


class DogpileRegion(Dogpile):
    """dogpile.cache's `region.invalidate`, a region for each group."""

    name = "dogpile.cache region.invalidate"
    how = "region.invalidate(), which reaches this process only"
    source = "dogpile.cache: CacheRegion.invalidate"
    remark = (
        "It is local to a region object of one process: it sends nothing, and no other process learns of it. A "
        "strategy that tells others is left to the program. Its hits and fills are dogpile's own: see there."
    )

    def invalidate(self, group: str) -> object:  # noqa: ARG002 - a region is the group
        """See Peer."""
        return self._region.invalidate()


class GlideSync(Peer):
    """valkey-glide's synchronous client: GET, SET EX; the keys of a group are in a set."""

    name = "valkey-glide-sync"
    how = "tag set: SMEMBERS, UNLINK"
    # GlideClientConfiguration([NodeAddress(…)], request_timeout=500): "It is recommended to set a timeout for your
    # specific use case". Batch(is_atomic=False): its pipeline, one trip for several commands.
    source = "valkey-glide-sync on PyPI: Sync Standalone Mode"
    remark = "Its CPU is that of all threads of the process: it works in threads of its own."

    def open(self) -> None:
        """See Peer."""
        addresses = [glide_sync.NodeAddress("127.0.0.1", self.server.port)]
        config = glide_sync.GlideClientConfiguration(addresses, request_timeout=10_000, database_id=self.database)
        self._client = glide_sync.GlideClient.create(config)
        self._life = glide_sync.ExpirySet(glide_sync.ExpiryType.SEC, TTL)

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
        batch = glide_sync.Batch(is_atomic=False).set(key, encoded(value), expiry=self._life)
        self._client.exec(batch.sadd(f"tag:{group}", [key]), raise_on_error=True)
        return value

    def invalidate(self, group: str) -> object:
        """See Peer."""
        tag = f"tag:{group}"
        return self._client.unlink([tag, *self._client.smembers(tag)])

    def entry(self, group: str, number: int) -> str:
        """See Peer."""
        return f"page:{group}:{number}"

    def beside(self, group: str, numbers: Sequence[int]) -> Iterator[tuple[Any, ...]]:
        """See Peer."""
        return tag_set(f"tag:{group}", [self.entry(group, number) for number in numbers])


PEERS: Final[tuple[type[Peer], ...]] = (DjangoRedis, Dogpile, DogpileRegion, GlideSync)
RACERS: Final[tuple[type[Peer], ...]] = ()
"""Those that only race."""
