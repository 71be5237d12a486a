"""The FastAPI example under uvicorn with two workers, over real HTTP."""

from __future__ import annotations

import os
import runpy
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from fastapi import APIRouter, HTTPException, Response
from servers import free_port
from starlette.concurrency import run_in_threadpool

from examples.fastapi_app import Db, app, note_run
from unstale.contrib.fastapi import UnstaleRoute, cached_response, invalidates

REPOSITORY = Path(__file__).parent.parent
PATIENCE = 60.0


def until(condition: Callable[[], Any]) -> Any:
    """Ask until there is an answer."""
    give_up_at = time.monotonic() + PATIENCE
    while time.monotonic() < give_up_at:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError("it never came true")


class Site:
    """A web server with its workers, in a process group of its own. Use as a context manager."""

    def __init__(self, directory: Path, url: str, command: list[str], **more: str) -> None:
        self.directory = directory
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.command = [part.replace("PORT", str(self.port)) for part in command]
        path = os.pathsep.join([str(REPOSITORY / "src"), str(REPOSITORY), str(REPOSITORY / "tests")])
        own = {"PYTHONPATH": path, "UNSTALE_URL": url, "SHOP_DB": str(directory / "shop.db"), **more}
        self.environment = {**os.environ, **own, "GATES": str(directory)}

    def __enter__(self) -> Self:
        with (self.directory / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *self.command],
                cwd=REPOSITORY,
                env=self.environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            until(self._answers)
        except BaseException:
            self.__exit__()
            raise
        return self

    def _answers(self) -> bool:
        assert self.process.poll() is None, (self.directory / "server.log").read_text()
        try:
            return httpx.get(f"{self.base}/runs").status_code == 200
        except httpx.TransportError:
            return False

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def ask(self, path: str, method: str = "GET", **options: Any) -> httpx.Response:
        """One request, on a connection of its own."""
        return httpx.request(method, self.base + path, timeout=PATIENCE, **options)

    def by_all(self, path: str) -> dict[str, httpx.Response]:
        """An answer of each of the two workers."""
        found: dict[str, httpx.Response] = {}

        def both() -> bool:
            with ThreadPoolExecutor(8) as pool:
                for answer in pool.map(self.ask, [path] * 16):
                    found[answer.headers["x-worker"]] = answer
            return len(found) == 2

        until(both)
        return found

    def runs(self, view: str) -> int:
        """How often a view has run."""
        return int(self.ask("/runs").json().get(view, 0))


UNKEPT = {
    "cookie": ("set-cookie", "a=b"),
    "private": ("cache-control", "max-age=60, private"),
    "no-store": ("cache-control", "no-store"),
    "vary-all": ("vary", "*"),
    "vary-other": ("vary", "accept-language"),
}


def wait_at_gate() -> None:
    """Wait as long as the test keeps the gate closed."""
    until(lambda: not Path(os.environ["GATES"], "gate").exists())


router = APIRouter(route_class=UnstaleRoute)


@router.get("/gated/{product_id}")
@cached_response(tags=["product:{product_id}"])
async def gated(product_id: int, db: Db) -> int:
    """A view that reads, waits, and answers what it has read."""
    cents = db.execute("SELECT cents FROM products WHERE id = ?", (product_id,)).fetchone()[0]
    note_run(db, f"gated {product_id}")
    await run_in_threadpool(wait_at_gate)
    return int(cents)


@router.get("/unkept/{name}")
@cached_response()
def unkept(name: str, db: Db) -> Response:
    """A response that must not be stored, from a view without async."""
    note_run(db, name)
    return Response("x", headers=dict([UNKEPT[name]]))


@router.post("/failing/{product_id}")
@invalidates("product:{product_id}")
async def failing(product_id: int) -> None:
    """A write that is refused."""
    raise HTTPException(409)


def make_app() -> Any:
    """The example with the routes above, and the worker's name in each response."""
    app.include_router(router)
    return naming_worker(app)


def naming_worker(app: Any) -> Any:
    """Say in each response which process made it, outside of what is kept."""

    async def named(scope: Any, receive: Any, send: Any) -> None:
        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-worker", str(os.getpid()).encode())]
            await send(message)

        await app(scope, receive, sending)

    return named


UVICORN = ["uvicorn", "--factory", "--port", "PORT", "--workers", "2", "test_fastapi_example:make_app"]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The example with its cache."""
    directory = tmp_path_factory.mktemp("fastapi")
    with Site(directory, f"embedded://{directory}/cache", UVICORN) as started:
        yield started


def test_example_runs_as_it_stands(tmp_path: Path) -> None:
    """The command in the example's docstring starts it."""
    command = ["uvicorn", "--port", "PORT", "--workers", "2", "examples.fastapi_app:app"]
    with Site(tmp_path, f"embedded://{tmp_path}/cache", command) as site:
        assert site.ask("/products/1").json() == {"id": 1, "name": "coffee", "cents": 1150}
        assert site.ask("/bestsellers").json()[0]["name"] == "tea"


