"""Readers in threads: each reads one key after the other, and writes down what it was given."""

from __future__ import annotations

import threading
import time
from contextlib import AbstractContextManager
from random import Random
from typing import Any, Final, Protocol, cast

from unstale.tools.chaos.job import Job
from unstale.tools.chaos.judge import other_key
from unstale.tools.chaos.loading import Loading
from unstale.tools.chaos.mishaps import Mishaps
from unstale.tools.chaos.record import Read, Source
from unstale.tools.chaos.recording import Buffer
from unstale.tools.chaos.subject import Subject, Value

IN_SNAPSHOTS: Final = 0.02
"""The part of the turns that are a transaction with several reads, where a phase has snapshots."""
SNAPSHOT_READS: Final = 4
SNAPSHOT_SECONDS: Final = (0.0, 0.02)
"""How old a snapshot is when it is first used."""


class HasSnapshots(Protocol):
    """A subject whose database can be read in transactions that see nothing younger than themselves."""

    def snapshot(self) -> AbstractContextManager[Any]:
        """Such a transaction in this thread, begun now; gives a cursor of it."""


class Reader:
    """One thread that reads, until it is told to stop."""

    def __init__(self, job: Job, number: int, subject: Subject, loading: Loading, mishaps: Mishaps) -> None:
        """Take all that the threads of a process share, and this one's number."""
        self._job, self._subject, self._loading, self._mishaps = job, subject, loading, mishaps
        self._random = Random(f"{job.seed} {job.name} {number}")
        self._rows, self._kinds = job.place.rows, job.place.kinds
        self._has_snapshots = "snapshots" in job.work

    def run(self, buffer: Buffer, stop: threading.Event) -> None:
        """Read."""
        self._loading.version(0)  # the thread's connection is made
        pace = Pace(self._job.per_second / self._job.threads)
        while not stop.is_set():
            if self._has_snapshots and self._random.random() < IN_SNAPSHOTS:
                self._read_in_snapshot(buffer)
            else:
                buffer.add(self.read(drawn_key(self._random, self._rows, self._kinds)))
            pace.wait()
        buffer.flush()

    def read(self, key: int, cursor: Any = None) -> Read:
        """Read one key, loading by a cursor's transaction where there is one."""
        row, loaded = key % self._rows, []

        def load() -> Value:
            value = Value(key, row, self._loading.version(row, cursor))
            time.sleep(self._loading.seconds(self._random))
            loaded.append(value)
            return value

        began = time.monotonic_ns()
        try:
            value = self._subject.read(key, row, load)
        except Exception as error:  # noqa: BLE001 - whatever it is, a reader has got it
            ended = time.monotonic_ns()
            self._mishaps.tell("read", error)
            return Read(key, began, ended, Source.ERROR, -1, -1)
        return answered(key, began, value, is_loaded=value in loaded)

    def _read_in_snapshot(self, buffer: Buffer) -> None:
        with cast("HasSnapshots", self._subject).snapshot() as cursor:
            self._loading.version(0, cursor)  # the snapshot is of the first query
            time.sleep(self._random.uniform(*SNAPSHOT_SECONDS))
            for _ in range(SNAPSHOT_READS):
                buffer.add(self.read(drawn_key(self._random, self._rows, self._kinds), cursor))


class Pace:
    """Keeps a thread to so many turns a second, at the most. What was missed while it could not run is not made up."""

    def __init__(self, per_second: float) -> None:
        """Take the rate; 0: as fast as it goes."""
        self._gap = 1 / per_second if per_second else 0.0
        self._due = time.monotonic()

    def seconds(self) -> float:
        """How long to wait before the next turn; a turn is counted by asking."""
        if not self._gap:
            return 0.0
        now = time.monotonic()
        self._due = max(self._due + self._gap, now - BEHIND_SECONDS)
        return max(0.0, self._due - now)

    def wait(self) -> None:
        """Wait for it, if that is long enough to be worth it."""
        seconds = self.seconds()
        if seconds > SHORTEST_SLEEP:
            time.sleep(seconds)


BEHIND_SECONDS: Final = 0.5
"""So much of what was missed is made up for."""
SHORTEST_SLEEP: Final = 0.001


def drawn_key(random: Random, rows: int, kinds: int) -> int:
    """A key: of a row as `drawn_row` draws it, of any kind."""
    return drawn_row(random, rows) + rows * (random.randrange(kinds) if kinds > 1 else 0)


def drawn_row(random: Random, rows: int) -> int:
    """A row, the first ones more often: races need two at one place."""
    return int(rows * random.random() ** 2)


def answered(key: int, began: int, value: Value, *, is_loaded: bool) -> Read:
    """The record of a read that gave a value, just now."""
    ended = time.monotonic_ns()
    row = value.row if value.key == key else other_key(value.key)
    return Read(key, began, ended, Source.LOADER if is_loaded else Source.CACHE, row, value.version)
