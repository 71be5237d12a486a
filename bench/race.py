"""Racing readers and writers: how many reads are served what was invalidated before they began.

A "database" in shared memory holds a version for each key. Readers, in several processes and threads, read keys through
a cache; their loader notes the version first and then takes a short random time. Writers commit the next version, then
invalidate, and only after the invalidation has returned do they raise the key's *floor*. A reader notes the floor, then
reads: what it is given must be at least as new. Less is a stale read.

Writers aim, most of the time, at a key that is being loaded: an invalidation overlaps a load if one and the same load
was under way before the commit and still was when the invalidation had returned. That is the moment at which deleting
keys and comparing times go wrong, so a run lasts until it has seen enough of both reads and overlaps.

Reusable: `run(name, url, config)` for one of `contenders.CONTENDERS`.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from bench.contenders import CONTENDERS, OURS, Contender
from bench.report import Part, Table, Target
from bench.servers import running

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.context import SpawnContext
    from multiprocessing.process import BaseProcess


@dataclass(frozen=True, slots=True)
class Config:
    """The size of a race.

    Attributes:
        reads: at least so many.
        overlaps: at least so many invalidations that overlap a load.
        keys: how many, all of them hot.
        processes: of readers.
        threads: in each of them.
        writers: processes of their own.
        reads_per_write: how many reads pass for each write, all writers together.
        load_seconds: the shortest and the longest load.
        limit_seconds: the run ends then, whatever it has seen.
    """

    reads: int = 120_000
    overlaps: int = 1_200
    keys: int = 8
    processes: int = 3
    threads: int = 4
    writers: int = 2
    reads_per_write: int = 30
    load_seconds: tuple[float, float] = (0.0005, 0.004)
    limit_seconds: float = 300.0

    @property
    def readers(self) -> int:
        """Reading threads."""
        return self.processes * self.threads


@dataclass(frozen=True, slots=True)
class Result:
    """What a race counted.

    Attributes:
        name: of the contender.
        reads: all of them.
        loads: how often a loader ran.
        invalidations: all of them.
        overlaps: those that overlapped a load.
        stale: reads that were given less than their key's floor.
        seconds: how long it took.
    """

    name: str
    reads: int
    loads: int
    invalidations: int
    overlaps: int
    stale: int
    seconds: float

    @property
    def hit_rate(self) -> float:
        """The part of the reads whose own loader did not run."""
        return 1 - self.loads / self.reads if self.reads else 0.0


COLUMNS: Final = (
    "way",
    "reads",
    "loads",
    "hit rate",
    "invalidations",
    "overlapping a load",
    "STALE READS",
    "of all",
    "reads/s",
)


class Column(Enum):
    """What a worker counts on the board."""

    READS = 0
    LOADS = 1
    STALE = 2
    INVALIDATIONS = 3
    OVERLAPS = 4
    LOADING = 5
    """Not a count: 0, or the load under way, as its serial number times 256 plus the key's number."""


class Board:
    """What the processes share. Each worker writes only its own row; a key's figures have a lock."""

    def __init__(self, context: SpawnContext, config: Config) -> None:
        """Begin with zeros."""
        self.versions = context.RawArray("Q", config.keys)
        self.floors = context.RawArray("Q", config.keys)
        self.locks = [context.Lock() for _ in range(config.keys)]
        self.workers = config.readers + config.writers
        self._cells = context.RawArray("Q", self.workers * len(Column))
        self.start = context.Barrier(config.processes + config.writers + 1)
        self.stop = context.Event()

    def get(self, worker: int, column: Column) -> int:
        """One cell."""
        return int(self._cells[worker * len(Column) + column.value])

    def put(self, worker: int, column: Column, value: int) -> None:
        """Write one's own cell."""
        self._cells[worker * len(Column) + column.value] = value

    def add(self, worker: int, column: Column) -> None:
        """Count one in one's own cell."""
        self._cells[worker * len(Column) + column.value] += 1

    def total(self, column: Column) -> int:
        """Over all workers."""
        return sum(self._cells[column.value :: len(Column)])

    def loading(self, number: int) -> set[tuple[int, int]]:
        """The loads of a key that are under way: worker and serial number."""
        rows = enumerate(self._cells[Column.LOADING.value :: len(Column)])
        return {(worker, load) for worker, load in rows if load and load % 256 == number}


