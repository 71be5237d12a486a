"""What caches, as a phase's readers and writers see it: unstale in its forms, and what teams use without it.

A subject lives in one process and is used by many threads (or tasks). It connects when it is first used. Some set up
their process for good (Django's settings), so the run itself makes none: what it wants of one, it does in a child. A
subject translates and delegates: no decision of freshness is made here, but where the subject *is* another scheme.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, cast

import msgspec

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
        options: of the phase. Those that `CacheOptions` knows go to unstale's caches.
        scratch: a folder of the process's own phase, for queues.
        database: the URL of the database, for subjects that have an outbox in it: postgres://… or sqlite:///path.
        rows: how many rows there are; the row of a key is `key % rows`.
        kinds: how many kinds of keys there are; the kind of a key is `key // rows`.
    """

    url: str
    namespace: str
    options: dict[str, Any]
    scratch: str
    database: str
    rows: int = 64
    kinds: int = 1

    def keys_of(self, row: int) -> list[int]:
        """All keys of a row, for those who must know them."""
        return [row + kind * self.rows for kind in range(self.kinds)]


Loader = Callable[[], Value]
Moment = Callable[[str], None]
"""Called by a subject's `write` at moments with names ("committed", "queued"), so that a writer can be killed there."""


class Commit(Protocol):
    """Writes a row."""

    def __call__(self, cursor: Any = None) -> int:
        """Write a new version of the row, and return it.

        Args:
            cursor: None: in a transaction of its own, which is committed on return; it raises where that was rolled
                back. Or a DB-API cursor, in whose open transaction it is written; the caller commits.
        """


class Subject(Protocol):
    """A cache for threads.

    Its class (or whatever makes it) may have an attribute `beside`: a module that has to run beside it, see `beside`.
    """

    def read(self, key: int, row: int, load: Loader) -> Value:
        """The value of a key, from the cache or loaded. It depends on its row's tag."""

    def write(self, row: int, commit: Commit, moment: Moment) -> tuple[Effect, int]:
        """Commit a new version of a row, and invalidate what depends on it.

        Args:
            row: which.
            commit: writes the row. What it raises passes through, and nothing is invalidated.
            moment: to be called right after the COMMIT, with "committed".

        Returns:
            What became of the invalidation, and the version. What it raises counts as RAISED.
        """

    def settle(self) -> None:
        """After the phase, with all healed: carry out what is queued or in an outbox."""

    def close(self) -> None:
        """Let go of everything."""


class AsyncSubject(Protocol):
    """A cache for asyncio: the same, awaited. Its class has an attribute `writer`: the subject that writers use."""

    async def read(self, key: int, row: int, load: Callable[[], Awaitable[Value]]) -> Value:
        """See Subject."""

    async def close(self) -> None:
        """See Subject."""


SUBJECTS: Final[dict[str, str]] = {
    "unstale": "unstale.tools.chaos.subjects.caches:Cached",
    "unstale-set": "unstale.tools.chaos.subjects.caches:SetAfterGet",
    "unstale-nested": "unstale.tools.chaos.subjects.caches:Nested",
    "unstale-delete": "unstale.tools.chaos.subjects.caches:Deleting",
    "unstale-strict": "unstale.tools.chaos.subjects.caches:Strict",
    "unstale-lag": "unstale.tools.chaos.subjects.caches:Lagging",
    "unstale-queue": "unstale.tools.chaos.subjects.caches:Queueing",
    "unstale-async": "unstale.tools.chaos.subjects.asynchronous:AsyncCached",
    "unstale-django": "unstale.tools.chaos.subjects.with_django:WithOutbox",
    "deletes": "unstale.tools.chaos.subjects.deletes:Deletes",
    "deletes-pattern": "unstale.tools.chaos.subjects.with_django_redis:PatternDeletes",
    "time-stamps": "unstale.tools.chaos.subjects.time_stamps:TimeStamps",
}
"""What makes each subject of a Place: "module:attribute". Optional packages are imported by these modules only."""
PEERS: Final = ("deletes", "deletes-pattern", "time-stamps")
"""What teams use without unstale."""


def maker(name: str) -> Callable[[Place], Subject | AsyncSubject]:
    """What makes a subject.

    Args:
        name: of SUBJECTS, or "module:attribute".
    """
    module, _, attribute = SUBJECTS.get(name, name).partition(":")
    return cast("Callable[[Place], Subject | AsyncSubject]", getattr(importlib.import_module(module), attribute))


def writer_of(name: str) -> str:
    """The subject that writers use: the same, but for asyncio."""
    return str(getattr(maker(name), "writer", name))


def beside(name: str, place: Place) -> list[str] | None:
    """The command of the process that has to run beside a subject, started once before all others; None for none.

    It writes a line to stdout when it is ready, and runs until SIGTERM. It finds the place in a file of the scratch
    folder, since URLs may have passwords, and a command line is for all to read.
    """
    module = getattr(maker(name), "beside", "")
    if not module:
        return None
    told = Path(place.scratch, "beside.json")
    told.touch(0o600)
    told.write_bytes(msgspec.json.encode(place))
    return [sys.executable, "-m", module, str(told)]
