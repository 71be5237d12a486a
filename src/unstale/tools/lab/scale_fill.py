"""Others' keys for `unstale lab scale`: millions of them, so they are written by a script inside the server.

That takes a few microseconds a key, a tenth of what `keyspace.fill` takes, which writes each from here. They have the
same form, and the same values where the memory is there for them.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from unstale.tools.lab.keyspace import ABOVE_USERS, PAYLOADS, page
from unstale.tools.lab.scale_plan import REAL_TO, SMALL

EACH: Final = 10_000
"""Keys in one call of the script, which keeps the server from all else meanwhile: tens of milliseconds."""
_SCRIPT: Final = """
local prefix, first_user, first, last, per_user, ttl = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
for number = first, last do
    local name = string.format(
        '%s:1:user:%d:orders:%d', prefix, first_user + math.floor(number / per_user), number % per_user + 1
    )
    redis.call('SET', name, ARGV[7 + number % (#ARGV - 6)], 'EX', ttl)
end
"""


def values_for(keys: int, seed: int) -> list[bytes]:
    """What is stored in a keyspace of this size: pages as the site answers them, or little texts."""
    if keys > REAL_TO:
        return [b"x" * SMALL]
    draw = random.Random(seed)
    return [page(draw) for _ in range(PAYLOADS)]


@dataclass(frozen=True, slots=True)
class Others:
    """Users who never come."""

    prefix: str
    """What all keys begin with."""
    per_user: int
    """Keys of each."""
    ttl: int
    """Seconds that the keys live."""
    values: list[bytes]
    """Of the keys, in turns."""


def fill_in(client: Any, others: Others, first_user: int, keys: int, told: Callable[[int], None]) -> int:
    """Write keys.

    Args:
        client: a redis-py client (sync).
        others: whose.
        first_user: the number of the first of them.
        keys: how many.
        told: called with the number of keys so far.

    Returns:
        The number of the first user who has none yet.

    Raises:
        redis.RedisError: the server refuses, or is gone.
    """
    user = ABOVE_USERS + first_user
    for first in range(0, keys, EACH):
        last = min(first + EACH, keys) - 1
        client.eval(_SCRIPT, 0, others.prefix, user, first, last, others.per_user, others.ttl, *others.values)
        told(last + 1)
    return first_user + math.ceil(keys / others.per_user)
