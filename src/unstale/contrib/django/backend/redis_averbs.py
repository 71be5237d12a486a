"""The asynchronous twins of `redis_verbs`, for entries. No verb hops to a thread.

Structures have no asynchronous verbs, in django-redis as here; so these times to live are of entries only.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT

from unstale.contrib.django import transactions
from unstale.contrib.django.backend.made_keys import from_key
from unstale.contrib.django.backend.redis_verbs import RedisUsersCache, removed, whole


class AsyncRedisUsersCache(RedisUsersCache):
    """The verbs of django-redis, both kinds."""

    async def adelete_pattern(
        self, pattern: str, version: int | None = None, prefix: str | None = None, itersize: int | None = None
    ) -> int:
        """Make every key that matches a pattern absent. See `delete_pattern`."""
        tags = self._declared(pattern, prefix)
        if tags is not None:
            names = tuple(self.tag(name, version) for name in tags)
            return removed(await transactions.ainvalidate(self._engine, names))
        glob, count = self.make_pattern(pattern, version, prefix), itersize or self._engine.options.scan_count
        return await self._engine.async_cache.delete_matching(glob, count=count)

    async def aiter_keys(
        self, search: str, itersize: int | None = None, version: int | None = None
    ) -> AsyncIterator[str]:
        """Go through the keys that match a glob and have a fresh entry. See `iter_keys`."""
        count = itersize or self._engine.options.scan_count
        async for key in self._engine.async_cache.iter_keys(self.make_pattern(search, version), count=count):
            yield self._engine.options.reverse_key(from_key(key))

    async def akeys(self, search: str, version: int | None = None) -> list[str]:
        """The same as a list."""
        return [key async for key in self.aiter_keys(search, version=version)]

    async def _aleft(self, key: Any, version: int | None) -> float:
        plan = self._plan_of(key, version)
        if plan.tags is None:
            return 0.0
        return await self._engine.async_cache.ttl(plan.key, tags=plan.tags) or 0.0

    async def attl(self, key: Any, version: int | None = None) -> int | None:
        """Whole seconds left. See `ttl`."""
        return whole(await self._aleft(key, version))

    async def apttl(self, key: Any, version: int | None = None) -> int | None:
        """Milliseconds left. See `pttl`."""
        return whole(await self._aleft(key, version) * 1000)

    async def apersist(self, key: Any, version: int | None = None) -> bool:
        """Take the limit away; whether there was one."""
        if not 0 < await self._aleft(key, version) < float("inf"):
            return False
        return await self.atouch(key, None, version)

    async def aexpire(self, key: Any, timeout: Any, version: int | None = None) -> bool:
        """Give an entry a new limit in seconds (or a timedelta). See `expire`."""
        return await self.atouch(key, timeout, version)

    async def apexpire(self, key: Any, timeout: Any, version: int | None = None) -> bool:
        """The same in milliseconds."""
        is_whole = timeout is DEFAULT_TIMEOUT or isinstance(timeout, timedelta)
        return await self.atouch(key, timeout if is_whole else timeout / 1000, version)

    async def aexpire_at(self, key: Any, when: Any, version: int | None = None) -> bool:
        """Give an entry a limit at a point in time. See `expire_at`."""
        at = when.timestamp() if isinstance(when, datetime) else when
        return await self.atouch(key, at - time.time(), version)

    async def apexpire_at(self, key: Any, when: Any, version: int | None = None) -> bool:
        """The same in milliseconds since 1970."""
        at = when.timestamp() if isinstance(when, datetime) else when / 1000
        return await self.atouch(key, at - time.time(), version)
