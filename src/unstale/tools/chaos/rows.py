"""The database: rows with versions, that are counted up by one in a transaction. SQLite, or PostgreSQL.

A version of a write that is going to be rolled back is marked by `NEVER`, so that whoever is given it anywhere is known
to have been given what never came to be. A run's database is its own, and gone afterwards.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from unstale.tools import postgres
from unstale.tools.chaos.errors import ChaosError
from unstale.tools.chaos.judge import FIRST_VERSION
from unstale.tools.postgres import check_that_databases_can_be_made, database_beside

NEVER: Final = 1_000_000_000
"""Added to the version of a write that is rolled back."""
PREFIX: Final = "unstale_chaos_"
BUSY_SECONDS: Final = 30.0
"""How long SQLite's writers wait for each other."""
LOAD: Final = "SELECT version FROM chaos_rows WHERE id = %s"
COUNT_UP: Final = "UPDATE chaos_rows SET version = version + %s WHERE id = %s"
_LOAD_ALL: Final = "SELECT version FROM chaos_rows ORDER BY id"
_LOAD_FROM_REPLICA: Final = "SELECT version, as_of FROM chaos_replica WHERE id = %s"
_REPLICATE: Final = "UPDATE chaos_replica SET version = %s, as_of = %s WHERE id = %s"
_INSERTS: Final = ("INSERT INTO chaos_rows VALUES (%s, %s)", "INSERT INTO chaos_replica VALUES (%s, %s, 0)")
_TABLES: Final = (
    "CREATE TABLE chaos_rows (id integer PRIMARY KEY, version bigint NOT NULL)",
    "CREATE TABLE chaos_replica (id integer PRIMARY KEY, version bigint NOT NULL, as_of bigint NOT NULL)",
)


class RolledBackError(Exception):
    """Raised by a write that was rolled back on purpose."""

    def __init__(self, version: int) -> None:
        """Take the version that it had."""
        super().__init__(version)
        self.version = version


@contextmanager
def database(url: str, scratch: Path, rows: int) -> Iterator[str]:
    """A new database with its rows. It is gone afterwards.

    Args:
        url: "sqlite", or that of PostgreSQL: postgres://user:password@host:port/name, beside which it is made.
        scratch: the folder for SQLite's file.
        rows: how many.

    Yields:
        Its URL: sqlite:///path, or postgres://….

    Raises:
        ChaosError: it cannot be made. The message has no password.
    """
    if url == "sqlite":
        made = f"sqlite://{scratch / 'rows.db'}"
        _fill(made, rows)
        yield made
        return
    with database_beside(url, PREFIX, ChaosError) as made:
        _fill(made, rows)
        yield made


class Rows:
    """A process's way to the rows. Each thread has a connection of its own."""

    def __init__(self, url: str) -> None:
        """Take a database's URL; nothing is connected yet."""
        self._url = url
        self._is_sqlite = url.startswith("sqlite:")
        self._own = threading.local()
        self._all: list[Any] = []

    def load(self, row: int) -> int:
        """A row's version, as this thread's transaction sees it, or else as it is now."""
        return int(self._one(LOAD, row)[0])

    def load_by(self, cursor: Any, row: int) -> int:
        """A row's version as another library's cursor sees it, whose mark for a parameter is %s."""
        cursor.execute(LOAD, (row,))
        return int(cursor.fetchone()[0])

    def newest(self) -> list[int]:
        """The versions of all rows, in their order."""
        found = self._connection().execute(_LOAD_ALL).fetchall()
        return [int(version) for (version,) in found]

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """A transaction that sees nothing younger than its beginning: REPEATABLE READ, or SQLite's in WAL mode."""
        connection = self._connection()
        connection.execute("BEGIN" if self._is_sqlite else "BEGIN ISOLATION LEVEL REPEATABLE READ")
        try:
            self.load(0)  # the snapshot is of the first query, not of BEGIN
            yield
        finally:
            connection.execute("ROLLBACK")

    def write(
        self, row: int, *, is_rolled_back: bool = False, before_commit: Callable[[int], None] | None = None
    ) -> int:
        """Write a new version of a row, in a transaction of this thread's own.

        Args:
            row: which.
            is_rolled_back: never commit it.
            before_commit: called with the version, inside the transaction.

        Returns:
            The version, once it is committed.

        Raises:
            RolledBackError: as asked for.
        """
        connection = self._connection()
        connection.execute("BEGIN IMMEDIATE" if self._is_sqlite else "BEGIN")
        try:
            connection.execute(self._marked(COUNT_UP), (1 + NEVER * is_rolled_back, row))
            version = self.load(row)
            if before_commit is not None:
                before_commit(version)
            if is_rolled_back:
                raise RolledBackError(version)  # noqa: TRY301 - the one way out of a transaction that is not COMMIT
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
        return version

    def write_by(self, cursor: Any, row: int, *, is_rolled_back: bool = False) -> int:
        """Write a new version of a row in the open transaction of another library's cursor, as `load_by`."""
        # Two statements in place of RETURNING, which SQLite has from 3.35 on; the first locks the row.
        cursor.execute(COUNT_UP, (1 + NEVER * is_rolled_back, row))
        return self.load_by(cursor, row)

    def load_from_replica(self, row: int) -> tuple[int, int]:
        """A row's version as the replica has it, and the moment at which the primary had that: monotonic, in ns."""
        version, as_of = self._one(_LOAD_FROM_REPLICA, row)
        return int(version), int(as_of)

    def replicate(self, versions: list[int], as_of: int) -> None:
        """Give the replica all versions as they were."""
        connection = self._connection()
        connection.execute("BEGIN IMMEDIATE" if self._is_sqlite else "BEGIN")
        told = [(version, as_of, row) for row, version in enumerate(versions)]
        connection.cursor().executemany(self._marked(_REPLICATE), told)
        connection.execute("COMMIT")

    def close(self) -> None:
        """Close the connections of all threads, which have ended."""
        for connection in self._all:
            connection.close()
        self._all.clear()
        self._own = threading.local()

    def _one(self, query: str, row: int) -> Any:
        return self._connection().execute(self._marked(query), (row,)).fetchone()

    def _marked(self, query: str) -> str:
        return marked(self._url, query)

    def _connection(self) -> Any:
        connection = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._own.connection = connect(self._url)
            self._all.append(connection)
        return connection


def check_database(url: str) -> None:
    """See that databases can be made there.

    Raises:
        ChaosError: it cannot be reached, or its user may make none. No password is in the message.
    """
    if url == "sqlite":
        return
    check_that_databases_can_be_made(url, "phase", ChaosError)


def kind_of(url: str) -> str:
    """What a database's URL names: "sqlite" or "postgresql"."""
    return "sqlite" if url.startswith("sqlite") else "postgresql"


def marked(url: str, query: str) -> str:
    """A query with the marks for parameters that the database's own library wants."""
    return query.replace("%s", "?") if kind_of(url) == "sqlite" else query


def connect(url: str) -> Any:
    """A connection of the database's own library, in autocommit."""
    if url.startswith("sqlite:"):
        path = unquote(urlsplit(url).path)
        connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA synchronous = OFF")  # processes are killed here, no machine is switched off
        return connection
    return postgres.connect(url, ChaosError)


def _fill(url: str, rows: int) -> None:
    connection = connect(url)
    try:
        if url.startswith("sqlite:"):
            connection.execute("PRAGMA journal_mode = WAL")
        for table in _TABLES:
            connection.execute(table)
        first = [(row, FIRST_VERSION) for row in range(rows)]
        for insert in _INSERTS:
            connection.cursor().executemany(marked(url, insert), first)
    finally:
        connection.close()
