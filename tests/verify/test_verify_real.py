"""Verifying on real servers, over a real database: what was planted is found, what is sound is not accused."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from clusters import Cluster
from servers import Server

from unstale import AsyncCache, Cache, Verify, runners
from unstale.core.verified import Verification
from unstale.events import Agreement, Event, Verified

ROWS = range(8)
PATIENCE_SECONDS = 60.0
EACH = Verify(1.0, limit=0.5, share=1.0)
SOUND = Verify(1.0, limit=600, share=1.0)
"""However long a thread is kept waiting between its COMMIT and its invalidation."""


class Database:
    """Rows of numbers in SQLite: what is committed is seen by all, and only that."""

    def __init__(self, path: Path) -> None:
        self._path = path
        with closing(self._connect()) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, value INTEGER)")
            connection.executemany("INSERT INTO rows VALUES (?, 0)", [(row,) for row in ROWS])

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path, timeout=30, isolation_level=None)

    def load(self, row: int) -> dict[str, int]:
        """A row, as it is committed."""
        with closing(self._connect()) as connection:
            [value] = connection.execute("SELECT value FROM rows WHERE id = ?", (row,)).fetchone()
            return {"id": row, "value": value}

    def write(self, row: int) -> None:
        """Change a row, and commit."""
        with closing(self._connect()) as connection:
            connection.execute("UPDATE rows SET value = value + 1 WHERE id = ?", (row,))


@pytest.fixture
def database(tmp_path: Path) -> Database:
    """A database of the test's own."""
    return Database(tmp_path / "rows.sqlite3")


