"""django-redis's verbs for sorted sets. See `structures`, where the rules are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from unstale.contrib.django.backend.members import UNREADABLE
from unstale.contrib.django.backend.structures import StructuresCache

if TYPE_CHECKING:
    from redis import Redis


class SortedSetsCache(StructuresCache):
    """The verbs of sorted sets, with django-redis's arguments and answers."""

    def zadd(  # noqa: PLR0913, PLR0917 - django-redis's
        self,
        key: Any,
        mapping: Mapping[Any, float],
        nx: bool = False,  # noqa: FBT001, FBT002 - django-redis's
        xx: bool = False,  # noqa: FBT001, FBT002
        ch: bool = False,  # noqa: FBT001, FBT002
        incr: bool = False,  # noqa: FBT001, FBT002
        gt: bool = False,  # noqa: FBT001, FBT002
        lt: bool = False,  # noqa: FBT001, FBT002
        version: int | None = None,
        client: Redis | None = None,
    ) -> Any:
        """Add members with scores; how many are new (`ch`: or changed; `incr`: the new score)."""
        encoded = dict(zip(self._encoded(mapping, ranked=True), mapping.values(), strict=True))
        how = {"nx": nx, "xx": xx, "ch": ch, "incr": incr, "gt": gt, "lt": lt}
        return self._write(self._name(key, version), "zadd", encoded, client=client, **how)

    def zcard(self, key: Any, version: int | None = None, client: Redis | None = None) -> int:
        """How many members there are."""
        return int(self._redis(client).zcard(self._name(key, version)))

    def zcount(
        self,
        key: Any,
        min: float | str,  # noqa: A002 - django-redis's
        max: float | str,  # noqa: A002
        version: int | None = None,
        client: Redis | None = None,
    ) -> int:
        """How many members have a score from `min` to `max`."""
        return int(self._redis(client).zcount(self._name(key, version), min, max))

    def zincrby(
        self, key: Any, amount: float, value: Any, version: int | None = None, client: Redis | None = None
    ) -> Any:
        """Add to a member's score; the new score."""
        return self._write(
            self._name(key, version), "zincrby", amount, *self._encoded([value], ranked=True), client=client
        )

    def zpopmax(
        self, key: Any, count: int | None = None, version: int | None = None, client: Redis | None = None
    ) -> Any:
        """Remove the member with the highest score, and give both; with `count` a list of such pairs."""
        return self._popped(self._redis(client).zpopmax(self._name(key, version), count), count)

    def zpopmin(
        self, key: Any, count: int | None = None, version: int | None = None, client: Redis | None = None
    ) -> Any:
        """Remove the member with the lowest score, and give both; with `count` a list of such pairs."""
        return self._popped(self._redis(client).zpopmin(self._name(key, version), count), count)

    def _popped(self, found: Sequence[tuple[bytes, Any]], count: int | None) -> Any:
        pairs = self._ranked(found, withscores=True)
        return next(iter(pairs), None) if count is None else pairs

    def _ranked(self, found: Sequence[Any], *, withscores: bool) -> list[Any]:
        """Members that can be read, or pairs of member and score."""
        if not withscores:
            return self._read(found)
        decode = self._engine.redis.members.decode
        return [(member, score) for each, score in found if (member := decode(each)) is not UNREADABLE]

    def zrange(  # noqa: PLR0913, PLR0917 - django-redis's
        self,
        key: Any,
        start: int,
        end: int,
        desc: bool = False,  # noqa: FBT001, FBT002 - django-redis's
        withscores: bool = False,  # noqa: FBT001, FBT002
        score_cast_func: Callable[[Any], Any] = float,
        version: int | None = None,
        client: Redis | None = None,
    ) -> list[Any]:
        """The members from one rank to another."""
        how: dict[str, Any] = {"withscores": withscores, "score_cast_func": score_cast_func}
        found = self._redis(client).zrange(self._name(key, version), start, end, desc=desc, **how)
        return self._ranked(found, withscores=withscores)

    def zrangebyscore(  # noqa: PLR0913, PLR0917 - django-redis's
        self,
        key: Any,
        min: float | str,  # noqa: A002 - django-redis's
        max: float | str,  # noqa: A002
        start: int | None = None,
        num: int | None = None,
        withscores: bool = False,  # noqa: FBT001, FBT002
        score_cast_func: Callable[[Any], Any] = float,
        version: int | None = None,
        client: Redis | None = None,
    ) -> list[Any]:
        """The members with a score from `min` to `max`, lowest first."""
        how: dict[str, Any] = {"start": start, "num": num, "withscores": withscores, "score_cast_func": score_cast_func}
        found = self._redis(client).zrangebyscore(self._name(key, version), min, max, **how)
        return self._ranked(found, withscores=withscores)

    def zrevrange(  # noqa: PLR0913, PLR0917 - django-redis's
        self,
        key: Any,
        start: int,
        end: int,
        withscores: bool = False,  # noqa: FBT001, FBT002 - django-redis's
        score_cast_func: Callable[[Any], Any] = float,
        version: int | None = None,
        client: Redis | None = None,
    ) -> list[Any]:
        """The members from one rank to another, highest first."""
        how: dict[str, Any] = {"withscores": withscores, "score_cast_func": score_cast_func}
        found = self._redis(client).zrevrange(self._name(key, version), start, end, **how)
        return self._ranked(found, withscores=withscores)

    def zrevrangebyscore(  # noqa: PLR0913, PLR0917 - django-redis's
        self,
        key: Any,
        max: float | str,  # noqa: A002 - django-redis's
        min: float | str,  # noqa: A002
        start: int | None = None,
        num: int | None = None,
        withscores: bool = False,  # noqa: FBT001, FBT002
        score_cast_func: Callable[[Any], Any] = float,
        version: int | None = None,
        client: Redis | None = None,
    ) -> list[Any]:
        """The members with a score from `max` down to `min`."""
        how: dict[str, Any] = {"start": start, "num": num, "withscores": withscores, "score_cast_func": score_cast_func}
        found = self._redis(client).zrevrangebyscore(self._name(key, version), max, min, **how)
        return self._ranked(found, withscores=withscores)

    def zrank(
        self,
        key: Any,
        value: Any,
        withscore: bool = False,  # noqa: FBT001, FBT002 - django-redis's
        version: int | None = None,
        client: Redis | None = None,
    ) -> Any:
        """A member's rank, from the lowest score; None where it is no member."""
        return self._redis(client).zrank(
            self._name(key, version), *self._encoded([value], ranked=True), withscore=withscore
        )

    def zrem(self, key: Any, *values: Any, version: int | None = None, client: Redis | None = None) -> int:
        """Remove members; how many were there."""
        return int(self._redis(client).zrem(self._name(key, version), *self._encoded(values, ranked=True)))

    def zremrangebyscore(
        self,
        key: Any,
        min: float | str,  # noqa: A002 - django-redis's
        max: float | str,  # noqa: A002
        version: int | None = None,
        client: Redis | None = None,
    ) -> int:
        """Remove the members with a score from `min` to `max`; how many."""
        return int(self._redis(client).zremrangebyscore(self._name(key, version), min, max))

    def zscore(self, key: Any, value: Any, version: int | None = None, client: Redis | None = None) -> float | None:
        """A member's score; None where it is no member."""
        found: float | None = self._redis(client).zscore(self._name(key, version), *self._encoded([value], ranked=True))
        return found
