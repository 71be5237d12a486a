"""Subjects that aim: unstale used as it may be used, in the way in which one mistake would show soonest.

They make windows of time wider and let things meet that meet seldom. They hold nothing that decides freshness.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from random import uniform
from typing import Any

from unstale.tools.chaos.record import Effect
from unstale.tools.chaos.subject import Commit, Loader, Moment, Place, Value
from unstale.tools.chaos.subjects.caches import Cached, Nested, Strict
from unstale.tools.chaos.subjects.naming import name_of, tag_of, tags_of, valued

WIDE_SECONDS = 0.008
FILLERS = 96


class StrictAmongPlain(Strict):
    """Strict writes that take their time before and after the COMMIT, while the same tags are plainly invalidated.

    The plain invalidations are for no write: nothing becomes visible with them.
    """

    def write(self, row: int, commit: Commit, moment: Moment) -> tuple[Effect, int]:
        def slowly(cursor: Any = None) -> int:
            for any_row in range(self.place.rows):
                self.invalidate(any_row)
            time.sleep(WIDE_SECONDS)
            return commit(cursor)

        def in_between(name: str) -> None:
            moment(name)
            time.sleep(WIDE_SECONDS)

        return super().write(row, slowly, in_between)


class SoftAmongHard(Cached):
    """Each write is invalidated; softly invalidated besides are rows that nobody has written.

    What is softly stale is served at once, and loaded anew by a runner.
    """

    def __init__(self, place: Place) -> None:
        self._pool = ThreadPoolExecutor(4)
        super().__init__(place._replace(options={**place.options, "stale_ttl": 60.0, "runner": self._pool.submit}))

    def close(self) -> None:
        self._pool.shutdown()  # its loads use the rows, which are closed next
        super().close()

    def write(self, row: int, commit: Commit, moment: Moment) -> tuple[Effect, int]:
        done = super().write(row, commit, moment)
        for other in range(self.place.rows):
            self.cache.invalidate(tag_of(other), soft=True)
        return done


class NestedSlowly(Nested):
    """An outer value takes its time after it has read the inner one."""

    def read(self, key: int, row: int, load: Loader) -> Value:
        if key < self.place.rows:
            return super().read(key, row, load)

        def compute() -> Value:
            inner = self.read(row, row, load)
            time.sleep(WIDE_SECONDS)
            return inner._replace(key=key)

        return valued(self.cache.get_or_set(name_of(key, row), compute, tags=(f"page:{key}",)))


class FilledBeside(Cached):
    """Readers store nothing, and so are never slow: what they miss is filled beside them, by threads that are.

    Of the phase's options `fill_seconds` says how long that takes, at least and at most.
    """

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._wanted: SimpleQueue[tuple[int, int, Loader] | None] = SimpleQueue()
        self._under_way: set[int] = set()
        self._closing = threading.Event()
        self._fillers: list[threading.Thread] = []

    def read(self, key: int, row: int, load: Loader) -> Value:
        found = self.cache.get(name_of(key, row), tags=tags_of(self.place, key, row))
        if found is not None:
            return valued(found)
        if key not in self._under_way:
            self._under_way.add(key)
            self._wanted.put((key, row, load))
            if len(self._fillers) < FILLERS:
                self._fillers.append(threading.Thread(target=self._fill))
                self._fillers[-1].start()
        return load()

    def _fill(self) -> None:
        while (wanted := self._wanted.get()) is not None:
            key, row, load = wanted
            if self._closing.is_set():
                continue

            def slowly(load: Loader = load) -> Value:
                value = load()
                self._closing.wait(uniform(*self.place.options["fill_seconds"]))
                return value

            self.cache.get_or_set(name_of(key, row), slowly, tags=tags_of(self.place, key, row))
            self._under_way.discard(key)

    def close(self) -> None:
        self._closing.set()
        for _ in self._fillers:
            self._wanted.put(None)
        for filler in self._fillers:
            filler.join()
        super().close()
