"""django-redis's verbs for hashes, sets and sorted sets. They are data of the project's own, not entries of a cache.

A structure stands under the very name that an entry of its key would have: as in Redis itself, a key holds a value or a
structure, and `set` and `delete` put an end to either. No stamp covers it, so no tag makes it stale. `clear()` removes
the structures of this cache, and no others: their names are kept in a set beside them.

Members and values: integers as digits, plain text, bytes and floats as MessagePack, the rest by the cache's codec,
signed, and verified before it is opened. Equal members are encoded equally. What cannot be read is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from unstale.contrib.django.backend.asynchronous import BothCache
from unstale.contrib.django.backend.members import UNREADABLE
from unstale.core.globs import regex_of

if TYPE_CHECKING:
    from redis import Redis


class StructuresCache(BothCache):
    """The verbs of hashes, sets and sorted sets, with django-redis's arguments and answers.

    Each takes `version`, of the key, and `client`, a client of redis-py's to use in place of the cache's own. Each
    raises what redis-py raises.
    """

    def _redis(self, client: Redis | None = None) -> Any:
        return self._engine.redis.client if client is None else client

    def _name(self, key: Any, version: int | None) -> bytes:
        """What a key's structure is called in Redis."""
        plan = self._plan_of(key, version)
        return self._engine.redis.name_of(plan.key, plan.tags)

    def _names(self, keys: Iterable[Any], version: int | None) -> list[bytes]:
        return [self._name(key, version) for key in keys]

    def _encoded(self, values: Iterable[Any], *, ranked: bool = False) -> list[Any]:
        return [self._engine.redis.members.encode(value, ranked=ranked) for value in values]

    def _read(self, found: Iterable[Any]) -> list[Any]:
        """Members that can be read."""
        values = map(self._engine.redis.members.decode, found)
        return [value for value in values if value is not UNREADABLE]

    def _one(self, found: Any) -> Any:
        return None if found is None else next(iter(self._read([found])), None)

    def _write(self, name: bytes, verb: str, *arguments: Any, client: Redis | None = None, **options: Any) -> Any:
        """A command that may make a structure."""
        return self._engine.redis.write(self._redis(client), name, verb, *arguments, **options)

    # Hashes

    def hset(
        self,
        key: Any,
        field: Any = None,
        value: Any = None,
        mapping: Mapping[Any, Any] | None = None,
        version: int | None = None,
        client: Redis | None = None,
    ) -> int:
        """Set fields of a hash; how many are new."""
        encode = self._engine.redis.members.encode
        return int(
            self._write(
                self._name(key, version),
                "hset",
                key=field,
                value=None if value is None else encode(value),
                mapping=None if mapping is None else {name: encode(each) for name, each in mapping.items()},
                client=client,
            )
        )

    def hdel(self, key: Any, field: Any, version: int | None = None, client: Redis | None = None) -> int:
        """Remove a field; how many were there."""
        return int(self._redis(client).hdel(self._name(key, version), field))

    def hlen(self, key: Any, version: int | None = None, client: Redis | None = None) -> int:
        """How many fields there are."""
        return int(self._redis(client).hlen(self._name(key, version)))

    def hkeys(self, key: Any, version: int | None = None, client: Redis | None = None) -> list[str]:
        """The fields' names."""
        return [name.decode() for name in self._redis(client).hkeys(self._name(key, version))]

    def hexists(self, key: Any, field: Any, version: int | None = None, client: Redis | None = None) -> bool:
        """Whether there is such a field."""
        return bool(self._redis(client).hexists(self._name(key, version), field))

    # Sets

    def sadd(self, key: Any, *values: Any, version: int | None = None, client: Redis | None = None) -> int:
        """Add members; how many are new."""
        return int(self._write(self._name(key, version), "sadd", *self._encoded(values), client=client))

    def scard(self, key: Any, version: int | None = None, client: Redis | None = None) -> int:
        """How many members there are."""
        return int(self._redis(client).scard(self._name(key, version)))

    def sdiff(self, *keys: Any, version: int | None = None, client: Redis | None = None) -> set[Any]:
        """The members of the first set that are in no other."""
        return set(self._read(self._redis(client).sdiff(*self._names(keys, version))))

    def sdiffstore(
        self,
        dest: Any,
        *keys: Any,
        version_dest: int | None = None,
        version_keys: int | None = None,
        client: Redis | None = None,
    ) -> int:
        """Store what `sdiff` gives; how many members that is."""
        names = self._names(keys, version_keys)
        return int(self._write(self._name(dest, version_dest), "sdiffstore", *names, client=client))

    def sinter(self, *keys: Any, version: int | None = None, client: Redis | None = None) -> set[Any]:
        """The members that are in all sets."""
        return set(self._read(self._redis(client).sinter(*self._names(keys, version))))

    def sinterstore(self, dest: Any, *keys: Any, version: int | None = None, client: Redis | None = None) -> int:
        """Store what `sinter` gives; how many members that is."""
        names = self._names(keys, version)
        return int(self._write(self._name(dest, version), "sinterstore", *names, client=client))

    def smismember(
        self, key: Any, *members: Any, version: int | None = None, client: Redis | None = None
    ) -> list[bool]:
        """For each, whether it is a member."""
        found = self._redis(client).smismember(self._name(key, version), *self._encoded(members))
        return [bool(each) for each in found]

    def sismember(self, key: Any, member: Any, version: int | None = None, client: Redis | None = None) -> bool:
        """Whether it is a member."""
        return bool(self._redis(client).sismember(self._name(key, version), *self._encoded([member])))

    def smembers(self, key: Any, version: int | None = None, client: Redis | None = None) -> set[Any]:
        """All members."""
        return set(self._read(self._redis(client).smembers(self._name(key, version))))

    def smove(
        self, source: Any, destination: Any, member: Any, version: int | None = None, client: Redis | None = None
    ) -> bool:
        """Move a member; whether it was there. `version` is the source's, as in django-redis."""
        target, [encoded] = self._name(destination, None), self._encoded([member])
        self._engine.redis.note(self._redis(client), target)
        return bool(self._redis(client).smove(self._name(source, version), target, encoded))

    def spop(self, key: Any, count: int | None = None, version: int | None = None, client: Redis | None = None) -> Any:
        """Remove a member chosen at random, and give it; with `count` a set of them."""
        found = self._redis(client).spop(self._name(key, version), count)
        return self._one(found) if count is None else set(self._read(found))

    def srandmember(
        self, key: Any, count: int | None = None, version: int | None = None, client: Redis | None = None
    ) -> Any:
        """A member chosen at random; with `count` a list of them."""
        found = self._redis(client).srandmember(self._name(key, version), count)
        return self._one(found) if count is None else self._read(found)

    def srem(self, key: Any, *members: Any, version: int | None = None, client: Redis | None = None) -> int:
        """Remove members; how many were there."""
        return int(self._redis(client).srem(self._name(key, version), *self._encoded(members)))

    def sscan(
        self,
        key: Any,
        match: str | None = None,
        count: int | None = 10,
        version: int | None = None,
        client: Redis | None = None,
    ) -> set[Any]:
        """The members that one SSCAN gives. `match` is a glob for the members that are text."""
        _, found = self._redis(client).sscan(self._name(key, version), count=count)
        return set(self._matching(found, match))

    def sscan_iter(
        self,
        key: Any,
        match: str | None = None,
        count: int | None = 10,
        version: int | None = None,
        client: Redis | None = None,
    ) -> Iterator[Any]:
        """Go through the members, `count` at a time. See `sscan`."""
        yield from self._matching(self._redis(client).sscan_iter(self._name(key, version), count=count), match)

    def _matching(self, found: Iterable[bytes], match: str | None) -> Iterator[Any]:
        """Members whose text matches a glob. The server could not tell: it sees how they are encoded."""
        regex = None if match is None else regex_of(match)
        for encoded in found:
            for member in self._read([encoded]):
                if regex is None or (isinstance(member, str) and regex.fullmatch(member.encode())):
                    yield member

    def sunion(self, *keys: Any, version: int | None = None, client: Redis | None = None) -> set[Any]:
        """The members of any of the sets."""
        return set(self._read(self._redis(client).sunion(*self._names(keys, version))))

    def sunionstore(self, destination: Any, *keys: Any, version: int | None = None, client: Redis | None = None) -> int:
        """Store what `sunion` gives; how many members that is."""
        names = self._names(keys, version)
        return int(self._write(self._name(destination, version), "sunionstore", *names, client=client))
