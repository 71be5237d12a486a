"""unstale's `AsyncCache`, for readers that are tasks of one event loop; writers use `Cache`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import ClassVar

from unstale.aio import AsyncCache
from unstale.tools.chaos.subject import Place, Value
from unstale.tools.chaos.subjects.caches import cache_options
from unstale.tools.chaos.subjects.naming import name_of, tags_of, valued


class AsyncCached:
    """`get_or_set` with the row's tag, awaited."""

    writer: ClassVar[str] = "unstale"

    def __init__(self, place: Place) -> None:
        """Make the cache; it connects when it is first used."""
        self.place = place
        self.cache = AsyncCache.from_url(place.url, **cache_options(place, {}))

    async def read(self, key: int, row: int, load: Callable[[], Awaitable[Value]]) -> Value:
        """See AsyncSubject."""
        return valued(await self.cache.get_or_set(name_of(key, row), load, tags=tags_of(self.place, key, row)))

    async def close(self) -> None:
        """See AsyncSubject."""
        await self.cache.close()
