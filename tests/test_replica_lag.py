"""`replica_lag`: what was loaded from a database replica that may be behind is not stored; without it, it is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from servers import Server
from test_round_trips import Counter

from unstale import AsyncCache, Cache, remembering
from unstale.core.ports import Claim
from unstale.errors import InvalidDurationError, StoreRefusedError
from unstale.events import Event, Invalidated, Refused, Why
from unstale.stores.memory import MemoryStore
from unstale.testing.conformance import wait_until

Make = Callable[..., Cache]
LAG = 60.0
"""Longer than any test."""
SOON = 0.02
OLD, NEW = "old", "new"


class Database:
    """A primary and a replica of it, from which loaders read."""

    def __init__(self) -> None:
        self.primary = self.replica = OLD

    def commit(self) -> None:
        self.primary = NEW

    def catch_up(self) -> None:
        self.replica = self.primary

    def load(self) -> str:
        return self.replica


def evict(cache: Cache, tag: str) -> None:
    """Lose a stamp, as a server short of memory does."""
    cache._store.peek(b"test:none", [b"test:none"], [cache._names.stamp(tag)])


def open_(cache: Cache, *tags: str) -> None:
    """Have open stamps, of all roots too, as after a lag: nobody has changed anything for so long."""
    names = [cache._names.stamp(tag) for tag in tags] + list(cache._names.root_names)
    cache._store.open((), names, 600.0)


LAGS = [0, LAG]
"""Without the mechanism, and with it."""


def after_an_invalidation(make: Make, lag: float) -> str:
    """A reader loads from the replica just after a commit and its invalidation; then the replica catches up."""
    database, cache, writer = Database(), make(replica_lag=lag), make(replica_lag=lag)
    open_(cache, "a")
    cache.get_or_set("k", database.load, tags=["a"])
    database.commit()
    writer.invalidate("a")
    cache.get_or_set("k", database.load, tags=["a"])
    database.catch_up()
    return cache.get_or_set("k", database.load, tags=["a"])


def after_an_eviction(make: Make, lag: float) -> str:
    """The same, where the stamp is lost just after it was invalidated."""
    database, cache, writer = Database(), make(replica_lag=lag), make(replica_lag=lag)
    open_(cache, "a")
    database.commit()
    writer.invalidate("a")
    evict(cache, "a")
    cache.get_or_set("k", database.load, tags=["a"])
    database.catch_up()
    return cache.get_or_set("k", database.load, tags=["a"])


def after_a_clear(make: Make, lag: float) -> str:
    """The same after a clear, for an entry without tags."""
    database, cache, writer = Database(), make(replica_lag=lag), make(replica_lag=lag)
    open_(cache)
    database.commit()
    writer.clear()
    cache.get_or_set("k", database.load)
    database.catch_up()
    return cache.get_or_set("k", database.load)


def after_a_strict_write(make: Make, lag: float) -> str:
    """The same after a strict write."""
    database, cache, writer = Database(), make(replica_lag=lag), make(replica_lag=lag)
    open_(cache, "a")
    with writer.strict("a"):
        database.commit()
    cache.get_or_set("k", database.load, tags=["a"])
    database.catch_up()
    return cache.get_or_set("k", database.load, tags=["a"])


def after_a_soft_invalidation(make: Make, lag: float) -> str:
    """The same after a soft invalidation: it promises nothing, but what is loaded then would stay for a whole ttl."""
    database, cache, writer = Database(), make(replica_lag=lag), make(replica_lag=lag)
    open_(cache, "a")
    cache.get_or_set("k", database.load, tags=["a"], stale_ttl=60)
    database.commit()
    writer.invalidate("a", soft=True)
    cache.get_or_set("k", database.load, tags=["a"], stale_ttl=60)
    database.catch_up()
    return cache.get_or_set("k", database.load, tags=["a"], stale_ttl=60)


def after_a_set_without_a_look(make: Make, lag: float) -> str:
    """A set meets a missing stamp. Were it made open, what is filled under it then would stay."""
    database, cache, writer = Database(), make(replica_lag=lag), make(replica_lag=lag)
    open_(cache, "a")
    database.commit()
    writer.invalidate("a")
    evict(cache, "a")
    cache.set("another", 1, tags=["a"])
    cache.get_or_set("k", database.load, tags=["a"])
    database.catch_up()
    return cache.get_or_set("k", database.load, tags=["a"])


RACES = [
    after_an_invalidation,
    after_an_eviction,
    after_a_clear,
    after_a_strict_write,
    after_a_soft_invalidation,
    after_a_set_without_a_look,
]


@pytest.mark.parametrize("race", RACES, ids=lambda race: race.__name__)
def test_races(make: Make, race: Callable[[Make, float], str]) -> None:
    """Without `replica_lag` a value that the replica was late with stays; with it, it is never stored."""
    assert race(make, 0) == OLD
    cache = make()
    entry = cache._space.names.entry(b"k")
    left_behind = [entry, cache._names.stamp("a"), *cache._names.root_names]
    cache._store.peek(b"test:none", [b"test:none"], left_behind)
    assert race(make, LAG) == NEW


@pytest.fixture
def cache(make: Make, events: list[Event]) -> Cache:
    """A cache on each store whose loaders may be far behind."""
    return make(replica_lag=LAG, on_event=events.append)


def test_the_first_fill_after_the_lag_opens(make: Make) -> None:
    """Values are kept again once the lag is over, whatever closed the tag: a missing stamp, or an invalidation."""
    cache = make(replica_lag=SOON)
    cache.get_or_set("k", lambda: OLD, tags=["a"])
    assert cache.get("k", tags=["a"]) is None
    wait_until(lambda: cache.get_or_set("k", lambda: OLD, tags=["a"]) == cache.get("k", tags=["a"]))
    assert cache.invalidate("a").bumped == 1
    assert cache.get("k", tags=["a"]) is None
    wait_until(lambda: cache.get_or_set("k", lambda: NEW, tags=["a"]) == cache.get("k", tags=["a"]))
    assert cache.get("k", tags=["a"]) == NEW


def test_a_lag_lasts_as_long_as_it_says() -> None:
    """To the millisecond before its end a tag is closed, from then on a fill opens it, also long after."""
    for wait, kept in ((4.999, False), (5.0, True), (86000.0, True)):
        now = [1000.0]
        store = MemoryStore(lambda now=now: now[0])
        assert store.open((), [b"s"], 86400.0, 5.0).stamps != []
        now[0] += wait
        assert isinstance(store.open((), [b"s"], 86400.0, 5.0).stamps[0], bytes) is kept


def test_readers_get_what_they_load(cache: Cache, events: list[Event]) -> None:
    """Within the lag each reader loads for himself, and is told why it is not kept."""
    assert [cache.get_or_set("k", lambda: OLD, tags=["a"]) for _ in range(2)] == [OLD, OLD]
    assert cache.get_or_set_many(["k"], lambda keys: {"k": NEW}, tags=["a"]) == {"k": NEW}
    assert [event.why for event in events if isinstance(event, Refused)] == [Why.CLOSED] * 3


def test_set_under_a_missing_stamp(cache: Cache, events: list[Event]) -> None:
    """A set that meets a missing stamp stores nothing, and what stood under its key goes; so does an add."""
    open_(cache, "a")
    assert cache.set("k", OLD, tags=["a"])
    evict(cache, "a")
    assert not cache.set("k", NEW, tags=["a"])
    assert events[-1] == Refused("k", Why.CLOSED)
    assert cache._store.read([cache._space.names.entry(b"k")])[0] == [None]
    assert not cache.add("k", NEW, tags=["a"])
    with pytest.raises(StoreRefusedError, match="closed"):
        cache.incr("n", initial=0, tags=["a"])


def test_set_under_open_stamps(cache: Cache) -> None:
    """A set, an add and a count under stamps that have long been open are stored."""
    open_(cache, "a")
    assert cache.set_many({"k": OLD, "l": OLD}, tags=["a"]) == []
    assert cache.add("m", OLD, tags=["a"])
    assert cache.incr("n", initial=1, tags=["a"]) == 2
    assert cache.get_many(["k", "l", "m"], tags=["a"]) == {"k": OLD, "l": OLD, "m": OLD}


def test_signed_set_under_a_missing_stamp(make: Make) -> None:
    """What is signed follows the same rule."""
    cache = make(replica_lag=LAG, signing_keys="0123456789abcdefghijklmnopqrstuvwxyz")
    open_(cache, "a")
    assert cache.set("k", OLD, tags=["a"])
    assert not cache.set("k", NEW, tags=["b"])


def test_set_after_a_look_at_a_missing_stamp(make: Make, cache: Cache) -> None:
    """A value computed after a miss within the lag is not stored, though the tag is open by then."""
    late = make(replica_lag=SOON)
    open_(late)
    late.get("k", tags=["a"])
    wait_until(lambda: cache.get_or_set("l", lambda: NEW, tags=["a"]) == cache.get("l", tags=["a"]))
    assert not late.set("k", OLD, tags=["a"])


def test_nested_values_within_the_lag(cache: Cache, events: list[Event]) -> None:
    """What is computed from a value loaded within the lag is not stored either."""
    open_(cache, "b")
    cache.get_or_set("outer", lambda: cache.get_or_set("inner", lambda: OLD, tags=["a"]), tags=["b"])
    assert Refused("outer", Why.UNAVAILABLE) in events


def test_what_nobody_caches(cache: Cache) -> None:
    """To invalidate a tag without a stamp leaves nothing behind: the next fill closes it, for longer."""
    assert cache.invalidate("a") == Invalidated(("a",), 0)
    assert cache._store.bump([cache._names.stamp("a")], 600.0)[0].value == "missing"


def test_a_soft_invalidation_is_a_hard_one(cache: Cache) -> None:
    """Nothing is served stale: what is loaded meanwhile could not be told from what is new."""
    open_(cache, "a")
    cache.get_or_set("k", lambda: OLD, tags=["a"], stale_ttl=60)
    assert cache.invalidate("a", soft=True).bumped == 1
    assert cache.get_or_set("k", lambda: NEW, tags=["a"], stale_ttl=60) == NEW


def test_a_strict_write_that_dies(make: Make) -> None:
    """A writer's limit is prolonged by the lag: what it committed last is behind every replica when its tags open."""
    now = [1000.0]
    store = MemoryStore(lambda: now[0])
    cache = Cache(store, make(replica_lag=5.0)._space)
    cache.begin_strict("a", limit=10)
    for wait, expected in ((14.999, False), (0.001, True)):
        now[0] += wait
        [stamp] = store.open((), [cache._names.stamp("a")], 86400.0, 5.0).stamps
        assert isinstance(stamp, bytes) is expected


