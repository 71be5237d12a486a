"""A cache of either kind, used in the same words: what is awaited of an `AsyncCache` runs in a loop of its own."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any, Final

import uvloop

from unstale import AsyncCache, Cache

KINDS: Final[dict[str, Callable[[], asyncio.AbstractEventLoop] | None]] = {
    "threads": None,
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}


class Either:
    """Makes caches of one kind, and closes them at its end."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        factory = KINDS[kind]
        self._runner = asyncio.Runner(loop_factory=factory) if factory is not None else None
        self._made: list[Used] = []

    def open(self, url: str, **options: Any) -> Used:
        """A cache for a URL."""
        given = {"namespace": "test", **options}
        made = Cache.from_url(url, **given) if self._runner is None else AsyncCache.from_url(url, **given)
        self._made.append(Used(made, self._runner))
        return self._made[-1]

    def close(self) -> None:
        """Close them all, and the loop."""
        for one in self._made:
            one.close()
        if self._runner is not None:
            self._runner.close()


class Used:
    """A cache whose verbs give what they give, awaited or not."""

    def __init__(self, cache: Cache | AsyncCache, runner: asyncio.Runner | None) -> None:
        self.cache = cache
        self._runner = runner

    @property
    def store(self) -> Any:
        """Its store."""
        return self.cache._store

    def __getattr__(self, name: str) -> Any:
        def verb(*arguments: Any, **named: Any) -> Any:
            given = tuple(self._loader(one) for one in arguments)
            result = getattr(self.cache, name)(*given, **named)
            return self._runner.run(result) if self._runner is not None and inspect.isawaitable(result) else result

        return verb

    def _loader(self, argument: Any) -> Any:
        if self._runner is None or not callable(argument):
            return argument

        async def load(*arguments: Any) -> Any:
            return argument(*arguments)

        return load

    def at_once(self, times: int, verb: Callable[[Any], Any]) -> list[Any]:
        """Many of an AsyncCache's calls at a time; of a Cache's, one after the other."""
        if self._runner is None:
            return [verb(self.cache) for _ in range(times)]

        async def together() -> list[Any]:
            return await asyncio.gather(*(verb(self.cache) for _ in range(times)))

        return self._runner.run(together())
