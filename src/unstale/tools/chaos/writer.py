"""Writers: threads that write rows through the subject, and write down each step before and after it is taken."""

from __future__ import annotations

import os
import signal
import threading
import time
from random import Random
from typing import Any, Final

from unstale.tools.chaos.job import Job
from unstale.tools.chaos.loading import Loading
from unstale.tools.chaos.mishaps import Mishaps
from unstale.tools.chaos.reader import Reader, drawn_row
from unstale.tools.chaos.record import Effect, Write
from unstale.tools.chaos.recording import Writes
from unstale.tools.chaos.rows import RolledBackError, Rows
from unstale.tools.chaos.subject import Subject

ROLLED_BACK: Final = 0.2
"""The part of the writes that are rolled back, where a phase has uncommitted reads."""
OPEN_SECONDS: Final = (0.0, 0.01)
"""How long their transactions stay open then, committed ones too."""
BEHIND_SECONDS: Final = 1.0
"""So much of what was missed, in an outage, say, is made up for."""


class Writer:
    """One thread that writes, until it is told to stop."""

    def __init__(self, job: Job, number: int, subject: Subject, rows: Rows, writes: Writes, mishaps: Mishaps) -> None:
        """Take all that the threads of a process share, and this one's number."""
        self._job, self._subject, self._rows, self._writes, self._mishaps = job, subject, rows, writes, mishaps
        self._reader = Reader(job, number, subject, Loading(job, rows), mishaps)
        self._random = Random(f"{job.seed} {job.name} {number}")
        self._dies_at = time.monotonic() + self._random.uniform(*job.lives) if "killed" in job.work else None
        self._is_uncommitted = "uncommitted" in job.work

    def run(self, stop: threading.Event) -> None:
        """Write, at random moments, so many a second."""
        rate = self._job.per_second / self._job.threads
        due = time.monotonic()
        while True:
            due = max(due, time.monotonic() - BEHIND_SECONDS) + self._random.expovariate(rate)
            if stop.wait(max(0.0, due - time.monotonic())):
                return
            self.write(drawn_row(self._random, self._job.place.rows))

    def write(self, row: int) -> None:
        """Write a row."""
        one = _Begun(
            row, time.monotonic_ns(), is_rolled_back=self._is_uncommitted and self._random.random() < ROLLED_BACK
        )
        try:
            effect, version = self._subject.write(row, lambda cursor=None: self._commit(one, cursor), self._moment(one))
        except RolledBackError as error:
            self._writes.done(Write(row, error.version, one.began, 0, 0, Effect.ROLLED_BACK))
        except Exception as error:  # noqa: BLE001 - what it is, is told
            self._mishaps.tell("write", error)
            if one.committed:
                self._writes.done(Write(row, one.version, one.began, one.committed, 0, Effect.RAISED))
        else:
            ended = time.monotonic_ns()
            self._writes.done(Write(row, version, one.began, one.committed or ended, ended, effect))

    def _commit(self, one: _Begun, cursor: Any) -> int:
        """Write a row: in a transaction of one's own, or in that of a cursor."""

        def intend(version: int) -> None:
            one.version = version
            self._writes.intend(one.row, version, one.began)

        if cursor is None:
            return self._rows.write(one.row, is_rolled_back=one.is_rolled_back, before_commit=intend)
        version = self._rows.write_by(cursor, one.row, is_rolled_back=one.is_rolled_back)
        if self._is_uncommitted:
            self._look_inside(one.row, cursor)
        intend(version)
        if one.is_rolled_back:
            raise RolledBackError(version)
        return version

    def _look_inside(self, row: int, cursor: Any) -> None:
        """Read what this transaction has written: nobody else may ever be given that. It is not recorded."""
        for kind in range(self._job.place.kinds):
            self._reader.read(row + kind * self._job.place.rows, cursor)
        time.sleep(self._random.uniform(*OPEN_SECONDS))

    def _moment(self, one: _Begun) -> Any:
        def moment(name: str) -> None:
            if name == "committed":
                one.committed = time.monotonic_ns()
                self._writes.committed(one.row, one.version, one.began, one.committed)
                if self._dies_at is not None and time.monotonic() >= self._dies_at:
                    os.kill(os.getpid(), signal.SIGKILL)

        return moment


class _Begun:
    """A write under way."""

    __slots__ = ("began", "committed", "is_rolled_back", "row", "version")

    def __init__(self, row: int, began: int, *, is_rolled_back: bool) -> None:
        self.row, self.began, self.is_rolled_back = row, began, is_rolled_back
        self.version, self.committed = 0, 0
