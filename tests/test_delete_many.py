"""`delete_many`: entries and leases go at one moment, in one trip."""

from __future__ import annotations

import asyncio
import contextvars

import pytest
from servers import Server, free_port
from test_round_trips import Counter

from unstale import AsyncCache, Cache
from unstale.errors import InvalidKeyError, StoreUnavailableError
from unstale.events import Event, Refused, Why

LONG = "long" * 100


def test_what_was_fresh_is_counted(cache: Cache) -> None:
    """It counts fresh entries, each once, and all are gone; others stay."""
    cache.set_many({"a": 1, "b": 2, LONG: 3, "stays": 4}, tags=["t"])
    cache.set("stale", 5, tags=["u"])
    cache.invalidate("u")
    assert (
        cache.delete_many(["a", "b", "a", LONG, "stale", "never"], tags=lambda key: ["u" if key == "stale" else "t"])
        == 3
    )
    assert cache.get_many(["a", "b", LONG, "stale", "stays"]) == {"stays": 4}


def test_without_their_tags(cache: Cache) -> None:
    """Entries are removed and counted whose tags were not said."""
    cache.set_many({"a": 1, "b": 2}, tags=["t", "u"])
    assert cache.delete_many(["a", "b"]) == 2
    assert cache.delete_many(["a", "b"]) == 0


def test_stale_bytes_go_as_well(server: Server) -> None:
    """A stale entry is not counted, but its bytes go."""
    with Cache.from_url(server.url, namespace="test", timeout=2.0) as cache, server.client as client:
        cache.set("k", 1, tags=["t"])
        cache.invalidate("t")
        assert cache.delete_many(["k"], tags=["t"]) == 0
        assert client.keys("test:e:*") == []


def test_no_keys(cache: Cache) -> None:
    """No keys are no trip."""
    assert cache.delete_many([]) == 0
    with pytest.raises(InvalidKeyError, match="list of keys"):
        cache.delete_many("k")


def test_a_scopes_keys(cache: Cache) -> None:
    """A scope deletes its own."""
    user = cache.scope("user", 42)
    user.set("k", 1)
    cache.set("k", 2)
    assert user.delete_many(["k"]) == 1
    assert cache.get("k") == 2


def test_a_fill_under_way(cache: Cache, events: list[Event]) -> None:
    """Whoever is loading one of the keys does not store."""

    def load() -> str:
        contextvars.Context().run(cache.delete_many, ["k", LONG], tags=["t"])
        return "loaded"

    assert [cache.get_or_set(key, load, tags=["t"]) for key in ("k", LONG)] == ["loaded"] * 2
    assert cache.get_many(["k", LONG]) == {}
    assert [event.why for event in events if isinstance(event, Refused)] == [Why.LEASE] * 2


def test_one_trip(server: Server) -> None:
    """One trip and one UNLINK, two trips where tags were not said the first time; no payload is fetched whole."""
    counter = Counter(server)
    with Cache.from_url(server.url, namespace="test", timeout=2.0) as cache:
        keys = [str(number) for number in range(20)]
        cache.set_many(dict.fromkeys(keys, "x" * 5000), tags=["t"])
        trips, commands = counter.during(lambda: cache.delete_many(keys, tags=["t"]))
        assert trips == 1
        assert commands == {"getrange": 20, "mget": 1, "unlink": 1}
    counter.close()


def test_without_a_server() -> None:
    """A dead server is an error: the entries may be there still."""
    with (
        Cache.from_url(f"redis://127.0.0.1:{free_port()}/0", timeout=0.2) as cache,
        pytest.raises(StoreUnavailableError),
    ):
        cache.delete_many(["k"])


def test_async(url: str) -> None:
    """An AsyncCache deletes in the same way."""

    async def scenario() -> list[object]:
        async with AsyncCache.from_url(url, namespace="test", timeout=2.0) as cache:
            await cache.set_many({"a": 1, "b": 2}, tags=["t"])
            return [
                await cache.delete_many(["a", "b", "c"], tags=["t"]),
                await cache.get("a"),
                await cache.delete_many([]),
            ]

    assert asyncio.run(scenario()) == [2, None, 0]
