"""Django's sessions on the backend, unchanged: the engines `cache` and `cached_db`, sync and async."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from datetime import timedelta
from importlib import import_module
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.sessions.models import Session
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, Client, override_settings
from django.urls import path
from servers import Server

from unstale import remembering
from unstale.contrib.django import UnstaleCache, transactions

ENGINES = ["django.contrib.sessions.backends.cache", "django.contrib.sessions.backends.cached_db"]


def visit(request: HttpRequest) -> HttpResponse:
    """Counts a visitor's visits."""
    request.session["visits"] = request.session.get("visits", 0) + 1
    return HttpResponse(str(request.session["visits"]))


async def avisit(request: HttpRequest) -> HttpResponse:
    """The same, awaited."""
    visits = await request.session.aget("visits", 0) + 1
    await request.session.aset("visits", visits)
    return HttpResponse(str(visits))


def rotate(request: HttpRequest) -> HttpResponse:
    """As a login does."""
    request.session.cycle_key()
    return HttpResponse(request.session.session_key)


def leave(request: HttpRequest) -> HttpResponse:
    """As a logout does."""
    request.session.flush()
    return HttpResponse("gone")


urlpatterns = [path("visit", visit), path("avisit", avisit), path("rotate", rotate), path("leave", leave)]


@pytest.fixture(params=["valkey"])
def server(request: pytest.FixtureRequest, session_servers: Callable[[str], Server]) -> Server:
    """One kind of server is enough here."""
    chosen = session_servers(request.param)
    with chosen.client as client:
        client.flushall()
    return chosen


@pytest.fixture
def cache(configure: Callable[..., UnstaleCache]) -> UnstaleCache:
    """A backend with a pattern that matches all keys, sessions too."""
    return configure(TAG_PATTERNS=["*:{anything}", "user:{id}:*"], NAMESPACE=secrets.token_hex(4), SOCKET_TIMEOUT=5)


@pytest.fixture(params=ENGINES, ids=["cache", "cached_db"])
def engine(request: pytest.FixtureRequest, cache: UnstaleCache, databases: None) -> Iterator[Any]:
    """A session engine, on it."""
    Session.objects.all().delete()
    more = {"MIDDLEWARE": ["django.contrib.sessions.middleware.SessionMiddleware"], "ROOT_URLCONF": __name__}
    with override_settings(SESSION_ENGINE=request.param, **more):
        yield import_module(request.param).SessionStore


@pytest.fixture
def in_cache(cache: UnstaleCache, databases: None) -> Any:
    """The engine that has nothing but the cache."""
    return import_module(ENGINES[0]).SessionStore


@pytest.mark.parametrize("path", ["/visit", "/avisit"])
def test_a_visitor_is_known_again(engine: Any, path: str) -> None:
    """Over requests, each visitor by himself."""
    one, other = Client(), Client()
    assert [one.get(path).content for _ in range(3)] == [b"1", b"2", b"3"]
    assert [other.get(path).content, one.get(path).content] == [b"1", b"4"]


@pytest.mark.parametrize("path", ["/visit", "/avisit"])
def test_a_visitor_is_known_again_under_asgi(engine: Any, path: str) -> None:
    """The same by ASGI's handler, sync and async views, a loop for each request."""
    client = AsyncClient()

    async def ask() -> bytes:
        return (await client.get(path)).content

    assert [async_to_sync(ask)() for _ in range(3)] == [b"1", b"2", b"3"]


def test_rotation(engine: Any, cache: UnstaleCache) -> None:
    """cycle_key keeps what is in it, under another key; the old key is worth nothing."""
    client = Client()
    client.get("/visit")
    before = client.cookies["sessionid"].value
    after = client.get("/rotate").content.decode()
    assert after != before
    assert client.get("/visit").content == b"2"
    assert [engine(before).exists(before), engine(after).exists(after)] == [False, True]
    assert engine(before).load() == {}


