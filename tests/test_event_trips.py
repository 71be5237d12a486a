"""How long the server took, for hooks that ask for it; and several hooks as one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from clusters import Cluster
from servers import Server

from unstale import AsyncCache, Cache
from unstale.errors import StoreError
from unstale.events import BreakerOpened, Event, Failed, Hit, Miss, Stale, Stored, Trip, asks_trips, together


class Asking(list[Event]):
    """A hook that keeps what it hears, and asks for trips."""

    asks_trips = True

    def __call__(self, event: Event) -> None:
        self.append(event)

    def trips(self) -> list[str]:
        """The verbs of the trips, those in vain with a mark."""
        return [f"{one.operation}{' failed' * one.failed}" for one in self if isinstance(one, Trip)]


@pytest.fixture
def hook() -> Asking:
    """A hook that asks for trips."""
    return Asking()


def load_and_invalidate(cache: Cache) -> None:
    """A fill, a hit, an invalidation."""
    for _ in range(2):
        cache.get_or_set("k", lambda: 1, tags=["a"])
    cache.invalidate("a")


async def load_and_invalidate_async(url: str, hook: Asking) -> None:
    """The same on a loop of its own."""
    async with AsyncCache.from_url(url, namespace="trips", on_event=hook, timeout=2.0) as cache:

        async def load() -> int:
            return 1

        for _ in range(2):
            await cache.get_or_set("k", load, tags=["a"])
        await cache.invalidate("a")


TRIPS = ["read", "open", "commit", "read", "bump"]


def test_each_trip_is_told(server: Server, hook: Asking) -> None:
    """A fill is three trips, a hit one, an invalidation one; each took some time."""
    with Cache.from_url(server.url, on_event=hook, timeout=2.0) as cache:
        load_and_invalidate(cache)
    assert hook.trips() == TRIPS
    assert min(one.seconds for one in hook if isinstance(one, Trip)) > 0


def test_each_trip_is_told_on_a_loop(server: Server, hook: Asking) -> None:
    """The same for asyncio."""
    asyncio.run(load_and_invalidate_async(server.url, hook))
    assert hook.trips() == TRIPS


@pytest.mark.parametrize("kind", ["valkey"])
def test_each_trip_is_told_on_a_cluster(kind: str, session_clusters: Callable[[str], Cluster], hook: Asking) -> None:
    """And on a cluster, by both: what goes to several nodes at once is one trip."""
    cluster = session_clusters(kind)
    cluster.flush()
    with Cache.from_url(cluster.url, on_event=hook, timeout=2.0) as cache:
        load_and_invalidate(cache)
    cluster.flush()
    asyncio.run(load_and_invalidate_async(cluster.url, hook))
    assert hook.trips() == TRIPS * 2


def test_a_trip_in_vain(own_server: Server, hook: Asking) -> None:
    """It is told as failed; once the breaker is open there are no more trips to tell of."""
    with Cache.from_url(own_server.url, on_event=hook, timeout=0.2) as cache:
        own_server.kill()
        for _ in range(20):
            cache.get("k")
    assert [type(one) for one in hook].count(Failed) == 20
    assert [type(one) for one in hook].count(BreakerOpened) == 1
    assert set(hook.trips()) == {"read failed"}
    assert 5 <= len(hook.trips()) < 20


def test_a_hook_that_does_not_ask(server: Server, events: list[Event]) -> None:
    """It is told of no trips, and its cache's store is not wrapped."""
    with Cache.from_url(server.url, on_event=events.append, timeout=2.0) as cache:
        load_and_invalidate(cache)
        assert type(cache._store).__name__ == "RedisStore"
    assert not [one for one in events if isinstance(one, Trip)]
    assert [type(one) for one in events[:3]] == [Miss, Stored, Hit]


def test_in_memory_there_are_no_trips(hook: Asking) -> None:
    """Nothing travels there."""
    with Cache.from_url("memory://", on_event=hook) as cache:
        load_and_invalidate(cache)
    assert hook.trips() == []
    assert Hit("k") in hook


def test_together_tells_all_and_trips_to_who_asks(events: list[Event], hook: Asking) -> None:
    """In their order; one that does not ask for trips gets none."""
    both = together(events.append, hook)
    assert asks_trips(both)
    for event in (Hit("k"), Trip("read", 0.1)):
        both(event)
    assert (events, hook) == ([Hit("k")], [Hit("k"), Trip("read", 0.1)])


def test_together_asks_only_if_one_does(events: list[Event]) -> None:
    """Otherwise nothing is timed."""
    assert not asks_trips(together(events.append, print))
    assert not asks_trips(None)


def test_whether_a_stale_entrys_stamp_is_gone(server: Server, events: list[Event]) -> None:
    """It was invalidated, or there is none: evicted, say, or closed by a strict write."""
    with Cache.from_url(server.url, namespace="states", on_event=events.append, timeout=2.0) as one:
        for key in ("changed", "closed", "evicted"):
            one.set(key, 1, tags=[key])
        one.invalidate("changed")
        with server.client as client:
            assert client.delete("states:s:{evicted}") == 1
        with one.strict("closed"):
            for key in ("changed", "closed", "evicted"):
                one.get(key)
    found = {one.key: one.is_gone for one in events if isinstance(one, Stale)}
    assert found == {"changed": False, "closed": True, "evicted": True}


def test_an_error_is_the_callers_as_ever(own_server: Server, hook: Asking) -> None:
    """Timing changes nothing of what is raised."""
    with Cache.from_url(own_server.url, on_event=hook, timeout=0.2) as cache:
        own_server.kill()
        with pytest.raises(StoreError):
            cache.invalidate("a")
    assert hook.trips() == ["bump failed"]
