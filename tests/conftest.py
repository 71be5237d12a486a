"""Fixtures: caches on every store, on servers that the session starts for itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from clusters import Cluster
from servers import SERVERS, STORES, Server, require

from unstale import Cache, options, remembering
from unstale.events import Event
from unstale.options import make_keyspace
from unstale.stores.memory import MemoryStore

PATIENT_SECONDS = 60.0


@pytest.fixture(scope="session", autouse=True)
def patient_where_nothing_is_said() -> Iterator[None]:
    """On a machine with other work a server may be late: reads have the time that their cache's `timeout` gives them.

    So have invalidations. A test of these limits says which it wants.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(options, "READ_SECONDS", PATIENT_SECONDS)
        patch.setattr(options, "INVALIDATE_SECONDS", PATIENT_SECONDS)
        yield


def pytest_configure(config: pytest.Config) -> None:
    """Know the mark of what takes many minutes."""
    config.addinivalue_line("markers", "soak: takes many minutes; run where UNSTALE_SOAK is set (make soak)")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave it out elsewhere, and say so."""
    if not os.environ.get("UNSTALE_SOAK"):
        for item in items:
            if item.get_closest_marker("soak"):
                item.add_marker(pytest.mark.skip(reason="takes many minutes: set UNSTALE_SOAK"))


@pytest.fixture(scope="module")
def untraced_children() -> Iterator[None]:
    """The child processes of a module are not measured for coverage, as a test with `no_cover` is not.

    For load and for very many examples: tracing takes longer than all else, and what they run is measured elsewhere.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)  # coverage sets it for `patch = subprocess`
        yield


@pytest.fixture(scope="session")
def session_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Server]]:
    """A server of each kind for the whole session, started when first wanted."""
    running: dict[str, Server] = {}

    def of_kind(kind: str) -> Server:
        require(kind)
        if kind not in running:
            running[kind] = Server(kind, tmp_path_factory.mktemp(kind)).start()
        return running[kind]

    yield of_kind
    for server in running.values():
        server.__exit__()


@pytest.fixture(scope="session")
def session_clusters(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Cluster]]:
    """A cluster of each kind for the whole session, started when first wanted."""
    running: dict[str, Cluster] = {}

    def of_kind(kind: str) -> Cluster:
        require(kind)
        if kind not in running:
            running[kind] = Cluster(kind, tmp_path_factory.mktemp(f"{kind}-cluster"))
            running[kind].start()
        return running[kind]

    yield of_kind
    for cluster in running.values():
        cluster.end()


@pytest.fixture(params=SERVERS)
def cluster(request: pytest.FixtureRequest, session_clusters: Callable[[str], Cluster]) -> Cluster:
    """The session's cluster of each kind, whole and emptied; which nodes are primaries may have changed."""
    chosen = session_clusters(request.param)
    chosen.repair()
    return chosen


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest, session_servers: Callable[[str], Server]) -> Server:
    """The session's server of each kind, emptied."""
    chosen = session_servers(request.param)
    with chosen.client as client:
        client.flushall()
    return chosen


@pytest.fixture(params=SERVERS)
def own_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A server of each kind that the test may kill, freeze or fill."""
    require(request.param)
    with Server(request.param, tmp_path / "server") as started:
        yield started


@pytest.fixture(params=STORES)
def url(request: pytest.FixtureRequest, session_servers: Callable[[str], Server]) -> str:
    """A URL of an empty store of each kind."""
    if request.param == "memory":
        return "memory://"
    chosen = session_servers(request.param)
    with chosen.client as client:
        client.flushall()
    return chosen.url


@pytest.fixture(params=STORES)
def make(request: pytest.FixtureRequest, session_servers: Callable[[str], Server]) -> Iterator[Callable[..., Cache]]:
    """Makes caches on one empty store of each kind, each as another process would have it."""
    memory, made = MemoryStore(), []
    server = None if request.param == "memory" else session_servers(request.param)
    if server is not None:
        with server.client as client:
            client.flushall()

    def make_one(**given: Any) -> Cache:
        options: Any = {"namespace": "test", "timeout": 2.0, **given}
        if server is None:
            return Cache(memory, make_keyspace(options))
        made.append(Cache.from_url(server.url, **options))
        return made[-1]

    with remembering():
        yield make_one
    for one in made:
        one.close()


@pytest.fixture
def events() -> list[Event]:
    """What the cache of this test says."""
    return []


@pytest.fixture
def cache(url: str, events: list[Event]) -> Iterator[Cache]:
    """A cache on each store, telling `events`; what it remembers ends with the test."""
    with Cache.from_url(url, namespace="test", on_event=events.append, timeout=2.0) as made, remembering():
        yield made
