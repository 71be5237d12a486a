"""UNS002 keyspace-walk: the keyspace is walked to read, count or list keys.

Bad::

    import redis

    client = redis.Redis()

    def count():
        return len(client.keys("session:*"))

Good::

    import redis

    client = redis.Redis()

    def members():
        return list(client.sscan_iter("online"))

Good::

    import redis

    client = redis.Redis()

    def forget():
        client.delete(*client.keys("session:*"))
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from unstale.tools.audit.code.understood import Code
from unstale.tools.audit.code.walks import Fate
from unstale.tools.audit.results import Level
from unstale.tools.audit.rules.base import Hit, Rule


def find(code: Code) -> Iterator[Hit]:
    """Every walk whose keys are only read."""
    for walk in code.walks:
        if walk.fate is Fate.READ:
            known = code.calls.of.get(walk.call) if isinstance(walk.call, ast.Call) else None
            yield Hit(
                walk.call,
                walk.scope,
                also=walk.also,
                reached_by=walk.scope,
                by_name=known is not None and known.by_name,
            )


RULE = Rule(
    "UNS002",
    "keyspace-walk",
    Level.WARNING,
    "The whole keyspace is walked to find some keys. KEYS stops the server until it is through; SCAN takes as long in "
    "all, in many round trips.",
    "Keep what is to be listed or counted in a set of its own (SADD, SCARD, SSCAN), or in the database.",
    find,
    __doc__,
)
