"""Cached views, synchronous, through Django's real request stack: what is kept, under which key, and until when."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import caches
from django.db import connection, transaction
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.template import engines
from django.test import Client, RequestFactory, override_settings
from django.utils import timezone, translation
from servers import Server
from view_site import GATES, MIDDLEWARE, RUNS, body, browser_of, kept, product, ran, serving, with_vary, words

from unstale.contrib.django.drf import cached_action
from unstale.contrib.django.views import ViewOptions, cached_view, invalidates_view
from unstale.errors import ConfigurationError


@pytest.fixture
def site(configure: Callable[..., Any]) -> Iterator[Any]:
    """The site on the test's server; the backend."""
    backend = configure()
    with serving():
        yield backend


@pytest.fixture
def client(site: Any) -> Client:
    """Somebody without a cookie."""
    return Client()


def test_a_second_request_is_answered_without_the_view(client: Client) -> None:
    """A hit answers what the view answered, and does not run it."""
    first, second = client.get("/products/7/"), client.get("/products/7/")
    assert (body(first), body(second)) == ("/products/7/ 1", "/products/7/ 1")
    assert (first["X-Cache"], second["X-Cache"]) == ("miss", "hit")


def test_a_write_makes_the_response_stale_before_it_is_answered(client: Client) -> None:
    """After a write that succeeded, the next read runs the view."""
    client.get("/products/7/")
    client.post("/products/7/change/")
    assert body(client.get("/products/7/")) == "/products/7/ 2"


def test_a_write_that_is_refused_invalidates_nothing(client: Client) -> None:
    """Above 400 nothing was written."""
    client.get("/products/7/")
    client.post("/products/7/change/?status=409")
    assert client.get("/products/7/")["X-Cache"] == "hit"


def test_a_write_makes_stale_only_what_it_names(client: Client) -> None:
    """Another product stays fresh."""
    client.get("/products/8/")
    client.post("/products/7/change/")
    assert client.get("/products/8/")["X-Cache"] == "hit"


def test_hit_and_miss_have_the_same_headers(client: Client) -> None:
    """A hit has the miss's headers, but for what X-Cache says."""
    first, second = client.get("/all/rendered/"), client.get("/all/rendered/")
    assert {**first.headers, "X-Cache": ""} == {**second.headers, "X-Cache": ""}
    assert first.content == second.content == b"hello 1"


def test_a_template_response_is_kept_rendered(client: Client) -> None:
    """A response that is rendered later is rendered for the cache."""
    assert words(client, "/all/rendered/") == ["miss", "hit"]