class Reader:
    """One reading thread: a worker on the board."""

    def __init__(self, board: Board, config: Config, worker: int, contender: Contender) -> None:
        """Take a row of the board."""
        self._board = board
        self._config = config
        self._worker = worker
        self._contender = contender
        self._random = random.Random(f"reader {worker}")

    def run(self) -> None:
        """Read until told to stop."""
        board, worker = self._board, self._worker
        while not board.stop.is_set():
            number = self._random.randrange(self._config.keys)
            floor = board.floors[number]
            page = self._contender.read(number, lambda number=number: self._load(number))
            if page["version"] < floor:
                board.add(worker, Column.STALE)
            board.add(worker, Column.READS)

    def _load(self, number: int) -> dict[str, Any]:
        """Read the database, then take a while."""
        board, worker = self._board, self._worker
        board.add(worker, Column.LOADS)
        board.put(worker, Column.LOADING, board.get(worker, Column.LOADS) * 256 + number)
        version = int(board.versions[number])
        time.sleep(self._random.uniform(*self._config.load_seconds))
        board.put(worker, Column.LOADING, 0)
        return {"version": version, "user": number, "orders": ["a book", "a pen"]}


class Writer:
    """One writing process: a worker on the board."""

    AIM_SECONDS = 0.02
    """How long it waits for a load to aim at."""

    def __init__(self, board: Board, config: Config, worker: int, contender: Contender) -> None:
        """Take a row of the board."""
        self._board = board
        self._config = config
        self._worker = worker
        self._contender = contender
        self._random = random.Random(f"writer {worker}")

    def run(self) -> None:
        """Write, at the pace of the reads, until told to stop."""
        while not self._board.stop.is_set():
            if self._board.total(Column.READS) < self._config.reads_per_write * self._written():
                time.sleep(0.0002)
            else:
                self._write(self._aim())

    def _written(self) -> int:
        return self._board.total(Column.INVALIDATIONS)

    def _aim(self) -> int:
        """A key that is being loaded, three times in four; else any."""
        patience = time.monotonic() + (self.AIM_SECONDS if self._random.random() < 0.75 else 0.0)
        while time.monotonic() < patience:
            under_way = [number for number in range(self._config.keys) if self._board.loading(number)]
            if under_way:
                return self._random.choice(under_way)
            time.sleep(0.0001)
        return self._random.randrange(self._config.keys)

    def _write(self, number: int) -> None:
        board, worker = self._board, self._worker
        before = board.loading(number)
        with board.locks[number]:
            board.versions[number] += 1
            version = int(board.versions[number])
        self._contender.invalidate(number)
        if before & board.loading(number):
            board.add(worker, Column.OVERLAPS)
        with board.locks[number]:
            board.floors[number] = max(board.floors[number], version)
        board.add(worker, Column.INVALIDATIONS)


def _leave_with_parent() -> None:
    """End this process if the one that runs the race is killed: nobody would tell it to stop."""

    def wait() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def read_in_threads(name: str, url: str, board: Board, config: Config, first: int) -> None:
    """A process of readers."""
    _leave_with_parent()
    contender = CONTENDERS[name](url)
    readers = [Reader(board, config, first + number, contender) for number in range(config.threads)]
    board.start.wait()
    with ThreadPoolExecutor(config.threads) as pool:
        for ended in [pool.submit(_until_it_fails, board, reader.run) for reader in readers]:
            ended.result()


