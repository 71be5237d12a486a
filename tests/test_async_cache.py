"""`AsyncCache` verb by verb, on every store and both kinds of loop; trips, flights, inheritance, soft staleness."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from children.async_common import LOOPS, PATIENT, Run, failures, leases, runner_of, until
from servers import Server
from test_round_trips import Counter

from unstale import AsyncCache, Cache, carry, remembering
from unstale.errors import (
    AbsentError,
    ConfigurationError,
    EncodeError,
    InvalidDurationError,
    InvalidKeyError,
    InvalidTagError,
    LoaderError,
    NotACounterError,
)
from unstale.events import Event, Hit, Invalidated, LoadFailed, Miss, Refused, StaleHit, Stored, Why
from unstale.runners import tasks
from unstale.stores import wire

only_valkey = pytest.mark.parametrize("server", ["valkey"], indirect=True)
"""What happens on the client's side needs no second kind of server."""

Test = Callable[[AsyncCache], Awaitable[Any]]


@pytest.fixture(params=LOOPS.values(), ids=LOOPS)
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine in a loop of each kind."""
    return runner_of(request.param)


@pytest.fixture
def on(run: Run, url: str, events: list[Event]) -> Callable[..., Any]:
    """Runs a function of a cache on each store, telling `events`; the cache is closed at the end."""
    return lambda test, **options: run(using(url, events, test, options))


@pytest.fixture
def at(run: Run, server: Server, events: list[Event]) -> Callable[..., Any]:
    """The same, on each kind of server only."""
    return lambda test, **options: run(using(server.url, events, test, options))


async def using(url: str, events: list[Event], test: Test, options: dict[str, Any]) -> Any:
    """Run a test with a cache of its own."""
    given = {"namespace": "test", "timeout": PATIENT, "on_event": events.append, **options}
    async with AsyncCache.from_url(url, **given) as cache:
        with remembering():
            return await test(cache)


def loads(value: Any, calls: list[Any] | None = None) -> Callable[[], Awaitable[Any]]:
    """An asyncio loader that returns a value, and notes that it was called."""

    async def load() -> Any:
        if calls is not None:
            calls.append(value)
        await asyncio.sleep(0)
        return value

    return load


async def comes_to_be(cache: AsyncCache, value: Any, **options: Any) -> None:
    """Wait until the key "k" has a value, which a runner loads; fails if it does not come."""
    for _ in range(2000):
        if await cache.get("k", **options) == value:
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it was not loaded")


async def fails() -> Any:
    """A loader that raises."""
    raise LookupError("the database is away")


async def never() -> Any:
    """A loader that must not be called."""
    raise AssertionError("it was loaded")


# ── Verbs ───────────────────────────────────────────────────────────────────────────────────────


def test_get_and_set(on: Callable[..., Any]) -> None:
    """What is set is got; what is not there gives the default."""

    async def test(cache: AsyncCache) -> None:
        assert await cache.get("k") is None
        assert await cache.get("k", "default") == "default"
        assert await cache.set("k", {"a": [1, None]}, tags=["t"]) is True
        assert await cache.get("k", tags=["t"]) == {"a": [1, None]}
        assert await cache.get("k") == {"a": [1, None]}

    on(test)


def test_a_cached_none_is_a_value(on: Callable[..., Any]) -> None:
    """None is kept, and is not the default."""

    async def test(cache: AsyncCache) -> None:
        assert await cache.get_or_set("k", loads(None)) is None
        assert await cache.get("k", "default") is None
        assert await cache.get_or_set("k", never) is None

    on(test)


@pytest.mark.parametrize("value", [b"", b"raw", "text", 0, 2**53 - 1, -1, 1.5, [1, "a"], {"a": {"b": None}}], ids=repr)
def test_values_come_back(on: Callable[..., Any], value: Any) -> None:
    """Values of each kind travel both ways."""

    async def test(cache: AsyncCache) -> None:
        await cache.set("k", value)
        assert await cache.get("k") == value

    on(test)


def test_get_or_set(on: Callable[..., Any], events: list[Event]) -> None:
    """The first call loads and stores; the second is a hit; after an invalidation it loads again."""

    async def test(cache: AsyncCache) -> None:
        calls: list[Any] = []
        for _ in range(2):
            assert await cache.get_or_set("k", loads("v", calls), tags=["a/b"]) == "v"
        assert calls == ["v"]
        await cache.invalidate("a")
        assert await cache.get_or_set("k", loads("w", calls), tags=["a/b"]) == "w"
        assert calls == ["v", "w"]

    on(test)
    kinds = [type(event) for event in events]
    assert kinds.count(Stored) == 2
    assert kinds.count(Hit) == 1


def test_a_loader_that_raises(on: Callable[..., Any]) -> None:
    """The loader's error passes unchanged, nothing is stored, and the next call loads at once."""

    async def test(cache: AsyncCache) -> None:
        with pytest.raises(LookupError, match="away"):
            await cache.get_or_set("k", fails)
        assert not await cache.has_key("k")
        assert await cache.get_or_set("k", loads("v")) == "v"
        assert await cache.get("k") == "v"

    on(test)


def test_get_many_and_set_many(on: Callable[..., Any]) -> None:
    """Many keys travel together; what is not there is left out; tags may depend on the key."""

    async def test(cache: AsyncCache) -> None:
        assert await cache.set_many({"a": 1, "b": 2}, tags=lambda key: [f"t/{key}"]) == []
        assert await cache.get_many(["b", "none", "a", "a"]) == {"b": 2, "a": 1}
        await cache.invalidate("t/a")
        assert await cache.get_many(["a", "b"], tags=lambda key: [f"t/{key}"]) == {"b": 2}
        assert await cache.get_many([]) == {}

    on(test)