def test_a_hit_in_both_workers(site: Site) -> None:
    """What one worker has stored, both serve; the view has run once."""
    answers = site.by_all("/products/2")
    assert {answer.json()["name"] for answer in answers.values()} == {"tea"}
    assert site.runs("product 2") == 1


def test_another_spelling_of_a_parameter_has_the_same_tag(site: Site) -> None:
    """/products/03 is invalidated as product 3."""
    before = site.ask("/products/03").json()["cents"]
    site.ask(f"/products/3/price?cents={before + 1}", "PUT")
    assert site.ask("/products/03").json()["cents"] == before + 1


def test_not_modified(site: Site) -> None:
    """Who has the response gets 304 without a body, and the view does not run."""
    etag = site.ask("/products?up_to=1000").headers["etag"]
    runs = site.runs("products")
    answer = site.ask("/products?up_to=1000", headers={"if-none-match": f'"other", W/{etag}'})
    assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
    assert site.runs("products") == runs


def test_a_write_is_seen_by_both_workers(site: Site) -> None:
    """After the answer to a write, no worker serves what was before."""
    for cents in (500, 600, 700):
        site.by_all("/products/1")
        assert site.ask(f"/products/1/price?cents={cents}", "PUT").status_code == 200
        assert {answer.json()["cents"] for answer in site.by_all("/products/1").values()} == {cents}


@pytest.mark.parametrize(
    ("path", "method"),
    [("/failing/2", "POST"), ("/products/2/price?cents=0", "PUT"), ("/products/99/price?cents=1", "PUT")],
)
def test_a_failed_write_invalidates_nothing(site: Site, path: str, method: str) -> None:
    """A write that was refused leaves the responses fresh."""
    site.ask("/products/2")
    runs = site.runs("product 2")
    assert site.ask(path, method).status_code in (404, 409, 422)
    site.ask("/products/2")
    assert site.runs("product 2") == runs


@pytest.mark.parametrize("name", UNKEPT)
def test_what_must_not_be_stored_is_not(site: Site, name: str) -> None:
    """Set-Cookie, private, no-store, Vary: * and a Vary that the route did not name: the view runs each time."""
    for _ in range(3):
        assert site.ask(f"/unkept/{name}").headers[UNKEPT[name][0]] == UNKEPT[name][1]
    assert site.runs(name) == 3


def test_authorized_requests_are_answered_without_the_cache(site: Site) -> None:
    """Neither is their response stored, nor are they served one."""
    site.ask("/products/2")
    runs = site.runs("product 2")
    for _ in range(2):
        site.ask("/products/2", headers={"authorization": "Bearer x"})
    assert site.runs("product 2") == runs + 2


def test_a_read_under_way_while_a_write_commits(site: Site) -> None:
    """Its response is old, and is not left in the cache."""
    site.ask("/products/3/price?cents=100", "PUT")
    gate = site.directory / "gate"
    gate.touch()
    with ThreadPoolExecutor(1) as pool:
        try:
            reading = pool.submit(site.ask, "/gated/3")
            until(lambda: site.runs("gated 3") == 1)
            site.ask("/products/3/price?cents=200", "PUT")
        finally:
            gate.unlink()
        assert reading.result().json() == 100
    assert site.ask("/gated/3").json() == 200


def test_a_head_is_served_from_the_cache_of_get(site: Site) -> None:
    """FastAPI answers HEAD only where a route asks for it: 405 here, and the entry stays."""
    site.ask("/products/2")
    runs = site.runs("product 2")
    assert site.ask("/products/2", "HEAD").status_code == 405
    site.ask("/products/2")
    assert site.runs("product 2") == runs


def test_without_the_cache_the_app_answers(tmp_path: Path) -> None:
    """With the server away reads are answered by the views, and a write that could not invalidate is loud."""
    with Site(tmp_path, f"redis://127.0.0.1:{free_port()}/0", UVICORN) as site:
        assert site.ask("/products/1").json()["cents"] == 1150
        assert site.ask("/products/1/price?cents=5", "PUT").status_code == 500
        assert site.ask("/products/1").json()["cents"] == 5


def test_workers_share_the_default_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without UNSTALE_URL, too, all workers have one server: embedded:// alone would give each its own."""
    monkeypatch.delenv("UNSTALE_URL", raising=False)
    example = runpy.run_path(str(Path(__file__).parent.parent / "examples" / "fastapi_app.py"))
    assert example["URL"].startswith("embedded:///")
