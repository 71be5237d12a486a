"""The conformance suite on every store there is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar

import pytest
import redis
from servers import Server

from unstale.core.ports import Store
from unstale.stores.memory import MemoryStore
from unstale.stores.options import StoreOptions
from unstale.stores.urls import open_store
from unstale.testing import StoreConformance


class TestMemoryStore(StoreConformance):
    """The reference store."""

    @pytest.fixture
    def store(self) -> Store:
        return MemoryStore()

    def close_stamp(self, store: Store, name: bytes) -> None:
        assert isinstance(store, MemoryStore)
        store.close_stamp(name, 60.0)


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

    def close_stamp(self, store: Store, name: bytes) -> None:
        self.client.delete(name)
        self.client.zadd(name, {"owner": 4102444800})


class TestEmbeddedValkey(OnServer):
    """The Valkey of the embedded server's wheel."""

    kind = "valkey"


class TestRedisServer(OnServer):
    """An installed redis-server."""

    kind = "redis"