@pytest.fixture
def make_cache(server: Server) -> Iterator[Callable[..., Cache]]:
    """Makes caches that verify."""
    made: list[Cache] = []

    def make(policy: Verify = EACH, **options: Any) -> Cache:
        made.append(Cache.from_url(server.url, namespace="test", timeout=5.0, verify=policy, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


def read(cache: Cache, database: Database, row: int) -> Any:
    """Read a row by the cache."""
    return cache.get_or_set(f"row:{row}", lambda: database.load(row), tags=[f"rows:{row}"])


def settled(report: Callable[[], Verification]) -> Verification:
    """The report, once nothing is watched any more."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while report().watched:
        assert time.monotonic() < deadline, report()
        time.sleep(0.01)
    return report()


def until(holds: Callable[[], bool], does: Callable[[], object]) -> None:
    """Do something until it holds."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        does()
        time.sleep(0.01)


def test_a_sound_application(make_cache: Callable[..., Cache], database: Database) -> None:
    """Threads read and write; each write is invalidated after its COMMIT: no read is lost, all settle."""
    cache = make_cache(SOUND)

    def work(worker: int) -> None:
        for step in range(60):
            row = (worker * 7 + step * 3) % len(ROWS)
            if (worker + step) % 5 == 0:
                database.write(row)
                cache.invalidate(f"rows:{row}")
            read(cache, database, row)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    found = settled(cache.verification)
    assert found.total.judged > 10
    assert (found.total.lost, found.total.unsettled, found.lost) == (0, 0, ())
    assert found.consistent_within(1e9).good == found.total.judged


def test_planted_forgotten_invalidations(make_cache: Callable[..., Cache], database: Database) -> None:
    """Of some rows the writer forgets to say so: these are found, by key and tag, and no others."""
    cache = make_cache(on_event=lambda event: None)
    for row in ROWS:
        read(cache, database, row)
    for row in ROWS:
        database.write(row)
        if row not in (2, 5):
            cache.invalidate(f"rows:{row}")

    def read_all() -> None:
        for row in ROWS:
            read(cache, database, row)

    until(lambda: {one.key for one in cache.verification().lost} == {"row:2", "row:5"}, read_all)
    found = cache.verification()
    assert {one.tags for one in found.lost} == {("rows:2",), ("rows:5",)}
    assert all(one.stood and one.seconds >= EACH.limit_seconds for one in found.lost)
    for row in ROWS:
        cache.invalidate(f"rows:{row}")
    settled(cache.verification)


@pytest.mark.parametrize("runner", [None, 2], ids=["in its own time", "by a runner"])
def test_a_gap_is_measured(make_cache: Callable[..., Cache], database: Database, runner: int | None) -> None:
    """The time until the value is served no longer lies between the bounds, whoever loads."""
    events: list[Event] = []
    pool = None if runner is None else runners.threads(runner)
    cache = make_cache(Verify(1.0, share=1.0), on_event=events.append, runner=pool)
    read(cache, database, 1)
    database.write(1)
    before_read = time.monotonic()
    assert read(cache, database, 1)["value"] == 0
    after_read = time.monotonic()
    until(lambda: cache.verification().watched == 1, lambda: None)
    before = time.monotonic()
    cache.invalidate("rows:1")
    after = time.monotonic()
    until(lambda: any(isinstance(event, Verified) for event in events), lambda: None)
    [event] = [event for event in events if isinstance(event, Verified) and event.agreement is Agreement.SETTLED]
    assert event.at_least is not None
    assert event.at_most is not None
    assert event.at_least <= after - before_read
    assert event.at_most >= before - after_read


def test_many_threads_on_one_key(make_cache: Callable[..., Cache], database: Database) -> None:
    """All that differ end together: none is counted twice, none is left out."""
    events: list[Event] = []
    cache = make_cache(on_event=events.append)
    read(cache, database, 1)
    database.write(1)
    start = threading.Barrier(8)

    def work(_: int) -> None:
        start.wait()
        for _ in range(5):
            read(cache, database, 1)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    cache.invalidate("rows:1")
    total = settled(cache.verification).total
    assert total.judged + total.skipped == 40
    until(lambda: sum(isinstance(event, Verified) for event in events) == 40, lambda: None)


async def _read(cache: AsyncCache, database: Database, row: int) -> Any:
    async def load() -> Any:
        return await asyncio.to_thread(database.load, row)

    return await cache.get_or_set(f"row:{row}", load, tags=[f"rows:{row}"])


async def _settled(cache: AsyncCache) -> Verification:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while cache.verification().watched:  # noqa: ASYNC110 - what ends it tells no event
            await asyncio.sleep(0.01)
    return cache.verification()


@pytest.mark.parametrize("runner", [False, True], ids=["in its own time", "by a runner"])
def test_asyncio(server: Server, database: Database, runner: bool) -> None:
    """A sound application has nothing lost; what is planted then is found; what is watched is a task of the loop."""

    async def work(cache: AsyncCache, worker: int) -> None:
        for step in range(30):
            row = (worker * 7 + step * 3) % len(ROWS)
            if (worker + step) % 5 == 0:
                await asyncio.to_thread(database.write, row)
                await cache.invalidate(f"rows:{row}")
            await _read(cache, database, row)

    async def main() -> None:
        options: Any = {"namespace": "test", "timeout": 5.0}
        options |= {"runner": runners.tasks()} if runner else {}
        async with AsyncCache.from_url(server.url, verify=SOUND, **options) as cache:
            await asyncio.gather(*(work(cache, worker) for worker in range(6)))
            found = await _settled(cache)
            assert found.total.judged > 10
            assert (found.total.lost, found.total.unsettled) == (0, 0)
        async with AsyncCache.from_url(server.url, verify=EACH, **options) as cache:
            await _read(cache, database, 3)
            await asyncio.to_thread(database.write, 3)
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not cache.verification().lost:
                    await _read(cache, database, 3)
                    await asyncio.sleep(0.01)
            assert {one.key for one in cache.verification().lost} == {"row:3"}
            await cache.invalidate("rows:3")
            await _settled(cache)

    asyncio.run(main())


def test_one_who_is_cancelled_while_his_read_is_verified(server: Server) -> None:
    """He is cancelled; the read is counted as skipped, and the next one is verified."""

    async def main() -> None:
        policy = Verify(1.0, share=1.0)
        async with AsyncCache.from_url(server.url, namespace="test", timeout=5.0, verify=policy) as cache:
            begun, go_on = asyncio.Event(), asyncio.Event()

            async def load() -> str:
                begun.set()
                await go_on.wait()
                return "v"

            go_on.set()
            await cache.get_or_set("k", load)
            begun.clear()
            go_on.clear()
            reader = asyncio.create_task(cache.get_or_set("k", load))
            await begun.wait()
            reader.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reader
            go_on.set()
            assert await cache.get_or_set("k", load) == "v"
            total = cache.verification().total
            assert (total.same, total.skipped) == (1, 1)

    asyncio.run(main())


def test_a_loop_that_ends_while_something_is_watched(server: Server, database: Database) -> None:
    """It stays unsettled."""

    async def main() -> AsyncCache:
        cache = AsyncCache.from_url(server.url, namespace="test", timeout=5.0, verify=Verify(1.0, share=1.0))
        await _read(cache, database, 1)
        database.write(1)
        await _read(cache, database, 1)
        assert cache.verification().watched == 1
        return cache

    found = asyncio.run(main()).verification()
    assert (found.watched, found.total.unsettled) == (0, 1)


def test_a_rate_is_kept(make_cache: Callable[..., Cache], database: Database) -> None:
    """Of 20,000 hits at a rate of a hundredth some 200 are verified: chance is off by more than 100 once in 10^11."""
    cache = make_cache(Verify(0.01, share=1.0))
    for _ in range(20_001):
        cache.get_or_set("k", lambda: 1)
    assert 100 < cache.verification().total.same < 300


def test_on_a_cluster(cluster: Cluster, database: Database) -> None:
    """The entry is looked at where it lies: what is invalidated settles, what is forgotten is lost."""
    with Cache.from_url(cluster.url, namespace="test", timeout=5.0, verify=EACH, on_event=lambda event: None) as cache:
        for row in (1, 2):
            read(cache, database, row)
            database.write(row)
            read(cache, database, row)
        cache.invalidate("rows:1")
        until(lambda: bool(cache.verification().lost), lambda: read(cache, database, 2))
        assert {one.key for one in cache.verification().lost} == {"row:2"}
        assert sum(cache.verification().total.settled) == 1
        cache.invalidate("rows:2")
        settled(cache.verification)
