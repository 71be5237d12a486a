"""unstale's `Cache` in threads: each class is one way to use it that the documentation shows."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar

from unstale.cache import Cache
from unstale.core.capture import remembering
from unstale.errors import StoreError
from unstale.events import Invalidated
from unstale.options import CacheOptions
from unstale.tools.chaos.record import Effect
from unstale.tools.chaos.subject import Commit, Loader, Moment, Place, Value
from unstale.tools.chaos.subjects.naming import name_of, tag_of, tags_of, valued

R = TypeVar("R")

TRIES: Final = 3
"""How often an invalidation is called, as its documentation says: after the last it raises."""
TRY_AGAIN_SECONDS: Final = 0.05
STRICT_SECONDS: Final = 5.0
"""How long a strict write may take, killed and stopped writers included."""


def cache_options(place: Place, defaults: CacheOptions) -> CacheOptions:
    """What of a place's options is for the cache itself."""
    known: Any = {name: value for name, value in place.options.items() if name in CacheOptions.__annotations__}
    merged: Any = {"timeout": 0.3, **defaults, **known, "namespace": place.namespace}
    return merged  # type: ignore[no-any-return]


def firmly(call: Callable[[], R]) -> R:
    """Call what may be called again, until it takes effect, a few times at the most. Raises StoreError."""
    for _ in range(TRIES - 1):
        with suppress(StoreError):
            return call()
        time.sleep(TRY_AGAIN_SECONDS)
    return call()


def effect_of(result: object) -> Effect:
    """What an invalidation's result says: it has taken effect, or it is durable and will."""
    return Effect.EFFECTIVE if isinstance(result, Invalidated) else Effect.QUEUED


class Cached:
    """`get_or_set` with the row's tag; `invalidate` after the COMMIT."""

    defaults: ClassVar[CacheOptions] = {}

    def __init__(self, place: Place) -> None:
        """Make the cache; it connects when it is first used."""
        self.place = place
        self.cache = Cache.from_url(place.url, **cache_options(place, self.defaults))

    def read(self, key: int, row: int, load: Loader) -> Value:
        """See Subject."""
        return valued(self.cache.get_or_set(name_of(key, row), load, tags=tags_of(self.place, key, row)))

    def write(self, row: int, commit: Commit, moment: Moment) -> tuple[Effect, int]:
        """See Subject."""
        version = commit()
        moment("committed")
        return effect_of(self.invalidate(row)), version

    def invalidate(self, row: int) -> object:
        """Make stale what depends on a row."""
        return firmly(lambda: self.cache.invalidate(tag_of(row)))

    def settle(self) -> None:
        """See Subject: nothing is ever queued."""

    def close(self) -> None:
        """See Subject."""
        self.cache.close()


class SetAfterGet(Cached):
    """get, compute, set inside `remembering()`, in place of `get_or_set`."""

    def read(self, key: int, row: int, load: Loader) -> Value:
        """See Subject."""
        name, tags = name_of(key, row), tags_of(self.place, key, row)
        with remembering():
            found = self.cache.get(name, tags=tags)
            if found is not None:
                return valued(found)
            value = load()
            with suppress(StoreError):  # a page is not lost because it could not be cached
                self.cache.set(name, value, tags=tags)
        return value


class Nested(Cached):
    """Keys beyond the first kind are computed from cached keys, and carry no tag of the row's: they inherit it."""

    def read(self, key: int, row: int, load: Loader) -> Value:
        """See Subject."""
        if key < self.place.rows:
            return super().read(key, row, lambda: load()._replace(key=key))

        def compute() -> Value:
            below = self.read(key - self.place.rows, row, load)
            first = self.read(row, row, load)
            return Value(key, row, min(below.version, first.version))

        return valued(self.cache.get_or_set(name_of(key, row), compute, tags=(f"page:{key}",)))


class Deleting(Cached):
    """Entries without tags; a write deletes all keys of its row. With `fence="all"`, since deletes are to last."""

    defaults: ClassVar[CacheOptions] = {"fence": "all"}

    def read(self, key: int, row: int, load: Loader) -> Value:
        """See Subject."""
        return valued(self.cache.get_or_set(name_of(key, row), load))

    def write(self, row: int, commit: Commit, moment: Moment) -> tuple[Effect, int]:
        """See Subject."""
        version = commit()
        moment("committed")
        firmly(lambda: self.cache.delete_many([name_of(key, row) for key in self.place.keys_of(row)]))
        return Effect.EFFECTIVE, version


class Strict(Cached):
    """The row's tag is closed before its COMMIT, and opened after it."""

    def write(self, row: int, commit: Commit, moment: Moment) -> tuple[Effect, int]:
        """See Subject."""
        with self.cache.strict(tag_of(row), limit=self.place.options.get("limit", STRICT_SECONDS)):
            version = commit()
            moment("committed")
        return Effect.STRICT, version


class Queueing(Cached):
    """What cannot take effect is kept in a local file, which all processes of the run share."""

    def __init__(self, place: Place) -> None:
        """Make the cache with its queue."""
        queue = str(Path(place.scratch, "queue"))
        super().__init__(place._replace(options={"queue": queue, **place.options}))

    def settle(self) -> None:
        """See Subject."""
        self.cache.drain()


class Lagging(Cached):
    """For loaders that read a database replica: its lag is told to the cache."""

    defaults: ClassVar[CacheOptions] = {"replica_lag": 0.5}
