"""What a clear does to the database behind the cache: loads a second after a plain one, and after one spread over time.

Readers in several processes go through all keys again and again. Each load is noted with its time; afterwards the most
loads in any second are counted, and beside it what the ramp allows: a clear over S seconds makes a sixteenth of the
keys stale each S / 15 seconds, so in one second no more than those sixteenths whose turn comes in it.
"""

from __future__ import annotations

import math
import multiprocessing
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from bench.report import Part, Table, Target
from bench.servers import running
from unstale import Cache

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.servers import Server

GROUPS: Final = 16
TIMEOUT: Final = 10.0
PATIENCE_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class Config:
    """The size of it.

    Attributes:
        keys: how many are read.
        processes: of readers.
        threads: in each.
        over: seconds over which a clear is spread.
        load_seconds: how long a load takes.
        settle_seconds: how long is read on after a clear.
    """

    keys: int = 1600
    processes: int = 4
    threads: int = 4
    over: float = 8.0
    load_seconds: float = 0.002
    settle_seconds: float = 3.0


@dataclass(frozen=True, slots=True)
class Loads:
    """What one clear led to.

    Attributes:
        total: loads.
        most: in any second.
        biggest_group: how many of the keys share the fullest root.
    """

    total: int
    most: int
    biggest_group: int


def _make(url: str) -> Cache:
    return Cache.from_url(url, namespace="ramp", ttl=None, timeout=TIMEOUT, read_timeout=TIMEOUT)


def read(url: str, config: Config, number: int, ready: Any, stop: Any, answers: Any) -> None:
    """A process of readers."""
    loads: list[float] = []

    def load() -> str:
        loads.append(time.monotonic())
        time.sleep(config.load_seconds)
        return "value"

    def go_through(cache: Cache, first: int) -> None:
        rounds = 0
        while not stop.is_set():
            for key in range(config.keys):
                cache.get_or_set(f"key:{(first + key) % config.keys}", load)
            rounds += 1
            if rounds == 1:
                ready.wait(PATIENCE_SECONDS)

    with _make(url) as cache:
        readers = config.processes * config.threads
        firsts = [
            config.keys * (number * config.threads + one) // readers for one in range(config.threads)
        ]  # apart from each other, as visitors are
        threads = [threading.Thread(target=go_through, args=(cache, first)) for first in firsts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    answers.put(loads)


def run(server: Server, config: Config, over: float) -> Loads:
    """Have all keys read, clear, and count the loads that follow."""
    server.client.flushall()
    context = multiprocessing.get_context("spawn")
    ready, stop = context.Barrier(config.processes * config.threads + 1), context.Event()
    answers: Any = context.Queue()
    arguments = [(server.url(), config, number, ready, stop, answers) for number in range(config.processes)]
    processes = [context.Process(target=read, args=each, daemon=True) for each in arguments]
    try:
        for process in processes:
            process.start()
        ready.wait(PATIENCE_SECONDS)
        with _make(server.url()) as cache:
            cleared_at = time.monotonic()
            cache.clear(over=over)
            time.sleep(config.settle_seconds)
            stop.set()
            given = [answers.get(timeout=PATIENCE_SECONDS) for _ in processes]
            groups = Counter(cache._names.root_of(f"key:{key}".encode()) for key in range(config.keys))  # noqa: SLF001 - which root it has is nobody's business otherwise
    finally:
        for process in processes:
            process.join(5)
            process.kill()
    times = sorted(at for loads in given for at in loads if at >= cleared_at)
    return Loads(len(times), most_in_a_second(times), max(groups.values()))


def most_in_a_second(times: Sequence[float]) -> int:
    """The most of these times, in order, that lie in any one second."""
    most = first = 0
    for last, at in enumerate(times):
        while times[first] <= at - 1.0:
            first += 1
        most = max(most, last - first + 1)
    return most


def cap(config: Config, biggest_group: int) -> int:
    """The most loads in any second that a ramp allows: the groups whose turn comes within it."""
    pause = config.over / (GROUPS - 1)
    return biggest_group * (math.floor(1.0 / pause) + 1)


def bench(kind: str, say: Callable[[str], None], config: Config | None = None) -> Part:
    """A plain clear and a ramped one."""
    config = config or Config()
    with running(kind) as server:
        say("ramp: a plain clear")
        plain = run(server, config, 0)
        say(f"ramp: a clear over {config.over:g} s")
        ramped = run(server, config, config.over)
        version = server.version
    allowed = cap(config, ramped.biggest_group)
    rows = (("clear()", plain.total, plain.most), (f"clear(over={config.over:g})", ramped.total, ramped.most))
    title = (
        f"{config.keys} keys read by {config.processes} processes of {config.threads} threads, a load takes "
        f"{config.load_seconds * 1000:g} ms; the ramp allows {allowed} loads a second ({version})"
    )
    targets = (
        Target("most loads in a second of a ramped clear, at most", ramped.most, allowed),
        Target("loads after a ramped clear", ramped.total, config.keys, fatal=True),
        Target("the same of a plain one", plain.total, config.keys, fatal=True),
    )
    return Part("ramp", (Table(title, ("", "loads", "most in a second"), rows),), targets)
