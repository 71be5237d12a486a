"""Event loops that come and go: one after the other, side by side in threads, after a fork, closed without notice."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis
from children.async_common import LOOPS, PATIENT, Run, runner_of, until
from servers import Server

import unstale
from unstale import AsyncCache, Cache
from unstale.errors import StoreClosedError

only_valkey = pytest.mark.parametrize("server", ["valkey"], indirect=True)
"""What happens on the client's side needs no second kind of server."""
pytestmark = only_valkey

Factory = Callable[[], asyncio.AbstractEventLoop]


@pytest.fixture(params=LOOPS)
def kind(request: pytest.FixtureRequest) -> str:
    """A kind of loop, by name."""
    return request.param


@pytest.fixture
def factory(kind: str) -> Factory:
    """What makes a loop of each kind."""
    return LOOPS[kind]


@pytest.fixture
def run(factory: Factory) -> Run:
    """Runs a coroutine in a loop of each kind."""
    return runner_of(factory)


@pytest.fixture
def client(server: Server) -> Iterator[redis.Redis]:
    """A client of the server, to look behind unstale's back."""
    with server.client as made:
        yield made


@pytest.fixture
def cache(server: Server, run: Run) -> Iterator[AsyncCache]:
    """A cache made outside all loops, and closed in one of its own."""
    made = AsyncCache.from_url(server.url, namespace="test", timeout=PATIENT)
    yield made
    run(made.close())


def ours(client: redis.Redis) -> int:
    """How many connections the server has, but for this client's."""
    return int(client.info("clients")["connected_clients"]) - 1


def child(script: str, *arguments: str, flags: tuple[str, ...] = ("-X", "dev", "-W", "error")) -> Any:
    """Run a script of `children`, which must complain of nothing; what it tells."""
    path = Path(__file__).with_name("children") / script
    ended = subprocess.run(
        [sys.executable, *flags, str(path), *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    complaints = [line for line in ended.stderr.splitlines() if not line.startswith("Executing <")]  # a busy machine
    assert (complaints, ended.returncode) == ([], 0)
    return json.loads(ended.stdout)


# ── One after the other ─────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("way", ["plainly", "with_reads_under_way", "in_a_generator"])
def test_one_loop_after_another(server: Server, kind: str, way: str) -> None:
    """A cache of the module's, never closed: each loop gets its values, and leaves nothing open."""
    told = child("async_repeated.py", server.url, kind, way)
    assert told["found"] == [[number, "loaded"] for number in range(12)]
    assert told["connections"] == [0] * 12


@pytest.mark.parametrize("way", ["while_connecting", "closing"])
def test_a_loop_that_ends_while_the_connection_is_made(server: Server, kind: str, way: str) -> None:
    """Nothing is left open, and nothing is complained of."""
    told = child("async_repeated.py", server.url, kind, way)
    assert told["connections"] == [0] * 12


def test_a_cache_that_is_forgotten(server: Server, kind: str) -> None:
    """One that was used and not closed leaves nothing open behind its loop."""
    told = child("async_repeated.py", server.url, kind, "dropping")
    assert told["found"] == [[True, number] for number in range(12)]
    assert told["connections"] == [0] * 12


def test_loops_that_have_ended_are_forgotten(cache: AsyncCache, factory: Factory) -> None:
    """A cache that lives on keeps no loop alive that has ended, but for the last one."""

    async def use() -> weakref.ref[asyncio.AbstractEventLoop]:
        await cache.set("k", 1)
        return weakref.ref(asyncio.get_running_loop())

    loops = []
    for _ in range(8):
        with asyncio.Runner(loop_factory=factory) as runner:
            loops.append(runner.run(use()))
        del runner
    gc.collect()
    assert sum(loop() is not None for loop in loops) <= 1


def test_a_cache_that_is_forgotten_in_a_loop_that_goes_on(server: Server, run: Run, client: redis.Redis) -> None:
    """Its connection is closed when it is collected."""

    async def test() -> None:
        cache = AsyncCache.from_url(server.url, namespace="test", timeout=PATIENT)
        await cache.set("k", 1)
        assert ours(client) == 1
        del cache

        def gone() -> bool:
            gc.collect()
            return ours(client) == 0

        await until(gone, 5)

    run(test())


def test_a_loop_that_is_closed_without_notice(cache: AsyncCache, factory: Factory) -> None:
    """A loop that was closed without shutting its generators down: the next loop works all the same."""
    for number in range(3):
        loop = factory()
        loop.run_until_complete(cache.set("k", number))
        assert loop.run_until_complete(cache.get("k")) == number
        link = cache._store._last
        link._transport.abort()  # so that the test itself leaves nothing open
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_loop_that_is_closed_with_an_open_connection(server: Server, factory: Factory, run: Run) -> None:
    """The same where nobody closed the connection: the next loop works, and so does `close`."""
    cache = AsyncCache.from_url(server.url, namespace="test", timeout=PATIENT)
    for number in range(3):
        loop = factory()
        assert loop.run_until_complete(cache.set("k", number))
        loop.close()
    assert run(cache.get("k")) == 2
    run(cache.close())
    with pytest.raises(StoreClosedError):
        run(cache.get("k"))
    del cache, loop
    gc.collect()


def test_a_loop_that_runs_in_parts(cache: AsyncCache, factory: Factory, client: redis.Redis) -> None:
    """A loop that stops between calls keeps its connection."""
    loop = factory()
    for number in range(5):
        assert loop.run_until_complete(cache.set("k", number))
        assert loop.run_until_complete(cache.get("k")) == number
    assert ours(client) == 1
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


# ── Side by side ────────────────────────────────────────────────────────────────────────────────


def test_loops_in_many_threads(cache: AsyncCache, run: Run, client: redis.Redis) -> None:
    """Each thread's loop has a connection of its own, and gets its own answers."""
    at_once = threading.Barrier(4)

    async def work(worker: int) -> list[Any]:
        wrong = []
        for number in range(50):
            await cache.set(f"k{worker}", number)
            found = await asyncio.gather(*(cache.get(f"k{worker}") for _ in range(5)))
            if found != [number] * 5:
                wrong.append(found)
        await asyncio.to_thread(at_once.wait, 30)
        connections = ours(client) if worker == 0 else 4
        await asyncio.to_thread(at_once.wait, 30)
        return [*wrong, *([] if connections == 4 else [connections])]

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda worker: run(work(worker)), range(4))) == [[]] * 4
    assert ours(client) == 0


