"""The Flask example under gunicorn with two workers, over real HTTP."""

from __future__ import annotations

import os
import runpy
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from flask import Flask, Response, abort
from servers import free_port
from test_fastapi_example import UNKEPT, Site, until, wait_at_gate

from examples.flask_app import create_app, database, note_run
from unstale.contrib.flask import cached_response, invalidates

OPTIONS = ["--workers", "2", "--threads", "4", "--bind", "127.0.0.1:PORT"]
GUNICORN = ["gunicorn", *OPTIONS, "test_flask_example:make_app()"]


def make_app() -> Flask:
    """The example with more routes, and the worker's name in each response."""
    app = create_app()
    app.add_url_rule("/gated/<int:product_id>", view_func=gated)
    app.add_url_rule("/unkept/<name>", view_func=unkept)
    app.add_url_rule("/failing/<int:product_id>", view_func=failing, methods=["POST"])

    @app.after_request
    def name_worker(response: Response) -> Response:
        response.headers["x-worker"] = str(os.getpid())
        return response

    return app


@cached_response(tags=["product:{product_id}"])
def gated(product_id: int) -> str:
    """A view that reads, waits, and answers what it has read."""
    cents = database().execute("SELECT cents FROM products WHERE id = ?", (product_id,)).fetchone()[0]
    note_run(f"gated {product_id}")
    wait_at_gate()
    return str(cents)


@cached_response()
def unkept(name: str) -> Response:
    """A response that must not be stored."""
    note_run(name)
    return Response("x", headers=dict([UNKEPT[name]]))


@invalidates("product:{product_id}")
def failing(product_id: int) -> Response:
    """A write that is refused."""
    abort(409)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The example with its cache."""
    directory = tmp_path_factory.mktemp("flask")
    with Site(directory, f"embedded://{directory}/cache", GUNICORN) as started:
        yield started


def test_example_runs_as_it_stands(tmp_path: Path) -> None:
    """The command in the example's docstring starts it."""
    command = ["gunicorn", *OPTIONS, "examples.flask_app:create_app()"]
    with Site(tmp_path, f"embedded://{tmp_path}/cache", command) as site:
        assert site.ask("/products/1").json() == {"id": 1, "name": "coffee", "cents": 1150}
        assert site.ask("/bestsellers").json()[0]["name"] == "tea"


def test_a_hit_in_both_workers(site: Site) -> None:
    """What one worker has stored, both serve; the view has run once."""
    answers = site.by_all("/products/2")
    assert {answer.json()["name"] for answer in answers.values()} == {"tea"}
    assert site.runs("product 2") == 1


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
        assert reading.result().text == "100"
    assert site.ask("/gated/3").text == "200"


def test_a_head_is_served_from_the_entry_of_get(site: Site) -> None:
    """HEAD has the GET's headers and no body, and the view does not run."""
    got = site.ask("/products/2")
    runs = site.runs("product 2")
    head = site.ask("/products/2", "HEAD")
    assert (head.content, head.headers["etag"]) == (b"", got.headers["etag"])
    assert head.headers["content-length"] == got.headers["content-length"]
    assert site.runs("product 2") == runs


def test_without_the_cache_the_app_answers(tmp_path: Path) -> None:
    """With the server away reads are answered by the views, and a write that could not invalidate is loud."""
    with Site(tmp_path, f"redis://127.0.0.1:{free_port()}/0", GUNICORN) as site:
        assert site.ask("/products/1").json()["cents"] == 1150
        assert site.ask("/products/1/price?cents=5", "PUT").status_code == 500
        assert site.ask("/products/1").json()["cents"] == 5


def test_workers_share_the_default_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without UNSTALE_URL, too, all workers have one server: embedded:// alone would give each its own."""
    monkeypatch.delenv("UNSTALE_URL", raising=False)
    example = runpy.run_path(str(Path(__file__).parent.parent / "examples" / "flask_app.py"))
    assert example["SHARED"].startswith("embedded:///")
