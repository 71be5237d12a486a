"""Caches over one keyspace: what one remembers, the other is held to; and reads that are to leave nothing (`shun`)."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
from servers import Server
from test_round_trips import Counter

from unstale import AsyncCache, Cache, remembering
from unstale.core import capture
from unstale.core.capture import MAX_LAID_BY
from unstale.errors import InvalidKeyError, InvalidTagError
from unstale.events import Event, Refused, Why
from unstale.options import make_keyspace
from unstale.stores.options import StoreOptions
from unstale.stores.urls import open_async_store, open_store


def elsewhere(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call something as another process would: in a context of its own."""
    return contextvars.Context().run(function, *arguments)


@pytest.fixture
def pair(server: Server, events: list[Event]) -> tuple[Cache, AsyncCache]:
    """A Cache and an AsyncCache over one keyspace."""
    options = StoreOptions(timeout=2.0)
    space = make_keyspace({"namespace": "test", "on_event": events.append})
    return (
        Cache.from_parts(open_store(server.url, options), space),
        AsyncCache.from_parts(open_async_store(server.url, options), space),
    )


strict = pytest.mark.parametrize("context", [remembering, nullcontext], ids=["request", "outside"])


@strict
def test_an_async_set_is_held_to_a_sync_look(
    pair: tuple[Cache, AsyncCache], events: list[Event], context: Callable[[], Any]
) -> None:
    """What a sync get saw, an async set is held to."""
    sync, asynchronous = pair

    async def scenario() -> list[bool]:
        with context():
            sync.get("k", tags=["t"])
            elsewhere(sync.invalidate, "t")
            refused = await asynchronous.set("k", 1, tags=["t"])
            sync.get("other", tags=["u"])
            stored = await asynchronous.set("other", 2, tags=["u"])
            await asynchronous.close()
            return [refused, stored]

    assert asyncio.run(scenario()) == [False, True]
    assert Refused("k", Why.STALE) in events
    assert [sync.get("k"), sync.get("other")] == [None, 2]


@strict
def test_a_sync_set_is_held_to_an_async_look(pair: tuple[Cache, AsyncCache], context: Callable[[], Any]) -> None:
    """And the other way round."""
    sync, asynchronous = pair

    async def scenario() -> bool:
        with context():
            await asynchronous.get("k", tags=["t"])
            elsewhere(sync.invalidate, "t")
            await asynchronous.close()
            return sync.set("k", 1, tags=["t"])

    assert asyncio.run(scenario()) is False


def test_a_loader_inherits_from_either(pair: tuple[Cache, AsyncCache]) -> None:
    """A loader of the one comes to depend on what it reads by the other."""
    sync, asynchronous = pair
    sync.set("inner", 1, tags=["t"])

    async def load() -> int:
        return int(sync.get("inner")) + 1

    async def scenario() -> list[object]:
        values = [await asynchronous.get_or_set("outer", load), sync.get("outer")]
        sync.invalidate("t")
        values.append(await asynchronous.get("outer"))
        await asynchronous.close()
        return values

    assert asyncio.run(scenario()) == [2, 2, None]


def test_caches_of_a_url_are_two(server: Server) -> None:
    """Without a shared keyspace each is held to its own looks."""
    with Cache.from_url(server.url, namespace="test") as one, Cache.from_url(server.url, namespace="test") as other:
        one.get("k", tags=["t"])
        elsewhere(one.invalidate, "t")
        assert other.set("k", 1, tags=["t"])


def test_the_runner_of_a_cache_of_parts(server: Server) -> None:
    """Its runner does the loads, and `inline` is without it."""
    jobs: list[Callable[[], None]] = []
    store = open_store(server.url, StoreOptions(timeout=2.0))
    with Cache.from_parts(store, make_keyspace({"namespace": "test"}), runner=jobs.append) as cache:
        cache.get_or_set("k", lambda: 1, tags=["t"], stale_ttl=10)
        cache.invalidate("t", soft=True)
        assert cache.get_or_set("k", lambda: 2, tags=["t"], stale_ttl=10) == 1
        assert len(jobs) == 1
        jobs[0]()
        assert cache.get("k") == 2


SETS: dict[str, Callable[..., bool]] = {
    "set": lambda cache, **held: cache.set("k", "new", tags=["t"], **held),
    "add": lambda cache, **held: cache.add("k", "new", tags=["t"], **held),
    "with other tags": lambda cache, **held: cache.set("k", "new", tags=["u"], **held),
}
each_set = pytest.mark.parametrize("store", SETS.values(), ids=SETS)