class TemplateHook:
    """A middleware that changes responses before they are rendered."""

    def __init__(self, get_response: Callable[..., Any]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_template_response(self, request: HttpRequest, response: Any) -> Any:
        response.template_name = engines["django"].from_string("changed")
        return response


def test_a_middleware_for_template_responses_is_not_left_out(client: Client) -> None:
    """What such a middleware changes is changed in each response: none is kept before it."""
    with override_settings(MIDDLEWARE=[*MIDDLEWARE, f"{__name__}.TemplateHook"]):
        answers = [client.get("/all/rendered/") for _ in range(2)]
    assert [(body(each), each["X-Cache"]) for each in answers] == [("changed", "bypass")] * 2


def test_etag_and_304(client: Client) -> None:
    """Who has the response gets 304 without a body, from the cache."""
    etag = client.get("/products/7/")["ETag"]
    again = client.get("/products/7/", headers={"If-None-Match": etag})
    assert (again.status_code, again.content, again["ETag"], again["X-Cache"]) == (304, b"", etag, "hit")


def test_304_on_a_miss(client: Client) -> None:
    """Who has what the view answers gets 304 also where the view had to run."""
    etag = client.get("/all/rendered/")["ETag"]
    caches["default"].clear()
    again = client.get("/all/rendered/", headers={"If-None-Match": etag})
    assert (again.status_code, again.content, again["X-Cache"]) == (304, b"", "miss")


def test_another_etag_gets_the_response(client: Client) -> None:
    """Who has another response gets this one."""
    client.get("/products/7/")
    assert client.get("/products/7/", headers={"If-None-Match": '"other"'}).status_code == 200


def test_head_is_answered_from_get(client: Client) -> None:
    """HEAD has GET's headers and no body."""
    get = client.get("/products/7/")
    head = client.head("/products/7/")
    assert (head["X-Cache"], head.content, head["Content-Length"]) == ("hit", b"", str(len(get.content)))


def test_head_fills_nothing(client: Client) -> None:
    """A HEAD has no body to keep."""
    client.head("/products/7/")
    assert client.get("/products/7/")["X-Cache"] == "miss"


def test_browsers_ask_again(client: Client) -> None:
    """Where the view says nothing, caches behind us ask again; a user's response is not for shared ones."""
    assert client.get("/products/7/")["Cache-Control"] == "no-cache"
    assert browser_of("alice").get("/history/")["Cache-Control"] == "private, no-cache"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"headers": {"Host": "one.example"}}, {"headers": {"Host": "two.example"}}),
        ({"secure": True}, {"secure": False}),
        ({"query_params": {"page": "1"}}, {"query_params": {"page": "2"}}),
        ({"query_params": {"a": "1&b=2"}}, {"query_params": {"a": "1", "b": "2"}}),
        ({"query_params": {"a": ["1", "2"]}}, {"query_params": {"a": ["2", "1"]}}),
    ],
)
def test_places_are_told_apart(client: Client, one: dict[str, Any], other: dict[str, Any]) -> None:
    """Host, scheme and query are part of the key."""
    assert words(client, "/all/where/", 1, **one) + words(client, "/all/where/", 1, **other) == ["miss", "miss"]


def test_the_order_of_parameters_means_nothing(client: Client) -> None:
    """Two orders of a query's parameters are one key."""
    client.get("/all/where/?filter=a&page=2&search=x")
    assert client.get("/all/where/?search=x&page=2&filter=a")["X-Cache"] == "hit"


def test_a_host_that_is_not_allowed_is_refused(client: Client) -> None:
    """A hostile Host header is refused as Django does it, and nothing is kept."""
    with override_settings(ALLOWED_HOSTS=["shop.example"]):
        assert client.get("/all/plain/", headers={"Host": "evil.example"}).status_code == 400


def test_languages_are_told_apart(client: Client) -> None:
    """A response in one language is not given to who asked for another."""
    seen = [body(client.get("/all/greeting/", headers={"Accept-Language": each})) for each in ("de", "en", "de")]
    assert seen == ["Montag", "Monday", "Montag"]
    assert RUNS["/all/greeting/"] == 2