def test_a_rolled_back_strict_write_leaves_anothers_lag(make: Make) -> None:
    """A completion does not end the lag of another's invalidation, nor an invalidation a strict write."""
    cache, lagging, strict = make(), make(replica_lag=LAG), make()
    open_(cache, "a", "b")
    lagging.invalidate("a")
    with pytest.raises(KeyError), strict.strict("a"):
        raise KeyError
    assert not cache.set("k", OLD, tags=["a"])
    strict.begin_strict("b")
    make(replica_lag=SOON).invalidate("b")
    assert not cache.set("k", OLD, tags=["b"])


def test_one_owner_for_many_invalidations(server: Server) -> None:
    """A tag that is invalidated often stays one small key; the dead go with the next who closes."""
    with Cache.from_url(server.url, namespace="test", replica_lag=LAG) as cache, server.client as client:
        open_(cache, "a")
        name = cache._names.stamp("a")
        for _ in range(5):
            cache.begin_strict("a", limit=0.001)
            cache.invalidate("a")
        client.zadd(name, {"dead": 1})
        cache.invalidate("a")
        assert b"dead" not in client.zrange(name, 0, -1)
        assert client.zrange(name, 0, -1).count(b"lag") == 1


def test_a_closed_stamp_outlives_its_lag(server: Server) -> None:
    """It waits for the fill that opens it as long as a stamp lives."""
    with Cache.from_url(server.url, namespace="test", replica_lag=5, stamp_ttl=1000) as cache, server.client as client:
        cache.get("k", tags=["a"])
        name = cache._names.stamp("a")
        [(_, deadline)] = client.zrange(name, 0, -1, withscores=True)
        assert client.pexpiretime(name) == deadline + 1_000_000


