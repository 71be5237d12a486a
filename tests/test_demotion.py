"""REPLICAOF under live connections: a write that meets a replica lets all of them go, under nobody's read."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import pytest
import redis
from replicas import KINDS, Pair, opened
from servers import Server, free_port

from unstale import AsyncCache, Cache, remembering
from unstale.errors import NotPrimaryError, StoreUnavailableError
from unstale.events import Event, Failed
from unstale.stores import wire

READERS = 8
LATE = 60.0

kinds = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(autouse=True)
def in_a_request() -> Iterator[None]:
    """What one test remembers is not the next one's."""
    with remembering():
        yield


@pytest.fixture
def proved_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections do not find out by themselves that their server is a replica now: only READONLY says so."""
    monkeypatch.setattr(wire, "PROOF_SECONDS", 3600.0)


def demote(client: redis.Redis) -> None:
    """Make a server the replica of nobody who answers: it keeps its data, and its clients."""
    client.replicaof("127.0.0.1", free_port())


def clients(client: redis.Redis) -> set[str]:
    """The connections of others."""
    own = str(client.client_id())
    return {one["id"] for one in client.client_list(_type="normal")} - {own}


def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so: the breaker lets a read ask again, say."""
    deadline = time.monotonic() + LATE
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.002)


WRITES: dict[str, Callable[[Any], Any]] = {
    "invalidate": lambda cache: cache.invalidate("t"),
    "softly": lambda cache: cache.invalidate("t", soft=True),
    "clear": lambda cache: cache.clear(),
    "set": lambda cache: cache.set("k", "new", tags=["t"]),
    "add": lambda cache: cache.add("new", "v"),
    "delete": lambda cache: cache.delete("k"),
    "incr": lambda cache: cache.incr("n", initial=0),
    "begin_strict": lambda cache: cache.begin_strict("t", limit=1),
}


@kinds
@pytest.mark.usefixtures("proved_for_long")
@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_write_that_meets_a_replica(own_server: Server, kind: str, write: Callable[[Any], Any]) -> None:
    """It raises, and lets go of all connections; what was read on them before is not read on any again."""
    with opened(kind, own_server.url) as cache, own_server.client as client:
        cache.set("k", "v", tags=["t"])
        before = clients(client)
        demote(client)
        assert cache.get("k", tags=["t"]) == "v"  # not proved anew: so the test shows what READONLY does
        with pytest.raises(NotPrimaryError):
            write(cache)
        assert cache.get("k", "default", tags=["t"]) == "default"
        until(lambda: not before & clients(client))
        client.replicaof("NO", "ONE")
        cache.invalidate("t")
        until(lambda: cache.get_or_set("k", lambda: "loaded", tags=["t"]) == cache.get("k", tags=["t"]) == "loaded")


class Readers:
    """Threads that read values of their own for as long as they may, and check each answer."""

    def __init__(self, cache: Cache) -> None:
        self.cache = cache
        self.wrong: list[object] = []
        self.rounds = [0] * READERS
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._read, args=(number,)) for number in range(READERS)]

    def _read(self, number: int) -> None:
        value = f"value of {number}, " * 1000
        while not self._done.is_set():
            try:
                found = self.cache.get(f"k{number}", "default", tags=[f"t{number}"])
            except Exception as error:  # noqa: BLE001 - whatever it is, it is wrong
                found = error
            if found not in (value, "default"):
                self.wrong.append(found)
            self.rounds[number] += 1

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join(LATE)

    def read_on(self) -> None:
        """Wait until each has read some more."""
        target = [rounds + 3 for rounds in self.rounds]
        deadline = time.monotonic() + LATE
        while any(now < then for now, then in zip(self.rounds, target, strict=True)):
            assert time.monotonic() < deadline
            time.sleep(0.001)


