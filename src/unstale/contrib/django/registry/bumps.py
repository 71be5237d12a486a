"""What a write bumps: tags of rows, or, where it touches many, the tags that stand for them. Sent in batches.

One write may be many statements: Django deletes in chunks of a hundred, and inserts and updates in batches. `one_write`
counts them together, and keeps the rows that it deletes, where others of its rows refer to them.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from django.core.cache.backends.dummy import DummyCache

from unstale.contrib.django.aliases import cache_named
from unstale.contrib.django.registry.registrations import Concern, Group, Plan, Registration
from unstale.contrib.django.registry.rows import Gone, follow, keep
from unstale.contrib.django.registry.templates import Row
from unstale.contrib.django.unstale_cache import UnstaleCache
from unstale.errors import ConfigurationError

MAX_TAGS: Final = 500
"""Tags in one invalidation."""


class _Local(threading.local):
    counts: dict[Registration, int] | None = None
    gone: Gone | None = None


_local = _Local()


@contextmanager
def one_write() -> Iterator[None]:
    """What is written in here by this thread counts as one write."""
    if _local.counts is not None:
        yield
        return
    _local.counts, _local.gone = defaultdict(int), {}
    try:
        yield
    finally:
        _local.counts = _local.gone = None


class Bumps:
    """What one statement bumps."""

    def __init__(self, alias: str) -> None:
        """Begin with nothing.

        Args:
            alias: the database.
        """
        self._alias = alias
        self._counts: dict[Registration, int] = defaultdict(int) if _local.counts is None else _local.counts
        self._gone: Gone = {} if _local.gone is None else _local.gone
        self._tags: dict[str, dict[str, None]] = defaultdict(dict)
        self._everything: set[str] = set()

    def is_many(self, concern: Concern, more: int = 0) -> bool:
        """Whether the write has touched so many rows that their parents are bumped in their place."""
        left = self.left(concern)
        return left is not None and more > left

    def left(self, concern: Concern) -> int | None:
        """How many rows more are bumped one by one; below zero if no more; None if all."""
        above = concern.registration.above
        if above is None or concern.parents is None or not concern.reads:
            return None
        counted = self._counts[concern.registration]
        return -1 if counted > above or above <= 0 else above - counted

    def follow(self, group: Group, rows: list[Row], count: int) -> None:
        """Read what rows refer to, unless there are many: before a statement that may change or delete that, too.

        Args:
            group: whose they are.
            rows: as they are.
            count: how many the write touches, as far as that was looked at.
        """
        if rows and any(concern.reads and not self.is_many(concern, count) for concern in group.concerns):
            follow(group.reading, rows, self._alias, self._gone)

    def keep(self, group: Group, rows: list[Row]) -> None:
        """Keep what rows refer to: a statement before their own may delete it."""
        keep(group.reading, rows, self._gone)

    def rows(self, group: Group, rows: list[Row], count: int) -> None:
        """Bump the tags of rows.

        Args:
            group: whose they are.
            rows: as they were, and as they are now.
            count: how many the write touched, as far as that was looked at.
        """
        single = []
        for concern in group.concerns:
            many = self.is_many(concern, count)
            self._counts[concern.registration] += count
            if many:
                self.parents(concern)
            else:
                single.append(concern)
        if any(concern.reads for concern in single):
            follow(group.reading, rows, self._alias, self._gone)
        for concern in single:
            self._add(concern, concern.fixed() if not concern.reads else _tags_of(concern, rows))

    def parents(self, concern: Concern) -> None:
        """Bump what stands for all rows; where nothing does, everything."""
        if concern.parents is None:
            self._everything.add(concern.registration.cache)
        else:
            self._add(concern, concern.parents)

    def all_parents(self, plan: Plan) -> None:
        """Bump what stands for all rows of every group."""
        for concern in plan.concerns:
            self.parents(concern)

    def _add(self, concern: Concern, tags: Iterable[str]) -> None:
        self._tags[concern.registration.cache].update(dict.fromkeys(tags))

    def send(self) -> None:
        """Invalidate it all, as part of the open transaction.

        Raises:
            ConfigurationError: a cache is not ours.
            StoreError: see `UnstaleCache.invalidate`.
        """
        for name in self._everything:
            if (cache := ours(name)) is not None:
                cache.clear()
        for name, tags in self._tags.items():
            every = list(tags)
            if every and name not in self._everything and (cache := ours(name)) is not None:
                for start in range(0, len(every), MAX_TAGS):
                    cache.invalidate(*every[start : start + MAX_TAGS], using=self._alias)


def _tags_of(concern: Concern, rows: Iterable[Row]) -> Iterator[str]:
    for row in rows:
        yield from concern.tags(row)


def ours(name: str) -> Any:
    """The cache of an alias; None for a dummy, which keeps nothing.

    Raises:
        ConfigurationError: there is none of this alias, or it keeps values and cannot invalidate tags.
    """
    try:
        cache = cache_named(name)
    except ConfigurationError as error:
        raise ConfigurationError(f"A model is registered with the cache {name!r}: {error}") from error
    if isinstance(cache, DummyCache):
        return None
    if not isinstance(cache, UnstaleCache):
        raise ConfigurationError(
            f"A model is registered with the cache {name!r}, which is a {type(cache).__name__}: it knows no tags. Set "
            f"CACHES[{name!r}]['BACKEND'] to 'unstale.contrib.django.UnstaleCache', or name another cache: "
            "invalidates(…, cache=…)."
        )
    return cache
