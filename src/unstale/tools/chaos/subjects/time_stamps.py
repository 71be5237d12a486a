"""Time stamps in place of deletes: what *Redis Cache Deletion Performance* describes, as `examples/article.py` has it.

A value is stored with the time of storing; a write notes the time of the row's last action; a read serves what was
stored no earlier than that. What cannot be read counts as never: as usually written.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import Any

import redis

from unstale.tools.chaos.record import Effect
from unstale.tools.chaos.subject import Commit, Loader, Moment, Value
from unstale.tools.chaos.subjects.deletes import TTL_SECONDS, Deletes
from unstale.tools.chaos.subjects.naming import valued


class TimeStamps(Deletes):
    """Two GETs a read, one SET a write."""

    def _action(self, row: int) -> str:
        return f"{self.place.namespace}:ua:{row}"

    def read(self, key: int, row: int, load: Loader) -> Value:
        """See Subject."""
        name = self._name(key, row)
        try:
            acted_at: Any = self.client.get(self._action(row))
            stored: Any = self.client.get(name)
        except redis.RedisError:
            return load()
        if stored is not None:
            entry = json.loads(stored)
            if acted_at is None or entry["stored_at"] >= float(acted_at):
                return valued(entry["data"])
        value = load()
        with suppress(redis.RedisError):
            self.client.set(name, json.dumps({"data": value, "stored_at": time.time()}), ex=TTL_SECONDS)
        return value

    def write(self, row: int, commit: Commit, moment: Moment) -> tuple[Effect, int]:
        """See Subject."""
        version = commit()
        moment("committed")
        self.client.set(self._action(row), time.time())
        return Effect.EFFECTIVE, version
