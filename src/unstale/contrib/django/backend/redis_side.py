"""What of an engine is redis-py's: a client for the same server, structures and locks, under names of the same cache.

    shop:e:viewed     the set, hash or sorted set of key `viewed`: where its entry would be
    shop:k:import     the lock of key `import`
    shop:x            the names of all structures, for `clear`

A structure that expired leaves its name behind; writers tidy up now and then, a few names at a time.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import count, islice
from typing import TYPE_CHECKING, Any, Final

from redis.exceptions import RedisClusterException, RedisError

from unstale.contrib.django.backend.members import Members
from unstale.core.keys import ROOT_MARK, key_bytes
from unstale.stores.clients import async_client_for, client_for
from unstale.stores.proof import translated

if TYPE_CHECKING:
    from redis import Redis

    from unstale.contrib.django.migration.old_side import OldSide
    from unstale.core.keyspace import Keyspace
    from unstale.stores.options import StoreOptions

BATCH: Final = 500
TIDY_EVERY: Final = 64
"""Writes of this process."""
TIDY_NAMES: Final = 32
_TIDY: Final = """
local gone = 0
for _, name in ipairs(redis.call('SRANDMEMBER', KEYS[1], ARGV[1])) do
  if redis.call('EXISTS', name) == 0 then gone = gone + redis.call('SREM', KEYS[1], name) end
end
return gone
"""
"""A script, so that no structure can begin between the look and the removal of its name. On a cluster the names lie on
other nodes than their register, which no script can do: there they stay until `clear()`."""


class RedisSide:
    """redis-py's side of one cache."""

    def __init__(self, url: str, reaching: StoreOptions, space: Keyspace, old: OldSide | None = None) -> None:
        """Take what there is; nothing is connected.

        Args:
            url: the cache's.
            reaching: how to reach its server.
            space: its fixed parts.
            old: django-redis's side, while structures and locks are there still (`migrating`).
        """
        self._old = old
        self._url = url
        self._reaching = reaching
        self._names = space.names
        self._payloads = space.payloads
        self._lock = threading.Lock()
        self._client: Redis | None = None
        self._writes = count(1)
        self.register: bytes = f"{space.names.namespace}:x".encode()

    @property
    def client(self) -> Redis:
        """redis-py's client, one for the process.

        Raises:
            ConfigurationError: memory:// has no server.
        """
        if self._client is None:
            with self._lock:
                if self._client is None:
                    self._client = client_for(self._url, self._reaching)
        return self._client

    @cached_property
    def members(self) -> Members | OldSide:
        """How members are encoded."""
        return self._old or Members(self._payloads.codec, self._payloads.signer)

    def name_of(self, key: str, tags: tuple[str, ...] | None = ()) -> bytes:
        """The name of a key's structure: that of an entry with these tags, which on a cluster say where it lies."""
        if self._old is not None:
            return self._old.name_of(key).encode()
        return self._names.entry(key_bytes(key), self._names.tagset("", tags or ()).home)

    def lock_name(self, key: str) -> str:
        """The name of a key's lock."""
        return f"{self._names.namespace}:k:{key}" if self._old is None else self._old.name_of(key)

    def note(self, client: Any, name: bytes) -> None:
        """Keep the name of a structure that may begin."""
        if self._old is None:
            client.sadd(self.register, name)

    def write(self, client: Any, name: bytes, verb: str, *arguments: Any, **options: Any) -> Any:
        """A command that may make a structure; its name is kept, in the same trip."""
        if self._old is not None:
            return getattr(client, verb)(name, *arguments, **options)
        with client.pipeline(transaction=False) as pipe:
            pipe.sadd(self.register, name)
            getattr(pipe, verb)(name, *arguments, **options)
            if not self._names.clustered and next(self._writes) % TIDY_EVERY == 0:
                pipe.eval(_TIDY, 1, self.register, TIDY_NAMES)
            return pipe.execute()[1]

    def follow(self, tags: Sequence[str]) -> None:
        """After an invalidation: where it was of everything, the structures go.

        Raises:
            StoreError: some may be there still.
        """
        if not is_everything(tags):
            return
        try:
            for names in _batches(self.client.smembers(self.register)):
                self._remove(self.client.pipeline(transaction=False), names).execute()
        except (RedisError, RedisClusterException) as error:
            raise translated(error)  # noqa: B904 - it sets its cause itself

    async def afollow(self, tags: Sequence[str]) -> None:
        """The same for asyncio. Raises as `follow`."""
        if not is_everything(tags):
            return
        try:
            async with async_client_for(self._url, self._reaching) as client:
                for names in _batches(await client.smembers(self.register)):
                    await self._remove(client.pipeline(transaction=False), names).execute()
        except (RedisError, RedisClusterException) as error:
            raise translated(error)  # noqa: B904 - the same

    def _remove(self, pipe: Any, names: Sequence[bytes]) -> Any:
        """First the names, then the structures: one that begins between them is removed, and its name stays."""
        pipe.srem(self.register, *names)
        if self._names.clustered:
            for name in names:  # unlink() of redis-py's asyncio client of a cluster is a trip of its own, not a pipe's
                pipe.execute_command("UNLINK", name)
        else:
            pipe.unlink(*names)
        return pipe

    def close(self) -> None:
        """Close the client."""
        if self._client is not None:
            self._client.close()


def _batches(names: Iterable[Any]) -> Iterator[tuple[bytes, ...]]:
    left = iter(names)
    while batch := tuple(islice(left, BATCH)):
        yield batch


def is_everything(tags: Sequence[str]) -> bool:
    """Whether an invalidation's tags are the roots, which stand for every entry."""
    return bool(tags) and all(tag.startswith(ROOT_MARK) for tag in tags)
