"""One template and one value make one tag, whoever fills it: models, patterns, views, viewsets, functions."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.test import RequestFactory
from registry_app.models import Label
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory, force_authenticate
from rest_framework.viewsets import ViewSet
from servers import Server

from unstale.contrib.django import cached, invalidates
from unstale.contrib.django.drf import CachedViewSetMixin, cached_action, invalidates_action
from unstale.contrib.django.patterns import parse_pattern
from unstale.contrib.django.shared_tags import SharedTag
from unstale.contrib.django.views import cached_view, invalidates_view
from unstale.contrib.http import template_of
from unstale.errors import ConfigurationError

VALUES = [
    *(42, "abc", "ü", "a b", "home~bob", "~", "*x", "a*", "50%", "a/b", "a:b", "a-b", "{a}", "a\tb", "\x7f"),
    *("x" * 64, "x" * 65, "ü" * 32, "ü" * 33, ":" * 22, "an-ordinary-slug-of-an-article-" + "y" * 39, "z" * 300),
    *(True, None, 1.5, decimal.Decimal("1.50"), uuid.UUID(int=5), dt.date(2024, 1, 2)),
    dt.datetime(2024, 1, 2, tzinfo=dt.UTC),
]
each_value = pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:24])


@pytest.fixture(params=["valkey"])
def server(request: pytest.FixtureRequest, session_servers: Callable[[str], Server]) -> Server:
    """One kind of server is enough here: what a tag is called is decided here."""
    chosen = session_servers(request.param)
    with chosen.client as client:
        client.flushall()
    return chosen


class Products(CachedViewSetMixin, ViewSet):
    cache_ttl = 60
    cache_x_cache = True
    cache_tags = ("product:{x}",)
    permission_classes = ()

    def list(self, request: Any, x: Any = None) -> Response:
        """Read."""
        return Response("answer")

    def create(self, request: Any, x: Any = None) -> Response:
        """Write."""
        return Response("done")

    @cached_action(ttl=60, x_cache=True, tags=["product:{x}"])
    def shown(self, request: Any, x: Any = None) -> Response:
        """Read, by a decorator."""
        return Response("answer")

    @invalidates_action("product:{x}")
    def changed(self, request: Any, x: Any = None) -> Response:
        """Write, by a decorator."""
        return Response("done")


class Own(Products):
    cache_tags = ()
    cache_user_tag = "product:{user.username}"


@cached_view(ttl=60, x_cache=True, tags=["product:{x}"])
def page(request: Any, x: Any) -> HttpResponse:
    """A view for everybody."""
    return HttpResponse("answer")


@cached_view(ttl=60, x_cache=True, per_user=True, user_tag="product:{user.username}")
def mine(request: Any) -> HttpResponse:
    """A view for each user."""
    return HttpResponse("answer")


@invalidates_view("product:{x}")
def change(request: Any, x: Any) -> HttpResponse:
    """A write."""
    return HttpResponse("done")


@cached("result", ignore=["x"], tags=["product:{x}"])  # a key holds no control characters
def result(x: Any) -> object:
    """A function."""
    CALLS.append(x)
    return 1


CALLS: list[Any] = []


def asked(value: Any, method: str = "get", factory: Any = APIRequestFactory) -> Any:
    """A request of a user who is called so."""
    request = getattr(factory(), method)("/")
    request.user = User(pk=7, username=str(value))
    force_authenticate(request, request.user)
    return request


def called(value: Any) -> str:
    """What became of a call of the function."""
    CALLS.clear()
    result(value)
    return "miss" if CALLS else "hit"


READS: dict[str, Callable[[Any], str]] = {
    "cached_view": lambda value: page(RequestFactory().get("/"), x=value)["X-Cache"],
    "user_tag": lambda value: mine(asked(value, factory=RequestFactory))["X-Cache"],
    "cache_tags": lambda value: Products.as_view({"get": "list"})(asked(value), x=value)["X-Cache"],
    "cache_user_tag": lambda value: Own.as_view({"get": "list"})(asked(value))["X-Cache"],
    "cached_action": lambda value: Products.as_view({"get": "shown"})(asked(value), x=value)["X-Cache"],
    "cached": called,
}
WRITES: dict[str, Callable[[Any], Any]] = {
    "invalidates_view": lambda value: change(asked(value, "post", RequestFactory), x=value),
    "cache_tags": lambda value: Products.as_view({"post": "create"})(asked(value, "post"), x=value),
    "cache_user_tag": lambda value: Own.as_view({"post": "create"})(asked(value, "post")),
    "invalidates_action": lambda value: Products.as_view({"post": "changed"})(asked(value, "post"), x=value),
    "cached": result.invalidate,
    "invalidates": lambda value: Label.objects.create(name=str(value)),
}


def tag_of(value: Any) -> str:
    """The tag that TAG_PATTERNS give the keys of a value."""
    [tag] = parse_pattern("product:{x}|*").tags(f"product:{value}|1".encode())
    return tag


@each_value
@pytest.mark.parametrize("producer", sorted(READS))
def test_what_is_read_is_under_the_tag_of_its_keys(configure: Callable[..., Any], producer: str, value: Any) -> None:
    """What is kept for a value is stale when the tag is invalidated that a pattern gives the value's keys."""
    backend = configure()
    assert [READS[producer](value) for _ in range(2)] == ["miss", "hit"]
    backend.invalidate(tag_of(value))
    assert READS[producer](value) == "miss"


@each_value
@pytest.mark.parametrize("producer", sorted(WRITES))
def test_a_write_reaches_the_tag_of_its_keys(configure: Callable[..., Any], producer: str, value: Any) -> None:
    """A write that names a value makes stale what is under the tag that a pattern gives the value's keys."""
    backend = configure()
    backend.set("kept", 1, tags=[tag_of(value)])
    with invalidates(Label, "product:{name}"):
        WRITES[producer](value)
    assert backend.get("kept", tags=[tag_of(value)]) is None


@pytest.mark.parametrize("text", ["p:{x}-{y}", "p:{x}/{y}", "p:{x}:{y}:z", "{x}|{y}", "p:{{{x}}}{{{y}"])
def test_what_ends_a_placeholder_is_escaped(text: str) -> None:
    """Two placeholders make the tag that a pattern's template makes of them, and no two bindings share it."""
    both = {"x": "a-b:c|d/e{f", "y": "g-h"}
    pattern = parse_pattern("k:{x};{y};*", text)
    assert template_of(text, kind=SharedTag).filled(both) == pattern.template.rendered(both)


@pytest.mark.parametrize(
    ("text", "values", "tag"),
    [
        ("n:{x:03d}", {"x": 7}, "n:007"),
        ("n:{x!r}", {"x": "a"}, "n:'a'"),
        ("n:{x.year}:{x.month}", {"x": dt.date(2024, 5, 1)}, "n:2024:5"),
    ],
)
def test_attributes_and_formats(text: str, values: dict[str, Any], tag: str) -> None:
    """What `unstale.templates` can read of an argument is read here too."""
    assert template_of(text, kind=SharedTag).filled(values) == tag


@pytest.mark.parametrize("text", ["p:{x}{y}", "*{x}", "p:{x}%{y}", "p" * 200 + "{x}"])
def test_templates_that_make_no_tag(text: str) -> None:
    """A template whose tags could be shared, or be none, is refused where it is written, by its name."""
    with pytest.raises(ConfigurationError, match="cannot be used"):
        cached_view(ttl=60, tags=[text])
