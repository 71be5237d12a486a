"""Deleting keys with redis-py, as its documentation's cache-aside pattern has it, by names that the program knows.

Values have a ttl. Reads go on without the server, as with django-redis's IGNORE_EXCEPTIONS; a delete that failed
raises, after redis-py's own retries.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Final

import redis

from unstale.tools.chaos.record import Effect
from unstale.tools.chaos.subject import Commit, Loader, Moment, Place, Value
from unstale.tools.chaos.subjects.naming import name_of, valued

TTL_SECONDS: Final = 300
TIMEOUT_SECONDS: Final = 0.3


class Deletes:
    """GET, load, SET EX; after the COMMIT one DEL of all keys of the row."""

    def __init__(self, place: Place) -> None:
        """Make the client; it connects when it is first used."""
        self.place = place
        self.client: redis.Redis = redis.Redis.from_url(
            place.url, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS
        )

    def _name(self, key: int, row: int) -> str:
        return f"{self.place.namespace}:{name_of(key, row)}"

    def read(self, key: int, row: int, load: Loader) -> Value:
        """See Subject."""
        name = self._name(key, row)
        try:
            stored = self.client.get(name)
        except redis.RedisError:
            return load()
        if stored is not None:
            return valued(json.loads(stored))
        value = load()
        with suppress(redis.RedisError):
            self.client.set(name, json.dumps(value), ex=TTL_SECONDS)
        return value

    def write(self, row: int, commit: Commit, moment: Moment) -> tuple[Effect, int]:
        """See Subject."""
        version = commit()
        moment("committed")
        self.client.delete(*(self._name(key, row) for key in self.place.keys_of(row)))
        return Effect.EFFECTIVE, version

    def settle(self) -> None:
        """See Subject: nothing is ever queued."""

    def close(self) -> None:
        """See Subject."""
        self.client.close()
