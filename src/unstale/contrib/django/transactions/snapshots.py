"""Open blocks of `atomic()`, and whether what is read in one may be older than what others have committed since.

Under snapshot isolation (REPEATABLE READ and above) a transaction goes on seeing the database as it was at its first
query. A value computed there may be older than the stamps that it would be stored under, so it is not stored. Nothing
here goes through Django's cursors: no query counts, none is logged.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any, Final

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

SNAPSHOT_FREE: Final = frozenset({"read committed", "read uncommitted"})
_IDLE: Final = 0
_IN_ERROR: Final = 3
"""libpq's PGTransactionStatusType, as psycopg gives it."""


def opened() -> Iterable[Any]:
    """The connections that this thread has used, some other objects perhaps; as `connections.all()`, at a tenth.

    Each look of `connections.all(initialized_only=True)` costs some microseconds an alias, and `forbids_fill` is asked
    before every fill. asgiref keeps what is a thread's own in a `threading.local`.
    """
    local = getattr(connections._connections, "_storage", None)  # noqa: SLF001 - see above; else as documented
    if isinstance(local, threading.local):
        return tuple(local.__dict__.values())  # a copy: asking a connection may open another
    initialized: Iterable[Any] = connections.all(initialized_only=True)
    return initialized


def has_open_block(connection: Any) -> bool:
    """Whether a block of `atomic()` is open on a connection; the one that `TestCase` wraps around a test is none."""
    return any(not getattr(block, "_from_testcase", False) for block in connection.atomic_blocks)


def is_lasting(connection: Any) -> bool:
    """Whether what is written on a connection now is committed at once, as far as a test's wrapping block lets it."""
    if connection.atomic_blocks:
        return not has_open_block(connection)
    return bool(connection.get_autocommit())


def open_connections(using: str | None = None) -> list[BaseDatabaseWrapper]:
    """The connections of this thread with an open block: the named one, or all."""
    if using is not None:
        one = connections[using]
        return [one] if has_open_block(one) else []
    return [one for one in opened() if getattr(one, "in_atomic_block", False) and has_open_block(one)]


def forbids_fill() -> bool:
    """Whether this thread is inside a transaction whose snapshot may be older than the stamps."""
    # Django turns autocommit off for a block; under set_autocommit(False) the transaction is the project's own.
    return any(not getattr(one, "autocommit", True) and _is_transaction(one) and _is_snapshot(one) for one in opened())


def is_in_transaction() -> bool:
    """Whether this thread is inside a transaction: what it reads may be its own, which others do not see, or old."""
    return any(not getattr(one, "autocommit", True) and _is_transaction(one) for one in opened())


def _is_transaction(connection: Any) -> bool:
    if connection.in_atomic_block:
        return has_open_block(connection)
    return connection.connection is not None


def _is_snapshot(connection: Any) -> bool:
    ask = _BY_VENDOR.get(connection.vendor)
    try:
        return ask is None or ask(connection)
    except connection.Database.Error:
        return True  # broken or aborted: whatever is read now is not to be kept


class Known:
    """What is known of one transaction. It stands among the connection's commit hooks, and so ends with it."""

    __slots__ = ("is_snapshot",)

    def __init__(self) -> None:
        """Begin with nothing."""
        self.is_snapshot: bool | None = None

    def over(self) -> None:
        """The transaction was committed: nothing is to be done."""


def _known(connection: Any) -> Known | None:
    """Where this transaction's answer is kept. Inside a test's wrapping block nowhere: tests count the hooks."""
    if not connection.in_atomic_block or any(getattr(one, "_from_testcase", False) for one in connection.atomic_blocks):
        return None
    hooks = connection.run_on_commit
    for _, hook, _ in hooks:
        owner = getattr(hook, "__self__", None)
        if type(owner) is Known:
            return owner
    known = Known()
    hooks.append((set(), known.over, False))
    return known


def _postgresql(connection: Any) -> bool:
    """Ask the server, once a transaction, since projects also say SET TRANSACTION.

    SHOW takes no snapshot. Where it is the first statement of all, a SET TRANSACTION may still follow: that answer is
    not kept.
    """
    known = _known(connection)
    if known is not None and known.is_snapshot is not None:
        return known.is_snapshot
    raw = connection.connection
    if raw is None or raw.info.transaction_status == _IN_ERROR:
        return True
    is_first = raw.info.transaction_status == _IDLE
    with raw.cursor() as cursor:
        cursor.execute("SHOW transaction_isolation")
        answer = cursor.fetchone()[0] not in SNAPSHOT_FREE
    if known is not None and not is_first:
        known.is_snapshot = answer
    return answer


class _Local(threading.local):
    def __init__(self) -> None:
        self.journals: dict[str, tuple[object, bool]] = {}


_local = _Local()


def _sqlite(connection: Any) -> bool:
    """Only in WAL mode: elsewhere whoever reads holds a lock that keeps all writers from committing meanwhile."""
    raw = connection.connection
    if raw is None:
        return True
    of, is_wal = _local.journals.get(connection.alias, (None, False))
    if of is not raw:
        is_wal = raw.execute("PRAGMA journal_mode").fetchone()[0].lower() == "wal"
        _local.journals[connection.alias] = (raw, is_wal)
    return is_wal


def _mysql(connection: Any) -> bool:
    """By OPTIONS["isolation_level"]; where it is None the server decides, and its default is REPEATABLE READ."""
    return (getattr(connection, "isolation_level", None) or "") not in SNAPSHOT_FREE


def _oracle(connection: Any) -> bool:
    """Its default, READ COMMITTED, is the only level that Django knows."""
    del connection
    return False


_BY_VENDOR: Final[dict[str, Callable[[Any], bool]]] = {
    "postgresql": _postgresql,
    "sqlite": _sqlite,
    "mysql": _mysql,
    "oracle": _oracle,
}
