"""A herd: 200 readers on one key that was just invalidated; and a loader that is killed in the middle of its load.

The readers are threads or tasks, 50 in each of four processes. Each load is counted at the server, by an INCR of a key
of its own: one load is right, whatever the readers do. A loader that is killed leaves its lease behind: another begins
to load when that has run out.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any, Final

import redis

from bench.report import Part, Spread, Table, Target
from bench.servers import running
from unstale import AsyncCache, Cache

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from multiprocessing.context import SpawnContext
    from multiprocessing.process import BaseProcess

    from bench.servers import Server


@dataclass(frozen=True, slots=True)
class Config:
    """The size of a herd.

    Attributes:
        processes: of readers.
        readers: threads or tasks in each.
        rounds: invalidations, each followed by all reading.
        load_seconds: how long a load takes.
        lease_seconds: the option `lease` where a loader is killed.
        kills: how many are.
        waiters: readers who wait for the one who is killed.
    """

    processes: int = 4
    readers: int = 50
    rounds: int = 5
    load_seconds: float = 0.3
    lease_seconds: float = 1.0
    kills: int = 5
    waiters: int = 4

    @property
    def herd(self) -> int:
        """All readers."""
        return self.processes * self.readers


KEY, TAG = "page", "user:42/pages"
LOADS: Final = "loads"
"""Counts the loads."""
TIMEOUT = 10.0
"""Seconds for an answer: with two cores for 200 readers the default would measure the machine."""
PATIENCE_SECONDS = 60.0
POLL_SECONDS: Final = 0.1
"""What a waiter's polling may add to the lease: pauses of up to 50 ms, and the machine."""
KINDS: Final = ("threads", "tasks")


@dataclass(frozen=True, slots=True)
class Round:
    """What one invalidation led to.

    Attributes:
        loads: how many began.
        old: readers who were given the value from before the invalidation.
        slowest_seconds: from the start of the readers to the last one's answer.
    """

    loads: int
    old: int
    slowest_seconds: float


@dataclass(frozen=True, slots=True)
class Kill:
    """What followed on the end of a loader.

    Attributes:
        since_lease: seconds from the lease's taking (just before the killed load began) to the next load.
        since_kill: seconds from the kill to the next load.
        loads: how many began, the killed one included.
        unserved: waiters who were not given the new value.
    """

    since_lease: float
    since_kill: float
    loads: int
    unserved: int


def _make(kind: str, url: str, **options: Any) -> Any:
    made = Cache if kind == "threads" else AsyncCache
    return made.from_url(url, namespace="herd", timeout=TIMEOUT, **{"read_timeout": TIMEOUT, **options})


class Herd:
    """One process of readers."""

    def __init__(self, url: str, kind: str, config: Config, meeting: Any, answers: Any) -> None:
        """Connect.

        Args:
            url: of the server.
            kind: of the readers, one of KINDS.
            config: how many.
            meeting: a barrier of all processes and the one who invalidates.
            answers: a queue for what the readers were given.
        """
        self._config = config
        self._meeting = meeting
        self._answers = answers
        self._counter = redis.Redis.from_url(url)
        self._cache = _make(kind, url)

    def _version(self) -> int:
        """A load begins: it is counted, and the database is read."""
        self._counter.incr(LOADS)
        return int(self._counter.get("version") or 0)

    def _load(self) -> int:
        version = self._version()
        time.sleep(self._config.load_seconds)
        return version

    async def _load_async(self) -> int:
        version = self._version()
        await asyncio.sleep(self._config.load_seconds)
        return version

    def _meet(self) -> None:
        self._meeting.wait(PATIENCE_SECONDS)

    def run_threads(self) -> None:
        """Read in threads; all are connected, and have read, before the invalidation."""
        with ThreadPoolExecutor(self._config.readers) as pool:
            for _ in range(self._config.rounds):
                go, ready = threading.Event(), threading.Barrier(self._config.readers + 1)
                readings = [pool.submit(self._read_when, ready, go) for _ in range(self._config.readers)]
                ready.wait(PATIENCE_SECONDS)
                self._meet()  # all have read
                self._meet()  # it is invalidated
                began = time.monotonic()
                go.set()
                versions = [reading.result() for reading in readings]
                self._answers.put((versions, time.monotonic() - began))
                self._meet()  # all have been served

    def _read_when(self, ready: threading.Barrier, go: threading.Event) -> int:
        self._cache.get_or_set(KEY, self._load, tags=(TAG,))
        ready.wait(PATIENCE_SECONDS)
        go.wait(PATIENCE_SECONDS)
        return int(self._cache.get_or_set(KEY, self._load, tags=(TAG,)))

    async def run_tasks(self) -> None:
        """Read in tasks of one loop."""
        for _ in range(self._config.rounds):
            await self._read_all()
            self._meet()  # all have read
            self._meet()  # it is invalidated
            began = time.monotonic()
            versions = await self._read_all()
            self._answers.put((versions, time.monotonic() - began))
            self._meet()  # all have been served
        await self._cache.close()

    async def _read_all(self) -> list[int]:
        reads = (self._cache.get_or_set(KEY, self._load_async, tags=(TAG,)) for _ in range(self._config.readers))
        return [int(version) for version in await asyncio.gather(*reads)]


