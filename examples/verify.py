"""An application that caches, verifies what it serves, and has one writer who forgets to say so.

    pip install 'unstale[embedded,doctor]'          or '.[embedded,doctor]' from a checkout
    python examples/verify.py /tmp/verify.jsonl     takes some seconds
    unstale verify /tmp/verify.jsonl

Orders in SQLite. Readers read them by the cache; whoever changes an order invalidates its tag after the COMMIT, 20 ms
late, as one does who has more to do in between. One writer sets the state of a single order by plain SQL, and
invalidates nothing. A page with the time in it is cached as well.
"""

from __future__ import annotations

import random
import sqlite3
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from unstale import Cache, Verify

ORDERS = range(1, 101)
FORGOTTEN = 7
LATE_SECONDS = 0.02
READERS = 4


class Shop:
    """The orders, and what is cached of them."""

    def __init__(self, database: Path, log: Path, *, rate: float, limit: float) -> None:
        """Make the database, and a cache with a server of its own."""
        self._database = database
        with closing(self._connect()) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, state INTEGER)")
            connection.executemany("INSERT INTO orders VALUES (?, 0)", [(order,) for order in ORDERS])
        policy = Verify(rate, limit=limit, share=0.5, log=log)
        self.cache = Cache.from_url("embedded://", namespace="shop", verify=policy)

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._database, timeout=30, isolation_level=None)

    def read(self, order: int) -> dict[str, int]:
        """An order, by the cache."""

        def load() -> dict[str, int]:
            with closing(self._connect()) as connection:
                [state] = connection.execute("SELECT state FROM orders WHERE id = ?", (order,)).fetchone()
            return {"id": order, "state": state}

        return self.cache.get_or_set(f"orders:{order}", load, tags=[f"order:{order}"])

    def page(self) -> dict[str, float]:
        """A page that is made anew each time it is loaded."""
        return self.cache.get_or_set("front-page", lambda: {"made at": time.time()})

    def write(self, order: int) -> None:
        """Change an order, and say so."""
        self._change(order)
        time.sleep(LATE_SECONDS)
        self.cache.invalidate(f"order:{order}")

    def write_and_forget(self, order: int) -> None:
        """Change an order, and say nothing."""
        self._change(order)

    def _change(self, order: int) -> None:
        with closing(self._connect()) as connection:
            connection.execute("UPDATE orders SET state = state + 1 WHERE id = ?", (order,))


def trade(shop: Shop, seconds: float) -> None:
    """Read and write for a while."""
    ends_at = time.monotonic() + seconds

    def reader(seed: int) -> None:
        draw = random.Random(seed)
        while time.monotonic() < ends_at:
            shop.read(draw.choice(ORDERS))
            if draw.random() < 0.01:
                shop.page()

    def writer() -> None:
        draw = random.Random(0)
        shop.read(FORGOTTEN)
        shop.write_and_forget(FORGOTTEN)
        while time.monotonic() < ends_at:
            shop.write(draw.choice([order for order in ORDERS if order != FORGOTTEN]))

    with ThreadPoolExecutor(READERS + 1) as pool:
        for done in [pool.submit(writer), *(pool.submit(reader, seed) for seed in range(READERS))]:
            done.result()


def main(log: Path, seconds: float = 8.0, *, rate: float = 0.05, limit: float = 2.0) -> None:
    """Trade, and leave a log."""
    with tempfile.TemporaryDirectory(prefix="unstale-verify-") as directory:
        shop = Shop(Path(directory, "orders.sqlite3"), log, rate=rate, limit=limit)
        trade(shop, seconds)
        total = shop.cache.verification().total
        print(f"{total.judged:,} reads were judged, {total.lost:,} lost. Now: unstale verify {log}")
        shop.cache.close()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/verify.py LOG    (the file that it shall write, such as /tmp/verify.jsonl)")
    main(Path(sys.argv[1]).resolve())
