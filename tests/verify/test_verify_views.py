"""Responses that Flask, Starlette and FastAPI keep: verified where `views` says so, unseen by the client."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from flask import Flask
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from unstale import AsyncCache, Cache, Verify
from unstale.contrib import fastapi as of_fastapi
from unstale.contrib import flask as of_flask
from unstale.contrib import starlette as of_starlette
from unstale.core.verified import Counts

EACH = Verify(1.0, share=1.0, views=True)
ROWS: Counter[str] = Counter()
RUNS: Counter[str] = Counter()


def answer(name: str) -> str:
    """What a view answers of a row."""
    RUNS[name] += 1
    return f"{name} {ROWS[name]}"


def flask_site(policy: Verify) -> tuple[Cache, Callable[[str], str]]:
    """A site of Flask; its cache, and what a client gets."""
    app = Flask(__name__)
    cache = Cache.from_url("memory://", verify=policy)

    @app.get("/<name>")
    @of_flask.cached_response(cache, tags=["row:{name}"], ttl=60)
    def row(name: str) -> Any:
        return answer(name), 500 if name == "broken" else 200

    return cache, lambda name: app.test_client().get(f"/{name}").get_data(as_text=True)


def starlette_site(policy: Verify) -> tuple[AsyncCache, Callable[[str], str]]:
    """The same of Starlette."""
    cache = AsyncCache.from_url("memory://", verify=policy)

    @of_starlette.cached_response(cache, tags=["row:{name}"], ttl=60)
    async def row(request: Request) -> Response:
        name = request.path_params["name"]
        return PlainTextResponse(answer(name), 500 if name == "broken" else 200)

    app = Starlette(routes=[Route("/{name}", row)])
    return cache, lambda name: asked(app, name)


def fastapi_site(policy: Verify) -> tuple[AsyncCache, Callable[[str], str]]:
    """The same of FastAPI."""
    app = FastAPI()
    app.router.route_class = of_fastapi.UnstaleRoute
    cache = AsyncCache.from_url("memory://", verify=policy)

    @app.get("/{name}", response_class=PlainTextResponse)
    @of_fastapi.cached_response(cache, tags=["row:{name}"], ttl=60)
    async def row(name: str) -> Response:
        return PlainTextResponse(answer(name), 500 if name == "broken" else 200)

    return cache, lambda name: asked(app, name)


def asked(app: Any, name: str) -> str:
    """What an asynchronous application answers, in a loop of its own."""

    async def get() -> str:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://site") as client:
            return (await client.get(f"/{name}")).text

    return asyncio.run(get())


sites = pytest.mark.parametrize("site", [flask_site, starlette_site, fastapi_site])


@pytest.fixture(autouse=True)
def rows() -> None:
    """Nothing was written, nothing ran."""
    ROWS.clear()
    RUNS.clear()


@sites
def test_the_view_runs_once_more(site: Callable[..., Any]) -> None:
    """It answers the same."""
    cache, get = site(EACH)
    assert [get("a"), get("a")] == ["a 0", "a 0"]
    assert (cache.verification().total, RUNS["a"]) == (Counts(same=1), 2)


@sites
def test_a_forgotten_invalidation(site: Callable[..., Any]) -> None:
    """It answers another thing; its client is served what was kept."""
    cache, get = site(EACH)
    get("a")
    ROWS["a"] += 1
    assert get("a") == "a 0"
    found = cache.verification()
    assert found.total.judged + found.watched == 1
    assert found.total.same == 0


@sites
def test_only_where_it_is_wanted(site: Callable[..., Any]) -> None:
    """Else a hit runs no view."""
    cache, get = site(Verify(1.0, share=1.0))
    assert [get("a"), get("a")] == ["a 0", "a 0"]
    assert (cache.verification().total, RUNS["a"]) == (Counts(), 1)


@sites
def test_what_could_not_be_kept(site: Callable[..., Any]) -> None:
    """Is not served from the cache, nor verified."""
    cache, get = site(EACH)
    assert [get("broken"), get("broken")] == ["broken 0"] * 2
    assert cache.verification().total == Counts()
