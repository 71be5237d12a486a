"""Readers of one key: `stampede.py URL DATABASE READERS threads|asyncio`. Each load is a row in a SQLite database.

It says "ready", and for each word that it is told all read at once; it says what they were given.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

from unstale import AsyncCache, Cache

LOAD_SECONDS = 0.3
url, database, readers, kind = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
options: Any = {"namespace": "test", "timeout": 20.0, "read_timeout": 20.0}


def tell(value: Any) -> None:
    """Write a line."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def begin() -> int:
    """A load begins: it is counted, and the row is read."""
    with closing(sqlite3.connect(database, timeout=30)) as connection, connection:
        connection.execute("INSERT INTO loads DEFAULT VALUES")
        return int(connection.execute("SELECT version FROM item").fetchone()[0])


def load() -> int:
    """The slow loader."""
    version = begin()
    time.sleep(LOAD_SECONDS)
    return version


async def load_later() -> int:
    """The same."""
    version = begin()
    await asyncio.sleep(LOAD_SECONDS)
    return version


def threads() -> None:
    """Read in threads."""
    with Cache.from_url(url, **options) as cache, ThreadPoolExecutor(readers) as pool:
        tell("ready")
        for _ in sys.stdin:
            gate = threading.Barrier(readers)

            def read(gate: threading.Barrier = gate) -> int:
                gate.wait(30)
                return cache.get_or_set("item", load, tags=["t"])

            tell([future.result() for future in [pool.submit(read) for _ in range(readers)]])


async def tasks() -> None:
    """Read in tasks."""
    async with AsyncCache.from_url(url, **options) as cache:
        tell("ready")
        for _ in sys.stdin:
            tell(await asyncio.gather(*(cache.get_or_set("item", load_later, tags=["t"]) for _ in range(readers))))


if __name__ == "__main__":
    if kind == "threads":
        threads()
    else:
        asyncio.run(tasks())