def test_get_or_set_many(on: Callable[..., Any]) -> None:
    """What is missing is loaded by one call, and stored; what the loader leaves out is left out."""

    async def test(cache: AsyncCache) -> None:
        asked: list[list[str]] = []

        async def load(keys: list[str]) -> dict[str, str]:
            asked.append(keys)
            return {key: f"v {key}" for key in keys if key != "absent"}

        await cache.set("a", "v a", tags=["t"])
        found = await cache.get_or_set_many(["a", "b", "absent", "c"], load, tags=["t"])
        assert found == {"a": "v a", "b": "v b", "c": "v c"}
        assert asked == [["b", "absent", "c"]]
        assert await cache.get_many(["a", "b", "c"], tags=["t"]) == found
        assert await cache.get_or_set_many([], load) == {}

    on(test)


def test_add(on: Callable[..., Any]) -> None:
    """It stores where nothing fresh is: a stale entry is absent."""

    async def test(cache: AsyncCache) -> None:
        assert await cache.add("k", 1, tags=["t"]) is True
        assert await cache.add("k", 2, tags=["t"]) is False
        await cache.invalidate("t")

    async def afresh(cache: AsyncCache) -> None:
        await test(cache)
        with remembering():
            assert await cache.add("k", 3, tags=["t"]) is True
        assert await cache.get("k") == 3

    on(afresh)


def test_touch_and_ttl(on: Callable[..., Any]) -> None:
    """A fresh entry gets a new ttl; what is not there gets none."""

    async def test(cache: AsyncCache) -> None:
        await cache.set("k", "v", ttl=100)
        first = await cache.ttl("k")
        assert 90 < first <= 100
        assert await cache.touch("k", 1000) is True
        assert 900 < await cache.ttl("k") <= 1000
        assert await cache.touch("k", None) is True
        assert await cache.ttl("k") == math.inf
        assert await cache.touch("none") is False
        assert await cache.ttl("none") is None

    on(test)


def test_incr(on: Callable[..., Any]) -> None:
    """It counts; it begins from `initial`; it refuses what is no counter."""

    async def test(cache: AsyncCache) -> None:
        with pytest.raises(AbsentError):
            await cache.incr("n")
        assert await cache.incr("n", initial=5) == 6
        assert await cache.incr("n", 10) == 16
        assert await cache.incr("n", -16) == 0
        assert await cache.get("n") == 0
        assert await cache.incr("n", -1) == -1
        assert await cache.get("n") == -1
        with pytest.raises(NotACounterError):
            await cache.incr("n", -(2**53 - 1))
        await cache.set("s", "text")
        with pytest.raises(NotACounterError):
            await cache.incr("s")

    on(test)


def test_a_hundred_counts_at_once(on: Callable[..., Any]) -> None:
    """Each count counts, once."""

    async def test(cache: AsyncCache) -> None:
        counts = await asyncio.gather(*(cache.incr("n", initial=0) for _ in range(100)))
        assert sorted(counts) == list(range(1, 101))

    on(test)


def test_delete_and_has_key(on: Callable[..., Any]) -> None:
    """What is deleted is gone; deleting says whether something fresh was there."""

    async def test(cache: AsyncCache) -> None:
        await cache.set("k", "v")
        assert await cache.has_key("k") is True
        assert await cache.delete("k") is True
        assert await cache.delete("k") is False
        assert await cache.has_key("k") is False

    on(test)


def test_invalidate(on: Callable[..., Any], events: list[Event]) -> None:
    """Everything under a tag or below is stale to every verb; it tells how many stamps it met."""

    async def test(cache: AsyncCache) -> None:
        await cache.set_many({"k": 1, "l": 2}, tags=["a/b", "c"])
        await cache.set("other", 3)
        assert await cache.invalidate("a", "nobody") == Invalidated(("a", "nobody"), 1)
        assert await cache.get_many(["k", "l", "other"]) == {"other": 3}
        assert not await cache.has_key("k")
        assert await cache.ttl("k") is None
        assert not await cache.touch("k")
        with pytest.raises(AbsentError):
            await cache.incr("k")

    on(test)
    assert Invalidated(("a", "nobody"), 1) in events


def test_clear(on: Callable[..., Any]) -> None:
    """Everything is stale; another namespace is not."""

    async def test(cache: AsyncCache) -> None:
        await cache.set_many({f"k{number}": number for number in range(40)})
        await cache.set("tagged", 1, tags=["t"])
        await cache.clear()
        assert await cache.get_many([f"k{number}" for number in range(40)]) == {}
        assert await cache.get("tagged") is None

    on(test)


def test_clear_over_a_time(on: Callable[..., Any]) -> None:
    """A spread clear lets the loop run, and when it returns everything is stale."""

    async def test(cache: AsyncCache) -> None:
        keys = [f"k{number}" for number in range(64)]
        await cache.set_many(dict.fromkeys(keys, 1))
        clearing = asyncio.create_task(cache.clear(over=0.3))
        seen = set()
        while not clearing.done():
            seen.add(len(await cache.get_many(keys)))
            await asyncio.sleep(0.005)
        assert len((await clearing).tags) == 16
        assert len(seen) > 2
        assert await cache.get_many(keys) == {}

    on(test)


def test_scope(on: Callable[..., Any]) -> None:
    """A scope's keys and tags are its own; its invalidation and clear leave others alone; its close does nothing."""

    async def test(cache: AsyncCache) -> None:
        mine, others = cache.scope("user", 1), cache.scope("user", 2)
        for scope in (mine, others):
            await scope.set("k", "v", tags=["orders"])
        assert await cache.get("user:1/k") == "v"
        await mine.invalidate()
        assert [await mine.get("k"), await others.get("k")] == [None, "v"]
        await others.clear()
        assert await others.get("k") is None
        await mine.close()
        assert await mine.set("l", 1) is True
        assert await mine.scope("part", "a/b").get_or_set("k", loads(2)) == 2
        with pytest.raises(ConfigurationError, match="scope"):
            await mine.clear(over=1)

    on(test)


