"""The example shop under gunicorn, over real HTTP; and what must hold of any form of it."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from servers import end_with_its_own, free_port

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "examples" / "shop"
USERS = 20
READS_AN_ORDER = 4
WORKERS = 4


@dataclass
class Shop:
    """A shop that runs, and what was seen of it.

    Attributes:
        folder: its code.
        environment: of its processes.
        orders: how many `histories_have_their_orders` makes.
    """

    folder: Path
    port: int
    environment: dict[str, str]
    orders: int
    results: Counter[str] = field(default_factory=Counter)
    processes: set[str] = field(default_factory=set)
    elsewhere: int = 0

    def anew(self) -> Shop:
        """The same, of which nothing was seen yet."""
        return Shop(self.folder, self.port, self.environment, self.orders)

    def ask(self, connection: http.client.HTTPConnection, user: int, order: dict[str, int] | None = None) -> Any:
        """One request: the history of a user, or an order of his. The answer and the process that gave it."""
        headers = {"Authorization": f"Token token-of-user{user}", "Content-Type": "application/json"}
        body = None if order is None else json.dumps(order)
        connection.request("GET" if order is None else "POST", "/api/orders/?limit=1", body, headers)
        response = connection.getresponse()
        answer = response.read()
        assert response.status in (200, 201), answer[:300]
        if order is None:
            self.results[response.headers["X-Cache"]] += 1
        self.processes.add(response.headers["X-Process"])
        return json.loads(answer), response.headers["X-Process"]


def wait_until_it_serves(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait; fail with the log where it never does."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
                connection.request("GET", "/api/products/")
                if connection.getresponse().status == 200:
                    return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(log.read_text())


@contextmanager
def running(folder: Path, home: Path, environment: Mapping[str, str], orders: int) -> Iterator[Shop]:
    """A shop as `make shop` starts it.

    Args:
        folder: its code.
        home: of its data and its log.
        environment: what its processes are told beside that.
        orders: see Shop.
    """
    port = free_port()
    told = {**os.environ, "SHOP_HOME": str(home), "PORT": str(port), "WORKERS": str(WORKERS)}
    told |= {"PYTHONPATH": f"{ROOT / 'src'}", "PYTHONWARNINGS": "default", **environment}
    log = home / "shop.log"
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, folder], env=told, stdout=out, stderr=out, start_new_session=True)
    try:
        wait_until_it_serves(port, process, log)
        yield Shop(folder, port, told, orders)
    finally:
        end_with_its_own(process)


def histories_have_their_orders(shop: Shop) -> None:
    """Orders under concurrent load: each next history has the order, whichever process answers; most are hits."""
    newest = dict.fromkeys(range(USERS), 0)
    stale: list[tuple[int, int, int]] = []
    stop = threading.Event()

    def read(connection: http.client.HTTPConnection, user: int) -> str:
        floor = newest[user]
        answer, process = shop.ask(connection, user)
        if answer["results"][0]["id"] < floor:
            stale.append((user, floor, answer["results"][0]["id"]))
        return process

    def order_and_look(user: int) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", shop.port, timeout=60)) as connection:
            for number in range(shop.orders // USERS):
                made, wrote = shop.ask(connection, user, {"product": 1 + number % 10, "quantity": 1})
                newest[user] = made["id"]
                looked = [read(connection, user) for _ in range(READS_AN_ORDER)]
                shop.elsewhere += looked[0] != wrote

    def look_around() -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", shop.port, timeout=60)) as connection:
            user = 0
            while not stop.is_set():
                user = (user + 7) % USERS
                read(connection, user)

    with ThreadPoolExecutor(8) as pool:
        others = [pool.submit(look_around) for _ in range(2)]
        try:
            for ordering in [pool.submit(order_and_look, user) for user in range(USERS)]:
                ordering.result()
        finally:
            stop.set()
        for other in others:
            other.result()
    assert stale == []
    assert len(shop.processes) == WORKERS
    assert shop.elsewhere > shop.orders / 4
    assert shop.results["hit"] / sum(shop.results.values()) >= 0.6, shop.results


def histories_are_apart(shop: Shop) -> None:
    """Tokens decide whose history is answered, also when it is a hit."""
    with closing(http.client.HTTPConnection("127.0.0.1", shop.port, timeout=60)) as connection:
        made = {user: shop.ask(connection, user, {"product": 1, "quantity": 3})[0]["id"] for user in range(USERS)}
        for _ in range(3):
            seen = {user: shop.ask(connection, user)[0]["results"][0]["id"] for user in range(USERS)}
            assert seen == made
        connection.request("GET", "/api/orders/")
        refused = connection.getresponse()
        refused.read()
    assert refused.status == 401
    assert shop.results["hit"] > 0


def the_catalogue_follows(shop: Shop, change: str) -> None:
    """A product that is changed by a management command, in another process, is new in every process at once.

    Args:
        shop: it.
        change: Python that sets the price of product 1, with {cents} for it.
    """
    with closing(http.client.HTTPConnection("127.0.0.1", shop.port, timeout=60)) as connection:

        def price() -> int:
            connection.request("GET", "/api/products/1/")
            return int(json.loads(connection.getresponse().read())["cents"])

        for cents in (111, 222, 333):
            before = [price() for _ in range(8)]
            code = change.format(cents=cents)
            manage = [sys.executable, shop.folder / "manage.py", "shell", "--no-imports", "-c", code]
            subprocess.run(manage, env=shop.environment, check=True, capture_output=True, timeout=60)
            assert len(set(before)) == 1
            assert {price() for _ in range(8)} == {cents}
