"""Subjects that aim: unstale used as it may be used, in the way in which one mistake would show soonest.

They make windows of time wider and let things meet that meet seldom. They hold nothing that decides freshness.
"""

from __future__ import annotations

import time
from typing import Any, ClassVar

from unstale.options import CacheOptions
from unstale.tools.chaos.record import Effect
from unstale.tools.chaos.subject import Commit, Loader, Moment, Value
from unstale.tools.chaos.subjects.caches import Cached, Nested, Strict
from unstale.tools.chaos.subjects.naming import name_of, tag_of, tags_of, valued

WIDE_SECONDS = 0.008


def beside(row: int, rows: int) -> int:
    """Another row."""
    return (row + 1) % rows


class StrictAmongPlain(Strict):
    """Strict writes that take their time before and after the COMMIT, while other writers bump the same tags plainly.

    The plain bumps are for no write: nothing becomes visible with them.
    """

    def write(self, row: int, commit: Commit, moment: Moment) -> tuple[Effect, int]:
        self.invalidate(beside(row, self.place.rows))

        def slowly(cursor: Any = None) -> int:
            time.sleep(WIDE_SECONDS)
            version = commit(cursor)
            self.invalidate(beside(row, self.place.rows))
            return version

        def in_between(name: str) -> None:
            moment(name)
            time.sleep(WIDE_SECONDS)

        return super().write(row, slowly, in_between)


class SoftAmongHard(Cached):
    """Each write is invalidated; softly invalidated besides are rows that nobody has written."""

    defaults: ClassVar[CacheOptions] = {"stale_ttl": 60.0}

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


class Signed(Cached):
    """Entries that are signed, and read by a process that trusts none other."""

    defaults: ClassVar[CacheOptions] = {"signing_keys": "0123456789abcdef" * 4}

    def read(self, key: int, row: int, load: Loader) -> Value:
        return valued(self.cache.get_or_set(name_of(key, row), load, tags=tags_of(self.place, key, row)))
