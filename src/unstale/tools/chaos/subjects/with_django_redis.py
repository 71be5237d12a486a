"""django-redis and its `delete_pattern`, set up as its README has it: how Django projects invalidate groups of keys.

IGNORE_EXCEPTIONS is on, so that pages go on without the server. A delete that was swallowed so counts as one that
raised: nothing is held against it.
"""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django_redis.cache import RedisCache

from unstale.tools.chaos.record import Effect
from unstale.tools.chaos.subject import Commit, Loader, Moment, Place, Value
from unstale.tools.chaos.subjects.deletes import TIMEOUT_SECONDS, TTL_SECONDS
from unstale.tools.chaos.subjects.naming import name_of, tag_of, valued

ITERSIZE: Final = 100_000
"""Its README: "To achieve the best performance while deleting many keys"."""


class SwallowedError(Exception):
    """django-redis has ignored an exception: the pattern was not deleted."""


class PatternDeletes:
    """get, load, set; after the COMMIT a delete of the row's pattern."""

    def __init__(self, place: Place) -> None:
        """Make the backend; it connects when it is first used."""
        if not settings.configured:
            settings.configure(USE_TZ=True)
        options: dict[str, Any] = {
            "IGNORE_EXCEPTIONS": True,
            "SOCKET_TIMEOUT": TIMEOUT_SECONDS,
            "SOCKET_CONNECT_TIMEOUT": TIMEOUT_SECONDS,
        }
        params = {"KEY_PREFIX": place.namespace, "TIMEOUT": TTL_SECONDS, "OPTIONS": options}
        self.cache: Any = RedisCache(place.url, params)

    def read(self, key: int, row: int, load: Loader) -> Value:
        """See Subject."""
        name = name_of(key, row)
        found = self.cache.get(name)
        if found is not None:
            return valued(found)
        value = load()
        self.cache.set(name, tuple(value))
        return value

    def write(self, row: int, commit: Commit, moment: Moment) -> tuple[Effect, int]:
        """See Subject."""
        version = commit()
        moment("committed")
        if self.cache.delete_pattern(f"{tag_of(row)}:*", itersize=ITERSIZE) is None:
            raise SwallowedError
        return Effect.EFFECTIVE, version

    def settle(self) -> None:
        """See Subject: nothing is ever queued."""

    def close(self) -> None:
        """See Subject."""
        self.cache.close()
