"""`wait`: an invalidation returns when so many replicas have acknowledged it, or says that they have not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from replicas import KINDS, Pair, opened
from servers import SERVERS, Server, require

from unstale import AsyncCache, Cache, remembering
from unstale.errors import ConfigurationError, InvalidDurationError, NotReplicatedError, StoreError
from unstale.events import Event, Invalidated

NOT_HUNG = 8.0


@pytest.fixture(scope="module", params=SERVERS)
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """A primary with its replica, for the module."""
    require(request.param)
    with Pair(request.param, tmp_path_factory.mktemp("pair")) as made:
        yield made


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, pair: Pair) -> Iterator[str]:
    """Both kinds of cache, on an empty primary whose replica has caught up."""
    with pair.primary.client as client:
        client.flushall()
    pair.caught_up()
    with remembering():
        yield request.param


VERBS: dict[str, Callable[[Any], Any]] = {
    "invalidate": lambda cache: cache.invalidate("t"),
    "invalidate softly": lambda cache: cache.invalidate("t", soft=True),
    "clear": lambda cache: cache.clear(),
    "begin": lambda cache: cache.begin_strict("t"),
    "complete": lambda cache: cache.complete(cache.begin_strict("t")),
    "what nobody caches": lambda cache: cache.invalidate("nobody"),
}
"""All that makes values stale."""


def stamps(server: Server) -> dict[bytes, bytes]:
    """All stamps that a server has, open or closed."""
    with server.client as client:
        names = sorted([*client.keys("test:s:*"), *client.keys("test:r:*")])
        return {name: client.dump(name) for name in names if not name.endswith(b"\0wait")}


@pytest.mark.parametrize("lag", [0, 0.01])
@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_a_replica_knows_of_it(pair: Pair, kind: str, verb: Callable[[Any], Any], lag: float) -> None:
    """When it returns the replica has the very stamps that the primary has, whatever it did to them."""
    with opened(kind, pair.primary.url, wait=1, replica_lag=lag) as cache:
        for _ in range(20):
            cache.set("k", "v", tags=["t"])
            verb(cache)
            assert stamps(pair.replica) == stamps(pair.primary)
            cache.get_or_set("k", lambda: "v", tags=["t"])


@pytest.mark.parametrize("verb", VERBS.values(), ids=VERBS)
def test_a_replica_that_does_not_answer(pair: Pair, kind: str, verb: Callable[[Any], Any]) -> None:
    """With a replica that is stopped it raises in bounded time; it has taken effect, and reads see that."""
    with opened(kind, pair.primary.url, wait=1, timeout=1.0) as cache:
        assert cache.set("k", "v", tags=["t", "nobody"])
        pair.replica.freeze()
        try:
            began = time.monotonic()
            with pytest.raises(NotReplicatedError, match=r"0 of 1 replicas .* within 0\.5 s"):
                verb(cache)
            assert time.monotonic() - began < NOT_HUNG
        finally:
            pair.replica.thaw()
        assert cache.get("k", "none") == "none"


def test_it_may_be_called_again(pair: Pair, kind: str) -> None:
    """When the replica is back the same call returns, and tells the events hook."""
    events: list[Event] = []
    with opened(kind, pair.primary.url, wait=1, timeout=4.0, wait_timeout=0.2, on_event=events.append) as cache:
        cache.set("k", "v", tags=["t"])
        pair.replica.freeze()
        try:
            with pytest.raises(NotReplicatedError):
                cache.invalidate("t")
            assert [event for event in events if isinstance(event, Invalidated)] == []
        finally:
            pair.replica.thaw()
        pair.caught_up()
        assert cache.invalidate("t") == Invalidated(("t",), 1)
        assert Invalidated(("t",), 1) in events


def test_an_evicted_stamp(pair: Pair, kind: str) -> None:
    """Of a stamp that the primary has lost nothing is written, and still its replica knows by then that it is lost."""
    with opened(kind, pair.primary.url, wait=1, timeout=4.0, wait_timeout=0.2) as cache:
        cache.set("k", "v", tags=["t"])
        pair.caught_up()
        cache.ping()
        pair.replica.freeze()
        try:
            with pair.primary.client as client:
                assert client.delete("test:s:{t}") == 1
            with pytest.raises(NotReplicatedError):
                cache.invalidate("t")
        finally:
            pair.replica.thaw()


def test_more_replicas_than_there_are(pair: Pair, kind: str) -> None:
    """Two acknowledgements of one replica's server cannot be had."""
    with opened(kind, pair.primary.url, wait=2, timeout=1.0, wait_timeout=0.05) as cache:
        with pytest.raises(NotReplicatedError, match="1 of 2"):
            cache.invalidate("t")
        assert cache.get_or_set("k", lambda: "loaded", tags=["t"]) == "loaded"
        assert cache.set("k", "v")