class TimeZone:
    """A middleware that activates a time zone and a language as it likes."""

    def __init__(self, get_response: Callable[..., Any]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with timezone.override(request.headers["X-Zone"]), translation.override(request.headers["X-Language"]):
            return self.get_response(request)


def test_time_zones_are_told_apart(client: Client) -> None:
    """A response in one time zone is not given to who is in another."""
    with override_settings(MIDDLEWARE=[*MIDDLEWARE, f"{__name__}.TimeZone"]):
        zones = ("Asia/Tokyo", "Europe/Berlin", "Asia/Tokyo")
        seen = [body(client.get("/all/time/", headers={"X-Zone": each, "X-Language": "en"})) for each in zones]
    assert seen == [*zones]
    assert RUNS["/all/time/"] == 2


def test_a_language_that_is_activated_after_locale_middleware_counts(client: Client) -> None:
    """The language that is active counts, whoever has activated it."""
    with override_settings(MIDDLEWARE=[*MIDDLEWARE, f"{__name__}.TimeZone"]):
        headers = [{"X-Zone": "UTC", "X-Language": each} for each in ("de", "en")]
        assert [body(client.get("/all/greeting/", headers=each)) for each in headers] == ["Montag", "Monday"]


def test_headers_that_are_named_are_told_apart(client: Client) -> None:
    """A header in `vary` is part of the key, and the response says so."""
    one = client.get("/accept/negotiated/", headers={"Accept": "a/b"})
    other = client.get("/accept/negotiated/", headers={"Accept": "c/d"})
    assert [one["X-Cache"], other["X-Cache"]] == ["miss", "miss"]
    assert "accept" in one["Vary"]


def test_vary_is_said_once_and_whole(client: Client) -> None:
    """What the view says and what it is kept by stand in one header, on hits too."""
    answers = [client.get("/accept/vary-cookie/") for _ in range(2)] + [client.get("/all/plain2/") for _ in range(2)]
    assert answers[2]["Vary"] == answers[3]["Vary"]
    assert [each["X-Cache"] for each in answers] == ["bypass", "bypass", "miss", "hit"]


def test_vary_says_what_the_view_does_not(site: Any) -> None:
    """To what the view says it varies by, what it is kept by is added."""
    view = kept(with_vary("X-One"), vary=["X-One", "X-Two"])
    assert [view(RequestFactory().get("/v/"))["Vary"] for _ in range(2)] == ["X-One, x-two"] * 2


def test_a_key_of_the_view_s_own(client: Client) -> None:
    """`key` stands for the place, and for nothing else."""
    assert [client.get("/mine/plain/?a=1")["X-Cache"], client.get("/mine/plain/?a=2")["X-Cache"]] == ["miss", "hit"]


def test_404_where_it_is_asked_for(client: Client) -> None:
    """A 404 that is returned is kept where `statuses` has it."""
    answers = [client.get("/gone/returned/") for _ in range(2)]
    assert [(each.status_code, each["X-Cache"]) for each in answers] == [(404, "miss"), (404, "hit")]


@pytest.mark.parametrize(("name", "status"), [("denied", 403), ("absent", 404)])
def test_answers_that_are_raised_are_answered(client: Client, name: str, status: int) -> None:
    """An exception that Django answers is answered, from each run."""
    assert [client.get(f"/all/{name}/").status_code for _ in range(2)] == [status, status]


def test_a_view_that_fails_fails(client: Client) -> None:
    """What a view raises is raised, and the next request runs it again."""
    for _ in range(2):
        with pytest.raises(LookupError, match="crashed"):
            client.get("/all/crash/")
    assert RUNS["/all/crash/"] == 2


def test_a_refused_answer_does_not_serve_what_was_before(site: Any) -> None:
    """A page that is gone is gone at once, also where older ones may be served."""
    answers = iter([HttpResponse("there"), Http404()])

    @cached_view(ttl=0.05, stale_ttl=600)
    def view(request: HttpRequest) -> HttpResponse:
        answer = next(answers)
        if isinstance(answer, Http404):
            raise answer
        return answer

    request = RequestFactory().get("/x/")
    assert view(request).content == b"there"
    threading.Event().wait(0.1)
    with pytest.raises(Http404):
        view(request)


def test_class_based_views(client: Client) -> None:
    """`method_decorator` on a method, and on a class."""
    assert words(client, "/pages/a/") + words(client, "/whole/a/") == ["miss", "hit", "miss", "hit"]


def test_unsafe_methods_are_passed_on(client: Client) -> None:
    """What is no read runs the view."""
    client.get("/whole/a/")
    assert [body(client.post("/whole/a/")) for _ in range(2)] == ["post 1", "post 2"]


def test_tags_of_a_class_based_view(client: Client, site: Any) -> None:
    """Tags are filled from the URL's arguments."""
    client.get("/whole/a/")
    site.invalidate("page:a")
    assert client.get("/whole/a/")["X-Cache"] == "miss"


def test_clear_makes_views_stale(client: Client, site: Any) -> None:
    """`clear()` is everything."""
    client.get("/all/plain/")
    site.clear()
    assert client.get("/all/plain/")["X-Cache"] == "miss"


def test_an_invalidation_while_the_view_runs_wins(site: Any) -> None:
    """A response that was made from what was before the invalidation is not given to whoever asks after it."""
    GATES.update(read=threading.Event(), go=threading.Event())
    seen: list[str] = []

    def first() -> None:
        seen.append(body(Client().get("/gated/")))
        connection.close()

    thread = threading.Thread(target=first)
    thread.start()
    assert GATES["read"].wait(20)
    User.objects.create(username="new")
    site.invalidate("count")
    GATES["go"].set()
    thread.join(20)
    assert (seen, body(Client().get("/gated/"))) == (["0"], "1")


def test_a_server_that_is_away_costs_a_run(own_server: Server, configure: Callable[..., Any]) -> None:
    """Without the server, pages are made; nothing is lost but time."""
    configure(params={"LOCATION": own_server.url})
    with serving():
        assert words(Client(), "/all/plain/") == ["miss", "hit"]
        own_server.kill()
        assert words(Client(), "/all/plain/") == ["bypass", "bypass"]


def test_another_backend_is_a_mistake(client: Client) -> None:
    """A cache without tags cannot keep views, and says so."""
    locmem = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    with override_settings(CACHES=locmem), pytest.raises(ConfigurationError, match="no UnstaleCache"):
        client.get("/all/plain/")


def test_memory_for_tests(site: Any) -> None:
    """Without a server, in the process's memory."""
    memory = {"default": {"BACKEND": "unstale.contrib.django.UnstaleCache", "LOCATION": "memory://"}}
    with override_settings(CACHES=memory):
        caches["default"].clear()  # it lives as long as the process
        assert words(Client(), "/all/plain/") == ["miss", "hit"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tags": "product"}, "list of templates"),
        ({"tags": ["{"]}, "cannot be read"),
        ({"tags": ["user:{user.pk}"]}, "need per_user=True"),
        ({"vary": "Accept"}, "list of header names"),
        ({"vary": ["*"]}, "cannot be stored"),
        ({"statuses": [500]}, "statuses must be"),
        ({"max_bytes": 0}, "max_bytes"),
        ({"unknown": 1}, "No such option: 'unknown'"),
        ({"ignore": []}, "No such option: 'ignore'"),
    ],
)
def test_mistakes_show_where_they_are_made(options: dict[str, Any], message: str) -> None:
    """An option that makes no sense is an error of the decorator."""
    with pytest.raises(ConfigurationError, match=message):
        cached_view(**options)