def test_refresh(on: Callable[..., Any]) -> None:
    """It loads whatever is kept, and stores; without anything kept as well."""

    async def test(cache: AsyncCache) -> None:
        assert await cache.refresh("k", loads("v"), tags=["t"]) == "v"
        assert await cache.refresh("k", loads("w"), tags=["t"]) == "w"
        assert await cache.get("k", tags=["t"]) == "w"

    on(test)


def test_cached(on: Callable[..., Any]) -> None:
    """A decorated function keeps its results; it can be refreshed and invalidated by its arguments."""

    async def test(cache: AsyncCache) -> None:
        calls: list[int] = []

        @cache.cached("orders:{user}", tags=["user:{user}"])
        async def orders(user: int) -> list[int]:
            calls.append(user)
            return [user, len(calls)]

        assert await orders(1) == await orders(1) == [1, 1]
        assert await orders(2) == [2, 2]
        assert await orders.refresh(1) == [1, 3]
        assert await orders(user=1) == [1, 3]
        await orders.invalidate(1)
        assert await orders(1) == [1, 4]
        assert orders.key_for(1) == "orders:1"
        await cache.invalidate("user:2")
        assert await orders(2) == [2, 5]

    on(test)


def test_cached_method(on: Callable[..., Any]) -> None:
    """A decorated method is bound to its object."""

    async def test(cache: AsyncCache) -> None:
        class Shop:
            def __init__(self, name: str) -> None:
                self.name = name
                self.calls = 0

            @cache.cached(lambda self, number: f"{self.name}:{number}")
            async def order(self, number: int) -> str:
                self.calls += 1
                return f"{self.name} {number} {self.calls}"

        shop = Shop("a")
        assert await shop.order(1) == await shop.order(1) == "a 1 1"
        await shop.order.invalidate(1)
        assert await shop.order(1) == "a 1 2"

    on(test)


def test_cached_wants_an_async_function(on: Callable[..., Any]) -> None:
    """A plain function is refused where it is decorated, not when it is called."""

    async def test(cache: AsyncCache) -> None:
        with pytest.raises(ConfigurationError, match="not async"):
            cache.cached("k")(lambda: 1)

    on(test)


def test_ping_and_close(on: Callable[..., Any]) -> None:
    """Ping reaches the store; closing twice does no harm."""

    async def test(cache: AsyncCache) -> None:
        assert await cache.ping() is None
        await cache.close()
        await cache.close()

    on(test)


def test_ttl_runs_out(on: Callable[..., Any]) -> None:
    """What has outlived its ttl is gone."""

    async def test(cache: AsyncCache) -> None:
        await cache.set("k", "v", ttl=0.05)
        await cache.get_or_set("l", loads("v"), ttl=0.05)
        deadline = time.monotonic() + 10
        while await cache.has_key("k") or await cache.has_key("l"):
            assert time.monotonic() < deadline
        assert await cache.get_or_set("l", loads("w")) == "w"

    on(test)


def test_negative_ttl(on: Callable[..., Any]) -> None:
    """A None stays for its own time only."""

    async def test(cache: AsyncCache) -> None:
        await cache.get_or_set("k", loads(None), ttl=100, negative_ttl=10)
        await cache.get_or_set("l", loads(1), ttl=100, negative_ttl=10)
        assert await cache.ttl("k") <= 10
        assert await cache.ttl("l") > 10

    on(test)


def test_into(on: Callable[..., Any]) -> None:
    """A value is made into the type that was asked for; what cannot be is a miss."""

    async def test(cache: AsyncCache) -> None:
        await cache.set("k", [1, 2])
        assert await cache.get("k", into=tuple[int, ...]) == (1, 2)
        assert await cache.get("k", "default", into=dict[str, int]) == "default"
        assert await cache.get_many(["k"], into=tuple[int, ...]) == {"k": (1, 2)}

    on(test)


def test_a_set_after_a_miss_is_held_to_what_the_miss_saw(on: Callable[..., Any], events: list[Event]) -> None:
    """What was computed before an invalidation is not stored after it."""

    async def test(cache: AsyncCache) -> None:
        assert await cache.get("k", tags=["t"]) is None
        await cache.invalidate("t")
        assert await cache.set("k", "old", tags=["t"]) is False
        assert await cache.get("k", tags=["t"]) is None

    on(test)
    assert Refused("k", Why.STALE) in events


def test_an_invalidation_during_a_load(on: Callable[..., Any], events: list[Event]) -> None:
    """The value is returned to its caller, not stored."""

    async def test(cache: AsyncCache) -> None:
        async def load() -> str:
            await cache.invalidate("t")
            return "old"

        assert await cache.get_or_set("k", load, tags=["t"]) == "old"
        assert await cache.get("k", tags=["t"]) is None

    on(test)
    assert Refused("k", Why.STALE) in events


def test_a_delete_during_a_load(on: Callable[..., Any], events: list[Event]) -> None:
    """Who fills a key that is deleted meanwhile does not store."""

    async def test(cache: AsyncCache) -> None:
        async def load() -> str:
            await cache.delete("k")
            return "old"

        assert await cache.get_or_set("k", load) == "old"
        assert await cache.get("k") is None

    on(test)
    assert Refused("k", Why.LEASE) in events


# ── One façade stores, the other reads ──────────────────────────────────────────────────────────


