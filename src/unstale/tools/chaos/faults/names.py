"""Names that go: what eviction, expiry and people with FLUSHALL do. Only the run's own names, but where it says so."""

from __future__ import annotations

import time
from collections.abc import Iterator
from random import Random

import redis

from unstale.tools.chaos.layouts import Own
from unstale.tools.chaos.world import Fault, World

BATCH = 1000
STAMPS = ("s:*", "r:*")
ENTRIES = ("e:*", "h:*")
SOON_MILLISECONDS = 20


def evict_stamps(world: World, draw: Random) -> str:
    """Remove some, closed ones too, half of them by letting them expire."""
    return _evict(world, draw, STAMPS, None, "stamps")


def evict_open_stamps(world: World, draw: Random) -> str:
    """Remove some that are open: where strict writes are under way, what they have closed must stay."""
    return _evict(world, draw, STAMPS, "string", "open stamps")


def evict_entries(world: World, draw: Random) -> str:
    """Remove some."""
    return _evict(world, draw, ENTRIES, None, "entries")


def flush(world: World, draw: Random) -> str:
    """Remove all of the run's names, one by one; from a server of its own, everything at once."""
    removed = 0
    is_own = isinstance(world.layout, Own)
    for client in world.clients():
        with client:
            if is_own:
                removed += client.dbsize()
                client.flushall(asynchronous=draw.random() < 0.5)  # noqa: PLR2004 - a coin
            else:
                for batch in _batches(client, f"{world.namespace}:*", None):
                    removed += sum(map(client.unlink, batch))  # one by one: in a cluster they are of many slots
    return f"{removed} names were flushed"


def _evict(world: World, draw: Random, patterns: tuple[str, ...], kind: str | None, what: str) -> str:
    part = draw.choice((0.05, 0.3, 1.0))
    found = unlinked = 0
    for client in world.clients():
        with client:
            for pattern in patterns:
                for batch in _batches(client, f"{world.namespace}:{pattern}", kind):
                    found += len(batch)
                    unlinked += _remove(client, [name for name in batch if draw.random() < part], draw)
    time.sleep(SOON_MILLISECONDS / 1000)  # until what expires has
    return f"{unlinked} of {found} {what} were evicted"


def _remove(client: redis.Redis, names: list[bytes], draw: Random) -> int:
    with client.pipeline(transaction=False) as pipeline:
        for name in names:
            if draw.random() < 0.5:  # noqa: PLR2004 - a coin
                pipeline.unlink(name)
            else:
                pipeline.pexpire(name, draw.randrange(1, SOON_MILLISECONDS))
        return sum(map(int, pipeline.execute())) if names else 0


def _batches(client: redis.Redis, pattern: str, kind: str | None) -> Iterator[list[bytes]]:
    """The names that a pattern matches, as SCAN gives them."""
    cursor = 0
    while True:
        cursor, names = client.scan(cursor, pattern, BATCH, kind)
        if names:
            yield [name for name in names if isinstance(name, bytes)]  # all are: the client decodes nothing
        if not cursor:
            return


FAULTS = (
    Fault("evict-stamps", "Stamps are evicted, or expire, at random.", evict_stamps),
    Fault("evict-open-stamps", "The same, but of stamps that no strict write has closed.", evict_open_stamps),
    Fault("evict-entries", "Entries are evicted, or expire, at random.", evict_entries),
    Fault("flush", "Somebody empties the cache with FLUSHALL.", flush),
)