def test_a_mistyped_option_is_told_what_was_meant() -> None:
    """All that there are are named, ttl and those of views among them."""
    with pytest.raises(ConfigurationError, match=r"'ttll'\. Did you mean 'ttl'") as raised:
        cached_view(ttll=3)  # type: ignore[call-arg] # the mistake
    assert set(ViewOptions.__annotations__) <= set(re.findall(r"\w+", str(raised.value)))


def test_brackets_are_needed() -> None:
    """A decorator that is given the view itself says what to write."""
    with pytest.raises(ConfigurationError, match=r"write @cached_view\(ttl=…\)"):
        cached_view(with_vary)  # type: ignore[arg-type] # the mistake
    with pytest.raises(ConfigurationError, match=r"write @cached_action\(ttl=…\)"):
        cached_action(with_vary)  # type: ignore[arg-type] # the mistake
    with pytest.raises(ConfigurationError, match='write @invalidates_view\\("'):
        invalidates_view(with_vary)  # type: ignore[arg-type] # the mistake


def test_a_cache_that_there_is_not_is_named(site: Any) -> None:
    """A mistyped alias shows at the first request, with those that there are."""
    view = kept(with_vary(), cache="nosuch")
    with pytest.raises(ConfigurationError, match=r"CACHES has no alias 'nosuch'\. There are: default"):
        view(RequestFactory().get("/x/"))


def test_invalidates_view_needs_tags() -> None:
    """A write that names nothing is a mistake."""
    with pytest.raises(ConfigurationError, match="needs tags"):
        invalidates_view()


def test_a_tag_of_no_argument_is_a_mistake(site: Any) -> None:
    """A template that names what the URL does not have shows at the first request."""
    view = kept(with_vary(), tags=["product:{nothing}"])
    with pytest.raises(ConfigurationError, match="'nothing'"):
        view(RequestFactory().get("/x/"))


