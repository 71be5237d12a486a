"""A site for the tests of cached views: each run is counted, and every middleware that Django brings is there."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.middleware.csrf import get_token
from django.template import engines
from django.template.response import TemplateResponse
from django.test import Client, override_settings
from django.urls import path
from django.utils import timezone, translation
from django.utils.cache import patch_vary_headers
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import cache_control, never_cache
from django.views.decorators.vary import vary_on_headers

from unstale.contrib.django.views import cached_view, invalidates_view

MIDDLEWARE = [
    "django.middleware.common.CommonMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
RUNS: Counter[str] = Counter()


def ran(request: HttpRequest, name: str = "") -> str:
    """Count a run; what a view answers of it."""
    name = name or request.path
    RUNS[name] += 1
    return f"{name} {RUNS[name]}"


def words(client: Any, path: str, times: int = 2, **options: Any) -> list[str]:
    """What X-Cache says of requests one after another."""
    return [client.get(path, **options)["X-Cache"] for _ in range(times)]


def body(response: HttpResponse) -> str:
    """A response's text."""
    return response.content.decode()


@contextmanager
def serving() -> Iterator[None]:
    """The site, with nothing counted so far; its users are gone afterwards."""
    RUNS.clear()
    with override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=MIDDLEWARE):
        yield
    User.objects.all().delete()


def browser_of(name: str) -> Client:
    """A user's browser."""
    user, _ = User.objects.get_or_create(username=name)
    browser = Client()
    browser.force_login(user)
    return browser


GATES: dict[str, threading.Event] = {}


@cached_view(ttl=60, tags=["product:{product_id}"], x_cache=True)
def product(request: HttpRequest, product_id: int) -> HttpResponse:
    """One for everybody."""
    return HttpResponse(ran(request))


@invalidates_view("product:{product_id}")
def change(request: HttpRequest, product_id: int) -> HttpResponse:
    """A write."""
    return HttpResponse(status=int(request.GET.get("status", "200")))


@cached_view(ttl=60, per_user=True, x_cache=True)
def history(request: HttpRequest) -> HttpResponse:
    """One for each user."""
    return HttpResponse(f"{request.user.pk} {ran(request)}")


@invalidates_view("user:{user.pk}")
def order(request: HttpRequest) -> HttpResponse:
    """A write by a user."""
    return HttpResponse(status=201)


def template(text: str, request: HttpRequest) -> TemplateResponse:
    """A response that is rendered later."""
    ran(request)
    return TemplateResponse(request, engines["django"].from_string(text))


def deny(request: HttpRequest) -> HttpResponse:
    """An answer that is raised."""
    ran(request)
    raise PermissionDenied


def absent(request: HttpRequest) -> HttpResponse:
    """The same."""
    ran(request)
    raise Http404


def crash(request: HttpRequest) -> HttpResponse:
    """A view that fails."""
    ran(request)
    raise LookupError("crashed")


def with_cookie(request: HttpRequest) -> HttpResponse:
    """A response with a cookie."""
    response = HttpResponse(ran(request))
    response.set_cookie("a", "b")
    return response


def with_vary(*names: str) -> Callable[[HttpRequest], HttpResponse]:
    """A view whose response says that it varies."""

    def view(request: HttpRequest) -> HttpResponse:
        response = HttpResponse(ran(request))
        patch_vary_headers(response, names)
        return response

    return view


def answering(make: Callable[[HttpRequest], object]) -> Callable[[HttpRequest], HttpResponse]:
    """A view that looks at something of the request, and shows it."""

    def view(request: HttpRequest) -> HttpResponse:
        ran(request)
        return HttpResponse(str(make(request)))

    return view


def login_inside(request: HttpRequest) -> HttpResponse:
    """A view that logs somebody in."""
    login(request, User.objects.get(username="alice"))
    return HttpResponse(ran(request))


def set_session(request: HttpRequest) -> HttpResponse:
    """A view that puts something into the session."""
    request.session["cart"] = [1]
    return HttpResponse(ran(request))


def set_user(request: HttpRequest) -> HttpResponse:
    """A view that takes on another user, as an authentication of its own does."""
    request.user = AnonymousUser()
    return HttpResponse(ran(request))


def add_message(request: HttpRequest) -> HttpResponse:
    """A view that leaves a message."""
    messages.info(request, "done")
    return HttpResponse(ran(request))


def show_messages(request: HttpRequest) -> HttpResponse:
    """A view that shows messages."""
    return HttpResponse(ran(request) + "".join(str(each) for each in messages.get_messages(request)))