def test_a_full_server(pair: Pair, kind: str) -> None:
    """On a full server, where the stamp is removed instead, the removal is waited for."""
    with opened(kind, pair.primary.url, wait=1) as cache, pair.primary.client as client:
        cache.set("k", "v", tags=["t"])
        client.config_set("maxmemory", 1)
        try:
            cache.invalidate("t")
        finally:
            client.config_set("maxmemory", 0)
        assert stamps(pair.replica) == stamps(pair.primary)
        assert cache.get("k", "none") == "none"


def test_a_full_server_and_no_replica(pair: Pair, kind: str) -> None:
    """There it has taken effect as well when it raises."""
    waiting = opened(kind, pair.primary.url, wait=2, timeout=1.0, wait_timeout=0.05)
    with waiting as cache, pair.primary.client as client:
        cache.set("k", "v", tags=["t"])
        client.config_set("maxmemory", 1)
        try:
            with pytest.raises(NotReplicatedError):
                cache.invalidate("t")
            assert cache.get("k", "none") == "none"
        finally:
            client.config_set("maxmemory", 0)


def test_strict_runs_no_block(pair: Pair, kind: str) -> None:
    """A strict write that the replicas do not know of does not begin."""
    ran: list[bool] = []

    async def write(cache: AsyncCache) -> None:
        async with cache.strict("t", limit=1):
            ran.append(True)

    with opened(kind, pair.primary.url, wait=2, timeout=1.0, wait_timeout=0.05) as cache:
        if kind == "sync":
            with pytest.raises(NotReplicatedError), cache_of(cache).strict("t", limit=1):
                ran.append(True)
        else:
            with pytest.raises(NotReplicatedError):
                cache.runner.run(write(cache.cache))
    assert ran == []


def cache_of(cache: Any) -> Cache:
    """For the type checker."""
    assert isinstance(cache, Cache)
    return cache


@pytest.mark.parametrize("server_kind", SERVERS)
def test_reads_do_not_wait_beside_it(server_kind: str, tmp_path: Path) -> None:
    """An event loop's reads go on while its invalidation waits for a replica: hundreds are answered before it is."""
    require(server_kind)
    answered = 0

    async def use(url: str) -> None:
        nonlocal answered
        cache = AsyncCache.from_url(
            url, namespace="test", timeout=6.0, invalidate_timeout=6.0, wait=1, wait_timeout=3.0
        )
        await cache.set("k", "v", ttl=None)
        invalidating = asyncio.create_task(cache.invalidate("t"))
        while not invalidating.done():
            assert await cache.get("k") == "v"
            answered += 1
        with pytest.raises(NotReplicatedError):
            await invalidating
        await cache.close()

    with Server(server_kind, tmp_path / "alone") as server:
        asyncio.run(use(server.url))
    assert answered > 100


def test_without_a_right_to_wait(pair: Pair, kind: str) -> None:
    """A user who may not WAIT is told so, at the first invalidation."""
    with pair.primary.client as client:
        client.execute_command("ACL", "SETUSER", "app", "reset", "on", ">secret", "~test:*", "+@all", "-wait")
    url = pair.primary.url.replace("//", "//app:secret@")
    with opened(kind, url, wait=1) as cache, pytest.raises(StoreError, match="'wait'"):
        cache.invalidate("t")


@pytest.mark.parametrize("url", ["memory://", "embedded://"])
def test_where_there_are_no_replicas(url: str) -> None:
    """What a test puts in the place of a production URL has no replicas, and does not wait."""
    for made in KINDS:
        with opened(made, url, wait=1) as cache:
            assert cache.invalidate("t").tags == ("t",)


@pytest.mark.parametrize("wait", [-1, True, 1.0, "1", None])
def test_a_wait_that_is_no_number(wait: Any) -> None:
    """What is no number of replicas is refused."""
    with pytest.raises(ConfigurationError, match="wait must be"):
        Cache.from_url("redis://localhost", wait=wait)


def test_a_wait_that_outlasts_the_answer() -> None:
    """The server's answer must come within `timeout`, so it may not wait for so long."""
    with pytest.raises(ConfigurationError, match="less than timeout"):
        Cache.from_url("redis://localhost", wait=1, timeout=0.3, wait_timeout=0.3)
    with pytest.raises(ConfigurationError, match="and invalidate_timeout"):
        Cache.from_url("redis://localhost", wait=1, timeout=5, invalidate_timeout=2, wait_timeout=2)
    with pytest.raises(InvalidDurationError, match="wait_timeout"):
        Cache.from_url("redis://localhost", wait=1, wait_timeout=0)
