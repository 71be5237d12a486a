"""Cached views, asynchronous: the same rules, and no thread where the response is in the cache."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from asgiref.sync import SyncToAsync, iscoroutinefunction
from django.contrib.auth import alogin
from django.contrib.auth.models import AnonymousUser, User
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.middleware.csrf import get_token
from django.template import engines
from django.template.response import TemplateResponse
from django.test import AsyncClient, AsyncRequestFactory, Client, override_settings
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View
from servers import Server
from view_site import MIDDLEWARE, RUNS, body, ran

from unstale.contrib.django.views import cached_view, invalidates_view
from unstale.errors import ConfigurationError


def kept(view: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    """A view under the decorator, with the usual options."""
    return cached_view(**{"ttl": 60, "x_cache": True, **options})(view)


def answering(make: Callable[[HttpRequest], Any]) -> Callable[..., Coroutine[Any, Any, HttpResponse]]:
    """A view that looks at something of the request, and shows it."""

    async def view(request: HttpRequest) -> HttpResponse:
        ran(request)
        shown = make(request)
        return HttpResponse(str(await shown if asyncio.iscoroutine(shown) else shown))

    return view


async def product(request: HttpRequest, product_id: int) -> HttpResponse:
    """One for everybody."""
    return HttpResponse(ran(request))


@invalidates_view("product:{product_id}")
async def change(request: HttpRequest, product_id: int) -> HttpResponse:
    """A write."""
    return HttpResponse(status=int(request.GET.get("status", "200")))


async def who(request: HttpRequest) -> HttpResponse:
    """One for each user."""
    return HttpResponse(f"{(await request.auser()).username} {ran(request)}")


@invalidates_view("user:{user.pk}")
async def order(request: HttpRequest) -> HttpResponse:
    """A write by a user."""
    return HttpResponse(status=201)


async def log_in(request: HttpRequest) -> HttpResponse:
    """A view that logs somebody in."""
    await alogin(request, await User.objects.aget(username="alice"))
    return HttpResponse(ran(request))


async def stream(request: HttpRequest) -> StreamingHttpResponse:
    """A response in parts."""
    ran(request)

    async def parts() -> Any:
        yield "x"

    return StreamingHttpResponse(parts())


async def absent(request: HttpRequest) -> HttpResponse:
    """An answer that is raised."""
    ran(request)
    raise Http404


async def crash(request: HttpRequest) -> HttpResponse:
    """A view that fails."""
    ran(request)
    raise LookupError("crashed")


async def rendered(request: HttpRequest) -> TemplateResponse:
    """A response that is rendered later."""
    ran(request)
    return TemplateResponse(request, engines["django"].from_string("hello {{ 1 }}"))


@method_decorator(cached_view(ttl=60, x_cache=True), name="dispatch")
class Whole(View):
    """A class whose dispatch is cached."""

    async def get(self, request: HttpRequest) -> HttpResponse:
        """Answer."""
        return HttpResponse(ran(request))


class Page(View):
    """A class with a cached method."""

    @method_decorator(cached_view(ttl=60, x_cache=True))
    async def get(self, request: HttpRequest) -> HttpResponse:
        """Answer."""
        return HttpResponse(ran(request))


UNKEPT: dict[str, Callable[..., Any]] = {
    "user": answering(lambda request: request.auser()),
    "session": answering(lambda request: request.session.aget("cart")),
    "session-key": answering(lambda request: request.session.session_key),
    "session-empty": answering(lambda request: request.session.is_empty()),
    "session-age": answering(lambda request: request.session.aget_expiry_age(expiry=7)),
    "session-set": answering(lambda request: request.session.aset("cart", 1)),
    "cookie": answering(lambda request: request.COOKIES.get("theme")),
    "csrf": answering(get_token),
    "login": log_in,
    "streaming": stream,
    "absent": absent,
}
urlpatterns = [
    path("products/<int:product_id>/", kept(product, tags=["product:{product_id}"])),
    path("products/<int:product_id>/change/", change),
    path("who/", kept(who, per_user=True)),
    path("order/", order),
    path("whole/", Whole.as_view()),
    path("page/", Page.as_view()),
    path("rendered/", kept(rendered)),
    path("crash/", kept(crash)),
    path("by-cookie/", kept(answering(lambda request: request.session.aget("cart")), vary=["Cookie"])),
    path("user-as-seen/", kept(answering(lambda request: request.user), per_user=True)),
    *(path(f"unkept/{name}/", kept(view)) for name, view in UNKEPT.items()),
]


@pytest.fixture
def site(configure: Callable[..., Any]) -> Iterator[Any]:
    """The site on the test's server; the backend."""
    RUNS.clear()
    backend = configure()
    with override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=MIDDLEWARE):
        yield backend
    User.objects.all().delete()