def test_flush(engine: Any) -> None:
    """A session that is left is gone for whoever kept its cookie."""
    client, thief = Client(), Client()
    client.get("/visit")
    thief.cookies["sessionid"] = client.cookies["sessionid"].value
    client.get("/leave")
    assert [thief.get("/visit").content, client.get("/visit").content] == [b"1", b"1"]


def test_expiry(engine: Any, cache: UnstaleCache) -> None:
    """A session lives as long as it says."""
    session = engine()
    session["a"] = 1
    session.set_expiry(1000)
    session.save()
    assert 990 < cache.ttl(session.cache_key) <= 1000
    session.set_expiry(timedelta(hours=1))
    session.save()
    assert 3590 < cache.ttl(session.cache_key) <= 3600


def test_an_expired_session_is_empty(engine: Any, cache: UnstaleCache) -> None:
    """What has expired in the cache, and in the database, is not there."""
    session = engine()
    session["a"] = 1
    session.set_expiry(-1)
    session.save()
    assert engine(session.session_key).load() == {}


def test_the_asynchronous_methods(engine: Any) -> None:
    """Each awaited method does what its twin does."""

    async def live() -> list[Any]:
        session = engine()
        await session.aset("a", 1)
        await session.asave()
        first = session.session_key
        seen = [await engine(first).aload(), await session.aexists(first)]
        await session.acycle_key()
        seen += [await session.aget("a"), await engine(first).aload()]
        await session.adelete()
        return [*seen, await engine(session.session_key).aload()]

    assert async_to_sync(live)() == [{"a": 1}, True, 1, {}, {}]


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_session_is_stored_whatever_was_invalidated(in_cache: Any, cache: UnstaleCache, kind: str) -> None:
    """It depends on nothing that was read: no clear since a look keeps it out."""
    with remembering():
        key = "k" * 32
        assert in_cache(key).load() == {}
        cache.get("another")
        cache.clear()
        session = in_cache()
        session["a"] = 1
        (session.save if kind == "sync" else async_to_sync(session.asave))()
        session["a"] = 2
        (session.save if kind == "sync" else async_to_sync(session.asave))()
        assert in_cache(session.session_key).load() == {"a": 2}


def test_another_key_is_refused_there(cache: UnstaleCache) -> None:
    """The same with a key that is no session's: what was computed before the clear is not stored."""
    with remembering():
        cache.get("computed")
        cache.clear()
        assert cache.set("computed", 1) is False


def test_a_session_in_a_transaction(in_cache: Any, cache: UnstaleCache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing that is read may be stored, as at REPEATABLE READ, a session is stored all the same."""
    monkeypatch.setattr(transactions, "forbids_fill", lambda: True)
    session = in_cache()
    session["a"] = 1
    session.save()
    session.save()
    assert in_cache(session.session_key).load() == {"a": 1}
    assert [cache.set("computed", 1), cache.set_many({"computed": 1})] == [False, ["computed"]]
    assert cache.set_many({session.cache_key: {"a": 2}}) == []


def test_sessions_of_the_database_survive_a_clear(cache: UnstaleCache, databases: None) -> None:
    """cached_db finds in the database what the cache has lost, and keeps it in the cache again."""
    engine = import_module(ENGINES[1]).SessionStore
    session = engine()
    session["a"] = 1
    session.save()
    cache.clear()
    assert cache.get(session.cache_key) is None
    assert [engine(session.session_key).load(), cache.get(session.cache_key)] == [{"a": 1}, {"a": 1}]


def test_nobody_takes_anothers_session(in_cache: Any, cache: UnstaleCache) -> None:
    """Two visitors whose entries were swapped in Redis have none, rather than each other's."""
    first, second = in_cache(), in_cache()
    first["user"], second["user"] = 1, 2
    first.save()
    second.save()
    names = [cache.core._names.entry(cache.make_key(one.cache_key).encode()) for one in (first, second)]
    with cache.get_client() as client:
        values = client.mget(names)
        assert None not in values
        client.mset(dict(zip(names, reversed(values), strict=True)))
    assert [in_cache(one.session_key).load() for one in (first, second)] == [{}, {}]
