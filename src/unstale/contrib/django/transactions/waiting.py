"""What waits for a COMMIT in this thread, and how it then takes effect.

One `Waiting` for each savepoint (or the whole) of a transaction in which something was invalidated. It stands among its
connection's commit hooks with the ids of its savepoints, so Django itself drops it when one of them is rolled back:

    run_on_commit = [collect, collect, …, flush, the project's hooks and, where `invalidate` was called, confirm …]

`collect` says that a savepoint was kept, `flush` carries out everything in one trip a cache, before any hook of the
project's can raise. `confirm` tries again what failed; if it fails again the outbox has it, or it raises. Inside a
`TestCase` these hooks never run, and tests count them: there `confirm` alone is appended, and `settle` finds it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Sequence
from enum import Enum, auto
from typing import Any, Final

from unstale.contrib.django.backend.engine import ROOT_TAGS, Engine
from unstale.contrib.django.transactions.manual import is_manual, watch
from unstale.contrib.django.transactions.outbox_port import outbox_of
from unstale.contrib.django.transactions.owed import Owed, complete
from unstale.contrib.django.transactions.snapshots import has_open_block
from unstale.errors import StoreError

RETRY_SECONDS: Final = 1.0
"""What failed is tried again by the thread's next verbs, no sooner than this."""
MAX_FAILED_TAGS: Final = 1000
"""When a thread owes more than this to a server that is away, it owes everything instead: one clear."""
_PSYCOPG2_BROKEN: Final = 2
"""Its connections' `closed`; 1 is closed on purpose, as psycopg 3's True is."""

logger = logging.getLogger("unstale")


class _Local(threading.local):
    """A thread's own; a greenlet's, where gevent has patched `threading` before this is imported."""

    def __init__(self) -> None:
        self.waiting: list[Waiting] = []


_local = _Local()
busy: set[int] = set()
"""Threads in which something waits. Only a quick first look: a thread that died in a transaction may stay in it."""


def pending() -> bool:
    """Whether anything in this thread waits for a COMMIT."""
    return bool(busy) and bool(_local.waiting)


class Standing(Enum):
    """Where a transaction's invalidations stand."""

    OPEN = auto()
    TRIED = auto()
    DUE = auto()
    DROPPED = auto()
    OVER = auto()


class Front:
    """One transaction's hook in front of the project's own: carries out what its savepoints have kept."""

    __slots__ = ("kept",)

    def __init__(self) -> None:
        """Nothing is kept yet."""
        self.kept: list[Waiting] = []

    def flush(self) -> None:
        """Carry out what was kept; what fails is told to the log, and tried again by `confirm`."""
        try:
            carry_out(self.kept)
        except StoreError as error:
            logger.warning("unstale: an invalidation at COMMIT failed and is tried again: %s", type(error).__name__)

    def confirm(self) -> None:
        """Try again what failed.

        Raises:
            StoreError: it failed again, and no outbox has it.
        """
        try:
            carry_out(self.kept)
        except StoreError:
            hand_over(self.kept)
            if not all(one.is_over for one in self.kept):
                raise