def read_in_process(url: str, kind: str, config: Config, meeting: Any, answers: Any) -> None:
    """A process of readers."""
    _leave_with_parent()
    herd = Herd(url, kind, config, meeting, answers)
    try:
        if kind == "threads":
            herd.run_threads()
        else:
            asyncio.run(herd.run_tasks())
    except BaseException:
        meeting.abort()  # nobody is to wait for this one
        raise


def _leave_with_parent() -> None:
    """End this process if the one that runs the herd is killed."""

    def wait() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def run(server: Server, kind: str, config: Config) -> list[Round]:
    """Invalidate a key that all have read, have all read it again, and count the loads.

    Raises:
        BrokenBarrierError: a process failed; it has printed why.
    """
    server.client.flushall()
    context = multiprocessing.get_context("spawn")
    meeting, answers = context.Barrier(config.processes + 1), context.Queue()
    arguments = (server.url(), kind, config, meeting, answers)
    processes = [context.Process(target=read_in_process, args=arguments, daemon=True) for _ in range(config.processes)]
    try:
        for process in processes:
            process.start()
        with _make("threads", server.url()) as cache:
            return [_round(server, cache, config, meeting, answers, version) for version in range(1, config.rounds + 1)]
    finally:
        _end(processes)


def _round(server: Server, cache: Cache, config: Config, meeting: Any, answers: Any, version: int) -> Round:
    meeting.wait(PATIENCE_SECONDS)
    server.client.set(LOADS, 0)
    server.client.set("version", version)
    cache.invalidate(TAG)
    meeting.wait(PATIENCE_SECONDS)
    given = [answers.get(timeout=PATIENCE_SECONDS) for _ in range(config.processes)]
    loads = int(server.client.get(LOADS))
    meeting.wait(PATIENCE_SECONDS)
    old = sum(one != version for versions, _ in given for one in versions)
    return Round(loads, old, max(seconds for _, seconds in given))


def _end(processes: Sequence[BaseProcess]) -> None:
    for process in processes:
        if process.pid is not None:
            process.join(5)
            if process.is_alive():
                process.kill()
                process.join()


def hold(url: str, key: str, config: Config, began: Any) -> None:
    """A process that loads for ever; it says when it began."""
    _leave_with_parent()

    def load() -> int:
        redis.Redis.from_url(url).incr(LOADS)
        began.send(time.monotonic())
        time.sleep(PATIENCE_SECONDS)
        return 0

    _make("threads", url, lease=config.lease_seconds).get_or_set(key, load, tags=(TAG,))


class Waiters:
    """Readers in this process who wait for the load of one who will be killed."""

    def __init__(self, url: str, kind: str, key: str, config: Config) -> None:
        """Connect; `begin` must follow."""
        self._kind, self._key, self._config = kind, key, config
        self._url = url
        self._counter = redis.Redis.from_url(url)
        self.next_at = 0.0
        """When the next load began, by the monotonic clock."""

    def _load(self) -> int:
        self.next_at = time.monotonic()
        self._counter.incr(LOADS)
        return 1

    def read(self) -> list[int]:
        """Have all read; what they were given."""
        if self._kind == "tasks":
            return asyncio.run(self._read_async())
        lease, waiters = self._config.lease_seconds, self._config.waiters
        with _make("threads", self._url, lease=lease) as cache, ThreadPoolExecutor(waiters) as pool:
            reads = [pool.submit(cache.get_or_set, self._key, self._load, tags=(TAG,)) for _ in range(waiters)]
            return [read.result() for read in reads]

    async def _read_async(self) -> list[int]:
        async def load() -> int:
            return self._load()

        async with _make("tasks", self._url, lease=self._config.lease_seconds) as cache:
            reads = (cache.get_or_set(self._key, load, tags=(TAG,)) for _ in range(self._config.waiters))
            return list(await asyncio.gather(*reads))


