"""Verifying the responses of an API: viewsets and actions of Django REST framework, run once more for their request."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test import Client, override_settings
from django.urls import include, path
from ledger_app.models import Order
from rest_framework.authentication import BaseAuthentication
from rest_framework.decorators import action
from rest_framework.exceptions import NotFound
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.serializers import ModelSerializer
from rest_framework.viewsets import ModelViewSet
from servers import Server

from unstale.contrib.django.drf import CachedViewSetMixin, cached_action
from unstale.core.verified import Counts
from unstale.events import Agreement, Event, Verified


@pytest.fixture(params=["valkey"])
def server(request: pytest.FixtureRequest, session_servers: Callable[[str], Server]) -> Server:
    """One kind of server is enough here."""
    chosen = session_servers(request.param)
    with chosen.client as client:
        client.flushall()
    return chosen


class OrderSerializer(ModelSerializer):
    class Meta:
        """What is shown."""

        model = Order
        fields = ("id", "total")


class Orders(CachedViewSetMixin, ModelViewSet):
    """For everybody."""

    cache_ttl = 60
    cache_tags = ("orders",)
    cache_x_cache = True
    cache_per_user = False
    authentication_classes: tuple[type[BaseAuthentication], ...] = ()
    permission_classes = ()
    queryset = Order.objects.order_by("id")
    serializer_class = OrderSerializer

    @action(detail=False)
    @cached_action(ttl=60, per_user=False)
    def summary(self, request: Any) -> Response:
        """An action that is kept."""
        return Response({"total": sum(order.total for order in self.get_queryset())})

    @action(detail=False)
    @cached_action(ttl=60, per_user=False)
    def missing(self, request: Any) -> Response:
        """One that answers by raising."""
        raise NotFound


router = SimpleRouter()
router.register("orders", Orders)
urlpatterns = [path("", include(router.urls))]


@pytest.fixture
def events() -> list[Event]:
    """What the cache says."""
    return []


@pytest.fixture
def site(configure: Callable[..., Any], events: list[Event]) -> Iterator[Any]:
    """The API on a backend that verifies its views, too."""
    policy = {"rate": 1.0, "share": 1.0, "views": True}
    backend = configure(VERIFY=policy, ON_EVENT=events.append)
    Order.objects.all().delete()
    with override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=[]):
        yield backend
    backend.core.delete_matching("*")


def words(url: str, times: int = 2) -> list[str]:
    """What X-Cache says of requests one after another."""
    return [Client().get(url)["X-Cache"] for _ in range(times)]


@pytest.mark.parametrize("url", ["/orders/", "/orders/1/", "/orders/summary/"])
def test_a_response_that_is_made_the_same(site: Any, url: str) -> None:
    """Each hit runs the view once more; its client gets what was kept, whole."""
    Order.objects.create(pk=1, user_id=42, total=3)
    first = Client().get(url)
    second = Client().get(url)
    assert ([first["X-Cache"], second["X-Cache"]], first.content) == (["miss", "hit"], second.content)
    assert {**first.headers, "X-Cache": ""} == {**second.headers, "X-Cache": ""}
    assert site.core.verification().total == Counts(same=1)


@pytest.mark.parametrize("url", ["/orders/", "/orders/1/"])
def test_a_write_that_nobody_invalidates(site: Any, events: list[Event], url: str) -> None:
    """Its client is served what was kept; the difference is seen, and settles when somebody invalidates."""
    Order.objects.create(pk=1, user_id=42, total=3)
    before = Client().get(url).content
    Order.objects.update(total=4)
    assert Client().get(url).content == before
    assert site.core.verification().watched == 1
    Client().patch("/orders/1/", {"total": 5}, content_type="application/json")  # the API's own write says so
    assert words(url) == ["miss", "hit"]
    assert all(event.agreement is not Agreement.FAILED for event in events if isinstance(event, Verified))


def test_a_row_that_is_gone(site: Any) -> None:
    """The view answers 404, which is not what is served."""
    Order.objects.create(pk=1, user_id=42, total=3)
    Client().get("/orders/1/")
    Order.objects.all().delete()
    assert Client().get("/orders/1/").status_code == 200
    assert site.core.verification().watched == 1


def test_an_answer_that_was_raised_is_not_served_from_the_cache(site: Any) -> None:
    """Nor verified."""
    assert [Client().get("/orders/missing/").status_code for _ in range(2)] == [404, 404]
    assert site.core.verification().total == Counts()
