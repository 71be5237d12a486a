"""Invalidation that knows database transactions.

    in autocommit, or in no block       at once
    inside atomic()                     at COMMIT; never, if the transaction or the savepoint is rolled back
    meanwhile, in this thread           what is invalidated neither hits nor fills

`TestCase`'s own wrapping block does not count. Each database's transaction is its own: where none is named, an
invalidation belongs to all that are open, and takes effect at each one's COMMIT.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from unstale.events import Invalidated

if TYPE_CHECKING:
    from unstale.contrib.django.engine import Engine


@dataclass(frozen=True, slots=True)
class Deferred:
    """An invalidation that takes effect at COMMIT."""

    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Queued:
    """An invalidation that the outbox holds: the server was away. The relay carries it out."""

    tags: tuple[str, ...]


Result: TypeAlias = "Invalidated | Deferred | Queued"


class _Local(threading.local):
    pending: tuple[Any, ...] = ()


_local = _Local()


def pending() -> bool:
    """Whether anything in this thread waits for a COMMIT."""
    return bool(_local.pending)


def settle() -> None:
    """Take stock: what is due takes effect, what was rolled back is dropped."""


def is_dirty(engine: Engine, key: str, names: tuple[str, ...]) -> bool:
    """Whether an open transaction of this thread has invalidated what a key depends on."""
    return False


def forbids_fill() -> bool:
    """Whether this thread is inside a transaction whose snapshot may be older than the stamps (REPEATABLE READ)."""
    return False


def invalidate(
    engine: Engine,
    names: tuple[str, ...],
    *,
    using: str | None = None,
    soft: bool = False,
    strict: bool | None = None,
) -> Result:
    """Invalidate tags by their whole names, now or at COMMIT."""
    return engine.bump(names, soft=soft)
