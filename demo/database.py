"""The database behind the cache: SQLite in WAL mode, with one version for each user and page.

A sleep stands for what a real query takes; the read in its middle is a real one. Nothing here knows of a cache.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from pathlib import Path

from demo.orders import Page, order_page

QUERY_SECONDS = 0.005
"""What a page of orders costs a database: half passes before the rows are read, half after."""
BUSY_SECONDS = 10.0


def create(path: Path, users: int, pages: int) -> None:
    """Make the file, every page at version 0."""
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = OFF")
    database.execute("BEGIN")
    database.execute(
        "CREATE TABLE versions (user INTEGER, page INTEGER, version INTEGER, PRIMARY KEY (user, page)) WITHOUT ROWID"
    )
    rows = ((user, page, 0) for user in range(users) for page in range(pages))
    database.executemany("INSERT INTO versions VALUES (?, ?, ?)", rows)
    database.execute("COMMIT")
    database.close()


class Database:
    """One process's access to it, with a connection for each thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._own = threading.local()

    def load(self, user: int, page: int) -> Page:
        """Query one page of orders. It takes milliseconds."""
        time.sleep(QUERY_SECONDS / 2)
        sql = "SELECT version FROM versions WHERE user = ? AND page = ?"
        [(version,)] = self._connection().execute(sql, (user, page)).fetchall()
        time.sleep(QUERY_SECONDS / 2)
        return order_page(user, page, version)

    def act(self, user: int) -> int:
        """Commit a user's action, which changes all of this user's pages; their new version."""
        sql = "UPDATE versions SET version = version + 1 WHERE user = ? RETURNING version"
        rows = self._connection().execute(sql, (user,)).fetchall()
        version: int = rows[0][0]
        return version

    def _connection(self) -> sqlite3.Connection:
        if not hasattr(self._own, "connection"):
            self._own.connection = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None)
            self._own.connection.execute("PRAGMA synchronous = OFF")
        connection: sqlite3.Connection = self._own.connection
        return connection
