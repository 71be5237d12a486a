"""Many readers of one key that was just invalidated, in several processes: one loads, and the others wait for it.

`bench/herd.py` measures the same with 200 readers, `bench/ramp.py` what a clear does to the database.
"""

from __future__ import annotations

import sqlite3
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from children.launch import Child
from servers import Server

from unstale import Cache

PROCESSES, READERS, ROUNDS = 4, 12, 3


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database with a row, and a table that counts what is loaded of it."""
    path = tmp_path / "items.sqlite3"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE item (version INTEGER)")
        connection.execute("INSERT INTO item VALUES (0)")
        connection.execute("CREATE TABLE loads (id INTEGER PRIMARY KEY)")
    return path


@pytest.mark.parametrize("kind", ["threads", "asyncio"])
def test_one_load_for_all(server: Server, database: Path, kind: str) -> None:
    """After each write and invalidation one load, and all are given what was written."""
    arguments = (server.url, str(database), str(READERS), kind)
    with (
        ExitStack() as stack,
        closing(sqlite3.connect(database, isolation_level=None)) as connection,
        Cache.from_url(server.url, namespace="test", timeout=20.0) as cache,
    ):
        children = [stack.enter_context(Child("stampede.py", *arguments)) for _ in range(PROCESSES)]
        assert [child.hear() for child in children] == ["ready"] * PROCESSES
        for number in range(1, ROUNDS + 1):
            connection.execute("UPDATE item SET version = ?", (number,))
            cache.invalidate("t")
            for child in children:
                child.say("read")
            assert [child.hear() for child in children] == [[number] * READERS] * PROCESSES
            assert connection.execute("SELECT count(*) FROM loads").fetchone() == (number,)
        assert [child.end() for child in children] == [0] * PROCESSES
