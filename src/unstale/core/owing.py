"""Making the records of invalidations that have not taken effect, and carrying them out."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, NamedTuple

from unstale.core.keyspace import Keyspace
from unstale.core.pending import Part, Pending
from unstale.core.ports import IO, Trips
from unstale.errors import NotReplicatedError
from unstale.events import Drained, Failed

BATCH: Final = 500
"""Stamps that are written in one trip, and about as many as are taken out of the queue at a time."""
MOST: Final = 500
"""Most records that are done in passing, by a read or an invalidation: the next goes on."""
PASSING_SECONDS: Final = 0.1
"""For so long an invalidation that has taken effect does them: then it begins no more."""


class Passing(NamedTuple):
    """How much is done in passing.

    Attributes:
        seconds: none is begun after them. One part is done in any case.
        records: nor after so many, damaged ones included.
    """

    seconds: float = math.inf
    records: float = math.inf

    def goes_on(self, done: int, left: float) -> bool:
        """Whether another part is done, after so many lines, with so many seconds left."""
        return not done or (done < self.records and left > 0)


ALL: Final = Passing()
IN_PASSING: Final = Passing(PASSING_SECONDS, MOST)


async def drain(
    io: IO, space: Keyspace, disk: Callable[..., Awaitable[Any]], passing: Passing = ALL
) -> tuple[int, bool]:
    """Have what is queued take effect, in parts: each is removed when it has.

    Args:
        io: the world.
        space: the cache's.
        disk: calls a function, which may wait for the disk, with arguments.
        passing: how much of it, if not all.

    Returns:
        How many records were done, and whether there are more.

    Raises:
        NotReplicatedError: none is left, but too few replicas know of some.
        StoreError: what is not done is still there.
    """
    queue, until = space.queue, io.monotonic() + passing.seconds
    done = damaged = 0
    unheard: NotReplicatedError | None = None
    is_left = queue is not None and queue.has_any()
    try:
        while queue is not None and is_left and passing.goes_on(done + damaged, until - io.monotonic()):
            part: Part = await disk(queue.last, BATCH)
            if not part.records and not part.damaged:  # what a process has begun to write when it died
                is_left = False
                break
            try:
                await carry_out(io, with_damage(space, part.records, part.damaged))
            except NotReplicatedError as error:  # it has taken effect, and is kept as little as one that was tried
                unheard = error
            await disk(queue.tell, part.records)
            await disk(queue.remove, {one.mark for one in part.records}, part.start)
            done, damaged = done + len(part.records), damaged + part.damaged
            is_left = queue.has_any()
    finally:
        if done or damaged:
            space.fail(Drained(done, damaged))
    if unheard is not None and not is_left:
        raise unheard
    if unheard is not None:
        space.fail(Failed("drain", "", unheard))
    return done, is_left


async def carry_out(io: Trips, pending: Sequence[Pending]) -> None:
    """Have records take effect, in few trips.

    Raises:
        NotReplicatedError: all have, but too few replicas know of some.
        StoreError: some may have, others not.
    """
    unheard: NotReplicatedError | None = None
    for soft, lag, stamp_ttl in dict.fromkeys((one.soft, one.lag, one.stamp_ttl) for one in pending if not one.owner):
        alike = [one for one in pending if (one.soft, one.lag, one.stamp_ttl, one.owner) == (soft, lag, stamp_ttl, "")]
        names = list(dict.fromkeys(name for one in alike for name in one.names))
        for at in range(0, len(names), BATCH):
            try:
                await io.bump(names[at : at + BATCH], stamp_ttl, soft=soft, lag=lag)
            except NotReplicatedError as error:
                unheard = error
    for one in pending:
        if one.owner:
            try:
                await io.complete(one.names, one.owner.encode(), one.keep, one.lag)
            except NotReplicatedError as error:
                unheard = error
    if unheard is not None:
        raise unheard


def of_bump(space: Keyspace, mark: str, tags: Sequence[str], *, soft: bool) -> Pending:
    """An invalidation of tags by their whole names."""
    lag = space.policy.replica_lag
    names = tuple(space.names.stamp(tag) for tag in tags)
    return Pending(mark, names, space.policy.stamp_ttl, soft=soft and not lag, lag=lag)


def of_completion(space: Keyspace, mark: str, tags: Sequence[str], owner: str) -> Pending:
    """The end of a strict write."""
    policy = space.policy
    names = tuple(space.names.stamp(tag) for tag in tags)
    return Pending(mark, names, policy.stamp_ttl, lag=policy.replica_lag, owner=owner, keep=policy.keep_closed)


def with_damage(space: Keyspace, pending: Sequence[Pending], damaged: int) -> list[Pending]:
    """What is to be carried out: where a line cannot be read, everything of this cache, which it was a part of."""
    return [*pending, of_bump(space, "", space.names.roots, soft=False)] if damaged else [*pending]