class Waiting:
    """What was invalidated in one savepoint of a transaction, or in none.

    Attributes:
        connection: the database's, Django's own wrapper.
        savepoints: the ids of the savepoints around it.
        owed: what is to be done, by cache.
        is_over: it has taken effect, or the outbox has it.
        tried_at: when the transaction was committed or it was last tried, by the monotonic clock; None before.
    """

    __slots__ = ("_outermost", "_raw", "connection", "front", "is_over", "owed", "savepoints", "tried_at")

    def __init__(self, connection: Any) -> None:
        """Stand among a connection's commit hooks, in its innermost block."""
        self.connection = connection
        self.savepoints = savepoints_of(connection)
        self.owed: dict[Engine, Owed] = {}
        self.is_over = False
        self.tried_at: float | None = None
        self._raw = connection.connection
        self._outermost = _outermost_savepoint(connection)
        if in_test(connection):
            self.front = Front()
            self.front.kept.append(self)
        else:
            self.front = _front_of(connection)
            connection.run_on_commit.insert(0, (set(connection.savepoint_ids), self.collect, True))
        connection.on_commit(self.confirm)
        if is_manual(connection):
            watch(connection)

    def collect(self) -> None:
        """Hook: the transaction was committed, and this savepoint of it was kept."""
        self.tried_at = time.monotonic()
        self.front.kept.append(self)

    def confirm(self) -> None:
        """Hook: whatever has not taken effect by now must, or the project hears of it. Raises StoreError."""
        if not self.is_over:
            self.front.confirm()

    def belong_to(self, current: frozenset[str]) -> None:
        """Of its savepoints only these are still open: only their rollback drops it now."""
        self.savepoints &= current
        self.connection.run_on_commit = [
            (sids & current if getattr(hook, "__self__", None) is self else sids, hook, robust)
            for sids, hook, robust in self.connection.run_on_commit
        ]

    def take_over(self, other: Waiting) -> None:
        """Do what another of the same savepoints would."""
        for engine, owed in other.owed.items():
            self.owed.setdefault(engine, Owed()).add(owed)
        other.is_over = True
        if not in_test(self.connection):  # where tests count its hook, it stays, and does nothing
            self.connection.run_on_commit = [
                one for one in self.connection.run_on_commit if getattr(one[1], "__self__", None) is not other
            ]
        _drop_over()

    def is_registered(self) -> bool:
        """Whether it still stands among the commit hooks: neither has the transaction ended, nor a savepoint of it."""
        return any(getattr(hook, "__self__", None) is self for _, hook, _ in self.connection.run_on_commit)

    def standing(self) -> Standing:
        """Where it stands now."""
        if self.is_over:
            return Standing.OVER
        if self.tried_at is not None:
            return Standing.DUE if time.monotonic() - self.tried_at >= RETRY_SECONDS else Standing.TRIED
        if self.is_registered():
            return Standing.OPEN if is_manual(self.connection) or self._is_open() else Standing.DUE
        return Standing.DUE if self._may_have_committed() else Standing.DROPPED

    def _is_open(self) -> bool:
        if self._outermost is not None:
            return self._outermost in self.connection.savepoint_ids
        return has_open_block(self.connection)

    def _may_have_committed(self) -> bool:
        """Whether a COMMIT's answer may have been lost: what is invalidated in vain costs a miss, the other a lie.

        The connection tells: psycopg says that it broke; after a rollback that worked Django unsets `errors_occurred`,
        after one that did not it connects anew.
        """
        one, raw = self.connection, self._raw
        if one.in_atomic_block:
            return False
        if getattr(raw, "broken", False) or getattr(raw, "closed", 0) == _PSYCOPG2_BROKEN:
            return True
        return bool(one.errors_occurred) or (one.connection is not None and one.connection is not raw)


def in_test(connection: Any) -> bool:
    """Whether a `TestCase` has wrapped its block around everything: no hook runs, and tests count them."""
    return bool(connection.atomic_blocks) and getattr(connection.atomic_blocks[0], "_from_testcase", False)


def savepoints_of(connection: Any) -> frozenset[str]:
    """The ids of the savepoints that are open; a block without one has the fate of the block around it."""
    return frozenset(one for one in connection.savepoint_ids if one is not None)


def _outermost_savepoint(connection: Any) -> str | None:
    """Inside a test's wrapping blocks: the savepoint of the outermost block of the project's own."""
    blocks, ids = connection.atomic_blocks, connection.savepoint_ids
    first = next(number for number, block in enumerate(blocks) if not block._from_testcase)  # noqa: SLF001
    at = first - (len(blocks) - len(ids))
    return ids[at] if at >= 0 else None


def _front_of(connection: Any) -> Front:
    """The front of the transaction that is open on a connection."""
    for _, hook, _ in connection.run_on_commit:
        owner = getattr(hook, "__self__", None)
        if isinstance(owner, Front):
            return owner
        if isinstance(owner, Waiting):
            return owner.front
    front = Front()
    connection.run_on_commit.insert(0, (set(), front.flush, True))
    return front


def join(connection: Any) -> Waiting:
    """What waits for the innermost block that is open on a connection; made when it is first asked for."""
    savepoints = savepoints_of(connection)
    joined = _by_savepoints(connection, savepoints).get(savepoints)
    if joined is None:
        joined = Waiting(connection)
        _local.waiting.append(joined)
        busy.add(threading.get_ident())
    return joined


def _by_savepoints(connection: Any, current: frozenset[str]) -> dict[frozenset[str], Waiting]:
    """What waits for open blocks. A savepoint that was released has the fate of the block around it.

    So a long loop of savepoints does not pile up.
    """
    found: dict[frozenset[str], Waiting] = {}
    for one in tuple(_local.waiting):
        if one.connection is connection and one.standing() is Standing.OPEN:
            if one.savepoints - current:
                one.belong_to(current)
            first = found.setdefault(one.savepoints, one)
            if first is not one:
                first.take_over(one)
    return found


