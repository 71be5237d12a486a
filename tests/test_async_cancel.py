"""Cancellation: nobody gets another's answer, no lease stays behind, and nobody waits for one who is gone."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import suppress
from typing import Any

import anyio
import pytest
import redis
from children.async_common import HASTY, LOOPS, PATIENT, Run, leases, runner_of, until
from servers import Server

from unstale import AsyncCache, Cache
from unstale.events import Event

CANCELLED = 10_000
"""Reads that are cancelled among those that are not."""

only_valkey = pytest.mark.parametrize("server", ["valkey"], indirect=True)
"""What happens on the client's side needs no second kind of server."""


@pytest.fixture(params=LOOPS.values(), ids=LOOPS)
def run(request: pytest.FixtureRequest) -> Run:
    """Runs a coroutine in a loop of each kind."""
    return runner_of(request.param)


@pytest.fixture
def client(server: Server) -> Iterator[redis.Redis]:
    """A client of the server, to look behind unstale's back. The only one at first: some tests count them."""
    with server.client as made:
        made.client_kill_filter(_type="normal", skipme=True)
        asyncio.run(until(lambda: ours(made) == 0))
        yield made


@pytest.fixture
def on(run: Run, server: Server, events: list[Event]) -> Callable[..., Any]:
    """Runs a function of a cache on each kind of server."""

    async def using(test: Callable[[AsyncCache], Awaitable[Any]], options: dict[str, Any]) -> Any:
        given = {"namespace": "test", "timeout": PATIENT, "on_event": events.append, **options}
        async with AsyncCache.from_url(server.url, **given) as cache:
            return await test(cache)

    return lambda test, **options: run(using(test, options))


def ours(client: redis.Redis) -> int:
    """How many connections the server has, but for this client's."""
    return int(client.info("clients")["connected_clients"]) - 1


class Load:
    """A loader that waits until it is told to go on. `begun` is set when it was called."""

    def __init__(self, value: Any = "v") -> None:
        self.value = value
        self.begun = asyncio.Event()
        self.go = asyncio.Event()
        self.calls = 0

    async def __call__(self, *arguments: Any) -> Any:
        self.calls += 1
        self.begun.set()
        await self.go.wait()
        return self.value


async def cancel(task: asyncio.Task[Any]) -> None:
    """Cancel a task, and see that it was cancelled."""
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


class Gate:
    """Holds a method of a cache's store back: before it is done, or after. `reached` is set when somebody waits."""

    def __init__(self, cache: AsyncCache, name: str, *, after: bool = False) -> None:
        self.reached = asyncio.Event()
        self.open = asyncio.Event()
        self._method = getattr(cache._store, name)
        self._after = after
        setattr(cache._store, name, self)

    async def __call__(self, *arguments: Any, **named: Any) -> Any:
        if not self._after:
            self.reached.set()
            await self.open.wait()
        done = await self._method(*arguments, **named)
        if self._after:
            self.reached.set()
            await self.open.wait()
        return done


def filling(cache: AsyncCache, load: Load, *, many: bool) -> Coroutine[Any, Any, Any]:
    """Fill a key, alone or in a batch."""
    return cache.get_or_set_many(["k", "l"], load) if many else cache.get_or_set("k", load)


# ── Answers ─────────────────────────────────────────────────────────────────────────────────────


def value_of(number: int) -> bytes:
    """A value that names its key, of a size of its own."""
    return f"value of k{number} ".encode() * (1 + number % 7 * (400 if number % 10 == 0 else 3))