def kill_one(server: Server, kind: str, key: str, config: Config) -> Kill:
    """Have a process load, others wait for it, and kill it.

    On Linux and macOS the monotonic clock is the same in all processes.
    """
    server.client.set(LOADS, 0)
    context: SpawnContext = multiprocessing.get_context("spawn")
    mine, its = context.Pipe(duplex=False)
    holder = context.Process(target=hold, args=(server.url(), key, config, its), daemon=True)
    holder.start()
    try:
        if not mine.poll(PATIENCE_SECONDS):
            raise RuntimeError("the holder did not begin to load")
        held_at: float = mine.recv()
        waiters = Waiters(server.url(), kind, key, config)
        with ThreadPoolExecutor(1) as pool:
            reading = pool.submit(waiters.read)
            _wait_until_looked(server, config)
            assert holder.pid is not None  # noqa: S101 - it was started
            os.kill(holder.pid, signal.SIGKILL)
            killed_at = time.monotonic()
            given = reading.result(PATIENCE_SECONDS)
    finally:
        holder.kill()
        holder.join()
    unserved = sum(one != 1 for one in given)
    loads = int(server.client.get(LOADS))
    return Kill(waiters.next_at - held_at, waiters.next_at - killed_at, loads, unserved)


def _wait_until_looked(server: Server, config: Config) -> None:
    """Until a waiter has looked, so that others wait when the holder is killed; or for a third of the lease."""
    looked = server.counted().commands.get("mget", 0)
    until = time.monotonic() + config.lease_seconds / 3
    while server.counted().commands.get("mget", 0) <= looked and time.monotonic() < until:
        time.sleep(0.005)


def bench(kind: str, say: Callable[[str], None], config: Config | None = None) -> Part:
    """The herd and the kill, with threads and with tasks."""
    config = config or Config()
    rounds: dict[str, list[Round]] = {}
    kills: dict[str, list[Kill]] = {}
    with running(kind) as server:
        for readers in KINDS:
            say(f"herd: {config.herd} {readers}")
            rounds[readers] = run(server, readers, config)
        for readers in KINDS:
            say(f"herd: {config.kills} loaders killed, {readers} wait")
            server.client.flushall()
            kills[readers] = [
                kill_one(server, readers, f"killed:{readers}:{number}", config) for number in range(config.kills)
            ]
        version = server.version
    tables = (_herd_table(rounds, config, version), _kill_table(kills, config, version))
    return Part("herd", tables, (*_herd_targets(rounds, config), *_kill_targets(kills, config)))


def _herd_table(rounds: dict[str, list[Round]], config: Config, version: str) -> Table:
    rows = tuple(
        (
            f"{config.herd} {readers}",
            len(made),
            max(one.loads for one in made),
            sum(one.loads for one in made),
            sum(one.old for one in made),
            Spread(tuple(one.slowest_seconds for one in made)),
        )
        for readers, made in rounds.items()
    )
    title = (
        f"One invalidated key, {config.processes} processes of {config.readers} readers at once, a load takes "
        f"{config.load_seconds:g} s ({version})"
    )
    columns = ("readers", "invalidations", "most loads for one", "loads", "given the old value", "all served after s")
    return Table(title, columns, rows)


def _kill_table(kills: dict[str, list[Kill]], config: Config, version: str) -> Table:
    rows = tuple(
        (
            readers,
            len(made),
            median(one.since_lease for one in made),
            max(one.since_lease for one in made),
            median(one.since_kill for one in made),
            max(one.loads for one in made) - 1,
        )
        for readers, made in kills.items()
    )
    columns = (
        "waiting",
        "loaders killed",
        "next load s after the lease was taken",
        "the latest",
        "s after the kill",
        "most loads after it",
    )
    title = f"A loader is killed while others wait for it; lease={config.lease_seconds:g} s ({version})"
    return Table(title, columns, rows)


def _herd_targets(rounds: dict[str, list[Round]], config: Config) -> Iterator[Target]:
    for readers, made in rounds.items():
        what = f"{config.herd} {readers}"
        yield Target(f"{what}: most loads for one invalidation", max(one.loads for one in made), 1, fatal=True)
        yield Target(f"{what}: least loads for one", min(one.loads for one in made), 1, at_least=True, fatal=True)
        yield Target(f"{what}: given what was invalidated", sum(one.old for one in made), 0, fatal=True)


def _kill_targets(kills: dict[str, list[Kill]], config: Config) -> Iterator[Target]:
    limit = config.lease_seconds + POLL_SECONDS
    for readers, made in kills.items():
        latest = max(one.since_lease for one in made)
        yield Target(f"{readers}: seconds from a killed loader's lease to the next load, at most", latest, limit)
        yield Target(f"{readers}: most loads after the kill", max(one.loads for one in made) - 1, 1, fatal=True)
        yield Target(f"{readers}: waiters not served", sum(one.unserved for one in made), 0, fatal=True)