def test_single_flight_over_loops(cache: AsyncCache, run: Run) -> None:
    """Loops in several threads ask for one missing key: one load, for all."""
    at_once = threading.Barrier(4)
    calls: list[int] = []

    async def ask() -> list[Any]:
        await cache.ping()
        await asyncio.to_thread(at_once.wait, 30)

        async def load() -> str:
            calls.append(1)
            await asyncio.sleep(0.05)
            return "v"

        return await asyncio.gather(*(cache.get_or_set("k", load) for _ in range(10)))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: run(ask()), range(4))) == [["v"] * 10] * 4
    assert len(calls) == 1


def test_closed_by_another_thread(server: Server, run: Run) -> None:
    """`close` in one loop closes what other loops have: their reads end, none hangs."""
    cache = AsyncCache.from_url(server.url, namespace="test", timeout=PATIENT)
    reading = threading.Event()

    async def read() -> str:
        try:
            while True:
                await cache.get("k")
                reading.set()
        except StoreClosedError:
            return "closed"

    with ThreadPoolExecutor(1) as pool:
        outcome = pool.submit(run, read())
        assert reading.wait(10)
        run(cache.close())
        assert outcome.result(10) == "closed"


def test_inside_a_sync_cache(server: Server, cache: AsyncCache, run: Run) -> None:
    """A sync `Cache` works in a running loop, and its loader may run a loop of its own in a thread."""
    with Cache.from_url(server.url, namespace="test", timeout=PATIENT) as sync, ThreadPoolExecutor(1) as pool:
        inner = unstale.carry(lambda: run(cache.get_or_set("inner", load, tags=["t"])))

        async def load() -> str:
            return "inner"

        async def test() -> str:
            return sync.get_or_set("outer", lambda: pool.submit(inner).result(10) + " outer")

        assert run(test()) == "inner outer"
        assert run(cache.get("outer")) == "inner outer"


def test_a_sync_cache_whose_loader_runs_a_loop(server: Server, cache: AsyncCache, run: Run) -> None:
    """Outside a loop the loader of a sync `Cache` may run one itself."""
    with Cache.from_url(server.url, namespace="test", timeout=PATIENT) as sync:
        assert sync.get_or_set("k", lambda: run(cache.set("l", 1))) is True
        assert sync.get("l") == 1


# ── Fork ────────────────────────────────────────────────────────────────────────────────────────