def write(name: str, url: str, board: Board, config: Config, worker: int) -> None:
    """A process that writes."""
    _leave_with_parent()
    writer = Writer(board, config, worker, CONTENDERS[name](url))
    board.start.wait()
    _until_it_fails(board, writer.run)


def _until_it_fails(board: Board, work: Callable[[], None]) -> None:
    """Run a worker; if it fails, everybody stops."""
    try:
        work()
    finally:
        board.stop.set()


def run(name: str, url: str, config: Config) -> Result:
    """Run one race.

    Args:
        name: one of CONTENDERS.
        url: of a server that has nothing else in it.
        config: how much of it.

    Raises:
        RuntimeError: a worker failed; its process has printed why.
    """
    context = multiprocessing.get_context("spawn")
    board = Board(context, config)
    first_writer = config.readers
    processes: list[BaseProcess] = [
        context.Process(target=read_in_threads, args=(name, url, board, config, number * config.threads))
        for number in range(config.processes)
    ]
    processes += [
        context.Process(target=write, args=(name, url, board, config, first_writer + number))
        for number in range(config.writers)
    ]
    try:
        for process in processes:
            process.daemon = True
            process.start()
        board.start.wait(60)
        seconds = _wait(board, config)
    finally:
        _end(board, processes)
    if any(process.exitcode for process in processes):
        raise RuntimeError(f"{name}: a worker failed; see above")
    return Result(
        name,
        board.total(Column.READS),
        board.total(Column.LOADS),
        board.total(Column.INVALIDATIONS),
        board.total(Column.OVERLAPS),
        board.total(Column.STALE),
        seconds,
    )


def _wait(board: Board, config: Config) -> float:
    """Wait until the board shows enough, or the limit is reached; the seconds it took."""
    began = time.monotonic()
    while not board.stop.wait(0.05):
        took = time.monotonic() - began
        enough = board.total(Column.READS) >= config.reads and board.total(Column.OVERLAPS) >= config.overlaps
        if enough or took > config.limit_seconds:
            break
    return time.monotonic() - began


def _end(board: Board, processes: Sequence[BaseProcess]) -> None:
    board.stop.set()
    for process in processes:
        if process.pid is not None:
            process.join(30)
            if process.is_alive():
                process.kill()
                process.join()


def bench(kind: str, say: Callable[[str], None], config: Config | None = None) -> Part:
    """All contenders, one after the other, each on an emptied server."""
    config = config or Config()
    results = []
    with running(kind) as server:
        for name in CONTENDERS:
            say(f"race: {name}")
            server.client.flushall()
            results.append(run(name, server.url(), config))
        version = server.version
    shortest, longest = (seconds * 1e3 for seconds in config.load_seconds)
    title = (
        f"{config.keys} hot keys on {version}; {config.processes} processes of {config.threads} reading threads, "
        f"{config.writers} of writers; a load takes {shortest:g}-{longest:g} ms"
    )
    rows = tuple(
        (
            one.name,
            one.reads,
            one.loads,
            one.hit_rate,
            one.invalidations,
            one.overlaps,
            one.stale,
            f"{one.stale / one.reads:.2%}",
            one.reads / one.seconds,
        )
        for one in results
    )
    return Part("race", (Table(title, COLUMNS, rows),), tuple(target for one in results for target in targets(one)))


def targets(result: Result) -> list[Target]:
    """What a race must show: nothing stale from unstale, and that it would have seen what is stale."""
    name = result.name
    if name not in OURS:
        return [Target(f"{name}: stale reads, which the harness must see", result.stale, 1, at_least=True, fatal=True)]
    return [
        Target(f"{name}: stale reads", result.stale, 0, fatal=True),
        Target(f"{name}: reads", result.reads, 100_000, at_least=True),
        Target(f"{name}: invalidations that overlap a load", result.overlaps, 1000, at_least=True),
        Target(f"{name}: hit rate", result.hit_rate, 0.6, at_least=True),
    ]