def test_ten_thousand_cancelled_reads(on: Callable[..., Any], client: redis.Redis) -> None:
    """Among live reads, cancelled ones mix up no answer, cost no connection, and hang nobody."""
    chance = random.Random(1)
    keys = 200

    async def test(cache: AsyncCache) -> None:
        await cache.set_many({f"k{number}": value_of(number) for number in range(keys)}, tags=["t"])
        wrong: list[Any] = []
        live = cancelled = 0

        async def read(number: int) -> None:
            match number % 3:
                case 0:
                    found = await cache.get(f"k{number}", tags=["t"])
                case 1:
                    found = (await cache.get_many([f"k{number}", "none"]))[f"k{number}"]
                case _:
                    found = await cache.get_or_set(f"k{number}", Load(), tags=["t"])
            if found != value_of(number):
                wrong.append((number, found))

        while cancelled < CANCELLED:
            tasks = [asyncio.create_task(read(chance.randrange(keys))) for _ in range(100)]
            for _ in range(chance.randrange(6)):
                await asyncio.sleep(0)
            doomed = chance.sample(tasks, 70)
            cancelled += sum(task.cancel() for task in doomed)
            await asyncio.wait_for(asyncio.wait(tasks), 30)
            live += sum(not task.cancelled() for task in tasks)
            assert [task.exception() for task in tasks if not task.cancelled() and task.exception()] == []
        assert wrong == []
        assert live > 1000
        assert ours(client) == 1
        assert await cache.get("k7") == value_of(7)

    on(test)


def test_cancelled_writes_mix_up_no_answer(on: Callable[..., Any], client: redis.Redis) -> None:
    """Nor do writes, whose trips have many replies."""
    chance = random.Random(2)

    async def test(cache: AsyncCache) -> None:
        async def act(number: int) -> Any:
            key = f"k{number}"
            match number % 4:
                case 0:
                    assert await cache.set(key, value_of(number), tags=["t"])
                case 1:
                    assert await cache.get(key) in (None, value_of(number))
                case 2:
                    assert (await cache.invalidate(key)).tags == (key,)
                case _:

                    async def load() -> bytes:
                        await asyncio.sleep(0)
                        return value_of(number)

                    assert await cache.get_or_set(key, load) == value_of(number)

        for _ in range(60):
            tasks = [asyncio.create_task(act(chance.randrange(80))) for _ in range(40)]
            for _ in range(chance.randrange(8)):
                await asyncio.sleep(0)
            for task in chance.sample(tasks, 25):
                task.cancel()
            await asyncio.wait_for(asyncio.wait(tasks), 30)
            assert [task.exception() for task in tasks if not task.cancelled() and task.exception()] == []
        assert ours(client) == 1

    on(test)