def test_forked_outside_a_loop(server: Server, kind: str) -> None:
    """Children use it in loops of their own, and so does the parent in another."""
    told = child("async_forked.py", server.url, kind, "outside", flags=())
    assert told == {"children": [True] * 3, "parent": True, "same connection": True, "parent again": True}


def test_forked_inside_a_running_loop(server: Server, kind: str) -> None:
    """Children that are forked with reads under way: each gets its own answers, and the parent's connection stays."""
    told = child("async_forked.py", server.url, kind, "inside", flags=())
    assert told == {"children": [True] * 3, "parent": True, "same connection": True}


# ── Close ───────────────────────────────────────────────────────────────────────────────────────


def test_use_after_close(server: Server, run: Run) -> None:
    """Every verb says that it was closed; what reads does not go on as if the server were away."""

    async def test() -> None:
        cache = AsyncCache.from_url(server.url, namespace="test", timeout=PATIENT)
        await cache.set("k", 1)
        await cache.close()
        verbs = [
            lambda: cache.get("k"),
            lambda: cache.get_many(["k"]),
            lambda: cache.has_key("k"),
            lambda: cache.set("k", 1),
            lambda: cache.invalidate("t"),
            lambda: cache.get_or_set("k", asyncio.Event().wait),
            lambda: cache.refresh("k", asyncio.Event().wait),
            lambda: cache.incr("k"),
            lambda: cache.scope("user", 1).get("k"),
            cache.ping,
            cache.clear,
        ]
        for verb in verbs:
            with pytest.raises(StoreClosedError):
                await asyncio.wait_for(verb(), 5)

    run(test())


def test_a_batch_after_close(server: Server, run: Run) -> None:
    """`get_or_set_many` after close says so as well, as `get_or_set` does."""

    async def test() -> None:
        cache = AsyncCache.from_url(server.url, namespace="test", timeout=PATIENT)
        await cache.close()

        async def load(keys: list[str]) -> dict[str, int]:
            return dict.fromkeys(keys, 1)

        with pytest.raises(StoreClosedError):
            await cache.get_or_set_many(["k"], load)

    run(test())


def test_use_after_close_in_another_loop(server: Server, run: Run) -> None:
    """Nor does another loop open it again."""
    cache = AsyncCache.from_url(server.url, namespace="test", timeout=PATIENT)
    run(cache.set("k", 1))
    run(cache.close())
    with pytest.raises(StoreClosedError):
        run(cache.get("k"))
    run(cache.close())


def test_closed_before_it_was_used(server: Server, run: Run) -> None:
    """Close without a connection does no harm."""
    cache = AsyncCache.from_url(server.url, namespace="test", timeout=PATIENT)
    run(cache.close())
    with pytest.raises(StoreClosedError):
        run(cache.set("k", 1))


def test_closed_while_reads_are_under_way(server: Server, run: Run, client: redis.Redis) -> None:
    """Each ends with its value or with StoreClosedError; none hangs, and nothing stays open."""

    async def test() -> None:
        for turns in range(12):
            cache = AsyncCache.from_url(server.url, namespace="test", timeout=PATIENT)
            if turns % 2:
                await cache.ping()

            async def load() -> str:
                await asyncio.sleep(0)
                return "v"

            tasks = [asyncio.create_task(cache.get("none", "v")) for _ in range(10)]
            tasks += [asyncio.create_task(cache.get_or_set(f"k{n}", load)) for n in range(10)]
            for _ in range(turns):
                await asyncio.sleep(0)
            await cache.close()
            outcomes = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 10)
            assert [one for one in outcomes if one != "v" and type(one) is not StoreClosedError] == []
        await until(lambda: ours(client) == 0, 5)

    run(test())


def test_closed_while_a_value_is_loaded(server: Server, run: Run) -> None:
    """The load goes on, and its value is returned."""

    async def test() -> None:
        cache = AsyncCache.from_url(server.url, namespace="test", timeout=PATIENT)

        async def load() -> str:
            await cache.close()
            return "v"

        assert await asyncio.wait_for(cache.get_or_set("k", load), 5) == "v"

    run(test())


def test_closed_in_a_context(server: Server, run: Run, client: redis.Redis) -> None:
    """`async with` closes at its end, also when its block raises."""

    async def test() -> None:
        with pytest.raises(LookupError):  # noqa: PT012 - the block is what raises
            async with AsyncCache.from_url(server.url, namespace="test", timeout=PATIENT) as cache:
                await cache.set("k", 1)
                raise LookupError
        with pytest.raises(StoreClosedError):
            await cache.get("k")
        await until(lambda: ours(client) == 0, 5)

    run(test())