@pytest.mark.parametrize("fence", ["tags", "all"])
def test_what_one_stores_the_other_reads(at: Callable[..., Any], server: Server, fence: str) -> None:
    """Entries, stamps and counters are the same in Redis, whoever wrote them."""

    async def test(cache: AsyncCache) -> None:
        with Cache.from_url(server.url, namespace="test", timeout=PATIENT, fence=fence) as sync:
            await cache.set_many({"a": [1], "b": b"raw", "n": 1}, tags=["t"])
            assert sync.get_many(["a", "b", "n"], tags=["t"]) == {"a": [1], "b": b"raw", "n": 1}
            assert sync.incr("n", tags=["t"]) == 2
            assert await cache.incr("n") == 3
            assert sync.get_or_set("c", lambda: "sync", tags=["t", "u"]) == "sync"
            assert await cache.get_or_set("c", never, tags=["t", "u"]) == "sync"
            assert await cache.get_or_set("d", loads("async"), tags=["t"]) == "async"
            assert sync.get_or_set("d", lambda: "loaded", tags=["t"]) == "async"
            sync.invalidate("u")
            assert await cache.get_many(["a", "c", "d"]) == {"a": [1], "d": "async"}
            await cache.invalidate("t")
            assert sync.get_many(["a", "b", "c", "d", "n"]) == {}

    at(test, fence=fence)


def test_one_lease_for_both(at: Callable[..., Any], server: Server) -> None:
    """While one façade loads, the other waits for its value."""

    async def test(cache: AsyncCache) -> None:
        with Cache.from_url(server.url, namespace="test", timeout=PATIENT) as sync:
            loading, go = asyncio.Event(), asyncio.Event()

            async def load() -> str:
                loading.set()
                await go.wait()
                return "async"

            one = asyncio.create_task(cache.get_or_set("k", load))
            await loading.wait()
            other = asyncio.create_task(asyncio.to_thread(sync.get_or_set, "k", lambda: "sync"))
            await asyncio.sleep(0.05)
            go.set()
            assert await asyncio.gather(one, other) == ["async", "async"]

    at(test)


# ── Trips ───────────────────────────────────────────────────────────────────────────────────────


class Trips:
    """Counts how often the server has read from its clients."""

    def __init__(self, server: Server) -> None:
        self.counter = Counter(server)

    async def during(self, act: Callable[[], Awaitable[Any]]) -> int:
        """Round trips that `act` costs."""
        before = self.counter.reads()
        await act()
        return self.counter.reads() - before - 1


@pytest.fixture
def trips(server: Server) -> Iterator[Trips]:
    """A counter at the server."""
    made = Trips(server)
    yield made
    made.counter.close()