def carry_out(waiting: Iterable[Waiting]) -> None:
    """Let invalidations take effect: one trip a cache, however many there are.

    Raises:
        StoreError: some have not, or nobody knows; all were tried.
    """
    due = [one for one in waiting if not one.is_over]
    for one in due:
        one.tried_at = time.monotonic()  # a verb that an events hook calls meanwhile must not try again
    failed: dict[Engine, StoreError] = {}
    for engine in dict.fromkeys(engine for one in due for engine in one.owed):
        parts = [one.owed[engine] for one in due if engine in one.owed]
        try:
            _together(parts).carry_out(engine)
        except StoreError as error:
            failed[engine] = error
        else:
            _forget_rows(engine, parts)
    for one in due:
        left = {engine: owed for engine, owed in one.owed.items() if engine in failed}
        one.owed, one.is_over = left, not left
        one.tried_at = time.monotonic()
    _drop_over()
    for first in failed.values():
        raise first


def _together(parts: Sequence[Owed]) -> Owed:
    whole = Owed()
    for part in parts:
        whole.add(part)
    return whole


def _forget_rows(engine: Engine, parts: Iterable[Owed]) -> None:
    rows = [row for part in parts for row in part.rows]
    outbox = outbox_of(engine) if rows else None
    if outbox is not None:
        outbox.forget(rows)


def _drop_over(*gone: Waiting) -> None:
    _local.waiting[:] = [one for one in _local.waiting if not one.is_over and one not in gone]
    if not _local.waiting:
        busy.discard(threading.get_ident())


def hand_over(waiting: Iterable[Waiting]) -> None:
    """Leave to the relay what the outbox holds; what it could hold, but does not, is written now."""
    for one in waiting:
        left: dict[Engine, Owed] = {}
        for engine, owed in one.owed.items():
            outbox = outbox_of(engine)
            if outbox is None or not outbox.takes_over(engine, owed, one.connection.alias):
                left[engine] = owed
        one.owed, one.is_over = left, not left
    _drop_over()


def settle() -> None:
    """Take stock of this thread: what is due takes effect, what was rolled back is dropped. It never raises.

    What cannot take effect is told to the log, stays dirty in this thread, and is tried again.
    """
    if not pending():
        return
    standings = [(one, one.standing()) for one in _local.waiting]
    dropped = [one for one, standing in standings if standing is Standing.DROPPED]
    due = [one for one, standing in standings if standing is Standing.DUE]
    _drop_over(*dropped, *(one for one, standing in standings if standing is Standing.OVER))
    for one in dropped:
        _let_go(one)
    if due:
        try:
            carry_out(due)
        except StoreError as error:
            hand_over(due)
            _merge_failed()
            if pending():
                logger.error("unstale: an invalidation has not taken effect: %s", type(error).__name__)  # noqa: TRY400 - no values in a log


def _let_go(rolled_back: Waiting) -> None:
    """Open what a transaction that was rolled back had closed. If that fails, the deadline does it.

    A value may have been computed in it, for a key that was looked at before: that is not stored.
    """
    for engine, owed in rolled_back.owed.items():
        engine.distrust(owed.tags())
        for closing in owed.closings:
            try:
                complete(engine, closing)
            except StoreError as error:
                logger.warning("unstale: tags stay closed until their deadline: %s", type(error).__name__)


def _merge_failed() -> None:
    """Bound what a thread owes to a server that is away."""
    failed = [one for one in _local.waiting if one.tried_at is not None]
    for other in failed[1:]:
        for engine, owed in other.owed.items():
            failed[0].owed.setdefault(engine, Owed()).add(owed)
        other.is_over = True
    for owed in failed[0].owed.values() if failed else ():
        if len(owed.tags()) > MAX_FAILED_TAGS:
            owed.hard, owed.soft, owed.closings = set(ROOT_TAGS), set(), []
    _drop_over()


def dirty_tags(engine: Engine) -> set[str]:
    """The tags of a cache that open transactions of this thread have invalidated, through whatever alias."""
    owed = (each for one in _local.waiting for each in one.owed.items())
    return {tag for other, its in owed if other.serial == engine.serial for tag in its.tags()}