def browser_of(name: str) -> AsyncClient:
    """A user's browser."""
    user, _ = User.objects.get_or_create(username=name)
    browser = AsyncClient()
    browser.force_login(user)
    return browser


def answers(*calls: tuple[str, str] | str, client: AsyncClient | None = None) -> list[HttpResponse]:
    """The responses to requests one after another, in one loop."""
    client = client or AsyncClient()

    async def run() -> list[HttpResponse]:
        asked = [("get", call) if isinstance(call, str) else call for call in calls]
        return [await getattr(client, method)(where) for method, where in asked]

    return asyncio.run(run())


def words(*calls: tuple[str, str] | str, client: AsyncClient | None = None) -> list[str | None]:
    """What X-Cache says of them."""
    return [each.get("X-Cache") for each in answers(*calls, client=client)]


def test_a_second_request_is_answered_without_the_view(site: Any) -> None:
    """A hit answers what the view answered, and does not run it."""
    first, second = answers("/products/7/", "/products/7/")
    assert (body(first), body(second)) == ("/products/7/ 1", "/products/7/ 1")
    assert (first["X-Cache"], second["X-Cache"]) == ("miss", "hit")


def test_a_write_makes_the_response_stale(site: Any) -> None:
    """After a write that succeeded the view runs; after one that was refused it does not."""
    writes = [("post", "/products/7/change/?status=409"), ("post", "/products/7/change/")]
    seen = words("/products/7/", writes[0], "/products/7/", writes[1], "/products/7/")
    assert seen == ["miss", None, "hit", None, "miss"]