def test_a_server_that_has_forgotten_the_script(server: Server) -> None:
    """A claim that is sent again with its script gets the lease that its first sending took."""
    with Cache.from_url(server.url, namespace="test") as cache, server.client as client:
        client.script_flush()
        claim = Claim(b"test:e:k", b"test:l:k", 60.0)
        [claimed] = cache._store.open([claim], [b"test:s:{a}"], 600.0, LAG).claimed
        assert claimed.token == client.get(b"test:l:k")
        assert claimed.holder is None


def test_a_full_server(own_server: Server, events: list[Event]) -> None:
    """On a full server an invalidation closes what is there; a fill that cannot close a missing stamp only loads."""
    options: dict[str, Any] = {"namespace": "test", "replica_lag": LAG, "on_event": events.append}
    with Cache.from_url(own_server.url, **options) as cache, own_server.client as client, remembering():
        open_(cache, "a")
        cache.get_or_set("k", lambda: OLD, tags=["a"])
        client.config_set("maxmemory", 1)
        assert cache.invalidate("a").bumped == 1
        assert cache.invalidate("a").bumped == 0
        assert client.zcard(cache._names.stamp("a")) == 1
        evict(cache, "a")
        assert cache.get_or_set("k", lambda: NEW, tags=["a"]) == NEW
        assert not client.exists(cache._names.stamp("a"))
        client.config_set("maxmemory", 0)


