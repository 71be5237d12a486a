"""The backend under real web servers: gunicorn with forked workers, with gevent, and uvicorn, over real HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from servers import Server
from test_fastapi_example import Site

WORKERS = 2
MAX_CONNECTIONS = 6
"""Of the site's settings, for a process."""
WSGI = "children.django_site:wsgi"
SERVERS = {
    "prefork": ["gunicorn", "--workers", "2", "--preload", "--bind", "127.0.0.1:PORT", WSGI],
    "threads": ["gunicorn", "--workers", "2", "--threads", "8", "--preload", "--bind", "127.0.0.1:PORT", WSGI],
    "gevent": ["gunicorn", "--workers", "2", "-k", "gevent", "--bind", "127.0.0.1:PORT", WSGI],
    "uvicorn": ["uvicorn", "--workers", "2", "--port", "PORT", "children.django_site:asgi"],
}


@pytest.fixture(scope="module", params=SERVERS)
def site(
    request: pytest.FixtureRequest,
    session_servers: Callable[[str], Server],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Site, Server, str]]:
    """The site under each web server, with the server of its cache."""
    server = session_servers("valkey")
    directory = tmp_path_factory.mktemp(request.param)
    with Site(directory, server.url.replace("/0", "/9"), SERVERS[request.param]) as started:
        yield started, server, request.param


def clients(server: Server) -> set[str]:
    """The ids of the site's clients."""
    with server.client as client:
        return {one["id"] for one in client.client_list() if one["db"] == "9"}


def load(site: Site, path: str, count: int, at_once: int = 16) -> list[dict[str, Any]]:
    """Many requests at a time."""
    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(lambda number: site.ask(f"{path}/{number}?n={number}").json(), range(count)))


def paths(kind: str) -> list[str]:
    """Sync and async views. Under gevent Django has none of the latter: its greenlets share a thread, and one loop."""
    return ["/own"] if kind == "gevent" else ["/own", "/own-async"]


def test_each_gets_his_own(site: tuple[Site, Server, str]) -> None:
    """A hundred requests, sixteen at a time: no answer of the cache's is another's."""
    for path in paths(site[2]):
        answers = load(site[0], path, 100)
        assert answers == [{"number": number, "right": True, "asked": str(number)} for number in range(100)]


def test_workers_are_forked_after_the_cache_was_used(site: tuple[Site, Server, str]) -> None:
    """Where the application is preloaded, both workers have inherited connections, and use none of them."""
    made_in = {answer.json()["imported_in"] for answer in site[0].by_all("/runs").values()}
    assert len(made_in) == (1 if "--preload" in SERVERS[site[2]] else WORKERS)
    assert len({answer.json()["made_by"] for answer in site[0].by_all("/shared").values()}) == 1


def test_connections_are_bounded(site: tuple[Site, Server, str]) -> None:
    """Under load a process has no more connections than it may, and one for each event loop; the master its own."""
    for path in paths(site[2]):
        load(site[0], path, 64, at_once=32)
    loops = {"prefork": 1, "threads": 8, "gevent": 0, "uvicorn": 1}[site[2]]
    assert len(clients(site[1])) <= (WORKERS + 1) * MAX_CONNECTIONS + WORKERS * loops


def test_a_requests_end_closes_nothing(site: tuple[Site, Server, str]) -> None:
    """One request after another: the same connections, none new, none gone."""
    for number in range(3):
        site[0].by_all(f"/own/{number}")
    before = clients(site[1])
    for number in range(25):
        assert site[0].ask(f"/own/{number}").json()["right"] is True
    assert clients(site[1]) == before


def test_an_invalidation_is_seen_by_all(site: tuple[Site, Server, str]) -> None:
    """After one worker's answer to a write, no worker serves what was before."""
    made: list[str] = []
    for _ in range(4):
        answers = {answer.json()["made_by"] for answer in site[0].by_all("/shared").values()}
        assert len(answers) == 1
        assert answers.isdisjoint(made)
        made += answers
        assert site[0].ask("/invalidate").json() == {"bumped": 1}
