"""Readers and writers with caches of their own, in threads and in asyncio tasks, and what they were given, judged.

The database is a dict of versions. A writer changes a row and invalidates its tag, again and again where that fails;
from then on whoever begins to read must be given at least that version. Some values are computed from cached values of
two rows, which on a cluster may lie on two nodes.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final, Self

from clusters import until

from unstale import AsyncCache, Cache
from unstale.errors import StoreError
from unstale.events import Event, Failed

PAUSE_SECONDS: Final = 0.01
"""Between two writes of a writer, so that there are hits too."""
NOT_HUNG: Final = 20.0


class Judge:
    """The rows, the newest versions that readers must be given, and who was given less.

    Attributes:
        rows: their names, which are their tags too.
        versions: the rows' own.
        floors: the newest whose invalidation has returned.
        hits: how often each row's value came from a cache.
        counts: reads, writes, and writes that were tried again.
        failures: what the caches went on without, by the error's name.
        stale: who was given what had been invalidated.
        errors: what reached a reader.
    """

    def __init__(self, rows: Sequence[str]) -> None:
        """Everything is new."""
        self.rows = list(rows)
        self.versions = dict.fromkeys(rows, 0)
        self.floors = dict.fromkeys(rows, 0)
        self.hits = dict.fromkeys(rows, 0)
        self.counts: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.stale: list[str] = []
        self.errors: list[str] = []
        self.over = threading.Event()
        self._lock = threading.Lock()

    def change(self, row: str) -> int:
        """Write a new version of a row."""
        with self._lock:
            self.versions[row] += 1
            return self.versions[row]

    def invalidated(self, row: str, version: int) -> None:
        """A row's invalidation has returned, which began with this version."""
        with self._lock:
            self.floors[row] = max(self.floors[row], version)
            self.counts["writes"] += 1

    def was_refused(self) -> None:
        """A write has to be tried again."""
        with self._lock:
            self.counts["writes tried again"] += 1

    def was_read(self, who: str, given: dict[str, tuple[int, int]], *, is_hit: bool) -> None:
        """Somebody was given versions of rows, each beside the one that was the least when the read began."""
        with self._lock:
            self.counts["reads"] += 1
            self.counts["hits"] += is_hit
            for row, (version, floor) in given.items():
                self.hits[row] += is_hit
                if version < floor:
                    self.stale.append(f"{who} was given {version} of {row} after {floor} was invalidated")

    def heard(self, event: Event) -> None:
        """Hook for the caches."""
        if isinstance(event, Failed):
            with self._lock:
                self.failures[f"{event.operation}: {type(event.error).__name__}"] += 1

    def __str__(self) -> str:
        figures = {**self.counts, "stale": len(self.stale), "reader errors": len(self.errors)}
        return ", ".join(f"{name}: {count:,}" for name, count in figures.items()) + f"; without: {dict(self.failures)}"


class Reader:
    """One who reads, and judges what it gets."""

    def __init__(self, judge: Judge, cache: Any, who: str) -> None:
        """Know the cache: a Cache for `read`, an AsyncCache for `read_async`."""
        self.judge, self.cache, self.who = judge, cache, who
        self.is_hit = True

    def _load(self, row: str) -> int:
        self.is_hit = False
        return self.judge.versions[row]

    def _next(self) -> tuple[list[str], dict[str, int]]:
        first = random.choice(self.judge.rows)
        rows = [first, random.choice(self.judge.rows)] if random.random() < 0.25 else [first]
        self.is_hit = True
        return rows, {row: self.judge.floors[row] for row in rows}

    def _was_given(self, rows: list[str], floors: dict[str, int], versions: Sequence[int]) -> None:
        given = {row: (version, floors[row]) for row, version in zip(rows, versions, strict=True)}
        self.judge.was_read(self.who, given, is_hit=self.is_hit)

    def read(self) -> None:
        """One read, of a row or of a value of two rows."""
        rows, floors = self._next()

        def one(row: str) -> int:
            version: int = self.cache.get_or_set(f"row {row}", lambda: self._load(row), tags=[row])
            return version

        def both() -> list[int]:
            self.is_hit = False
            return [one(row) for row in rows]

        pair = f"rows {' '.join(rows)}"
        versions = [one(*rows)] if len(rows) == 1 else self.cache.get_or_set(pair, both, tags=rows[:1])
        self._was_given(rows, floors, versions)

    async def read_async(self) -> None:
        """The same with an AsyncCache."""
        rows, floors = self._next()

        async def one(row: str) -> int:
            async def load() -> int:
                return self._load(row)

            version: int = await self.cache.get_or_set(f"row {row}", load, tags=[row])
            return version

        async def both() -> list[int]:
            self.is_hit = False
            return [await one(row) for row in rows]

        pair = f"rows {' '.join(rows)}"
        versions = [await one(*rows)] if len(rows) == 1 else await self.cache.get_or_set(pair, both, tags=rows[:1])
        self._was_given(rows, floors, versions)


