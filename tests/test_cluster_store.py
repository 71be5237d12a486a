"""The store on a real cluster: the conformance suite, both ways of waiting."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import ClassVar

import pytest
from clusters import Cluster
from test_conformance import OnALoop

from unstale.core.ports import Store
from unstale.stores.options import StoreOptions
from unstale.stores.urls import open_async_store, open_store
from unstale.testing import StoreConformance

OPTIONS = StoreOptions(timeout=5.0, read_timeout=5.0)


class OnCluster(StoreConformance):
    """The suite on a cluster of one kind."""

    kind: ClassVar[str]

    @pytest.fixture
    def store(self, session_clusters: Callable[[str], Cluster]) -> Iterator[Store]:
        cluster = session_clusters(self.kind)
        cluster.flush()
        store = open_store(cluster.url, OPTIONS)
        yield store
        store.close()


class AsyncOnCluster(OnCluster):
    """The suite by asyncio."""

    @pytest.fixture
    def store(self, session_clusters: Callable[[str], Cluster]) -> Iterator[OnALoop]:
        cluster = session_clusters(self.kind)
        cluster.flush()
        store = OnALoop(open_async_store(cluster.url, OPTIONS))
        yield store
        store.close()
        store.end()


class TestValkeyCluster(OnCluster):
    """The embedded server's Valkey."""

    kind = "valkey"


class TestRedisCluster(OnCluster):
    """An installed redis-server."""

    kind = "redis"


class TestAsyncValkeyCluster(AsyncOnCluster):
    """The same by asyncio."""

    kind = "valkey"


class TestAsyncRedisCluster(AsyncOnCluster):
    """The same by asyncio."""

    kind = "redis"