def test_a_method_is_not_decorated_as_a_view(site: Any) -> None:
    """Decorating a method directly is a mistake that says what to do."""
    with pytest.raises(ConfigurationError, match="method_decorator"):
        kept(lambda self, request: None)(object(), RequestFactory().get("/x/"))


def test_per_user_without_users_is_a_mistake(site: Any) -> None:
    """Without AuthenticationMiddleware there is nobody to keep a response for."""
    with pytest.raises(ConfigurationError, match="AuthenticationMiddleware"):
        kept(with_vary(), per_user=True)(RequestFactory().get("/x/"))


@pytest.mark.parametrize(
    "ask",
    [
        {"path": "/products/" + "x" * 300 + "/"},
        {"path": "/products/" + "x" * 60_000 + "/"},
        {"path": "/all/plain/?" + "q" * 65_536},
        {"path": "/all/plain/?" + "&".join(f"{number}=x" for number in range(9000))},
        {"path": "/all/plain/", "headers": {"Accept": "\x00\x1f\r\n"}},
        {"path": "/accept/plain/", "headers": {"Accept": "a\x00b\udcff"}},
        {"path": "/all/plain/?%00%ff%fe"},
        {"path": "/products/%00/"},
        {"path": "/products/%F0%9F/"},
    ],
)
def test_hostile_requests_get_their_own_response(client: Client, ask: dict[str, Any]) -> None:
    """A hostile request is a miss, and the next client gets nothing of it."""
    where, headers = ask["path"], ask.get("headers", {})
    assert client.get(where, headers=headers).status_code == 200
    name = where.partition("?")[0]
    other = client.get(where + ("&" if "?" in where else "?") + "other=1", headers=headers)
    assert other.status_code == 200
    assert other["X-Cache"] != "hit"
    assert RUNS.total() == 2, name


def test_who_waits_for_a_view_that_fails_runs_it_himself(site: Any) -> None:
    """An exception goes to the request that it was raised for; whoever waited for its response runs the view."""
    began, waits = threading.Event(), threading.Event()
    seen: dict[str, object] = {}

    def fails_once(request: HttpRequest) -> HttpResponse:
        if began.is_set():
            return HttpResponse("bert's")
        began.set()
        waits.wait(20)
        raise LookupError("anna's")

    def key(request: HttpRequest) -> str:
        if began.is_set():
            waits.set()
        return "one"

    view = kept(fails_once, key=key)

    def ask(name: str) -> None:
        try:
            seen[name] = body(view(RequestFactory().get("/v/")))
        except LookupError as error:
            seen[name] = str(error)

    leader, follower = (threading.Thread(target=ask, args=(name,)) for name in ("anna", "bert"))
    leader.start()
    assert began.wait(20)
    follower.start()
    leader.join(20)
    follower.join(20)
    assert seen == {"anna": "anna's", "bert": "bert's"}


def test_a_long_value_has_a_tag(client: Client) -> None:
    """A value in the path that is too long for a tag is shortened, as it is everywhere in Django."""
    assert words(client, "/products/" + "x" * 300 + "/") == ["miss", "hit"]


def test_a_tag_that_cannot_be_made_keeps_nothing(site: Any) -> None:
    """A value whose text does not say what it is gives no tag, and the view runs each time."""
    nameless = object()
    assert [product(RequestFactory().get("/p/"), product_id=nameless)["X-Cache"] for _ in range(2)] == ["bypass"] * 2


def test_a_tag_that_is_too_long_with_its_prefix_keeps_nothing(site: Any) -> None:
    """Where prefix and version leave no room for a tag that a function has made, the view runs each time."""
    view = kept(with_vary(), tags=lambda request: ["t" * 255])
    assert [view(RequestFactory().get("/v/"))["X-Cache"] for _ in range(2)] == ["bypass", "bypass"]


def test_a_hostile_vary_is_not_kept(client: Client) -> None:
    """A response that varies by a thousand headers is not kept."""
    view = kept(with_vary(*(f"X-{number}" for number in range(1000)), "Accept"))
    assert [view(RequestFactory().get("/v/"))["X-Cache"] for _ in range(2)] == ["bypass", "bypass"]


