"""Readers as tasks of one event loop: as `reader`, awaited; some are cancelled in the middle."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from random import Random
from typing import Final

from unstale.tools.chaos.job import Job
from unstale.tools.chaos.loading import Loading
from unstale.tools.chaos.mishaps import Mishaps
from unstale.tools.chaos.reader import Pace, answered, drawn_key
from unstale.tools.chaos.record import Read, Source
from unstale.tools.chaos.recording import Buffer
from unstale.tools.chaos.subject import AsyncSubject, Value

CANCELLED: Final = 0.1
"""The part of the reads that is cancelled, unless they end before."""
CANCELLED_SECONDS: Final = 0.004
"""Within this time after they began."""


class AsyncReader:
    """One task that reads, until it is told to stop."""

    def __init__(self, job: Job, number: int, subject: AsyncSubject, loading: Loading, mishaps: Mishaps) -> None:
        """Take all that the tasks of a process share, and this one's number."""
        self._job, self._subject, self._loading, self._mishaps = job, subject, loading, mishaps
        self._random = Random(f"{job.seed} {job.name} {number}")
        self._rows, self._kinds = job.place.rows, job.place.kinds
        self._cancels = "cancelled" in job.work

    async def run(self, buffer: Buffer, stop: threading.Event) -> None:
        """Read."""
        pace = Pace(self._job.per_second / self._job.threads)
        while not stop.is_set():
            buffer.add(await self.read(drawn_key(self._random, self._rows, self._kinds)))
            await asyncio.sleep(pace.seconds())

    async def read(self, key: int) -> Read:
        """Read one key."""
        row, loaded = key % self._rows, list[Value]()

        async def load() -> Value:
            value = Value(key, row, await asyncio.to_thread(self._loading.version, row))
            await asyncio.sleep(self._loading.seconds(self._random))
            loaded.append(value)
            return value

        began = time.monotonic_ns()
        try:
            value = await self._cut_short(self._subject.read, key, row, load)
        except asyncio.CancelledError:
            return Read(key, began, time.monotonic_ns(), Source.CANCELLED, -1, -1)
        except Exception as error:  # noqa: BLE001 - whatever it is, a reader has got it
            ended = time.monotonic_ns()
            self._mishaps.tell("read", error)
            return Read(key, began, ended, Source.ERROR, -1, -1)
        return answered(key, began, value, is_loaded=value in loaded)

    async def _cut_short(
        self,
        read: Callable[[int, int, Callable[[], Awaitable[Value]]], Awaitable[Value]],
        key: int,
        row: int,
        load: Callable[[], Awaitable[Value]],
    ) -> Value:
        """The read, by chance in a task of its own that is cancelled."""
        if not self._cancels or self._random.random() >= CANCELLED:
            return await read(key, row, load)
        task = asyncio.ensure_future(read(key, row, load))
        asyncio.get_running_loop().call_later(self._random.uniform(0.0, CANCELLED_SECONDS), task.cancel)
        return await task