@strict
@each_set
@pytest.mark.parametrize("looked", [True, False], ids=["after a look", "without one"])
def test_what_was_shunned_is_not_set(
    url: str, context: Callable[[], Any], store: Callable[..., bool], looked: bool
) -> None:
    """A key that was shunned is not stored, though its stamps were seen before, and none has changed."""
    told: list[Event] = []
    with Cache.from_url(url, namespace="test", timeout=2.0, on_event=told.append) as cache, context():
        for _ in range(looked):
            cache.get("k", tags=["t"])
        cache.shun("k", tags=["t"])
        told.clear()
        assert not store(cache)
        assert told == [Refused("k", Why.CLOSED)]
        assert cache.get("k") is None


def test_not_under_another_look_either(cache: Cache) -> None:
    """Nor under the look at another key."""
    cache.observe("page", tags=["t"])
    cache.shun("k", tags=["t"])
    assert not cache.set("k", 1, tags=["t"], looked_under="page")


def test_what_depends_on_nothing_is_set(cache: Cache) -> None:
    """A value that depends on nothing is stored all the same."""
    cache.shun("k", tags=["t"])
    assert cache.set("k", 1, tags=["t"], computed=False)


def test_other_keys_are_set(cache: Cache) -> None:
    """Keys of the same tags and roots are not shunned with it."""
    cache.shun("k", tags=["t"])
    assert cache.set_many({str(number): 1 for number in range(50)}, tags=["t"]) == []


def test_to_the_end_of_the_request(cache: Cache) -> None:
    """In a request it stays shunned: what it computes may still be from before."""
    cache.shun("k", tags=["t"])
    cache.set("k", 1, tags=["t"])
    cache.get("k", tags=["t"])
    assert not cache.set("k", 1, tags=["t"])
    with remembering():
        assert cache.set("k", 1, tags=["t"])


def test_until_the_next_look_outside(url: str) -> None:
    """Outside, a thread lives on: what it looks at anew it may store."""
    with Cache.from_url(url, namespace="test", timeout=2.0) as cache:
        cache.shun("k", tags=["t"])
        cache.get("k", tags=["t"])
        assert cache.set("k", 1, tags=["t"])


def test_own_invalidation_does_not_end_it(url: str) -> None:
    """Outside, its own invalidation of the tag does not let the value in that was computed before."""
    with Cache.from_url(url, namespace="test", timeout=2.0) as cache:
        cache.shun("k", tags=["t"])
        cache.invalidate("t")
        assert not cache.set("k", 1, tags=["t"])


def test_a_loader_around_is_not_stored(cache: Cache, events: list[Event]) -> None:
    """A loader whose result depends on it gives its value to the caller alone."""
    assert cache.get_or_set("outer", lambda: cache.shun("k", tags=["t"]) or 1) == 1
    assert cache.get("outer") is None
    assert Refused("outer", Why.UNAVAILABLE) in events


def test_no_trip(server: Server) -> None:
    """It asks the server nothing."""
    counter = Counter(server)
    with Cache.from_url(server.url, namespace="test", timeout=2.0) as cache:
        cache.ping()
        assert counter.during(lambda: cache.shun("k", tags=["t"]))[0] == 0
    counter.close()


def test_in_a_scope(cache: Cache) -> None:
    """A scope's key is the scope's."""
    user = cache.scope("user", 42)
    user.shun("k")
    assert cache.set("k", 1)
    assert not user.set("k", 1)


def test_bad_arguments(cache: Cache) -> None:
    """A bad key or tag is an error."""
    with pytest.raises(InvalidKeyError):
        cache.shun("")
    with pytest.raises(InvalidTagError):
        cache.shun("k", tags="t")


def test_what_is_shunned_is_bounded(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that shuns for ever remembers no more than it does of looks."""
    with Cache.from_url(url, namespace="test", timeout=2.0) as cache:
        monkeypatch.setattr(capture, "MAX_KEYS", 10)
        for number in range(10 * (MAX_LAID_BY + 5)):
            cache.shun(str(number))
        memory = capture._remembered.get()
        assert memory is not None
        assert len(memory.keys) <= 10
        assert len(memory.laid_by) == MAX_LAID_BY
