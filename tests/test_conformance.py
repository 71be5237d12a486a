"""The conformance suite on every store there is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest
import redis
from servers import Server

from unstale.core.ports import AsyncStore, Store
from unstale.stores.memory import MemoryStore
from unstale.stores.options import StoreOptions
from unstale.stores.urls import open_async_store, open_store
from unstale.testing import StoreConformance


class TestMemoryStore(StoreConformance):
    """The reference store."""

    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()


class OnALoop:
    """An asyncio store's methods, each run to its end on a loop of the test's own."""

    def __init__(self, store: AsyncStore) -> None:
        self._store = store
        self._runner = asyncio.Runner()

    def __getattr__(self, name: str) -> Callable[..., Any]:
        async def call(*arguments: Any, **named: Any) -> Any:
            return await getattr(self._store, name)(*arguments, **named)

        return lambda *arguments, **named: self._runner.run(call(*arguments, **named))

    def end(self) -> None:
        self._runner.close()


class OnServer(StoreConformance):
    """The suite on a server of one kind."""

    kind: ClassVar[str]
    client: redis.Redis

    @pytest.fixture
    def store(self, session_servers: Callable[[str], Server]) -> Iterator[Store]:
        server = session_servers(self.kind)
        with server.client as self.client:
            self.client.flushall()
            store = open_store(server.url, StoreOptions(timeout=5.0))
            yield store
            store.close()


class AsyncOnServer(OnServer):
    """The suite by asyncio."""

    @pytest.fixture
    def store(self, session_servers: Callable[[str], Server]) -> Iterator[OnALoop]:
        server = session_servers(self.kind)
        with server.client as self.client:
            self.client.flushall()
            store = OnALoop(open_async_store(server.url, StoreOptions(timeout=5.0)))
            yield store
            store.close()
            store.end()


class TestAsyncOnValkey(AsyncOnServer):
    """The asyncio store on Valkey."""

    kind = "valkey"


class TestAsyncOnRedis(AsyncOnServer):
    """The asyncio store on Redis."""

    kind = "redis"


class TestEmbeddedValkey(OnServer):
    """The Valkey of the embedded server's wheel."""

    kind = "valkey"


class TestRedisServer(OnServer):
    """An installed redis-server."""

    kind = "redis"
