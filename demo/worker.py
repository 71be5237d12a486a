"""One client process: it loads its share of the keys, waits for the start, and runs its share of the operations.

Open loop: an operation is due at its time whatever became of those before, is begun as soon as a thread is free, and
its latency counts from when it was due. What is recorded leaves as data; nothing is judged good or bad here.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import NamedTuple

from demo.database import Database
from demo.judge import Board, Floors, is_stale
from demo.orders import Page, order_page
from demo.variants import VARIANTS, Setup, Variant
from demo.workload import Load, Operation, schedule, users_of

GRACE_SECONDS = 1.0
"""How long operations under way at the end may take to return; later ones are given up."""
SWITCH_SECONDS = 0.001
"""Python lets another thread run after this; its 5 ms would show as latency."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a client process is to do."""

    variant: str
    setup: Setup
    database: Path
    load: Load
    process: int


class Done(NamedTuple):
    """One operation that returned."""

    operation: Operation
    done_at: float
    """Seconds after the start."""
    loaded: bool
    """A read that called the loader."""
    stale: bool
    error: str
    """The exception's name, or nothing."""


def work(job: Job, board: Board, pipe: Connection) -> None:
    """Be a client process. Says when its keys are loaded, is told the time to start, sends what was done."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends this process
    threading.Thread(target=_end_with_parent, daemon=True).start()
    variant = VARIANTS[job.variant][1](job.setup)
    for user in users_of(job.load, job.process):
        variant.fill(user, [order_page(user, page, 0) for page in range(job.load.pages)])
        board.loaded[job.process] += job.load.pages
    client = Client(variant, Database(job.database), Floors(board, job.process))
    operations = schedule(job.load, job.process)
    pipe.send("loaded")
    done = run(client, operations, pipe.recv(), job.load)
    pipe.send(done)
    pipe.close()
    sys.stdout.flush()
    os._exit(0)  # threads may still be inside an operation that was given up


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


class Client:
    """What runs one operation, in whatever thread: the same steps for every variant."""

    def __init__(self, variant: Variant, database: Database, floors: Floors) -> None:
        self._variant = variant
        self._database = database
        self._floors = floors

    def read(self, user: int, page: int) -> tuple[bool, bool]:
        """Read a page; whether that called the loader, and whether the page was stale."""
        floor = self._floors.of(user)  # before anything of the read
        loads: list[int] = []

        def loader() -> Page:
            loads.append(page)
            return self._database.load(user, page)

        served = self._variant.read(user, page, loader)
        return bool(loads), is_stale(served["version"], floor)

    def act(self, user: int) -> None:
        """Do what a user's action does: commit, invalidate, and only then raise the floor."""
        version = self._database.act(user)
        self._variant.invalidate(user)
        self._floors.publish(user, version)

    def do(self, operation: Operation, start_at: float) -> Done:
        """Run one operation to its end, or to its error."""
        loaded, stale, error = False, False, ""
        try:
            if operation.is_action:
                self.act(operation.user)
            else:
                loaded, stale = self.read(operation.user, operation.page)
        except Exception as raised:  # noqa: BLE001 - whatever reaches the caller is counted, and named in the report
            error = type(raised).__name__
        return Done(operation, time.monotonic() - start_at, loaded, stale, error)


def run(client: Client, operations: list[Operation], start_at: float, load: Load) -> list[Done]:
    """Run the operations from `start_at` (of the monotonic clock, which all processes share) for the load's time."""
    sys.setswitchinterval(SWITCH_SECONDS)
    queue = _Queue(operations)
    done: list[list[Done]] = [[] for _ in range(load.threads)]
    threads = [
        threading.Thread(target=_drain, args=(client, queue, start_at, load.seconds, each), daemon=True)
        for each in done
    ]
    for thread in threads:
        thread.start()
    give_up_at = start_at + load.seconds + GRACE_SECONDS
    for thread in threads:
        thread.join(max(0.0, give_up_at - time.monotonic()))
    return [one for each in done for one in list(each)]


class _Queue:
    """The operations in the order in which they are due, taken by many threads."""

    def __init__(self, operations: list[Operation]) -> None:
        self._operations: Iterator[Operation] = iter(operations)
        self._lock = threading.Lock()

    def take(self) -> Operation | None:
        with self._lock:
            return next(self._operations, None)


def _drain(client: Client, queue: _Queue, start_at: float, seconds: float, done: list[Done]) -> None:
    """One thread: take the next operation, wait until it is due, run it; until the time is over."""
    while (operation := queue.take()) is not None:
        ahead = start_at + operation.due_at - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)
        if time.monotonic() >= start_at + seconds:
            return
        done.append(client.do(operation, start_at))
