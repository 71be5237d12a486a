"""Cached views and database transactions: ATOMIC_REQUESTS, what is dirty, what is of an old snapshot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory, override_settings
from django.urls import path
from rest_framework.response import Response
from rest_framework.views import APIView
from servers import Server
from view_site import MIDDLEWARE, RUNS, body, ran

from unstale.contrib.django.drf import CachedViewSetMixin
from unstale.contrib.django.testing import capture_invalidations
from unstale.contrib.django.transactions import Deferred
from unstale.contrib.django.views import cached_view, invalidates_view
from unstale.errors import StoreError

SEEN: list[Any] = []


@cached_view(ttl=60, tags=["groups"], x_cache=True)
def groups(request: HttpRequest) -> HttpResponse:
    """What is in the database."""
    ran(request)
    return HttpResponse(",".join(Group.objects.order_by("id").values_list("name", flat=True)))


@invalidates_view("groups")
def add(request: HttpRequest) -> HttpResponse:
    """A write."""
    Group.objects.create(name=request.GET["name"])
    return HttpResponse(status=201)


def add_and_look(request: HttpRequest) -> HttpResponse:
    """A write around which something still looks, inside its transaction."""
    with capture_invalidations() as invalidated:
        response = add(request)
        SEEN.append((sorted(invalidated.tags), body(groups(request_of("/groups/")))))
    return response


def add_and_roll_back(request: HttpRequest) -> HttpResponse:
    """A write that is rolled back after it has answered."""
    response = add(request)
    transaction.set_rollback(True)
    return response


@cached_view(ttl=60, tags=["groups"], x_cache=True)
def reading_writes(request: HttpRequest) -> HttpResponse:
    """A view that writes while it makes a response of what it has written."""
    Group.objects.create(name=ran(request))
    SEEN.append(request.backend.invalidate("groups"))
    return HttpResponse(str(Group.objects.count()))


class Numbers(CachedViewSetMixin, APIView):
    """An APIView with a write."""

    cache_ttl = 60
    cache_tags = ("groups",)
    cache_actions = frozenset({"get"})
    cache_x_cache = True
    authentication_classes = ()

    def get(self, request: Any) -> Response:
        return Response(Group.objects.count())

    def post(self, request: Any) -> Response:
        Group.objects.create(name=request.GET["name"])
        return Response(status=201)


urlpatterns = [
    path("groups/", groups),
    path("add/", add),
    path("add-and-look/", add_and_look),
    path("add-and-roll-back/", add_and_roll_back),
    path("numbers/", Numbers.as_view()),
]


def request_of(where: str) -> HttpRequest:
    """A request outside any stack."""
    return RequestFactory().get(where)


@pytest.fixture(params=["valkey"])
def server(request: pytest.FixtureRequest, session_servers: Callable[[str], Server]) -> Server:
    """One kind of server is enough here: transactions are the databases'."""
    chosen = session_servers(request.param)
    with chosen.client as client:
        client.flushall()
    return chosen


@pytest.fixture
def site(configure: Callable[..., Any]) -> Iterator[Any]:
    """The site; the backend."""
    RUNS.clear()
    SEEN.clear()
    backend = configure()
    with override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=MIDDLEWARE):
        yield backend
    Group.objects.all().delete()


