"""Making the records of invalidations that have not taken effect, and carrying them out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from unstale.core.keyspace import Keyspace
from unstale.core.pending import Pending
from unstale.core.ports import Trips
from unstale.errors import NotReplicatedError

BATCH: Final = 500
"""Stamps that are written in one trip."""


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
