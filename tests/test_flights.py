"""One load at a time in a process: threads that want the same key wait for one of them."""

from __future__ import annotations

import contextvars
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from servers import Server

from unstale import Cache, carry
from unstale.errors import StoreError, StoreTimeoutError
from unstale.events import Event, Failed
from unstale.flights import LONGEST_SECONDS, Flights
from unstale.options import make_keyspace

A = ["a"]
PATIENCE = 30
FLIGHT = (b"k", (b"stamp",))


class Gate:
    """A loader that begins, waits to be let through, and counts."""

    def __init__(self, *results: Any) -> None:
        self.begun = threading.Semaphore(0)
        self.go = threading.Event()
        self.count = 0
        self.results = list(results)

    def __call__(self) -> Any:
        self.count += 1
        result = self.results.pop(0)
        self.begun.release()
        assert self.go.wait(PATIENCE)
        if isinstance(result, BaseException):
            raise result
        return result


@pytest.fixture
def pool() -> Any:
    """Threads."""
    with ThreadPoolExecutor(16) as made:
        yield made


def joined(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """Tells of each thread that joins another's flight."""
    joins = threading.Semaphore(0)
    join = type(cache._io).join

    async def told(io: Any, flight: Any, seconds: float) -> bool:
        joins.release()
        return await join(io, flight, seconds)

    monkeypatch.setattr(type(cache._io), "join", told)
    return joins


def wait_for(semaphore: threading.Semaphore, times: int) -> None:
    """Wait until something has happened so often."""
    for _ in range(times):
        assert semaphore.acquire(timeout=PATIENCE)


def crowd(cache: Cache, pool: ThreadPoolExecutor, gate: Gate, patch: pytest.MonkeyPatch) -> list[Future[Any]]:
    """One thread that loads, and eight that wait for it."""
    joins = joined(cache, patch)
    first = pool.submit(cache.get_or_set, "k", gate, tags=A)
    wait_for(gate.begun, 1)
    rest = [pool.submit(cache.get_or_set, "k", gate, tags=A) for _ in range(8)]
    wait_for(joins, 8)
    return [first, *rest]


@pytest.fixture
def warm(cache: Cache) -> Cache:
    """A cache in which the stamps of k are there: who looks before a load and who looks during it see the same."""
    cache.set("k", "gone", tags=A)
    cache.delete("k", tags=A)
    return cache


def test_one_load_for_a_crowd(warm: Cache, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many threads one loads, and all have its value."""
    gate = Gate("value", "another")
    crowded = crowd(warm, pool, gate, monkeypatch)
    gate.go.set()
    assert [one.result(PATIENCE) for one in crowded] == ["value"] * 9
    assert gate.count == 1


def test_one_load_for_a_crowd_without_stamps(cache: Cache, pool: ThreadPoolExecutor) -> None:
    """Also the first time of all, when there are no stamps yet."""
    gate = Gate("value", "another")
    gate.go.set()
    crowded = [pool.submit(cache.get_or_set, "k", gate, tags=A) for _ in range(12)]
    assert {one.result(PATIENCE) for one in crowded} == {"value"}
    assert gate.count == 1


def test_waiting_asks_the_server_once(warm: Cache, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for a thread of the same process does not ask the server meanwhile."""
    opens: list[Any] = []
    open_ = warm._store.open
    monkeypatch.setattr(warm._store, "open", lambda *rest: opens.append(rest) or open_(*rest))
    gate = Gate("value")
    crowded = crowd(warm, pool, gate, monkeypatch)
    gate.go.set()
    assert [one.result(PATIENCE) for one in crowded] == ["value"] * 9
    assert len(opens) == 1


def test_a_load_that_fails(warm: Cache, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the load fails its caller has the error, and another loads for the rest."""
    gate = Gate(OSError("own"), "value", "more")
    first, *rest = crowd(warm, pool, gate, monkeypatch)
    gate.go.set()
    with pytest.raises(OSError, match="own"):
        first.result(PATIENCE)
    assert {one.result(PATIENCE) for one in rest} == {"value"}
    assert gate.count == 2


def test_an_invalidation_during_the_load(
    warm: Cache, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waited for a load during which the tag was invalidated is not given its value: he began before, but looks."""
    gate = Gate("old", "new", "newer")
    first, *rest = crowd(warm, pool, gate, monkeypatch)
    warm.invalidate("a")
    gate.go.set()
    assert first.result(PATIENCE) == "old"
    assert {one.result(PATIENCE) for one in rest} == {"new"}


def test_a_reader_after_an_invalidation_does_not_join(cache: Cache, pool: ThreadPoolExecutor) -> None:
    """Who comes after an invalidation is never given the value of a load that began before it."""
    old, new = Gate("old"), Gate("new", "newer")
    first = pool.submit(cache.get_or_set, "k", old, tags=A)
    wait_for(old.begun, 1)
    cache.invalidate("a")
    new.go.set()
    second = pool.submit(cache.get_or_set, "k", new, tags=A)
    old.go.set()
    assert [first.result(PATIENCE), second.result(PATIENCE)] == ["old", "new"]


def test_other_keys_do_not_wait(cache: Cache, pool: ThreadPoolExecutor) -> None:
    """A slow load holds up nobody who wants another key."""
    gate = Gate("slow")
    first = pool.submit(cache.get_or_set, "k", gate, tags=A)
    wait_for(gate.begun, 1)
    assert cache.get_or_set("l", lambda: "quick", tags=A) == "quick"
    assert cache.scope("user", 1).get_or_set("k", lambda: "quick", tags=A) == "quick"
    gate.go.set()
    assert first.result(PATIENCE) == "slow"


def test_none_is_waited_for(warm: Cache, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A None is a value, for those who wait too."""
    gate = Gate(None, "another")
    crowded = crowd(warm, pool, gate, monkeypatch)
    gate.go.set()
    assert [one.result(PATIENCE) for one in crowded] == [None] * 9
    assert gate.count == 1


def test_refresh_waits_then_loads(warm: Cache, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refresh waits for a load under way, then loads itself: what it gives is of after its beginning."""
    joins = joined(warm, monkeypatch)
    gate = Gate("first", "second")
    first = pool.submit(warm.get_or_set, "k", gate, tags=A)
    wait_for(gate.begun, 1)
    second = pool.submit(warm.refresh, "k", gate, tags=A)
    wait_for(joins, 1)
    gate.go.set()
    assert [first.result(PATIENCE), second.result(PATIENCE), warm.get("k", tags=A)] == ["first", "second", "second"]


def test_closed_tag_is_not_waited_for(server: Server, pool: ThreadPoolExecutor) -> None:
    """Under a closed tag each loads for himself, at the same time."""
    with Cache.from_url(server.url, namespace="test", timeout=2.0) as cache, server.client as client:
        client.zadd("test:s:{a}", {"owner": 4102444800})
        gate = Gate(*range(4))
        crowded = [pool.submit(cache.get_or_set, "k", gate, tags=A) for _ in range(4)]
        wait_for(gate.begun, 4)
        gate.go.set()
        assert sorted(one.result(PATIENCE) for one in crowded) == [0, 1, 2, 3]


def test_store_that_fails_while_one_waits(
    warm: Cache, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch, events: list[Event]
) -> None:
    """If the store fails when the wait is over, who waited loads for himself."""
    gate = Gate("value", *["own"] * 8)
    crowded = crowd(warm, pool, gate, monkeypatch)

    def broken(*_: Any) -> Any:
        raise StoreError

    monkeypatch.setattr(warm._store, "read", broken)
    gate.go.set()
    results = [one.result(PATIENCE) for one in crowded]
    assert results[0] == "value"
    assert set(results[1:]) == {"own"}
    assert Failed in map(type, events)


def test_who_waits_for_one_whose_store_fails(
    warm: Cache, pool: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """He loads for himself, at once: each of those who wait would lead in turn, and wait for the server as long."""
    joins, begun, go, opens = joined(warm, monkeypatch), threading.Semaphore(0), threading.Event(), []

    def silent(*_: Any) -> Any:
        opens.append(1)
        begun.release()
        assert go.wait(PATIENCE)
        raise StoreTimeoutError

    monkeypatch.setattr(warm._store, "open", silent)
    first = pool.submit(warm.get_or_set, "k", lambda: "own", tags=A)
    wait_for(begun, 1)
    rest = [pool.submit(warm.get_or_set, "k", lambda: "own", tags=A) for _ in range(8)]
    wait_for(joins, 8)
    go.set()
    assert [one.result(PATIENCE) for one in (first, *rest)] == ["own"] * 9
    assert len(opens) == 1


def test_two_loaders_that_want_each_others_keys(pool: ThreadPoolExecutor) -> None:
    """Two threads whose loaders want each other's keys wait no longer than their leases, then load."""
    with Cache.from_url("memory://", namespace="test", lease=0.1) as cache:
        barrier = threading.Barrier(2)

        def loader(other: str) -> Callable[[], str]:
            def load() -> str:
                barrier.wait(PATIENCE)
                return cache.get_or_set(other, lambda: f"inner {other}")

            return load

        one = pool.submit(cache.get_or_set, "k", loader("l"))
        two = pool.submit(cache.get_or_set, "l", loader("k"))
        assert {one.result(PATIENCE), two.result(PATIENCE)} <= {"inner k", "inner l"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform does not fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_fork_during_a_load(cache: Cache, pool: ThreadPoolExecutor) -> None:
    """A child that is forked during a load does not wait for a thread that it does not have."""
    io = cache._io
    assert io.lead(FLIGHT) is True
    child = os.fork()
    if child == 0:  # pragma: no cover - the child reports by its exit status
        os._exit(0 if io.lead(FLIGHT) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert io.lead(FLIGHT) is False
    io.land(FLIGHT)


# The parts


def test_lead_and_land() -> None:
    """A flight is led by one until it has landed."""
    flights = Flights(threading.Event)
    assert [flights.lead(FLIGHT), flights.lead(FLIGHT), flights.lead((b"l", ()))] == [True, False, True]
    found = flights.find(FLIGHT)
    assert found is not None
    assert flights.land(FLIGHT) is found.event
    assert found.failed is False
    assert [flights.find(FLIGHT), flights.land(FLIGHT), flights.lead(FLIGHT)] == [None, None, True]


def test_flight_that_never_lands(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flight that was lost is led by another after a minute."""
    now = [0.0]
    monkeypatch.setattr("unstale.flights.monotonic", lambda: now[0])
    flights = Flights(threading.Event)
    flights.lead(FLIGHT)
    now[0] = LONGEST_SECONDS - 1
    assert flights.lead(FLIGHT) is False
    now[0] = LONGEST_SECONDS + 1
    assert [flights.lead(FLIGHT), flights.lead(FLIGHT)] == [True, False]


def test_nothing_is_left(cache: Cache, pool: ThreadPoolExecutor) -> None:
    """When all have landed nothing is kept, however the loads ended."""

    def fail() -> str:
        raise OSError

    cache.get_or_set("k", lambda: 1, tags=A)
    cache.get_or_set("s", lambda: 1, tags=A, stale_ttl=60)
    cache.invalidate("a", soft=True)
    cache.get_or_set("s", fail, tags=A, stale_ttl=60)
    with pytest.raises(OSError):  # noqa: PT011 - any
        cache.get_or_set("l", fail, tags=A)
    with pytest.raises(TypeError):
        cache.get_or_set("m", object, tags=A)
    assert cache._io._flights._under_way == {}


def test_two_caches_share_nothing() -> None:
    """Each cache has flights of its own: their loads are in other namespaces, or stores."""
    one, two = (Cache.from_url("memory://", namespace="test") for _ in range(2))
    one._io.lead(FLIGHT)
    assert two._io.lead(FLIGHT) is True


def test_scopes_share_flights(cache: Cache) -> None:
    """A scope is its cache's."""
    assert cache.scope("user", 1)._io is cache._io


def test_carried_thread_does_not_wait_for_its_own_loader(cache: Cache, pool: ThreadPoolExecutor) -> None:
    """A loader's thread that asks for the loader's own key is answered."""

    def load() -> str:
        return pool.submit(carry(cache.get_or_set), "k", lambda: "inner", tags=A).result(PATIENCE)

    assert cache.get_or_set("k", load, tags=A) == "inner"


def test_many_threads_many_keys(cache: Cache, pool: ThreadPoolExecutor) -> None:
    """Under load each thread has the right values, and no more loads than keys."""
    counts = dict.fromkeys(range(20), 0)
    lock = threading.Lock()

    def load(number: int) -> list[int]:
        with lock:
            counts[number] += 1
        return [number]

    def read(seed: int) -> bool:
        numbers = [(seed * 7 + step) % 20 for step in range(40)]
        return all(cache.get_or_set(f"k{n}", lambda n=n: load(n), tags=A) == [n] for n in numbers)

    contexts = [contextvars.copy_context() for _ in range(12)]
    done = [pool.submit(context.run, read, seed) for seed, context in enumerate(contexts)]
    assert all(one.result(PATIENCE) for one in done)
    assert set(counts.values()) == {1}


def test_apart_waits_by_the_lease(cache: Cache, pool: ThreadPoolExecutor) -> None:
    """Another process waits by the lease."""
    other = Cache(cache._store, make_keyspace({"namespace": "test"}))
    gate = Gate("value", "another")
    first = pool.submit(cache.get_or_set, "k", gate, tags=A)
    wait_for(gate.begun, 1)
    second = pool.submit(other.get_or_set, "k", gate, tags=A)
    gate.go.set()
    assert [first.result(PATIENCE), second.result(PATIENCE), gate.count] == ["value", "value", 1]