@pytest.fixture
def atomic_requests(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each request in a transaction."""
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)


def test_a_write_in_an_atomic_request_is_seen_by_the_next_read(atomic_requests: None) -> None:
    """The invalidation takes effect at COMMIT, before the response is sent."""
    client = Client()
    client.get("/groups/")
    client.post("/add/?name=a")
    assert [body(client.get("/groups/")), client.get("/groups/")["X-Cache"]] == ["a", "hit"]


def test_until_commit_nothing_is_invalidated(atomic_requests: None) -> None:
    """Before COMMIT others keep what is committed, and the request itself reads what it has written."""
    client = Client()
    client.get("/groups/")
    client.post("/add-and-look/?name=a")
    assert SEEN == [([], "a")]


def test_what_is_read_before_commit_is_not_kept(atomic_requests: None) -> None:
    """What the request has read of its own writes is not given to others: the next read runs the view."""
    client = Client()
    client.post("/add-and-look/?name=a")
    assert client.get("/groups/")["X-Cache"] == "miss"


def test_a_write_that_is_rolled_back_invalidates_nothing(atomic_requests: None) -> None:
    """What was not committed changes nothing for anybody."""
    client = Client()
    client.get("/groups/")
    client.post("/add-and-roll-back/?name=a")
    assert [client.get("/groups/")["X-Cache"], body(client.get("/groups/"))] == ["hit", ""]


def test_the_framework_s_writes(atomic_requests: None) -> None:
    """The mixin's invalidations take effect at COMMIT as well."""
    client = Client()
    client.get("/numbers/")
    client.post("/numbers/?name=a")
    assert client.get("/numbers/").json() == 1


def test_inside_a_transaction_a_view_is_kept(atomic_requests: None) -> None:
    """A read in a transaction at a level that sees what others commit is kept."""
    client = Client()
    assert [client.get("/groups/")["X-Cache"] for _ in range(2)] == ["miss", "hit"]


def test_a_view_that_writes_what_it_shows_is_not_kept(site: Any) -> None:
    """Whether a response may be kept is asked again when it is made: it may hold what nobody has committed."""
    request = request_of("/v/")
    request.backend = site
    with transaction.atomic():
        assert body(reading_writes(request)) == "1"
        assert isinstance(SEEN[0], Deferred)
        transaction.set_rollback(True)
    assert body(reading_writes(request)) == "1"


def test_dirty_tags_neither_hit_nor_fill(site: Any) -> None:
    """In a transaction that has invalidated a tag, the view runs each time; after a rollback what was kept is fresh."""
    groups(request_of("/groups/"))
    with transaction.atomic():
        site.invalidate("groups")
        assert [groups(request_of("/groups/"))["X-Cache"] for _ in range(2)] == ["bypass", "bypass"]
        transaction.set_rollback(True)
    assert groups(request_of("/groups/"))["X-Cache"] == "hit"


def test_an_old_snapshot_hits_and_does_not_fill(site: Any, postgres_database: str) -> None:
    """At REPEATABLE READ what is fresh is served, and what is made is not kept."""
    groups(request_of("/kept/"))
    with transaction.atomic(using="snapshot"):
        connections["snapshot"].cursor().execute("SELECT 1")
        assert groups(request_of("/kept/"))["X-Cache"] == "hit"
        assert [groups(request_of("/new/"))["X-Cache"] for _ in range(2)] == ["bypass", "bypass"]
    connections["snapshot"].close()


def test_read_committed_fills(site: Any, postgres_database: str) -> None:
    """At READ COMMITTED what is made is kept."""
    with transaction.atomic(using="postgres"):
        connections["postgres"].cursor().execute("SELECT 1")
        assert [groups(request_of("/new/"))["X-Cache"] for _ in range(2)] == ["miss", "hit"]
    connections["postgres"].close()


def test_a_hit_does_not_ask_the_database(site: Any, postgres_database: str) -> None:
    """In a transaction, a hit asks for no isolation level: the transaction is not even begun."""
    groups(request_of("/groups/"))
    with transaction.atomic(using="postgres"):
        idle = connections["postgres"].connection.info.transaction_status
        assert groups(request_of("/groups/"))["X-Cache"] == "hit"
        assert connections["postgres"].connection.info.transaction_status == idle
    connections["postgres"].close()


def test_a_snapshot_that_the_view_opens(site: Any, postgres_database: str) -> None:
    """A response of a view that leaves a transaction of an old snapshot open is not kept."""
    block = transaction.atomic(using="snapshot")

    @cached_view(ttl=60, x_cache=True)
    def opening(request: HttpRequest) -> HttpResponse:
        block.__enter__()
        connections["snapshot"].cursor().execute("SELECT 1")
        return HttpResponse(ran(request))

    assert opening(request_of("/v/"))["X-Cache"] == "bypass"
    block.__exit__(None, None, None)
    connections["snapshot"].close()


def test_a_server_that_is_away_in_a_transaction_costs_a_run(own_server: Server, configure: Callable[..., Any]) -> None:
    """Where something waits for COMMIT and the server cannot say what depends on it, the view runs."""
    backend = configure(params={"LOCATION": own_server.url})
    with pytest.raises(StoreError), transaction.atomic():  # noqa: PT012 - it raises at COMMIT
        backend.invalidate("others")
        own_server.kill()
        assert groups(request_of("/groups/"))["X-Cache"] == "bypass"
