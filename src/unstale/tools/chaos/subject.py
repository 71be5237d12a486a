"""What caches, as a phase's readers and writers see it: unstale in its forms, and what teams use without it.

A subject lives in one process and is used by many threads (or tasks). It connects when it is first used. A subject
translates and delegates: no decision of freshness is made here, but where the subject *is* another scheme.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, Protocol

from unstale.tools.chaos.record import Effect


class Value(NamedTuple):
    """What is cached of a row; it goes through the codec as a list.

    Attributes:
        key: the key's number that it was computed for: another in an answer is a wrong-key answer.
        row: the row.
        version: as it was loaded.
    """

    key: int
    row: int
    version: int


class Place(NamedTuple):
    """Where a subject works.

    Attributes:
        url: of the server, or of what stands before it.
        namespace: what its names begin with; it touches no others.
        options: of the phase.
        scratch: a folder of the process's own phase, for queues.
        database: the URL of the database, for subjects that have an outbox in it.
    """

    url: str
    namespace: str
    options: dict[str, Any]
    scratch: str
    database: str


Loader = Callable[[], Value]
Moment = Callable[[str], None]
"""Called by a subject's `write` at moments with names ("committed", "queued"), so that a writer can be killed there."""


class Subject(Protocol):
    """A cache for threads."""

    def read(self, key: int, row: int, load: Loader) -> Value:
        """The value of a key, from the cache or loaded. It depends on its row's tag."""

    def write(self, row: int, commit: Callable[[], int], moment: Moment) -> tuple[Effect, int]:
        """Commit a new version of a row, and invalidate what depends on it.

        Args:
            row: which.
            commit: writes the row in a transaction of its own, and returns the version once it is committed.
            moment: to be called between the two, with "committed".

        Returns:
            What became of the invalidation, and the version. What it raises counts as RAISED.
        """

    def settle(self) -> None:
        """After the phase, with all healed: carry out what is queued or in an outbox."""

    def close(self) -> None:
        """Let go of everything."""


class AsyncSubject(Protocol):
    """A cache for asyncio: the same, awaited."""

    async def read(self, key: int, row: int, load: Callable[[], Awaitable[Value]]) -> Value:
        """See Subject."""

    async def close(self) -> None:
        """See Subject."""