class Traffic:
    """Two readers and a writer in threads, four readers and a writer in asyncio tasks. Use as a context manager.

    Each thread has a cache of its own, as if in a process of its own, but the first reader shares the writer's: one may
    write with a store that others do not read with, or read with one whose writer has just met a new primary.

    Attributes:
        judge: of all.
    """

    def __init__(self, url: str, rows: Sequence[str], **options: Any) -> None:
        """Start nothing yet.

        Args:
            url: of all caches.
            rows: the database's rows.
            options: of all caches.
        """
        self.judge = Judge(rows)
        self._url = url
        self._options: Any = {
            "namespace": "traffic",
            "timeout": 0.6,
            "lease": 0.2,
            "on_event": self.judge.heard,
            **options,
        }
        self._caches = [Cache.from_url(url, **self._options) for _ in range(3)]
        first, second, third = self._caches
        jobs: list[Callable[[], object]] = [
            lambda: self._read(first, "the writer's reader"),
            lambda: self._write(first),
            lambda: self._read(second, "a reader"),
            lambda: self._write(third),
            lambda: asyncio.run(self._all_async()),
        ]
        self._threads = [threading.Thread(target=job) for job in jobs]

    def _read(self, cache: Cache, who: str) -> None:
        reader = Reader(self.judge, cache, who)
        while not self.judge.over.is_set():
            try:
                reader.read()
            except Exception as error:  # noqa: BLE001 - it is counted, and the test fails
                self.judge.errors.append(f"{who}: {error!r}")

    def _write(self, cache: Cache) -> None:
        while not self.judge.over.is_set():
            row = random.choice(self.judge.rows)
            version = self.judge.change(row)
            while not self.judge.over.is_set():
                try:
                    cache.invalidate(row)
                except StoreError:
                    self.judge.was_refused()
                    time.sleep(PAUSE_SECONDS)
                else:
                    self.judge.invalidated(row, version)
                    break
            time.sleep(PAUSE_SECONDS)

    async def _all_async(self) -> None:
        async with AsyncCache.from_url(self._url, **self._options) as cache, asyncio.TaskGroup() as group:
            for number in range(4):
                group.create_task(self._read_async(cache, f"task {number}"))
            group.create_task(self._write_async(cache))

    async def _read_async(self, cache: AsyncCache, who: str) -> None:
        reader = Reader(self.judge, cache, who)
        while not self.judge.over.is_set():
            try:
                await reader.read_async()
            except Exception as error:  # noqa: BLE001 - it is counted, and the test fails
                self.judge.errors.append(f"{who}: {error!r}")
            await asyncio.sleep(0)

    async def _write_async(self, cache: AsyncCache) -> None:
        while not self.judge.over.is_set():
            row = random.choice(self.judge.rows)
            version = self.judge.change(row)
            while not self.judge.over.is_set():
                try:
                    await cache.invalidate(row)
                except StoreError:
                    self.judge.was_refused()
                    await asyncio.sleep(PAUSE_SECONDS)
                else:
                    self.judge.invalidated(row, version)
                    break
            await asyncio.sleep(PAUSE_SECONDS)

    def flows(self) -> None:
        """Wait until every row has been invalidated anew, and then been served from a cache three times."""
        floors = dict(self.judge.floors)
        until(lambda: all(self.judge.floors[row] > floors[row] for row in floors))
        hits = dict(self.judge.hits)
        until(lambda: all(self.judge.hits[row] > hits[row] + 2 for row in hits))

    def is_as_promised(self) -> bool:
        """Whether nobody was given what had been invalidated, and no error reached a reader; else say who."""
        assert not self.judge.stale, self.judge.stale[:5]
        assert not self.judge.errors, self.judge.errors[:5]
        return True

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        self.flows()
        return self

    def __exit__(self, *exception: object) -> None:
        self.judge.over.set()
        for thread in self._threads:
            thread.join(NOT_HUNG)
        for cache in self._caches:
            cache.close()
        assert not any(thread.is_alive() for thread in self._threads), "a reader or a writer hangs"
