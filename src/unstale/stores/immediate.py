"""A synchronous store's trips with `async` in front: nothing in them ever suspends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from unstale.core.ports import (
    Bumped,
    Claim,
    Commit,
    Committed,
    Heads,
    Modify,
    Opening,
    Peek,
    Reading,
    Scanned,
    Store,
    Unmodified,
)


class Immediate:
    """An AsyncStore over a Store: for the synchronous façade, whose steps never suspend, and for `memory://`."""

    def __init__(self, store: Store) -> None:
        """Take the store."""
        self._store = store

    async def read(self, names: Sequence[bytes]) -> Reading:
        """See Store."""
        return self._store.read(names)

    async def peek(self, entry: bytes, stamp_names: Sequence[bytes], remove: Sequence[bytes] = ()) -> Peek:
        """See Store."""
        return self._store.peek(entry, stamp_names, remove)

    async def open(
        self, claims: Sequence[Claim], missing: Sequence[bytes], stamp_ttl: float, lag: float = 0.0
    ) -> Opening:
        """See Store."""
        return self._store.open(claims, missing, stamp_ttl, lag)

    async def commit(self, commits: Sequence[Commit]) -> list[Committed]:
        """See Store."""
        return self._store.commit(commits)

    async def release(self, held: Sequence[tuple[bytes, bytes]]) -> None:
        """See Store."""
        self._store.release(held)

    async def bump(
        self, stamp_names: Sequence[bytes], stamp_ttl: float, *, soft: bool = False, lag: float = 0.0
    ) -> list[Bumped]:
        """See Store."""
        return self._store.bump(stamp_names, stamp_ttl, soft=soft, lag=lag)

    async def close_stamps(self, stamp_names: Sequence[bytes], owner: bytes, seconds: float, keep: float = 0.0) -> None:
        """See Store."""
        self._store.close_stamps(stamp_names, owner, seconds, keep)

    async def complete(
        self, stamp_names: Sequence[bytes], owner: bytes, keep: float = 0.0, lag: float = 0.0
    ) -> list[Bumped]:
        """See Store."""
        return self._store.complete(stamp_names, owner, keep, lag)

    async def modify(self, modify: Modify) -> int | Unmodified:
        """See Store."""
        return self._store.modify(modify)

    async def heads(
        self, names: Sequence[bytes], size: int, stamp_names: Sequence[bytes] = (), remove: Sequence[bytes] = ()
    ) -> Heads:
        """See Store."""
        return self._store.heads(names, size, stamp_names, remove)

    async def scan(self, cursor: int, match: bytes, count: int) -> Scanned:
        """See Store."""
        return self._store.scan(cursor, match, count)

    async def remove(self, names: Sequence[bytes]) -> int:
        """See Store."""
        return self._store.remove(names)

    async def check(self) -> None:
        """See Store."""
        self._store.check()

    def owe(self, settle: Callable[[float], Any]) -> None:
        """See Store. A store that is always there has no need of it."""

    def hold(self) -> None:
        """See Store."""
        self._store.hold()

    async def ping(self) -> None:
        """See Store."""
        self._store.ping()

    async def close(self) -> None:
        """See Store."""
        self._store.close()