def test_one_who_is_cancelled_loses_only_his_own(on: Callable[..., Any]) -> None:
    """Of reads that share a trip one is cancelled: the others get their values."""

    async def test(cache: AsyncCache) -> None:
        await cache.set_many({f"k{number}": number for number in range(10)})
        tasks = [asyncio.create_task(cache.get(f"k{number}")) for number in range(10)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        tasks[4].cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert [one for one in outcomes if not isinstance(one, BaseException)] == [1, 2, 3, 5, 6, 7, 8, 9]

    on(test)


# ── Leases ──────────────────────────────────────────────────────────────────────────────────────


def test_a_loader_that_is_cancelled_gives_its_lease_back(on: Callable[..., Any], client: redis.Redis) -> None:
    """The lease is gone when the cancelled task has ended, and another loads at once."""

    async def test(cache: AsyncCache) -> None:
        load = Load()
        task = asyncio.create_task(cache.get_or_set("k", load, tags=["t"]))
        await load.begun.wait()
        assert len(leases(client)) == 1
        await cancel(task)
        assert leases(client) == []
        other = Load("other")
        other.go.set()
        assert await asyncio.wait_for(cache.get_or_set("k", other, tags=["t"]), 5) == "other"

    on(test)


def test_another_process_loads_at_once(on: Callable[..., Any], server: Server) -> None:
    """It need not wait for the lease of one who was cancelled."""

    async def test(cache: AsyncCache) -> None:
        load = Load()
        task = asyncio.create_task(cache.get_or_set("k", load))
        await load.begun.wait()
        await cancel(task)
        with Cache.from_url(server.url, namespace="test", timeout=PATIENT, lease=60) as other:
            loading = asyncio.to_thread(other.get_or_set, "k", lambda: "other")
            assert await asyncio.wait_for(loading, 5) == "other"

    on(test)


def test_a_batch_that_is_cancelled_gives_its_leases_back(on: Callable[..., Any], client: redis.Redis) -> None:
    """All of them."""

    async def test(cache: AsyncCache) -> None:
        load = Load()
        task = asyncio.create_task(cache.get_or_set_many(["a", "b", "c"], load))
        await load.begun.wait()
        assert len(leases(client)) == 3
        await cancel(task)
        assert leases(client) == []

    on(test)


@pytest.mark.parametrize("many", [False, True], ids=["one", "many"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_cancelled_while_it_asks_for_the_lease(
    on: Callable[..., Any], client: redis.Redis, many: bool, after: bool
) -> None:
    """Whoever is cancelled before he knows whether he has the lease does not keep it."""

    async def test(cache: AsyncCache) -> None:
        gate, load = Gate(cache, "open", after=after), Load()
        task = asyncio.create_task(filling(cache, load, many=many))
        await gate.reached.wait()
        await cancel(task)
        gate.open.set()
        await until(lambda: client.exists(*client.keys() or ["none"]) and leases(client) == [], 2)
        load.go.set()
        assert await asyncio.wait_for(cache.get_or_set("k", load), 5) == "v"
        assert load.calls == 1

    on(test, lease=60)


@pytest.mark.parametrize("many", [False, True], ids=["one", "many"])
def test_cancelled_while_it_stores(on: Callable[..., Any], client: redis.Redis, many: bool) -> None:
    """Whoever is cancelled while his value waits to be sent leaves no lease behind for others to wait for."""

    async def test(cache: AsyncCache) -> None:
        gate, load = Gate(cache, "commit"), Load({"k": "v", "l": "v"})
        load.go.set()
        task = asyncio.create_task(filling(cache, load, many=many))
        await gate.reached.wait()
        assert leases(client) != []
        await cancel(task)
        gate.open.set()
        await until(lambda: leases(client) == [], 2)

    on(test, lease=60)


def test_cancelled_while_it_gives_back_what_it_does_not_want(
    on: Callable[..., Any], server: Server, client: redis.Redis
) -> None:
    """A batch that gives one lease back, and is cancelled meanwhile, keeps none of the others."""

    async def test(cache: AsyncCache) -> None:
        opening = Gate(cache, "open")
        releasing = Gate(cache, "release")
        task = asyncio.create_task(cache.get_or_set_many(["k", "l"], Load()))
        await opening.reached.wait()
        with Cache.from_url(server.url, namespace="test", timeout=PATIENT) as other:
            other.set("k", "filled meanwhile")
        opening.open.set()
        await releasing.reached.wait()
        assert len(leases(client)) == 2
        task.cancel()
        await asyncio.sleep(0)
        releasing.open.set()
        await cancel(task)
        await until(lambda: leases(client) == [], 2)

    on(test, lease=60)


def test_cancelled_while_it_refreshes(on: Callable[..., Any], client: redis.Redis) -> None:
    """`refresh` gives its lease back too, and what was kept stays."""

    async def test(cache: AsyncCache) -> None:
        await cache.set("k", "kept")
        load = Load()
        task = asyncio.create_task(cache.refresh("k", load))
        await load.begun.wait()
        await cancel(task)
        assert leases(client) == []
        assert await cache.get("k") == "kept"

    on(test)


def test_cancelled_while_it_revalidates(on: Callable[..., Any], client: redis.Redis) -> None:
    """One who loads a soft-stale value anew and is cancelled: the next one loads, and others are served meanwhile."""

    async def test(cache: AsyncCache) -> None:
        old, first, second = Load("old"), Load("first"), Load("second")
        old.go.set()
        await cache.get_or_set("k", old, tags=["t"], stale_ttl=60)
        await cache.invalidate("t", soft=True)
        task = asyncio.create_task(cache.get_or_set("k", first, tags=["t"], stale_ttl=60))
        await first.begun.wait()
        await cancel(task)
        assert leases(client) == []
        second.go.set()
        assert await cache.get_or_set("k", second, tags=["t"], stale_ttl=60) == "second"

    on(test)


def test_cancelled_twice(on: Callable[..., Any], client: redis.Redis) -> None:
    """One who is cancelled again while he gives his lease back gives it back all the same."""

    async def test(cache: AsyncCache) -> None:
        load, gate = Load(), Gate(cache, "release")
        task = asyncio.create_task(cache.get_or_set("k", load))
        await load.begun.wait()
        task.cancel()
        await gate.reached.wait()
        await cancel(task)
        gate.open.set()
        await until(lambda: leases(client) == [], 2)

    on(test, lease=60)


def test_cancelled_by_a_scope_of_anyio(on: Callable[..., Any], client: redis.Redis) -> None:
    """A scope of anyio's cancels each wait anew until it is left: the lease is given back all the same."""

    async def test(cache: AsyncCache) -> None:
        load = Load()
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(cache.get_or_set, "k", load)
                await load.begun.wait()
                scope.cancel()
        assert scope.cancelled_caught
        await until(lambda: leases(client) == [], 2)
        load.go.set()
        assert await asyncio.wait_for(cache.get_or_set("k", load), 5) == "v"

    on(test, lease=60)


def test_cancelled_by_a_deadline_of_anyio(on: Callable[..., Any], client: redis.Redis) -> None:
    """`move_on_after` moves on, and the lease is given back."""

    async def test(cache: AsyncCache) -> None:
        with anyio.move_on_after(0.05) as scope:
            await cache.get_or_set("k", Load())
        assert scope.cancelled_caught
        await until(lambda: leases(client) == [], 2)

    on(test, lease=60)


def test_cancelled_by_a_timeout(on: Callable[..., Any], client: redis.Redis) -> None:
    """`asyncio.timeout` and `wait_for` raise TimeoutError, and the lease is given back."""

    async def test(cache: AsyncCache) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await cache.get_or_set("k", Load())
        assert leases(client) == []
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(cache.get_or_set("k", Load()), 0.05)
        assert leases(client) == []

    on(test, lease=60)


def test_a_task_group_that_fails(on: Callable[..., Any], client: redis.Redis) -> None:
    """One task's error cancels the loads of the others, which leave nothing behind."""

    async def test(cache: AsyncCache) -> None:
        loads = [Load() for _ in range(5)]

        async def fail() -> None:
            for load in loads:
                await load.begun.wait()
            raise LookupError

        with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012 - the group is what raises
            async with asyncio.TaskGroup() as group:
                for number, load in enumerate(loads):
                    group.create_task(cache.get_or_set(f"k{number}", load))
                group.create_task(fail())
        assert [type(error) for error in caught.value.exceptions] == [LookupError]
        assert leases(client) == []

    on(test)


# ── Flights ─────────────────────────────────────────────────────────────────────────────────────


def test_a_waiter_takes_over_from_a_leader_who_is_cancelled(on: Callable[..., Any]) -> None:
    """Of many who wait for one load that is cancelled one loads; none of them is told of the cancellation."""

    async def test(cache: AsyncCache) -> None:
        first, second = Load("first"), Load("second")
        leader = asyncio.create_task(cache.get_or_set("k", first, tags=["t"]))
        await first.begun.wait()
        waiters = [asyncio.create_task(cache.get_or_set("k", second, tags=["t"])) for _ in range(20)]
        await asyncio.sleep(0.02)
        await cancel(leader)
        await asyncio.wait_for(second.begun.wait(), 5)
        second.go.set()
        assert await asyncio.wait_for(asyncio.gather(*waiters), 5) == ["second"] * 20
        assert second.calls == 1

    on(test, lease=60)


def test_waiters_who_are_cancelled(on: Callable[..., Any]) -> None:
    """They go; the load and the other waiters do not notice."""

    async def test(cache: AsyncCache) -> None:
        load = Load()
        leader = asyncio.create_task(cache.get_or_set("k", load))
        await load.begun.wait()
        waiters = [asyncio.create_task(cache.get_or_set("k", load)) for _ in range(20)]
        await asyncio.sleep(0.02)
        for waiter in waiters[::2]:
            await cancel(waiter)
        load.go.set()
        assert await asyncio.wait_for(asyncio.gather(leader, *waiters[1::2]), 5) == ["v"] * 11
        assert load.calls == 1

    on(test)


def test_leaders_who_are_cancelled_one_after_the_other(on: Callable[..., Any]) -> None:
    """Each time one of those who are left takes over; the last one gets his value."""

    async def test(cache: AsyncCache) -> None:
        begun: asyncio.Queue[int] = asyncio.Queue()

        async def ask(number: int) -> Any:
            async def load() -> int:
                await begun.put(number)
                if number in cancelled or len(cancelled) < 9:
                    await asyncio.Event().wait()
                return number

            return await cache.get_or_set("k", load)

        cancelled: set[int] = set()
        tasks = [asyncio.create_task(ask(number)) for number in range(10)]
        while len(cancelled) < 9:
            number = await asyncio.wait_for(begun.get(), 5)
            cancelled.add(number)
            await cancel(tasks[number])
        [last] = [task for number, task in enumerate(tasks) if number not in cancelled]
        assert await asyncio.wait_for(last, 5) not in cancelled

    on(test, lease=60)


def test_a_loader_that_cancels_itself(on: Callable[..., Any], client: redis.Redis) -> None:
    """A CancelledError that comes out of the loader is the loader's; the lease goes, and a waiter loads."""

    async def test(cache: AsyncCache) -> None:
        begun, go = asyncio.Event(), asyncio.Event()

        async def load() -> str:
            begun.set()
            await go.wait()
            raise asyncio.CancelledError

        leader = asyncio.create_task(cache.get_or_set("k", load))
        await begun.wait()
        other = Load()
        other.go.set()
        waiter = asyncio.create_task(cache.get_or_set("k", other))
        await asyncio.sleep(0.01)
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await leader
        assert await asyncio.wait_for(waiter, 5) == "v"
        assert leases(client) == []

    on(test, lease=60)


# ── Connecting ──────────────────────────────────────────────────────────────────────────────────


@only_valkey
def test_cancelled_while_it_connects(on: Callable[..., Any], client: redis.Redis) -> None:
    """Others who wait for the same connection get it."""

    async def test(cache: AsyncCache) -> None:
        tasks = [asyncio.create_task(cache.set(f"k{number}", number)) for number in range(10)]
        await asyncio.sleep(0)
        await cancel(tasks[0])
        await cancel(tasks[5])
        assert await asyncio.wait_for(asyncio.gather(*tasks[1:5], *tasks[6:]), 5) == [True] * 8
        assert ours(client) == 1

    on(test)


@only_valkey
def test_all_cancelled_while_they_connect(on: Callable[..., Any], client: redis.Redis) -> None:
    """The connection is made all the same, and the next one uses it."""

    async def test(cache: AsyncCache) -> None:
        for _ in range(20):
            task = asyncio.create_task(cache.get("k"))
            await asyncio.sleep(0)
            await cancel(task)
        assert await asyncio.wait_for(cache.set("k", "v"), 5)
        assert ours(client) == 1

    on(test)


@pytest.mark.parametrize("own_server", ["valkey"], indirect=True)
def test_cancelled_while_a_silent_server_is_asked(run: Run, own_server: Server) -> None:
    """One who is cancelled while nothing answers goes at once; when the server goes on, so do the others."""

    async def test() -> None:
        async with AsyncCache.from_url(own_server.url, namespace="test", timeout=PATIENT) as cache:
            own_server.freeze()
            try:
                tasks = [asyncio.create_task(cache.get_or_set("k", Load())) for _ in range(5)]
                await asyncio.sleep(0.05)
                for task in tasks:
                    await asyncio.wait_for(cancel(task), 3)
            finally:
                own_server.thaw()
            assert await cache.set("k", "v")
            assert await cache.get("k") == "v"

    run(test())


@pytest.mark.parametrize("own_server", ["valkey"], indirect=True)
def test_all_cancelled_and_the_server_stays_silent(
    run: Run, own_server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """When nobody waits any more, the time-out of what is under way is nobody's error."""

    async def test() -> None:
        async with AsyncCache.from_url(own_server.url, namespace="test", timeout=HASTY) as cache:
            with suppress(Exception):
                await cache.ping()
            own_server.freeze()
            try:
                tasks = [asyncio.create_task(cache.get("k")) for _ in range(5)]
                await asyncio.sleep(0.05)
                for task in tasks:
                    await cancel(task)
                await asyncio.sleep(3 * HASTY)
            finally:
                own_server.thaw()
            await until_answered(cache)

    run(test())
    gc.collect()  # an error that nobody has taken is told when its future goes
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


async def until_answered(cache: AsyncCache) -> None:
    """Ask until the server answers: with a short time limit a busy machine may need more than one try."""
    for _ in range(50):
        with suppress(Exception):
            await cache.ping()
            return
    await cache.ping()