def test_options_that_are_left_out(client: Client, site: Any) -> None:
    """Without a ttl the cache's TIMEOUT counts; without x_cache nothing is said."""
    answers = [client.get("/dull/plain/") for _ in range(2)]
    assert all("X-Cache" not in each for each in answers)
    assert RUNS["/dull/plain/"] == 1


def test_a_timeout_of_zero_keeps_nothing(configure: Callable[..., Any]) -> None:
    """TIMEOUT = 0 means that nothing is kept."""
    configure(params={"TIMEOUT": 0})
    view = cached_view(x_cache=True)(with_vary())
    assert [view(RequestFactory().get("/v/"))["X-Cache"] for _ in range(2)] == ["bypass", "bypass"]


def test_two_aliases(configure: Callable[..., Any]) -> None:
    """A view is kept where its alias says."""
    configure()
    other = configure("other", {"KEY_PREFIX": "other"})
    view = kept(with_vary(), cache="other")
    view(RequestFactory().get("/v/"))
    caches["default"].clear()
    assert view(RequestFactory().get("/v/"))["X-Cache"] == "hit"
    other.clear()
    assert view(RequestFactory().get("/v/"))["X-Cache"] == "miss"


def test_two_prefixes_share_nothing(configure: Callable[..., Any]) -> None:
    """Two projects on one server have their own responses."""
    view = kept(with_vary())
    configure(params={"KEY_PREFIX": "one"})
    assert view(RequestFactory().get("/v/"))["X-Cache"] == "miss"
    configure(params={"KEY_PREFIX": "two"})
    assert view(RequestFactory().get("/v/"))["X-Cache"] == "miss"


def test_two_versions_share_nothing(configure: Callable[..., Any]) -> None:
    """VERSION is part of the key."""
    view = kept(with_vary())
    configure(params={"VERSION": 1})
    view(RequestFactory().get("/v/"))
    configure(params={"VERSION": 2})
    assert view(RequestFactory().get("/v/"))["X-Cache"] == "miss"


def test_two_views_of_one_url_share_nothing(site: Any) -> None:
    """A view that calls another one with its own request has another key."""
    inner = kept(with_vary())

    @cached_view(ttl=60)
    def outer(request: HttpRequest) -> HttpResponse:
        return HttpResponse(b"around " + inner(request).content)

    request = RequestFactory().get("/v/")
    assert {body(outer(request)) for _ in range(2)} == {"around /v/ 1"}
    assert body(inner(request)) == "/v/ 1"


def test_another_urlconf_is_another_place(site: Any) -> None:
    """Where a middleware sets the URLconf, it is part of the key."""
    view = kept(with_vary())
    one, other = RequestFactory().get("/v/"), RequestFactory().get("/v/")
    one.urlconf, other.urlconf = "shop.urls", "admin.urls"
    assert [view(one)["X-Cache"], view(other)["X-Cache"], view(one)["X-Cache"]] == ["miss", "miss", "hit"]


def test_what_a_response_computes_from_the_cache_is_inherited(site: Any) -> None:
    """A response is stale when a cached value that its view read is."""

    @cached_view(ttl=60)
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse(site.get_or_set("total", lambda: ran(request), tags=["total"]))

    request = RequestFactory().get("/v/")
    assert body(view(request)) == body(view(request)) == "/v/ 1"
    site.invalidate("total")
    assert body(view(request)) == "/v/ 2"


def test_atomic_requests_stay(site: Any) -> None:
    """What other decorators have said of a view is said of the decorated one."""
    view = kept(transaction.non_atomic_requests(with_vary()))
    assert view._non_atomic_requests == {"default"}


def test_a_download_is_not_kept(client: Client, tmp_path: Path) -> None:
    """A file is passed through."""
    (tmp_path / "f").write_bytes(b"x")
    view = kept(lambda request: FileResponse((tmp_path / "f").open("rb")))
    answers = [view(RequestFactory().get("/f/")) for _ in range(2)]
    assert [(b"".join(each), each["X-Cache"]) for each in answers] == [(b"x", "bypass")] * 2
    for each in answers:
        each.close()