@pytest.mark.usefixtures("proved_for_long")
def test_threads_that_read_meanwhile(own_server: Server) -> None:
    """Again and again the server becomes a replica under eight readers: none is given another's answer, or an error."""
    with opened("sync", own_server.url) as cache, own_server.client as client:
        pool = cache._store._pool
        with Readers(cache) as readers:
            for _ in range(15):
                client.replicaof("NO", "ONE")
                for number in range(READERS):  # anew: to its entries it is another server
                    cache.set(f"k{number}", f"value of {number}, " * 1000, tags=[f"t{number}"], computed=False)
                until(lambda: cache.get("k0", tags=["t0"]) is not None)
                readers.read_on()
                before, generation = clients(client), pool.generation
                demote(client)
                while pool.generation == generation:  # readers may have all connections, and a new one says it at once
                    with pytest.raises(NotPrimaryError):
                        cache.invalidate("t")
                readers.read_on()
                until(lambda gone=before: not gone & clients(client))
                assert {one.generation for one in list(pool.idle)} <= {pool.generation}
        assert readers.wrong == []
        assert pool._permits.qsize() + len(pool.idle) == 64


@pytest.mark.usefixtures("proved_for_long")
def test_waiting_for_replicas_finds_out_for_the_readers(own_server: Server) -> None:
    """In asyncio an invalidation that waits has a connection of its own; what it meets there counts for the reads."""

    async def use() -> None:
        cache = AsyncCache.from_url(own_server.url, namespace="test", timeout=4.0, wait=1, wait_timeout=0.01)
        await cache.set("k", "v", tags=["t"])
        with own_server.client as client:
            demote(client)
            assert await cache.get("k", tags=["t"]) == "v"
            with pytest.raises(NotPrimaryError):
                await cache.invalidate("t")
            assert await cache.get("k", "default", tags=["t"]) == "default"
        await cache.close()

    asyncio.run(use())


@kinds
def test_a_replica_that_is_promoted_under_its_readers(tmp_path: Path, kind: str) -> None:
    """As long as it is a replica nothing of it is served, though it has the value; then it is."""
    events: list[Event] = []
    with Pair("valkey", tmp_path) as pair:
        with opened(kind, pair.primary.url) as writer:
            writer.set("k", "v")
        pair.caught_up()
        with opened(kind, pair.replica.url, on_event=events.append) as cache:
            assert [cache.get("k", "default") for _ in range(5)] == ["default"] * 5
            assert {type(one.error) for one in events if isinstance(one, Failed)} == {NotPrimaryError}
            pair.promote()
            until(lambda: cache.get("k", "default") == "v")
            assert cache.set("k", "new", computed=False)
            assert cache.get("k") == "new"


@kinds
def test_a_primary_that_is_demoted_under_its_readers(tmp_path: Path, kind: str) -> None:
    """When its proof is due its readers are served nothing of it; its writers go to the new primary at its address."""
    with Pair("valkey", tmp_path) as pair, opened(kind, pair.url) as cache:
        cache.set("k", "v", tags=["t"])
        pair.caught_up()
        pair.promote()
        pair.turn_address()
        with pair.primary.client as client:
            client.replicaof("127.0.0.1", pair.replica.port)
        time.sleep(wire.PROOF_SECONDS + 0.1)
        assert cache.get_or_set("k", lambda: "loaded", tags=["t"]) == "loaded"
        cache.invalidate("t")
        with opened(kind, pair.replica.url) as other:
            assert other.get("k", "stale", tags=["t"]) == "stale"


@kinds
@pytest.mark.usefixtures("proved_for_long")
def test_a_write_after_the_address_has_turned(tmp_path: Path, kind: str) -> None:
    """READONLY tells: the write that met it raises, the next goes to the new primary."""
    with Pair("valkey", tmp_path) as pair, opened(kind, pair.url) as cache:
        cache.set("k", "v", tags=["t"])
        pair.promote()
        pair.turn_address()
        with pair.primary.client as client:
            client.replicaof("127.0.0.1", pair.replica.port)
        with pytest.raises(StoreUnavailableError):
            cache.invalidate("t")
        assert cache.invalidate("t").tags == ("t",)
        assert cache.set("k", "new", tags=["t"])
        with opened(kind, pair.replica.url) as other:
            assert other.get("k", tags=["t"]) == "new"
