"""For tests of the lab's site: a small plan, a place, and requests as the load makes them."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from unstale.tools.lab.place import Place
from unstale.tools.lab.plan import Plan

PLAN = Plan(users=4, pages=2, workers=2, threads=2)
"""As small as can be: two processes, so that one answers what another has stored."""
DEADLINE_SECONDS = 20.0


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: http.client.HTTPMessage
    body: Any

    @property
    def x_cache(self) -> str:
        return self.headers["X-Cache"]

    @property
    def version(self) -> int:
        return int(self.headers["X-Version"])


def ask(base_url: str, path: str, token: str = "", order: dict[str, int] | None = None) -> Answer:
    """One request, on a connection of its own."""
    connection = http.client.HTTPConnection(urlsplit(base_url).netloc, timeout=30)
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Token {token}"} if token else {})
    try:
        connection.request("POST" if order else "GET", path, json.dumps(order) if order else None, headers)
        response = connection.getresponse()
        text = response.read()
    finally:
        connection.close()
    is_json = response.headers.get_content_type() == "application/json"
    return Answer(response.status, response.headers, json.loads(text) if is_json else text)


def read(base_url: str, user: int, page: int = 1) -> Answer:
    """A page of a user's history."""
    answer = ask(base_url, f"/api/orders/?page={page}", f"token-of-user{user}")
    assert answer.status == HTTPStatus.OK, answer.body
    return answer


def order(base_url: str, user: int) -> Answer:
    """A user orders."""
    answer = ask(base_url, "/api/orders/", f"token-of-user{user}", {"product": 1, "quantity": 2})
    assert answer.status == HTTPStatus.CREATED, answer.body
    return answer


def place(directory: Path, cache_url: str, **given: Any) -> Place:
    """Where a site runs: SQLite, and one server for everything, unless told otherwise."""
    directory.mkdir(parents=True, exist_ok=True)
    usual = {
        "cache_url": cache_url,
        "config_url": cache_url,
        "broker_url": None,
        "prefix": "lab-of-a-test",
        "directory": directory,
        "database_url": f"sqlite://{directory}/shop.db",
    }
    return Place(**(usual | given))


def eventually(holds: Callable[[], bool]) -> bool:
    """Whether something comes to hold, within a generous time."""
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