def test_round_trips(server: Server) -> None:
    """A hit, a fill and an invalidation take as many trips as without a lag."""
    counter = Counter(server)
    trips = []
    for lag in LAGS:
        with Cache.from_url(server.url, namespace=f"n{lag:.0f}", replica_lag=lag, timeout=2.0) as cache, remembering():
            open_(cache, "a")
            cache.get_or_set("warm", lambda: 1, tags=["warm"])
            cache.invalidate("warm")
            trips.append(
                [
                    counter.during(lambda cache=cache: cache.get_or_set("k", lambda: 1, tags=["a"]))[0],
                    counter.during(lambda cache=cache: cache.get("k", tags=["a"]))[0],
                    counter.during(lambda cache=cache: cache.invalidate("a"))[0],
                    counter.during(lambda cache=cache: cache.get("l", tags=["b"]))[0],
                ]
            )
    counter.close()
    assert trips[0] == trips[1] == [3, 1, 1, 2]


def test_options(make: Make) -> None:
    """A lag is seconds or a timedelta, 0 for none, and has a limit."""
    assert make(replica_lag=timedelta(seconds=2))._space.policy.replica_lag == 2.0
    assert make()._space.policy.replica_lag == 0.0
    for bad in (None, -1, "1", True):
        with pytest.raises(InvalidDurationError, match="replica_lag"):
            make(replica_lag=bad)


@pytest.mark.parametrize("lag", LAGS)
def test_async(server: Server, lag: float) -> None:
    """AsyncCache does the same, with and without."""
    database = Database()

    async def load() -> str:
        return database.load()

    async def main() -> str:
        async with AsyncCache.from_url(server.url, namespace="test", replica_lag=lag, timeout=2.0) as cache:
            await cache._store.open((), [cache._names.stamp("a"), *cache._names.root_names], 600.0)
            await cache.get_or_set("k", load, tags=["a"])
            database.commit()
            await cache.invalidate("a")
            await cache.get_or_set("k", load, tags=["a"])
            database.catch_up()
            return await cache.get_or_set("k", load, tags=["a"])

    assert asyncio.run(main()) == {0: OLD, LAG: NEW}[lag]
