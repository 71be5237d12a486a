"""`UnstaleCache`: Django's cache API over the core's AsyncCache, asynchronous half. No verb hops to a thread.

In asynchronous code Django opens no transaction, so nothing here waits for one: `transactions.ainvalidate` says what of
an outbox is done in a thread. Values, keys, errors and results are those of the synchronous half.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.core.cache.backends.base import DEFAULT_TIMEOUT

from unstale.aio import AsyncCache
from unstale.contrib.django import transactions
from unstale.contrib.django.backend.engine import ROOT_TAGS, Plan, to_remove
from unstale.contrib.django.backend.sync import MISSING, SyncCache, reraise
from unstale.errors import AbsentError, EncodeError, StoreError


class BothCache(SyncCache):
    """The verbs of both kinds."""

    @property
    def async_core(self) -> AsyncCache:
        """The core's cache for asyncio: see `core`."""
        return self._engine.async_cache

    async def aget(self, key: Any, default: Any = None, version: int | None = None, *, tags: Sequence[str] = ()) -> Any:
        """Read a fresh value. See `get`."""
        plan = self._plan_of(key, version)
        names = self._tags(plan, tags, version) if tags else plan.tags
        if names is None:
            return default
        cache = self._engine.async_cache
        value = await cache.get(plan.key, MISSING, tags=names)
        if value is not MISSING:
            return value
        role = plan.role
        if role.page_key and role.page_tags is not None:
            await cache.observe(role.page_key, tags=self._engine.page_tags(role.page_key, role.page_tags))
        return default

    async def aget_many(self, keys: Iterable[Any], version: int | None = None) -> dict[Any, Any]:
        """Read many keys in one trip. See `get_many`."""
        plans = {key: self._plan_of(key, version) for key in keys}
        tags = {plan.key: plan.tags for plan in plans.values() if plan.tags is not None}
        return self._by_given(plans, await self._engine.async_cache.get_many(tags, tags=tags.__getitem__))

    async def ahas_key(self, key: Any, version: int | None = None) -> bool:
        """Whether there is a fresh entry."""
        plan = self._plan_of(key, version)
        if plan.tags is None:
            return False
        return await self._engine.async_cache.has_key(plan.key, tags=plan.tags)

    async def aget_or_set(
        self,
        key: Any,
        default: Any,
        timeout: Any = DEFAULT_TIMEOUT,
        version: int | None = None,
        *,
        tags: Sequence[str] = (),
    ) -> Any:
        """Read a fresh value, or call `default` (what can be awaited is) and store that. See `get_or_set`."""
        plan = self._plan_of(key, version)
        names, ttl = self._tags(plan, tags, version), self._ttl(timeout)

        async def load() -> Any:
            value = default() if callable(default) else default
            return await value if inspect.isawaitable(value) else value

        if names is None or ttl == 0:
            value = await self.aget(key, MISSING, version, tags=tags)
            return await load() if value is MISSING else value
        try:
            return await self._engine.async_cache.get_or_set(plan.key, load, tags=names, ttl=ttl)
        except EncodeError as error:
            reraise(error)

    async def aset(  # noqa: PLR0913 - as `set`
        self,
        key: Any,
        value: Any,
        timeout: Any = DEFAULT_TIMEOUT,
        version: int | None = None,
        *,
        nx: bool = False,
        xx: bool = False,
        tags: Sequence[str] = (),
    ) -> bool:
        """Store a value; whether it was stored. See `set`."""
        plan = self._plan_of(key, version)
        names, ttl = self._tags(plan, tags, version), self._ttl(timeout)
        try:
            if ttl == 0:
                if nx:
                    return not await self.ahas_key(key, version)
                return await self._engine.async_cache.delete(plan.key, tags=names or ())
            if names is None:
                return False
            return await self._astore(plan, names, value, ttl, nx=nx, xx=xx)
        except EncodeError as error:
            reraise(error)
        except StoreError:
            if not self._engine.options.ignore_exceptions:
                raise
            return False

    async def _astore(
        self, plan: Plan, names: tuple[str, ...], value: Any, ttl: float | None, *, nx: bool, xx: bool
    ) -> bool:
        cache, role = self._engine.async_cache, plan.role
        if nx:
            return await cache.add(plan.key, value, tags=names, ttl=ttl, computed=role.computed)
        if xx:
            return await cache.replace(plan.key, value, tags=names, ttl=ttl)
        if not role.looked_under or self._engine.has_looked(plan.key, names):
            return await cache.set(plan.key, value, tags=names, ttl=ttl, computed=role.computed)
        if await cache.set(plan.key, value, tags=names, ttl=ttl, looked_under=role.looked_under):
            return True
        self._engine.learn_page(role.looked_under, names)
        return False

    async def aadd(
        self,
        key: Any,
        value: Any,
        timeout: Any = DEFAULT_TIMEOUT,
        version: int | None = None,
        *,
        tags: Sequence[str] = (),
    ) -> bool:
        """Store a value only if there is no fresh entry; whether it was stored."""
        return await self.aset(key, value, timeout, version, nx=True, tags=tags)

    async def aset_many(
        self, data: Mapping[Any, Any], timeout: Any = DEFAULT_TIMEOUT, version: int | None = None
    ) -> list[Any]:
        """Store many values in one trip; the keys that were not stored."""
        plans = {key: self._plan_of(key, version) for key in data}
        ttl, cache = self._ttl(timeout), self._engine.async_cache
        try:
            if ttl == 0:
                gone = to_remove(plans.values())
                await cache.delete_many(gone, tags=gone.__getitem__)
                return []
            tags = {
                plan.key: plan.tags for plan in plans.values() if plan.tags is not None and not plan.role.looked_under
            }
            values = {plan.key: data[key] for key, plan in plans.items() if plan.key in tags}
            unstored = set(await cache.set_many(values, tags=tags.__getitem__, ttl=ttl)) if values else set()
        except EncodeError as error:
            reraise(error)
        except StoreError:
            if not self._engine.options.ignore_exceptions:
                raise
            return list(data)
        return [key for key, plan in plans.items() if plan.key not in tags or plan.key in unstored]

    async def atouch(self, key: Any, timeout: Any = DEFAULT_TIMEOUT, version: int | None = None) -> bool:
        """Give a fresh entry a new timeout; whether there was one."""
        plan = self._plan_of(key, version)
        ttl = self._ttl(timeout)
        if ttl == 0:
            return await self._engine.async_cache.delete(plan.key, tags=plan.tags or ())
        if plan.tags is None:
            return False
        try:
            return await self._engine.async_cache.touch(plan.key, ttl, tags=plan.tags)
        except StoreError:
            if not self._engine.options.ignore_exceptions:
                raise
            return False

    async def aincr(
        self, key: Any, delta: int = 1, version: int | None = None, *, ignore_key_check: bool = False
    ) -> int:
        """Add to an integer. See `incr`."""
        plan = self._plan_of(key, version)
        initial = 0 if ignore_key_check else None
        if plan.tags is None:
            raise ValueError(f"Key {key!r} not found")
        try:
            return await self._engine.async_cache.incr(plan.key, delta, initial=initial, tags=plan.tags, ttl=None)
        except AbsentError:
            raise ValueError(f"Key {key!r} not found") from None

    async def adecr(self, key: Any, delta: int = 1, version: int | None = None, **options: Any) -> int:
        """Subtract; see `incr`."""
        return await self.aincr(key, -delta, version, **options)

    async def aincr_version(self, key: Any, delta: int = 1, version: int | None = None) -> int:
        """Move a value to another version of its key, with its timeout; the new version. Raises ValueError."""
        version = self.version if version is None else version
        plan = self._plan_of(key, version)
        value = await self.aget(key, MISSING, version)
        left = await self._engine.async_cache.ttl(plan.key, tags=plan.tags or ())
        if value is MISSING or left is None:
            raise ValueError(f"Key {key!r} not found")
        await self.aset(key, value, None if left == float("inf") else left, version + delta)
        await self.adelete(key, version)
        return version + delta

    async def adelete(self, key: Any, version: int | None = None) -> bool:
        """Remove an entry; whether a fresh one was there."""
        plan = self._plan_of(key, version)
        return await self._engine.async_cache.delete(plan.key, tags=plan.tags or ())

    async def adelete_many(self, keys: Iterable[Any], version: int | None = None) -> int | None:
        """Remove entries in one trip; how many there were."""
        gone = to_remove(self._plan_of(key, version) for key in keys)
        return await self._engine.async_cache.delete_many(gone, tags=gone.__getitem__) if gone else None

    async def aclear(self) -> bool:
        """Make every entry of this cache stale. See `clear`."""
        await transactions.ainvalidate(self._engine, ROOT_TAGS)
        self._engine.lapse()
        return True

    async def ainvalidate(self, *tags: str, version: int | None = None, soft: bool = False) -> transactions.Result:
        """Make every entry that carries one of these tags stale, at once. See `invalidate`.

        Called through `async_to_sync` inside `atomic()` it does not see the transaction: call `invalidate` there.
        """
        names = tuple(self.tag(name, version) for name in tags)
        return await transactions.ainvalidate(self._engine, names, soft=soft)

    async def aclose(self, **_: Any) -> None:
        """At a request's end. Connections are the process's: nothing is closed."""
