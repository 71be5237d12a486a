"""Strict mode: tags that are closed before a transaction commits, and opened after it.

While a tag is closed nothing is fresh, and no fill and no other writer's invalidation can open it. Each writer is an
owner of his own with a deadline of his own; the last one out removes the stamp, or time does. The old stamp is never
put back.

A begin has one owner for all its attempts: where the answer to the first was lost, completing the second completes
both. A packet that arrives after all that closes the tag once more, until the deadline; nothing worse.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from unstale.core import capture
from unstale.core.keyspace import Keyspace
from unstale.core.ports import IO, Bumped
from unstale.events import Invalidated


class Closing(NamedTuple):
    """What a strict write has closed: plain data, with which any process can complete it.

    Attributes:
        tags: the tags, complete with the scope's name.
        owner: this write's own name among those who keep them closed.
    """

    tags: tuple[str, ...]
    owner: str


async def begin(io: IO, space: Keyspace, tags: Sequence[str], owner: str, limit: float) -> Closing:
    """Close tags, whether anything is cached under them or not. Once it returns nothing is served of them.

    Args:
        io: the world.
        space: the cache's.
        tags: which, complete with the scope's name.
        owner: a name that nobody else has.
        limit: seconds until they open by themselves; where loaders may lag, what is committed last is behind every
            replica by then.

    Raises:
        StoreError: none of them is closed, or nobody knows.
    """
    closing = Closing(tuple(dict.fromkeys(tags)), owner)
    names = [space.names.stamp(tag) for tag in closing.tags]
    await io.close_stamps(names, owner.encode(), limit + space.policy.replica_lag, space.policy.keep_closed)
    return closing


async def complete(io: IO, space: Keyspace, closing: Closing) -> Invalidated:
    """Let go of tags. As an invalidation: what was cached under them is stale. Raises StoreError as `invalidate`."""
    names = [space.names.stamp(tag) for tag in closing.tags]
    if not space.keeps_looks:
        capture.forget(space.serial, names)
    met = await io.complete(names, closing.owner.encode(), space.policy.keep_closed, space.policy.replica_lag)
    event = Invalidated(closing.tags, sum(one is Bumped.CHANGED for one in met))
    if space.emit is not None:
        space.emit(event)
    return event