@pytest.fixture
def warm(at: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Callable[[Test], Any]:
    """Runs a function of a cache whose connection is made, whose proof lasts, and whose scripts the server knows."""
    monkeypatch.setattr(wire, "PROOF_SECONDS", 3600.0)

    async def warmed(cache: AsyncCache, test: Test) -> Any:
        await cache.set("warm", 1)
        await cache.touch("warm")
        await cache.get_or_set("warm too", loads(1))
        return await test(cache)

    return lambda test: at(lambda cache: warmed(cache, test))


def test_a_hit_is_one_trip(warm: Callable[[Test], Any], trips: Trips) -> None:
    """With its tags said, get and get_or_set of a fresh value are one MGET."""

    async def test(cache: AsyncCache) -> None:
        await cache.set("k", "v", tags=["a/b", "c"])
        assert await trips.during(lambda: cache.get("k", tags=["a/b", "c"])) == 1
        assert await trips.during(lambda: cache.get_or_set("k", never, tags=["a/b", "c"])) == 1

    warm(test)


def test_a_miss_is_three_trips(warm: Callable[[Test], Any], trips: Trips) -> None:
    """Look; lease and stamps; store."""

    async def test(cache: AsyncCache) -> None:
        assert await trips.during(lambda: cache.get_or_set("k", loads("v"), tags=["a/b"])) == 3

    warm(test)


def test_fifty_gathered_reads_are_two_trips(warm: Callable[[Test], Any], trips: Trips) -> None:
    """The first is sent at once, the others of the same turn together."""

    async def test(cache: AsyncCache) -> None:
        expected = {f"k{number}": number for number in range(50)}
        await cache.set_many(expected, tags=["t"])
        found: list[Any] = []

        async def read() -> None:
            found.extend(await asyncio.gather(*(cache.get(key, tags=["t"]) for key in expected)))

        assert await trips.during(read) <= 2
        assert found == list(expected.values())

    warm(test)


SMALL_VERBS: dict[str, Callable[[AsyncCache], Awaitable[Any]]] = {
    "has_key": lambda cache: cache.has_key("n", tags=["a"]),
    "ttl": lambda cache: cache.ttl("n", tags=["a"]),
    "touch": lambda cache: cache.touch("n", tags=["a"]),
    "incr": lambda cache: cache.incr("n", tags=["a"]),
    "delete": lambda cache: cache.delete("n", tags=["a"]),
    "set": lambda cache: cache.set("n", 2, tags=["a"]),
    "set_many": lambda cache: cache.set_many({"n": 2, "m": 3}, tags=["a"]),
    "get_many": lambda cache: cache.get_many(["n", "m"], tags=["a"]),
    "invalidate": lambda cache: cache.invalidate("a", "b"),
    "clear": lambda cache: cache.clear(),
}


@pytest.mark.parametrize("verb", SMALL_VERBS.values(), ids=SMALL_VERBS)
def test_small_verbs_are_one_trip(warm: Callable[[Test], Any], trips: Trips, verb: Any) -> None:
    """Each costs what it costs a `Cache`."""

    async def test(cache: AsyncCache) -> None:
        await cache.set_many({"n": 1, "m": 1}, tags=["a"])
        assert await trips.during(lambda: verb(cache)) == 1

    warm(test)


@only_valkey
def test_the_proof_travels_with_a_read(
    at: Callable[..., Any], trips: Trips, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new proof of role and identity costs a command, not a trip."""
    monkeypatch.setattr(wire, "PROOF_SECONDS", 0.0)

    async def test(cache: AsyncCache) -> None:
        await cache.set("k", "v")
        assert await trips.during(lambda: cache.get("k")) == 1

    at(test)


def test_two_hundred_on_one_missing_key(warm: Callable[[Test], Any], trips: Trips) -> None:
    """One loads; the others wait for it and then read once, all together: few trips."""

    async def test(cache: AsyncCache) -> None:
        calls: list[Any] = []
        found: list[Any] = []

        async def read() -> None:
            every = (cache.get_or_set("k", loads("v", calls), tags=["t"]) for _ in range(200))
            found.extend(await asyncio.gather(*every))

        assert await trips.during(read) <= 12
        assert found == ["v"] * 200
        assert calls == ["v"]

    warm(test)


# ── Single flight ───────────────────────────────────────────────────────────────────────────────


def test_one_load_for_two_hundred_tasks(on: Callable[..., Any]) -> None:
    """On every store one load serves all who ask at once."""

    async def test(cache: AsyncCache) -> None:
        calls: list[Any] = []
        found = await asyncio.gather(*(cache.get_or_set("k", loads("v", calls)) for _ in range(200)))
        assert (found, calls) == (["v"] * 200, ["v"])

    on(test)


def test_waiters_of_a_load_that_raises(on: Callable[..., Any]) -> None:
    """Each gets a load of its own: its own error or its own value; none hangs."""

    async def test(cache: AsyncCache) -> None:
        calls: list[int] = []

        async def load() -> str:
            calls.append(len(calls))
            await asyncio.sleep(0)
            if len(calls) <= 3:
                raise LookupError(calls[-1])
            return "v"

        tasks_of = [asyncio.create_task(cache.get_or_set("k", load)) for _ in range(20)]
        outcomes = await asyncio.wait_for(asyncio.gather(*tasks_of, return_exceptions=True), 30)
        assert [type(one) for one in outcomes].count(LookupError) == 3
        assert outcomes.count("v") == 17
        assert len(calls) == 4

    on(test)


def test_waiters_of_a_load_that_always_raises(on: Callable[..., Any]) -> None:
    """All get the error of their own load, one after the other; none hangs."""

    async def test(cache: AsyncCache) -> None:
        errors: list[LookupError] = []

        async def load() -> str:
            await asyncio.sleep(0)
            errors.append(LookupError(len(errors)))
            raise errors[-1]

        every = (cache.get_or_set("k", load) for _ in range(20))
        outcomes = await asyncio.wait_for(asyncio.gather(*every, return_exceptions=True), 30)
        assert {id(one) for one in outcomes} == {id(one) for one in errors}
        assert len(errors) == 20

    on(test)


def test_one_whose_tag_was_invalidated_does_not_join(on: Callable[..., Any]) -> None:
    """Who asks after an invalidation is not given the value of a load that began before it."""

    async def test(cache: AsyncCache) -> None:
        await cache.set("seed", 1, tags=["t"])
        loading, go = asyncio.Event(), asyncio.Event()

        async def old() -> str:
            loading.set()
            await go.wait()
            return "old"

        first = asyncio.create_task(cache.get_or_set("k", old, tags=["t"]))
        await loading.wait()
        await cache.invalidate("t")
        second = asyncio.create_task(cache.get_or_set("k", loads("new"), tags=["t"]))
        await asyncio.sleep(0.02)
        go.set()
        assert await asyncio.gather(first, second) == ["old", "new"]
        assert await cache.get("k", tags=["t"]) == "new"

    on(test)


def test_a_loader_that_asks_for_its_own_key(on: Callable[..., Any], events: list[Event]) -> None:
    """It does not wait for itself: the inner one loads without storing."""

    async def test(cache: AsyncCache) -> None:
        async def load() -> str:
            return "outer " + await cache.get_or_set("k", loads("inner"))

        assert await asyncio.wait_for(cache.get_or_set("k", load), 5) == "outer inner"

    on(test)
    assert Refused("k", Why.NESTED) in events


def test_a_loader_whose_tasks_ask_for_its_own_key(on: Callable[..., Any]) -> None:
    """Neither do the tasks that it waits for."""

    async def test(cache: AsyncCache) -> None:
        async def load() -> list[str]:
            return await asyncio.gather(
                cache.get_or_set("k", loads("one")),
                asyncio.create_task(cache.get_or_set("k", loads("two"))),
                cache.refresh("k", loads("three")),
            )

        assert await asyncio.wait_for(cache.get_or_set("k", load), 5) == ["one", "two", "three"]

    on(test)


def test_batches_at_once_load_each_key_once(on: Callable[..., Any]) -> None:
    """Two batches with keys in common never wait for each other, and neither loads what the other loads."""

    async def test(cache: AsyncCache) -> None:
        loaded: list[str] = []

        async def load(keys: list[str]) -> dict[str, str]:
            loaded.extend(keys)
            await asyncio.sleep(0.02)
            return {key: key for key in keys}

        one, other = [f"k{number}" for number in range(20)], [f"k{number}" for number in reversed(range(10, 30))]
        found = await asyncio.gather(cache.get_or_set_many(one, load), cache.get_or_set_many(other, load))
        assert found == [{key: key for key in one}, {key: key for key in other}]
        assert sorted(loaded) == sorted({*one, *other})

    on(test)


# ── Inheritance ─────────────────────────────────────────────────────────────────────────────────


async def in_gather(read: Callable[[], Awaitable[Any]]) -> Any:
    """Read in one of several gathered tasks."""
    return (await asyncio.gather(asyncio.sleep(0), read()))[1]


async def in_task(read: Callable[[], Awaitable[Any]]) -> Any:
    """Read in a task of a task group."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(read())
    return task.result()


async def in_thread(read: Callable[[], Awaitable[Any]]) -> Any:
    """Read in a loop of another thread's, started by `to_thread`."""

    async def reading() -> Any:
        return await read()

    return await asyncio.to_thread(lambda: asyncio.run(reading()))


async def in_pool(read: Callable[[], Awaitable[Any]]) -> Any:
    """Read in a loop of a pool's thread, carried there."""

    async def reading() -> Any:
        return await read()

    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1) as pool:
        return await loop.run_in_executor(pool, carry(lambda: asyncio.run(reading())))


async def in_shield(read: Callable[[], Awaitable[Any]]) -> Any:
    """Read behind a shield, with a time limit."""
    return await asyncio.wait_for(asyncio.shield(read()), 5)


WAYS = {"await": lambda read: read(), "gather": in_gather, "task": in_task, "to_thread": in_thread, "carry": in_pool}
WAYS["shield"] = in_shield
INNER: dict[str, Callable[[AsyncCache], Awaitable[Any]]] = {
    "get_or_set": lambda cache: cache.get_or_set("inner", loads(1), tags=["t"]),
    "get": lambda cache: cache.get("inner"),
    "get_many": lambda cache: cache.get_many(["inner"]),
    "get_or_set_many": lambda cache: cache.get_or_set_many(["inner"], lambda keys: loads({"inner": 1})(), tags=["t"]),
    "has_key": lambda cache: cache.has_key("inner"),
    "refresh": lambda cache: cache.refresh("inner", loads(1), tags=["t"]),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("kept", [True, False], ids=["kept", "not kept"])
def test_a_value_computed_from_another(on: Callable[..., Any], way: Any, kept: bool) -> None:
    """A value is stale when one that it was computed from is, however that was read (leak 15)."""

    async def test(cache: AsyncCache) -> None:
        await cache.set_many({"inner": 1} if kept else {}, tags=["t"])
        assert await cache.get_or_set("outer", lambda: way(lambda: INNER["get_or_set"](cache))) == 1
        assert await cache.get("outer") == 1
        await cache.invalidate("t")
        assert await cache.get("outer") is None

    on(test)


@pytest.mark.parametrize("read", INNER.values(), ids=INNER)
def test_a_value_computed_from_another_by_each_verb(on: Callable[..., Any], read: Any) -> None:
    """Whichever verb the loader reads with, and through a task."""

    async def test(cache: AsyncCache) -> None:
        await cache.set("inner", 1, tags=["t"])
        await cache.get_or_set("outer", lambda: in_gather(lambda: read(cache)))
        assert await cache.has_key("outer")
        await cache.invalidate("t")
        assert not await cache.has_key("outer")

    on(test)


def test_a_value_computed_from_many_nested_loads(on: Callable[..., Any]) -> None:
    """Tags pass up through gathered loads of gathered loads."""

    async def test(cache: AsyncCache) -> None:
        async def leaf(number: int) -> int:
            return await cache.get_or_set(f"leaf {number}", loads(number), tags=[f"t/{number}"])

        async def branch(number: int) -> int:
            async def load() -> int:
                return sum(await asyncio.gather(leaf(2 * number), leaf(2 * number + 1)))

            return await cache.get_or_set(f"branch {number}", load)

        async def load() -> int:
            return sum(await asyncio.gather(*(branch(number) for number in range(4))))

        for number in range(8):
            assert await cache.get_or_set("tree", load) == 28
            assert await cache.has_key("tree")
            await cache.invalidate(f"t/{number}")
            assert not await cache.has_key("tree")

    on(test)


def test_two_loads_side_by_side_do_not_inherit_from_each_other(on: Callable[..., Any]) -> None:
    """Each inherits what its own loader read."""

    async def test(cache: AsyncCache) -> None:
        await cache.set("inner a", 1, tags=["a"])
        await cache.set("inner b", 1, tags=["b"])
        both = asyncio.Barrier(2)

        def load(name: str) -> Callable[[], Awaitable[Any]]:
            async def loading() -> Any:
                await both.wait()
                value = await cache.get(f"inner {name}")
                await both.wait()
                return value

            return loading

        await asyncio.gather(cache.get_or_set("a", load("a")), cache.get_or_set("b", load("b")))
        await cache.invalidate("a")
        assert await cache.get_many(["a", "b"]) == {"b": 1}

    on(test)


# ── Bad input ───────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("value", [1, "text", None, [], {}], ids=repr)
def test_a_plain_loader(on: Callable[..., Any], value: Any) -> None:
    """A function that returns a plain value is refused with what to do; nothing is stored, and the lease goes."""

    async def test(cache: AsyncCache) -> None:
        with pytest.raises(LoaderError, match="async def"):
            await cache.get_or_set("k", lambda: value)
        with pytest.raises(LoaderError, match="async def"):
            await cache.refresh("k", lambda: value)
        assert await cache.get_or_set("k", loads("v")) == "v"

    on(test)


def test_a_plain_loader_of_many(on: Callable[..., Any]) -> None:
    """So is one of `get_or_set_many`, and one that returns no mapping."""

    async def test(cache: AsyncCache) -> None:
        with pytest.raises(LoaderError, match="async def"):
            await cache.get_or_set_many(["k"], lambda keys: {"k": 1})
        with pytest.raises(LoaderError, match="mapping"):
            await cache.get_or_set_many(["k"], lambda keys: loads([1])())
        assert await cache.get_or_set("k", loads("v")) == "v"

    on(test)


def test_an_async_loader_to_a_sync_cache(url: str) -> None:
    """A `Cache` refuses a coroutine, closes it, and the lease goes."""
    with Cache.from_url(url, namespace="test", timeout=PATIENT) as cache:
        with pytest.raises(LoaderError, match="plain function"):
            cache.get_or_set("k", loads(1))
        with pytest.raises(LoaderError, match="plain function"):
            cache.get_or_set_many(["k"], lambda keys: loads({})())
        assert cache.get_or_set("k", lambda: 1) == 1


def test_a_coroutine_in_place_of_a_loader(on: Callable[..., Any]) -> None:
    """A coroutine object, which could be awaited only once, is refused as a loader with what to do."""

    async def test(cache: AsyncCache) -> None:
        coroutine = loads(1)()
        try:
            with pytest.raises(LoaderError, match="async def"):
                await cache.get_or_set("k", coroutine)
        finally:
            coroutine.close()
        assert await cache.get_or_set("k", loads("v")) == "v"

    on(test)


BAD: dict[str, tuple[type[Exception], Callable[[AsyncCache], Awaitable[Any]]]] = {
    "empty key": (InvalidKeyError, lambda cache: cache.get("")),
    "key of another type": (InvalidKeyError, lambda cache: cache.set(1, 1)),
    "tags as a str": (InvalidTagError, lambda cache: cache.get("k", tags="t")),
    "keys as a str": (ValueError, lambda cache: cache.get_many("k")),
    "no tags": (InvalidTagError, lambda cache: cache.invalidate()),
    "ttl of zero": (InvalidDurationError, lambda cache: cache.get_or_set("k", never, ttl=0)),
    "ttl that is no number": (InvalidDurationError, lambda cache: cache.touch("k", "1")),
    "what cannot be encoded": (EncodeError, lambda cache: cache.set("k", object())),
    "what cannot be encoded, loaded": (EncodeError, lambda cache: cache.get_or_set("k", loads(object()))),
    "delta": (NotACounterError, lambda cache: cache.incr("k", 1.5)),
    "initial": (NotACounterError, lambda cache: cache.incr("k", initial=-(2**53))),
}


@pytest.mark.parametrize(("error", "verb"), BAD.values(), ids=BAD)
def test_bad_arguments(on: Callable[..., Any], error: type[Exception], verb: Any) -> None:
    """A mistake is an error of its own kind, and leaves nothing behind."""

    async def test(cache: AsyncCache) -> None:
        with pytest.raises(error):
            await verb(cache)
        assert await cache.get_or_set("k", loads("v")) == "v"

    on(test)


def test_a_loader_that_is_no_coroutine_function(on: Callable[..., Any]) -> None:
    """Whatever can be awaited will do: a future, a task, an object with `__await__`."""

    async def test(cache: AsyncCache) -> None:
        future = asyncio.get_running_loop().create_future()
        future.set_result("future")
        assert await cache.get_or_set("a", lambda: future) == "future"
        assert await cache.get_or_set("b", lambda: asyncio.create_task(loads("task")())) == "task"
        assert await cache.get_or_set("c", loads("coroutine")) == "coroutine"

    on(test)


# ── Soft staleness ──────────────────────────────────────────────────────────────────────────────


def test_soft_invalidation_serves_while_one_loads(on: Callable[..., Any], events: list[Event]) -> None:
    """One reader loads; the others get the old value at once; `get` gets nothing."""

    async def test(cache: AsyncCache) -> None:
        await cache.get_or_set("k", loads("old"), tags=["t"], stale_ttl=60)
        await cache.invalidate("t", soft=True)
        assert await cache.get("k", tags=["t"]) is None
        loading, go = asyncio.Event(), asyncio.Event()

        async def load() -> str:
            loading.set()
            await go.wait()
            return "new"

        leader = asyncio.create_task(cache.get_or_set("k", load, tags=["t"], stale_ttl=60))
        await loading.wait()
        served = await asyncio.gather(*(cache.get_or_set("k", never, tags=["t"], stale_ttl=60) for _ in range(20)))
        assert served == ["old"] * 20
        go.set()
        assert await leader == "new"
        assert await cache.get("k", tags=["t"]) == "new"

    on(test)
    assert events.count(StaleHit("k", "t")) == 20


def test_a_runner_loads_while_all_are_served(on: Callable[..., Any]) -> None:
    """With a runner nobody waits: the value is loaded in a task, once."""

    async def test(cache: AsyncCache) -> None:
        await cache.get_or_set("k", loads("old"), tags=["t"], stale_ttl=60)
        await cache.invalidate("t", soft=True)
        calls: list[Any] = []
        go = asyncio.Event()

        async def load() -> str:
            calls.append(1)
            await go.wait()
            return "new"

        every = (cache.get_or_set("k", load, tags=["t"], stale_ttl=60) for _ in range(20))
        assert await asyncio.gather(*every) == ["old"] * 20
        go.set()
        await comes_to_be(cache, "new", tags=["t"])
        assert calls == [1]

    on(test, runner=tasks())


def test_a_ttl_that_is_over_is_served_while_it_is_loaded(on: Callable[..., Any], events: list[Event]) -> None:
    """Within the stale ttl a value whose ttl is over is served to those who do not load it."""

    async def test(cache: AsyncCache) -> None:
        await cache.get_or_set("k", loads("old"), ttl=0.01, stale_ttl=60)
        await asyncio.sleep(0.02)
        assert await cache.get("k") is None
        assert await cache.get_or_set("k", loads("new"), stale_ttl=60) == "old"
        await comes_to_be(cache, "new")

    on(test, runner=tasks())
    assert StaleHit("k", None) in events


def test_a_runner_that_raises(on: Callable[..., Any], events: list[Event]) -> None:
    """If the runner does not take the job, the reader loads himself, and an event says so."""

    def shut_down(job: Any) -> None:
        raise RuntimeError("shut down")

    async def test(cache: AsyncCache) -> None:
        await cache.get_or_set("k", loads("old"), tags=["t"], stale_ttl=60)
        await cache.invalidate("t", soft=True)
        assert await cache.get_or_set("k", loads("new"), tags=["t"], stale_ttl=60) == "new"
        assert await cache.get("k", tags=["t"]) == "new"

    on(test, runner=shut_down)
    assert [type(event.error) for event in events if isinstance(event, LoadFailed)] == [RuntimeError]


@pytest.mark.parametrize("runner", [None, tasks()], ids=["reader", "tasks"])
def test_stale_on_error(on: Callable[..., Any], events: list[Event], runner: Any) -> None:
    """Where the load fails a soft-stale value is served, an event says so, and the next reader tries again."""

    async def test(cache: AsyncCache) -> None:
        await cache.get_or_set("k", loads("old"), tags=["t"], stale_ttl=60)
        await cache.invalidate("t", soft=True)
        for number in range(1, 4):
            assert await cache.get_or_set("k", fails, tags=["t"], stale_ttl=60) == "old"
            await until(lambda n=number: sum(isinstance(event, LoadFailed) for event in events) == n)
            await asyncio.sleep(0.01)

    on(test, runner=runner)


@pytest.mark.parametrize("runner", [None, tasks()], ids=["reader", "tasks"])
def test_what_is_hard_stale_is_never_served(on: Callable[..., Any], runner: Any) -> None:
    """After a hard invalidation a load that fails raises, whatever the stale ttl is."""

    async def test(cache: AsyncCache) -> None:
        await cache.get_or_set("k", loads("old"), tags=["t"], stale_ttl=60)
        await cache.invalidate("t", soft=True)
        await cache.invalidate("t")
        with pytest.raises(LookupError):
            await cache.get_or_set("k", fails, tags=["t"], stale_ttl=60)
        await cache.invalidate("t", soft=True)
        with pytest.raises(LookupError):
            await cache.get_or_set("k", fails, tags=["t"], stale_ttl=60)

    on(test, runner=runner)


def test_a_hard_invalidation_during_a_load_that_fails(on: Callable[..., Any]) -> None:
    """What became hard-stale while it was loaded anew is not served when the load fails."""

    async def test(cache: AsyncCache) -> None:
        await cache.get_or_set("k", loads("old"), tags=["t"], stale_ttl=60)
        await cache.invalidate("t", soft=True)

        async def load() -> str:
            await cache.invalidate("t")
            raise LookupError

        with pytest.raises(LookupError):
            await cache.get_or_set("k", load, tags=["t"], stale_ttl=60)

    on(test)


def test_many_are_served_while_others_load_them(on: Callable[..., Any]) -> None:
    """`get_or_set_many` waits for nobody either."""

    async def test(cache: AsyncCache) -> None:
        keys = ["a", "b", "c"]
        await cache.get_or_set_many(keys, lambda names: loads(dict.fromkeys(names, "old"))(), tags=["t"], stale_ttl=60)
        await cache.invalidate("t", soft=True)
        loading, go = asyncio.Event(), asyncio.Event()

        async def load(names: list[str]) -> dict[str, str]:
            loading.set()
            await go.wait()
            return dict.fromkeys(names, "new")

        async def not_again(names: list[str]) -> dict[str, str]:
            raise AssertionError(names)

        leader = asyncio.create_task(cache.get_or_set_many(keys, load, tags=["t"], stale_ttl=60))
        await loading.wait()
        assert await cache.get_or_set_many(keys, not_again, tags=["t"], stale_ttl=60) == dict.fromkeys(keys, "old")
        go.set()
        assert await leader == dict.fromkeys(keys, "new")

    on(test)


def test_a_job_of_the_loop_that_ends(run: Run, server: Server, events: list[Event]) -> None:
    """A refresh that the end of the loop cancels gives its lease back: another loads at once."""
    begun: list[int] = []

    async def hangs() -> None:
        begun.append(1)
        await asyncio.Event().wait()

    async def first(cache: AsyncCache) -> None:
        await cache.get_or_set("k", loads("old"), tags=["t"], stale_ttl=60)
        await cache.invalidate("t", soft=True)
        assert await cache.get_or_set("k", hangs, tags=["t"], stale_ttl=60) == "old"
        await until(lambda: begun)

    cache = AsyncCache.from_url(server.url, namespace="test", timeout=PATIENT, runner=tasks())
    run(first(cache))
    with server.client as client:
        assert leases(client) == []
    run(cache.close())


def test_a_value_computed_from_a_soft_stale_one(on: Callable[..., Any]) -> None:
    """It is stale itself: nobody takes it for fresh."""

    async def test(cache: AsyncCache) -> None:
        await cache.get_or_set("inner", loads("old"), tags=["t"], stale_ttl=60)
        await cache.invalidate("t", soft=True)
        blocked = asyncio.Event()
        asked = asyncio.Event()

        async def slow() -> str:
            asked.set()
            await blocked.wait()
            return "new"

        leader = asyncio.create_task(cache.get_or_set("inner", slow, tags=["t"], stale_ttl=60))
        await asked.wait()
        outer = await cache.get_or_set("outer", lambda: cache.get_or_set("inner", never, tags=["t"], stale_ttl=60))
        assert outer == "old"
        assert await cache.get("outer") is None
        blocked.set()
        await leader

    on(test)


def test_reads_survive_a_hook_that_listens(on: Callable[..., Any], events: list[Event]) -> None:
    """Events say what happened, in order."""

    async def test(cache: AsyncCache) -> None:
        await cache.get_or_set("k", loads("v"))
        await cache.get("k")

    on(test)
    assert [type(event) for event in events] == [Miss, Stored, Hit]
    assert failures(events) == []