def test_a_hit_takes_no_thread(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the response is in the cache, nothing is handed to a thread."""

    async def run() -> list[str]:
        view, request = kept(product), AsyncRequestFactory().get("/v/")
        filled = await view(request, product_id=1)
        monkeypatch.setattr(SyncToAsync, "__call__", refuse)
        return [filled["X-Cache"], (await view(request, product_id=1))["X-Cache"]]

    async def refuse(*arguments: Any, **named: Any) -> Any:
        raise AssertionError("a thread")

    assert asyncio.run(run()) == ["miss", "hit"]


def test_a_user_s_hit_takes_no_thread_of_ours(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a user's response as well, only what finds the user may need one."""
    user = User.objects.create(username="alice")

    async def refuse(*arguments: Any, **named: Any) -> Any:
        raise AssertionError("a thread")

    async def auser() -> User:
        return user

    async def run() -> list[str]:
        view, request = kept(who, per_user=True), AsyncRequestFactory().get("/v/")
        request.auser = auser
        monkeypatch.setattr(SyncToAsync, "__call__", refuse)
        return [(await view(request))["X-Cache"] for _ in range(2)]

    assert asyncio.run(run()) == ["miss", "hit"]


@pytest.mark.parametrize("name", sorted(UNKEPT))
def test_never_kept_for_everybody(site: Any, name: str) -> None:
    """What is one client's runs the view each time."""
    User.objects.create(username="alice")
    seen = words(f"/unkept/{name}/"), words(f"/unkept/{name}/")
    assert RUNS[f"/unkept/{name}/"] == 2
    assert "hit" not in [*seen[0], *seen[1]]


def test_two_users_get_their_own(site: Any) -> None:
    """Each user gets his own response, and it again; a visitor gets a visitor's."""
    browsers = [browser_of("alice"), browser_of("bob"), AsyncClient()] * 2
    seen = [body(answers("/who/", client=each)[0]) for each in browsers]
    assert seen[:3] == ["alice /who/ 1", "bob /who/ 2", " /who/ 3"]
    assert seen[3:] == seen[:3]


def test_a_user_s_write_makes_his_stale(site: Any) -> None:
    """A user's write makes his own responses stale, and no other's."""
    alice, bob = browser_of("alice"), browser_of("bob")
    answers("/who/", client=alice)
    answers("/who/", client=bob)
    answers(("post", "/order/"), client=bob)
    assert [words("/who/", client=each) for each in (alice, bob)] == [["hit"], ["miss"]]


def test_two_answers_to_who_it_is_keep_nothing(site: Any) -> None:
    """Where a middleware has set another `user` than `auser()` finds, nothing is kept or served."""
    alice, bob = (User.objects.create(username=name) for name in ("alice", "bob"))

    async def auser() -> User:
        return bob

    async def run() -> list[str]:
        view, request = kept(answering(lambda request: request.user), per_user=True), AsyncRequestFactory().get("/v/")
        request.user, request.auser = alice, auser
        return [(await view(request))["X-Cache"] for _ in range(2)]

    assert asyncio.run(run()) == ["bypass", "bypass"]


def test_a_user_of_a_middleware_without_auser(site: Any) -> None:
    """A middleware that has set `user` alone is believed."""

    async def run() -> list[str]:
        view, request = kept(answering(lambda request: request.user), per_user=True), AsyncRequestFactory().get("/v/")
        request.user = AnonymousUser()
        return [(await view(request))["X-Cache"] for _ in range(2)]

    assert asyncio.run(run()) == ["miss", "hit"]


def test_per_user_without_users_is_a_mistake(site: Any) -> None:
    """Without AuthenticationMiddleware there is nobody to keep a response for."""
    with pytest.raises(ConfigurationError, match="AuthenticationMiddleware"):
        asyncio.run(kept(who, per_user=True)(AsyncRequestFactory().get("/v/")))


def test_an_auser_of_another_kind_is_noticed(site: Any) -> None:
    """A view for everybody that awaits a user whom a middleware finds without a session is not kept."""

    async def run(user: Any) -> str:
        async def auser() -> Any:
            return user

        request = AsyncRequestFactory().get("/v/")
        request.auser = auser
        return (await kept(answering(lambda request: request.auser()))(request))["X-Cache"]

    assert [asyncio.run(run(user)) for user in (AnonymousUser(), User(username="alice"))] == ["bypass", "bypass"]


def test_messages_of_a_session(site: Any) -> None:
    """Whether messages wait is asked without a wait in the loop, also where no user was asked for."""
    storage = "django.contrib.messages.storage.session.SessionStorage"
    with override_settings(MESSAGE_STORAGE=storage):
        assert words("/by-cookie/", "/by-cookie/", client=browser_of("alice")) == ["miss", "hit"]


def test_class_based_views(site: Any) -> None:
    """`method_decorator` on a class, and on a method."""
    assert words("/whole/", "/whole/") + words("/page/", "/page/") == ["miss", "hit", "miss", "hit"]


def test_a_template_response_is_kept_rendered(site: Any) -> None:
    """A response that is rendered later is rendered for the cache."""
    first, second = answers("/rendered/", "/rendered/")
    assert (first.content, second.content, second["X-Cache"]) == (b"hello 1", b"hello 1", "hit")


def test_head_and_304(site: Any) -> None:
    """HEAD fills nothing and is answered from GET; who has the response gets 304."""
    assert words(("head", "/products/7/"), "/products/7/", ("head", "/products/7/")) == ["bypass", "miss", "hit"]
    headers = {"If-None-Match": answers("/products/7/")[0]["ETag"]}
    assert asyncio.run(AsyncClient().get("/products/7/", headers=headers)).status_code == 304


def test_a_view_that_fails_fails(site: Any) -> None:
    """What a view raises is raised."""
    with pytest.raises(LookupError, match="crashed"):
        answers("/crash/")


def test_many_at_once_run_the_view_once(site: Any) -> None:
    """Requests that come at the same time wait for one run."""

    async def run() -> list[str]:
        async def slow(request: HttpRequest) -> HttpResponse:
            await asyncio.sleep(0.05)
            return HttpResponse(ran(request))

        view = kept(slow)
        made = await asyncio.gather(*(view(AsyncRequestFactory().get("/v/")) for _ in range(20)))
        return [body(each) for each in made]

    assert asyncio.run(run()) == ["/v/ 1"] * 20


def test_many_users_at_once_get_their_own(site: Any) -> None:
    """Requests of many users at the same time are not mixed up."""
    users = [User.objects.create(username=f"user{number}") for number in range(10)]

    async def one(view: Any, user: User) -> str:
        async def auser() -> User:
            return user

        request = AsyncRequestFactory().get("/v/")
        request.auser = auser
        return body(await view(request)).split()[0]

    async def run() -> list[str]:
        async def slow(request: HttpRequest) -> HttpResponse:
            user = await request.auser()
            await asyncio.sleep(0.01)
            return HttpResponse(f"{user.username} here")

        view = kept(slow, per_user=True)
        return await asyncio.gather(*(one(view, user) for user in users * 5))

    assert asyncio.run(run()) == [user.username for user in users * 5]


def test_an_invalidation_while_the_view_runs_wins(site: Any) -> None:
    """A response that was made from what was before the invalidation is not given to whoever asks after it."""

    async def run() -> list[str]:
        read, go = asyncio.Event(), asyncio.Event()
        state = {"price": 1}

        async def slow(request: HttpRequest) -> HttpResponse:
            seen = state["price"]
            read.set()
            await go.wait()
            return HttpResponse(str(seen))

        view = kept(slow, tags=["price"])
        first = asyncio.create_task(view(AsyncRequestFactory().get("/v/")))
        await read.wait()
        state["price"] = 2
        await site.ainvalidate("price")
        go.set()
        return [body(await first), body(await view(AsyncRequestFactory().get("/v/")))]

    assert asyncio.run(run()) == ["1", "2"]


def test_under_wsgi_too(site: Any) -> None:
    """An asynchronous view under a synchronous stack is cached as well."""
    client = Client()
    assert [client.get("/products/7/")["X-Cache"] for _ in range(2)] == ["miss", "hit"]


def test_a_server_that_is_away_costs_a_run(own_server: Server, configure: Callable[..., Any]) -> None:
    """Without the server, pages are made."""
    configure(params={"LOCATION": own_server.url})
    with override_settings(ROOT_URLCONF=__name__, MIDDLEWARE=MIDDLEWARE):
        assert words("/whole/", "/whole/") == ["miss", "hit"]
        own_server.kill()
        assert words("/whole/", "/whole/") == ["bypass", "bypass"]


def test_the_decorated_view_is_asynchronous() -> None:
    """Django sees what kind of view it is."""
    assert iscoroutinefunction(kept(product))
    assert iscoroutinefunction(change)
    assert not iscoroutinefunction(kept(lambda request: HttpResponse()))


def test_who_waits_for_a_view_that_fails_runs_it_himself(site: Any) -> None:
    """An exception goes to the request that it was raised for; whoever waited for its response runs the view."""
    runs = []

    async def run() -> list[object]:
        began, second = asyncio.Event(), asyncio.Event()

        def key(request: HttpRequest) -> str:
            if runs:
                second.set()
            return "one"

        @cached_view(ttl=60, key=key)
        async def view(request: HttpRequest) -> HttpResponse:
            runs.append(request)
            if len(runs) > 1:
                return HttpResponse("another's")
            began.set()
            await second.wait()
            raise LookupError("the first one's")

        first = asyncio.create_task(view(AsyncRequestFactory().get("/v/")))
        await began.wait()
        return await asyncio.gather(first, view(AsyncRequestFactory().get("/v/")), return_exceptions=True)

    failed, answered = asyncio.run(run())
    assert str(failed) == "the first one's"
    assert body(answered) == "another's"