UNKEPT: dict[str, Callable[..., Any]] = {
    "set-cookie": with_cookie,
    "private": cache_control(private=True)(with_vary()),
    "no-store": cache_control(no_store=True)(with_vary()),
    "never-cache": never_cache(with_vary()),
    "vary-star": with_vary("*"),
    "vary-cookie": with_vary("Cookie"),
    "vary-unsaid": vary_on_headers("X-Unsaid")(with_vary()),
    "streaming": lambda request: StreamingHttpResponse(iter([ran(request)])),
    "status": lambda request: HttpResponse(ran(request), status=202),
    "too-long": lambda request: HttpResponse(ran(request) + "x" * 1024 * 1024),
    "csrf": answering(get_token),
    "csrf-template": lambda request: template("<form>{% csrf_token %}</form>", request),
    "user": answering(lambda request: request.user.is_authenticated),
    "session": answering(lambda request: request.session.get("cart")),
    "session-key": answering(lambda request: request.session.session_key),
    "session-empty": answering(lambda request: request.session.is_empty()),
    "session-age": answering(lambda request: request.session.get_expiry_age(expiry=7)),
    "session-vars": answering(lambda request: vars(request.session)),
    "session-set": set_session,
    "session-replaced": answering(lambda request: setattr(request, "session", {})),
    "cookie": answering(lambda request: request.COOKIES.get("theme")),
    "signed-cookie": answering(lambda request: request.get_signed_cookie("id", default="")),
    "accepts": answering(lambda request: request.accepts("text/html")),
    "login": login_inside,
    "another-user": set_user,
    "message": add_message,
    "messages": show_messages,
    "nonce": answering(lambda request: setattr(request, "_csp_nonce", "n1")),
    "denied": deny,
    "absent": absent,
}
MODES: dict[str, dict[str, Any]] = {
    "all": {},
    "users": {"per_user": True},
    "cookie": {"vary": ["Cookie"]},
    "both": {"vary": ["Cookie"], "per_user": True},
    "accept": {"vary": ["Accept"]},
    "mine": {"key": lambda request: "mine"},
    "auth": {"authorized": True},
    "gone": {"statuses": [200, 404]},
    "dull": {"x_cache": False},
}


class Page(View):
    """A class-based view."""

    @method_decorator(cached_view(ttl=60, x_cache=True))
    def get(self, request: HttpRequest, name: str) -> HttpResponse:
        """Answer."""
        return HttpResponse(ran(request))


@method_decorator(cached_view(ttl=60, tags=["page:{name}"], x_cache=True), name="dispatch")
class Whole(View):
    """One whose dispatch is cached."""

    def get(self, request: HttpRequest, name: str) -> HttpResponse:
        """Answer."""
        return HttpResponse(ran(request))

    def post(self, request: HttpRequest, name: str) -> HttpResponse:
        """Write."""
        return HttpResponse(ran(request, "post"))


def gated(request: HttpRequest) -> HttpResponse:
    """A view that reads, waits, and answers what it has read."""
    seen = User.objects.count()
    ran(request)
    GATES["read"].set()
    GATES["go"].wait(20)
    return HttpResponse(str(seen))


def kept(view: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """A view under the decorator, with the usual options."""
    return cached_view(**{"ttl": 60, "x_cache": True, **options})(view)


urlpatterns = [
    path("products/<product_id>/", product),
    path("products/<int:product_id>/change/", change),
    path("history/", history),
    path("order/", order),
    path("guarded/", login_required(kept(answering(lambda request: "page")))),
    path("pages/<name>/", Page.as_view()),
    path("whole/<name>/", Whole.as_view()),
    path("gated/", kept(gated, tags=["count"])),
    *(
        path(f"{mode}/{name}/", kept(view, **options))
        for mode, options in MODES.items()
        for name, view in UNKEPT.items()
    ),
    *(path(f"{mode}/plain/", kept(with_vary(), **options)) for mode, options in MODES.items()),
    path("all/plain2/", kept(with_vary(), vary=["Accept-Language"])),
    path("auth/name/", kept(answering(lambda request: request.user.username), authorized=True)),
    path("cookie/name/", kept(answering(lambda request: request.user.username), vary=["Cookie"])),
    path("all/label/", kept(answering(lambda request: request.label))),
    path("all/crash/", kept(crash)),
    path("all/greeting/", kept(answering(lambda request: translation.gettext("Monday")))),
    path("all/time/", kept(answering(lambda request: timezone.localtime().tzinfo))),
    path("all/where/", kept(answering(lambda request: request.build_absolute_uri()))),
    path("all/rendered/", kept(lambda request: template("hello {{ 1 }}", request))),
    path("gone/returned/", kept(lambda request: HttpResponse(ran(request), status=404), statuses=[200, 404])),
    path("accept/negotiated/", kept(lambda request: JsonResponse({"runs": ran(request)}), vary=["Accept"])),
    path("users/tagged/", kept(answering(id), per_user=True, tags=["user:{user.pk}/orders"], user_tag="")),
    path("users/who/", kept(lambda request: HttpResponse(f"{request.user.username} {ran(request)}"), per_user=True)),
]
