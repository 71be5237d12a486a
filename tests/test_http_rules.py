"""What may be stored, under which key and ETag: the rules by themselves, and each framework's translation of them."""

import asyncio
import functools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any

import flask
import httpx
import pytest
from fastapi import APIRouter, Cookie, Depends, FastAPI, Header, Request
from fastapi.security import APIKeyCookie, APIKeyHeader
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.sessions import SessionMiddleware
from starlette.responses import FileResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from unstale import AsyncCache, Cache
from unstale.contrib import fastapi as for_fastapi
from unstale.contrib import flask as for_flask
from unstale.contrib import starlette as for_starlette
from unstale.contrib.http import (
    UNSTORED_SECONDS,
    Rules,
    StoredResponse,
    TagRules,
    etag_matches,
    make_etag,
    sorted_query,
)
from unstale.errors import ConfigurationError, InvalidDurationError, StoreUnavailableError
from unstale.events import Stored

TEXT = [("Content-Type", "text/plain")]


# The rules by themselves


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("POST", []),
        ("GET", [("authorization", "Basic eDp5")]),
        ("GET", [("RANGE", "bytes=0-1")]),
        ("GET", [("If-Match", '"a"')]),
        ("GET", [("cache-control", "max-age=0, No-Store")]),
        ("GET", [("content-length", "2")]),
        ("GET", [("transfer-encoding", "chunked")]),
    ],
)
def test_requests_that_bypass(method: str, headers: list[tuple[str, str]]) -> None:
    """These are answered without the cache."""
    assert not Rules().admit(method, headers)


@pytest.mark.parametrize(
    "headers",
    [[], [("cache-control", "no-cache")], [("pragma", "no-cache")], [("cookie", "a=b")], [("content-length", "0")]],
)
def test_requests_that_are_admitted(headers: list[tuple[str, str]]) -> None:
    """A client cannot make a view run by no-cache: what is stored is fresh by its stamps."""
    assert Rules().admit("GET", headers)


@pytest.mark.parametrize(
    "headers",
    [
        [("Set-Cookie", "a=b")],
        [("Cache-Control", 'Private="x"')],
        [("cache-control", "max-age=1"), ("cache-control", "no-store")],
        [("Vary", "accept-encoding, *")],
        [("vary", "Accept-Language")],
        [("vary", "Cookie")],
        [("content-type", "text/event-stream; charset=utf-8")],
        [("content-range", "bytes 0-1/2")],
        [("content-length", str(1024 * 1024 + 1))],
    ],
)
def test_responses_that_are_not_stored(headers: list[tuple[str, str]]) -> None:
    """A response that is somebody's own, unfinished, or varies by what the key does not have."""
    assert not Rules().keep(200, [*TEXT, *headers])


@pytest.mark.parametrize("status", [201, 204, 206, 302, 304, 404, 500])
def test_statuses_that_are_not_stored(status: int) -> None:
    """Only 200 is, unless asked for."""
    assert not Rules().keep(status, TEXT)


def test_a_named_vary_is_stored() -> None:
    """A response may vary by what the route names, in any case."""
    assert Rules.of({"vary": ["Accept-Language"]}).keep(200, [("Vary", "accept-language")])


@pytest.mark.parametrize(
    "options",
    [{"vary": "accept"}, {"vary": ["*"]}, {"statuses": [500]}, {"statuses": []}, {"max_bytes": 0}, {"tll": 5}],
)
def test_options_that_make_no_sense(options: Any) -> None:
    """They are refused when the decorator is made."""
    with pytest.raises(ConfigurationError):
        Rules.of(options)


@pytest.mark.parametrize("options", [{"ttl": 0}, {"ttl": "5"}, {"stale_ttl": -1}])
def test_durations_that_make_no_sense(options: Any) -> None:
    """They are refused when the decorator is made, too."""
    with pytest.raises(InvalidDurationError):
        Rules.of(options)


def test_queries_are_sorted_by_name() -> None:
    """One name's values keep their order; nothing is decoded but names to compare them."""
    assert sorted_query("b=1&a=2&a=1") == sorted_query("a=2&b=1&&a=1") == "a=2&a=1&b=1"
    assert sorted_query("a=2&%61=1") != sorted_query("%61=1&a=2")
    assert sorted_query("a=%ff") != sorted_query("a=%fe")


def test_keys_tell_parts_apart() -> None:
    """No two requests meet because their parts run together, and no header's value can be read in a key."""
    rules = Rules.of({"vary": ["accept-language"]})
    made = [
        rules.key("/p", ["GET", "http", "h", "/p", "ab"], []),
        rules.key("/p", ["GET", "http", "h", "/pa", "b"], []),
        rules.key("/p", ["GET", "http", "h", "/p", "ab"], [("Accept-Language", "secret")]),
    ]
    assert len(set(made)) == 3
    assert "secret" not in made[2]


def test_a_key_of_any_path_is_valid() -> None:
    """Control characters, lone surrogates and long paths make keys that a cache takes."""
    key = Rules().key("/\0\n\udcff" + "é" * 5000, ["/\0\n\udcff"], [])
    assert key.isascii()
    assert key.isprintable()
    assert len(key) < 200


@pytest.mark.parametrize("sent", ['"a"', 'W/"a"', '"b", "a"', "*", '"b",W/"a"'])
def test_etags_that_match(sent: str) -> None:
    """Weak comparison, lists, and the star."""
    assert etag_matches('"a"', sent)
    assert etag_matches('W/"a"', sent)


@pytest.mark.parametrize("sent", ["", "a", '"b"', '"A"', '"*"'])
def test_etags_that_do_not_match(sent: str) -> None:
    """Anything else does not, nor does an ETag without quotes."""
    assert not etag_matches('"a"', sent)
    assert not etag_matches("a", "a")


def test_etag_is_of_body_and_type() -> None:
    """The same body of another type or encoding is another representation."""
    made = {
        make_etag(TEXT, b"x"),
        make_etag(TEXT, b"y"),
        make_etag([("content-type", "text/html")], b"x"),
        make_etag([*TEXT, ("content-encoding", "gzip")], b"x"),
    }
    assert len(made) == 4


def test_stored_form() -> None:
    """One connection's headers are left out; ETag, no-cache and Vary are added where the view said nothing."""
    headers = [*TEXT, ("Connection", "x-hop"), ("X-Hop", "1"), ("Keep-Alive", "5"), ("Date", "now"), ("X-Own", "1")]
    stored = Rules.of({"vary": ["accept"]}).stored(200, headers, b"x")
    kept = dict(stored.headers)
    assert kept.keys() == {"Content-Type", "X-Own", "etag", "cache-control", "vary"}
    assert (kept["cache-control"], kept["vary"]) == ("no-cache", "accept")
    assert StoredResponse.unpacked(stored.packed()) == stored


def test_stored_form_leaves_what_the_view_said() -> None:
    """The view's own ETag, Cache-Control and Vary stand."""
    said = [("ETag", '"v1"'), ("Cache-Control", "max-age=5"), ("Vary", "Accept")]
    assert Rules.of({"vary": ["accept"]}).stored(200, said, b"").headers == said


@pytest.mark.parametrize("data", [None, 5, b"", b"\xff", b"\x90", "text"])
def test_what_is_no_stored_response(data: object) -> None:
    """Something else under the key is no response."""
    assert StoredResponse.unpacked(data) is None


def test_not_modified_has_no_content() -> None:
    """304 has neither a body nor headers about one; a stored 404 is never 304."""
    stored = Rules().stored(200, [*TEXT, ("x-own", "1")], b"x")
    answer = stored.answer("GET", [("If-None-Match", "*")])
    assert (answer.status, answer.body) == (304, b"")
    assert dict(answer.headers).keys() == {"x-own", "etag", "cache-control"}
    assert Rules().stored(404, TEXT, b"x").answer("GET", [("If-None-Match", "*")]).status == 404


def test_a_values_tag_that_is_too_long() -> None:
    """A read goes on without the cache; a write is told."""
    rules = TagRules(["p:{name}"])
    assert rules.of_read(None, {"name": "x" * 300}) is None
    with pytest.raises(ValueError, match="256"):
        rules.of(None, {"name": "x" * 300})


@pytest.mark.parametrize("tags", ["p:{a}", ["p:{"], ["p:{0}"], [""]])
def test_templates_are_checked_at_once(tags: Any) -> None:
    """A template that cannot be read is refused when the decorator is made."""
    with pytest.raises(ConfigurationError):
        TagRules(tags)


# Starlette


@pytest.fixture
def cache() -> AsyncCache:
    """A cache in a dict."""
    return AsyncCache.from_url("memory://", namespace="test")


def ask(app: Any, *requests: Any) -> list[httpx.Response]:
    """Ask an ASGI application, one after the other: a path, or httpx's arguments."""

    async def all_of_them() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
            made = [("GET", request, {}) if isinstance(request, str) else request for request in requests]
            return [await client.request(method, path, **options) for method, path, options in made]

    return asyncio.run(all_of_them())


def served(cache: AsyncCache, respond: Callable[[int], Response], middleware: Any = (), **options: Any) -> Starlette:
    """An application whose one endpoint is given the number of its run."""
    runs = iter(range(1, 1000))

    @for_starlette.cached_response(cache, **options)
    async def endpoint(request: Request) -> Response:
        return respond(next(runs))

    return Starlette(routes=[Route("/{name}", endpoint)], middleware=list(middleware))


def texts(answers: list[httpx.Response]) -> list[str]:
    """Their bodies."""
    return [answer.text for answer in answers]


def test_starlette_hit(cache: AsyncCache) -> None:
    """The second answer is the first, until the tag is invalidated."""
    app = served(cache, lambda run: PlainTextResponse(f"{run}"), tags=["page:{name}"])
    assert texts(ask(app, "/a", "/a?", "/b")) == ["1", "1", "2"]
    asyncio.run(cache.invalidate("page:a"))
    assert texts(ask(app, "/a", "/b")) == ["3", "2"]


def test_starlette_304_after_a_load(cache: AsyncCache) -> None:
    """Who has the response already gets 304 from a miss as well."""
    app = served(cache, lambda run: PlainTextResponse("same"))
    etag = ask(app, "/a")[0].headers["etag"]
    asyncio.run(cache.clear())
    assert ask(app, ("GET", "/a", {"headers": {"if-none-match": etag}}))[0].status_code == 304


def test_another_host_is_another_key(cache: AsyncCache) -> None:
    """A forged Host, which a view may put into links, poisons nobody else's answer."""
    app = served(cache, lambda run: PlainTextResponse(f"{run}"))
    assert texts(ask(app, "/a", ("GET", "/a", {"headers": {"host": "evil"}}), "/a")) == ["1", "2", "1"]


def test_vary_is_in_the_key(cache: AsyncCache) -> None:
    """Clients that differ in a named header do not share, and caches behind us are told."""
    app = served(cache, lambda run: PlainTextResponse(f"{run}"), vary=["Accept-Language"])
    german = ("GET", "/a", {"headers": {"accept-language": "de"}})
    answers = ask(app, "/a", german, "/a", german)
    assert texts(answers) == ["1", "2", "1", "2"]
    assert {answer.headers["vary"] for answer in answers} == {"accept-language"}


def test_authorized_responses_are_kept_apart(cache: AsyncCache) -> None:
    """Asked for, they are stored for each credential; who has none is not served them."""
    app = served(cache, lambda run: PlainTextResponse(f"{run}"), authorized=True)
    anne, bob = (("GET", "/a", {"headers": {"authorization": name}}) for name in ("anne", "bob"))
    assert texts(ask(app, anne, bob, "/a", anne, bob)) == ["1", "2", "3", "1", "2"]


def test_own_key(cache: AsyncCache) -> None:
    """A function makes the key in place of the URL."""
    app = served(cache, lambda run: PlainTextResponse(f"{run}"), key=lambda request: request.url.path)
    assert texts(ask(app, "/a?utm=1", "/a?utm=2", "/b")) == ["1", "1", "2"]


def test_x_cache(cache: AsyncCache) -> None:
    """Asked for, a header says where the answer came from."""
    app = served(cache, lambda run: PlainTextResponse("x"), x_cache=True)
    said = [
        answer.headers["x-cache"] for answer in ask(app, "/a", "/a", ("GET", "/a", {"headers": {"range": "bytes=0-"}}))
    ]
    assert said == ["miss", "hit", "bypass"]


def test_head_fills_nothing(cache: AsyncCache) -> None:
    """A HEAD runs the view where GET has stored nothing, and its answer is not stored."""
    app = served(cache, lambda run: PlainTextResponse(f"{run}"))
    head = ("HEAD", "/a", {})
    answers = ask(app, head, "/a", head, "/a")
    assert texts(answers) == ["", "2", "", "2"]
    assert answers[2].headers["etag"] == answers[1].headers["etag"]


def stream(*chunks: bytes | str) -> StreamingResponse:
    """A response in pieces."""

    async def pieces() -> AsyncIterator[bytes | str]:
        for chunk in chunks:
            yield chunk

    return StreamingResponse(pieces(), media_type="text/plain")


def test_streams_are_stored_up_to_a_limit(cache: AsyncCache) -> None:
    """A short stream is served whole from the cache; a long one passes through whole, each time."""
    short = served(cache, lambda run: stream(f"{run}", b"x"), max_bytes=2)
    long = served(cache, lambda run: stream(f"{run}", b"xx", b"yy"), max_bytes=2)
    assert texts(ask(short, "/a", "/a")) == ["1x", "1x"]
    assert texts(ask(long, "/b", "/b")) == ["1xxyy", "2xxyy"]


def test_files_pass_through(cache: AsyncCache, tmp_path: Any) -> None:
    """A file is sent in its own way."""
    path = tmp_path / "a.txt"
    path.write_text("file")
    assert texts(ask(served(cache, lambda run: FileResponse(path)), "/a", "/a")) == ["file", "file"]


@pytest.mark.parametrize("status", [404, 500, 503])
def test_errors_are_not_stored(cache: AsyncCache, status: int) -> None:
    """Neither as responses nor as exceptions."""

    def fail(run: int) -> Response:
        if run > 1:
            raise HTTPException(status, f"{run}")
        return PlainTextResponse(f"{run}", status)

    assert texts(ask(served(cache, fail), "/a", "/a", "/a")) == ["1", "2", "3"]


@pytest.mark.parametrize(("status", "shown"), [(503, "1"), (404, "2"), (200, "2")])
def test_a_stale_response_stands_in_for_an_error_of_the_servers(cache: AsyncCache, status: int, shown: str) -> None:
    """Softly stale, it is served in place of a 5xx; a 404 is an answer, and is given."""
    app = served(
        cache, lambda run: PlainTextResponse(f"{run}", 200 if run == 1 else status), tags=["page"], stale_ttl=1000
    )
    assert texts(ask(app, "/a")) == ["1"]
    asyncio.run(cache.invalidate("page", soft=True))
    assert texts(ask(app, "/a")) == [shown]


def test_a_stale_response_stands_in_for_a_raised_error(cache: AsyncCache) -> None:
    """The same for a 503 that is raised."""

    def respond(run: int) -> Response:
        if run > 1:
            raise HTTPException(503)
        return PlainTextResponse(f"{run}")

    app = served(cache, respond, tags=["page"], stale_ttl=1000)
    ask(app, "/a")
    asyncio.run(cache.invalidate("page", soft=True))
    assert texts(ask(app, "/a")) == ["1"]


def test_that_nothing_is_stored_is_remembered_for_seconds() -> None:
    """Not for the ttl of a response: it may be storable soon."""
    events: list[Any] = []
    cache = AsyncCache.from_url("memory://", namespace="test", on_event=events.append)
    ask(served(cache, lambda run: PlainTextResponse("x", 404), ttl=1000), "/a")
    [key] = [event.key for event in events if isinstance(event, Stored)]
    assert 0 < asyncio.run(cache.ttl(key)) <= UNSTORED_SECONDS


def test_a_runner_is_not_used() -> None:
    """A view runs while its request does: the reader who gets the lease makes the response anew himself."""
    jobs: list[Any] = []
    cache = AsyncCache.from_url("memory://", namespace="test", runner=jobs.append)
    app = served(cache, lambda run: PlainTextResponse(f"{run}"), tags=["page"], stale_ttl=1000)

    async def scenario() -> str:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client:
            await client.get("/a")
            await cache.invalidate("page", soft=True)
            return (await client.get("/a")).text

    assert asyncio.run(scenario()) == "2"
    assert jobs == []


def test_a_cache_that_carries_bytes_only(cache: AsyncCache) -> None:
    """What cannot be stored is answered there as well."""
    raw = AsyncCache.from_url("memory://", namespace="test", codec="raw")
    app = served(raw, lambda run: PlainTextResponse(f"{run}", 200 if run == 1 else 404))
    assert texts(ask(app, "/a", "/a", "/b", "/b")) == ["1", "1", "2", "3"]


def test_an_error_in_the_view_is_the_callers(cache: AsyncCache) -> None:
    """What the view raises comes out unchanged."""
    with pytest.raises(ZeroDivisionError):
        ask(served(cache, lambda run: PlainTextResponse(f"{1 // 0}")), "/a")


def test_a_404_is_stored_where_asked_for(cache: AsyncCache) -> None:
    """A returned one; it stays a 404."""
    app = served(cache, lambda run: PlainTextResponse(f"{run}", 404), statuses=[200, 404])
    assert [(answer.status_code, answer.text) for answer in ask(app, "/a", "/a")] == [(404, "1")] * 2


def test_what_cannot_be_stored_is_not_waited_for(cache: AsyncCache) -> None:
    """Once that is known, requests for one key run side by side: each sees both in the view."""
    both: list[asyncio.Barrier] = []

    @for_starlette.cached_response(cache)
    async def endpoint(request: Request) -> Response:
        if both:
            await asyncio.wait_for(both[0].wait(), 20)
        return PlainTextResponse("x", headers={"cache-control": "no-store"})

    async def scenario() -> list[int]:
        app = Starlette(routes=[Route("/a", endpoint)])
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client:
            await client.get("/a")
            both.append(asyncio.Barrier(2))
            answers = await asyncio.gather(client.get("/a"), client.get("/a"))
            return [answer.status_code for answer in answers]

    assert asyncio.run(scenario()) == [200, 200]


def test_a_session_that_was_read_is_not_stored(cache: AsyncCache) -> None:
    """Starlette says `Vary: Cookie` for it outside of the endpoint, so the rule looks at the session itself."""

    @for_starlette.cached_response(cache)
    async def endpoint(request: Request) -> Response:
        return PlainTextResponse(request.session.setdefault("name", request.query_params["name"]))

    @for_starlette.cached_response(cache, key=lambda request: "same")
    async def greeting(request: Request) -> Response:
        return PlainTextResponse(str(request.session.get("name")))

    routes = [Route("/name", endpoint), Route("/greeting", greeting)]
    app = Starlette(routes=routes, middleware=[Middleware(SessionMiddleware, secret_key="x")])
    assert texts(ask(app, "/greeting", "/name?name=anne", "/greeting")) == ["None", "anne", "anne"]


def test_an_unread_session_changes_nothing(cache: AsyncCache) -> None:
    """A response that does not look into the session is everybody's."""
    app = served(cache, lambda run: PlainTextResponse(f"{run}"), [Middleware(SessionMiddleware, secret_key="x")])
    assert texts(ask(app, "/a", "/a")) == ["1", "1"]


def test_a_plain_endpoint_runs_in_a_thread(cache: AsyncCache) -> None:
    """`def` endpoints are kept too, also on a cache whose codec knows no bytes in structures."""
    runs = iter("123")
    plain = AsyncCache.from_url("memory://", namespace="test", codec="json")

    @for_starlette.cached_response(plain)
    def endpoint(request: Request) -> Response:
        return Response(b"\xff" + next(runs).encode())

    answers = ask(Starlette(routes=[Route("/a", endpoint)]), "/a", "/a")
    assert [answer.content for answer in answers] == [b"\xff1", b"\xff1"]


def test_a_response_inherits_what_its_view_read(cache: AsyncCache) -> None:
    """It is stale with the cached values that it was made of, though its own tags do not name them."""
    counts = iter(range(1, 10))

    async def load() -> int:
        return next(counts)

    @for_starlette.cached_response(cache)
    async def endpoint(request: Request) -> Response:
        return PlainTextResponse(str(await cache.get_or_set("count", load, tags=["count"])))

    app = Starlette(routes=[Route("/a", endpoint)])
    assert texts(ask(app, "/a", "/a")) == ["1", "1"]
    asyncio.run(cache.invalidate("count"))
    assert texts(ask(app, "/a")) == ["2"]


def test_starlette_invalidates_before_it_answers(cache: AsyncCache) -> None:
    """The writer's next read is fresh; a refused write leaves all as it was."""
    runs = iter("123")

    @for_starlette.cached_response(cache, tags=["page:{number}"])
    async def read(request: Request) -> Response:
        return PlainTextResponse(next(runs))

    @for_starlette.invalidates("page:{number}", cache=cache)
    async def write(request: Request) -> Response:
        return Response(status_code=int(request.query_params["status"]))

    app = Starlette(routes=[Route("/{number:int}", read), Route("/{number:int}", write, methods=["POST"])])
    answers = ask(app, "/07", ("POST", "/7?status=409", {}), "/07", ("POST", "/7?status=204", {}), "/07")
    assert texts(answers) == ["1", "", "1", "", "2"]


def test_a_missing_parameter_is_said(cache: AsyncCache) -> None:
    """A template that the path cannot fill fails at the first request."""
    with pytest.raises(ConfigurationError, match="'id'"):
        ask(served(cache, lambda run: PlainTextResponse("x"), tags=["page:{id}"]), "/a")


def test_lifespan_survives_a_server_that_is_away(caplog: pytest.LogCaptureFixture) -> None:
    """The application starts, says so in the log, and has a cache."""

    async def scenario() -> object:
        app = Starlette()
        async with for_starlette.cache_lifespan("redis://127.0.0.1:1/0")(app):
            return app.state.unstale

    assert isinstance(asyncio.run(scenario()), AsyncCache)
    assert "away" in caplog.text


def test_remembering_holds_a_set_to_the_requests_first_look(cache: AsyncCache) -> None:
    """A `set` of what was computed before an invalidation is refused, also of another key of the same tag."""

    async def endpoint(request: Request) -> Response:
        await cache.get("a", tags=["t"])
        await cache.invalidate("t")
        return PlainTextResponse(str(await cache.set("b", 1, tags=["t"])))

    app = Starlette(routes=[Route("/a", endpoint)])
    assert texts(ask(app, "/a")) == ["True"]
    assert texts(ask(for_starlette.RememberingMiddleware(app), "/a")) == ["False"]


# FastAPI


@pytest.fixture
def router() -> APIRouter:
    """A router of our class."""
    return APIRouter(route_class=for_fastapi.UnstaleRoute)


def fastapi_with(router: APIRouter, **options: Any) -> FastAPI:
    """An application with a router."""
    app = FastAPI()
    app.include_router(router, **options)
    return app


def test_dependencies_belong_to_the_loader(cache: AsyncCache, router: APIRouter) -> None:
    """What a dependency reads before an invalidation is not stored after it."""
    state = {"value": "old", "armed": True}

    async def read() -> str:
        seen = str(state["value"])
        if state.pop("armed", False):
            state["value"] = "new"
            await cache.invalidate("thing:1")
        return seen

    @router.get("/{number}")
    @for_fastapi.cached_response(cache, tags=["thing:{number}"])
    async def endpoint(number: int, value: Annotated[str, Depends(read)]) -> str:
        return value

    assert texts(ask(fastapi_with(router), "/1", "/1", "/1")) == ['"old"', '"new"', '"new"']


def test_a_prefix_may_hold_the_parameter(cache: AsyncCache, router: APIRouter) -> None:
    """A parameter of the prefix that a router is included under fills a tag too, as it is converted."""
    runs = iter(range(1, 10))

    @router.get("/orders")
    @for_fastapi.cached_response(cache, tags=["user:{user_id}"])
    async def endpoint(user_id: int) -> int:
        return next(runs)

    app = fastapi_with(router, prefix="/users/{user_id}")
    assert texts(ask(app, "/users/042/orders", "/users/042/orders")) == ["1", "1"]
    asyncio.run(cache.invalidate("user:42"))
    assert texts(ask(app, "/users/042/orders")) == ["2"]


def test_a_wrong_parameter_is_fastapis_to_answer(cache: AsyncCache, router: APIRouter) -> None:
    """It is answered with 422 as without us."""

    @router.get("/{number}")
    @for_fastapi.cached_response(cache, tags=["thing:{number}"])
    async def endpoint(number: int) -> int:
        return number

    assert ask(fastapi_with(router), "/x")[0].status_code == 422


@pytest.mark.parametrize(
    "declared",
    [
        Annotated[str, Header(alias="X-Tenant")],
        Annotated[str, Cookie()],
        Annotated[str, Depends(APIKeyCookie(name="s"))],
    ],
)
def test_declared_headers_must_be_named(cache: AsyncCache, router: APIRouter, declared: Any) -> None:
    """A route that reads a header or a cookie is not kept for clients that differ in it."""

    def endpoint() -> Any:
        async def endpoint(value: declared) -> str:
            return str(value)

        return endpoint

    with pytest.raises(ConfigurationError, match=r"x-tenant|cookie"):
        router.get("/a")(for_fastapi.cached_response(cache)(endpoint()))
    router.get("/a")(for_fastapi.cached_response(cache, vary=["X-Tenant", "Cookie"])(endpoint()))
    router.get("/a")(for_fastapi.cached_response(cache, ignore=["X-Tenant", "Cookie"])(endpoint()))


def test_a_guard_where_the_router_is_included_counts(cache: AsyncCache, router: APIRouter) -> None:
    """A check that `include_router` adds is seen as well: a hit would not run it."""

    @router.get("/a")
    @for_fastapi.cached_response(cache)
    async def endpoint() -> str:
        return "x"

    with pytest.raises(ConfigurationError, match="x-key"):
        ask(fastapi_with(router, dependencies=[Depends(APIKeyHeader(name="X-Key"))]), "/a")


def test_another_route_class_is_loud(cache: AsyncCache) -> None:
    """Without UnstaleRoute a write would not invalidate: the endpoint raises instead."""
    router = APIRouter()

    @router.post("/a")
    @for_fastapi.invalidates("a", cache=cache)
    async def endpoint() -> None: ...

    with pytest.raises(ConfigurationError, match="route_class"):
        ask(fastapi_with(router), ("POST", "/a", {}))


def test_decorators_do_not_mix(cache: AsyncCache, router: APIRouter) -> None:
    """One that stands above ours, or a second route's, would be left out without a word: they are refused."""

    @for_fastapi.cached_response(cache)
    async def endpoint() -> None: ...

    @functools.wraps(endpoint)
    async def above() -> None: ...

    with pytest.raises(ConfigurationError, match="on top"):
        router.get("/a")(above)
    with pytest.raises(ConfigurationError, match="already"):
        for_fastapi.cached_response(cache)(endpoint.__wrapped__)


@pytest.mark.parametrize("method", ["post", "put", "delete"])
def test_only_get_is_kept(cache: AsyncCache, router: APIRouter, method: str) -> None:
    """A write's responses cannot be kept."""

    async def endpoint() -> None: ...

    with pytest.raises(ConfigurationError, match="only GET"):
        getattr(router, method)("/a")(for_fastapi.cached_response(cache)(endpoint))


def test_fastapi_templates_are_checked_with_the_route(cache: AsyncCache, router: APIRouter) -> None:
    """A tag that names no parameter is refused when the route is made."""

    async def endpoint(number: int) -> None: ...

    with pytest.raises(ConfigurationError, match="'nmuber'"):
        router.get("/{number}")(for_fastapi.cached_response(cache, tags=["thing:{nmuber}"])(endpoint))


def test_invalidation_comes_after_a_functions_dependencies(cache: AsyncCache, router: APIRouter) -> None:
    """What commits when the endpoint has returned has committed by then."""
    order: list[str] = []

    class Noting(AsyncCache):
        async def invalidate(self, *tags: str, soft: bool = False) -> Any:
            order.append("invalidated")

    async def session() -> AsyncIterator[None]:
        yield
        order.append("committed")

    @router.post("/a")
    @for_fastapi.invalidates("a", cache=Noting.from_url("memory://"))
    async def endpoint(_: Annotated[None, Depends(session, scope="function")]) -> None: ...

    ask(fastapi_with(router), ("POST", "/a", {}))
    assert order == ["committed", "invalidated"]


def test_an_invalidation_that_failed_is_loud(router: APIRouter) -> None:
    """The write is done, readers may see what was before: the client is told."""

    @router.post("/a")
    @for_fastapi.invalidates("a", cache=AsyncCache.from_url("redis://127.0.0.1:1/0"))
    async def endpoint() -> None: ...

    with pytest.raises(StoreUnavailableError):
        ask(fastapi_with(router), ("POST", "/a", {}))


# Flask


@pytest.fixture
def shop() -> Iterator[flask.Flask]:
    """A Flask application with a cache in a dict."""
    app = flask.Flask("shop")
    app.secret_key = "x"
    app.config.update(UNSTALE_URL="memory://", UNSTALE_OPTIONS={"namespace": "test"}, TESTING=True)
    for_flask.Unstale(app)
    yield app
    app.extensions["unstale"].close()


def view_of(app: flask.Flask, respond: Callable[[int], Any], **options: Any) -> Any:
    """A client of an application whose one view is given the number of its run."""
    runs = iter(range(1, 1000))

    @app.get("/<name>")
    @for_flask.cached_response(**options)
    def view(name: str) -> Any:
        return respond(next(runs))

    return app.test_client()


def test_flask_hit(shop: flask.Flask) -> None:
    """The second answer is the first, until the tag is invalidated."""
    client = view_of(shop, str, tags=["page:{name}"])
    assert [client.get(path).text for path in ("/a", "/a?", "/b")] == ["1", "1", "2"]
    shop.extensions["unstale"].invalidate("page:a")
    assert [client.get(path).text for path in ("/a", "/b")] == ["3", "2"]


def test_flask_another_host_is_another_key(shop: flask.Flask) -> None:
    """A forged Host, which a view may put into links, poisons nobody else's answer."""
    client = view_of(shop, str)
    answers = [client.get("/a", base_url=f"http://{host}").text for host in ("shop", "evil", "shop")]
    assert answers == ["1", "2", "1"]


def test_flask_session_that_was_read_is_not_stored(shop: flask.Flask) -> None:
    """Flask says `Vary: Cookie` for it only after the view, so the rule looks at the session itself."""
    client = view_of(shop, lambda run: f"{run} {flask.session.get('name')}")
    assert [client.get("/a").text for _ in range(2)] == ["1 None", "2 None"]


def test_flask_session_that_a_hook_has_read_is_not_stored(shop: flask.Flask) -> None:
    """The view may know of it by `g`."""

    @shop.before_request
    def know_user() -> None:
        flask.g.name = flask.session.get("name")

    client = view_of(shop, lambda run: f"{run} {flask.g.name}")
    assert [client.get("/a").text for _ in range(2)] == ["1 None", "2 None"]


@pytest.mark.parametrize("status", [404, 500, 503])
def test_flask_errors_are_not_stored(shop: flask.Flask, status: int) -> None:
    """Neither as responses nor as exceptions."""
    client = view_of(shop, lambda run: flask.abort(flask.Response(f"{run}", status)) if run > 1 else (f"{run}", status))
    assert [client.get("/a").text for _ in range(3)] == ["1", "2", "3"]


def test_flask_streams_are_stored_up_to_a_limit(shop: flask.Flask) -> None:
    """A short stream is served whole from the cache; a long one passes through whole, and is closed each time."""
    closed: list[int] = []

    def respond(run: int) -> flask.Response:
        response = flask.Response(iter([f"{run}", "x" * (5 if flask.request.path == "/long" else 1)]))
        response.call_on_close(lambda: closed.append(run))
        return response

    client = view_of(shop, respond, max_bytes=3)
    got = []
    for path in ("/short", "/short", "/long", "/long"):
        with client.get(path) as answer:
            got.append(answer.text)
    assert got == ["1x", "1x", "2xxxxx", "3xxxxx"]
    assert closed == [1, 2, 3]


def test_flask_async_view(shop: flask.Flask) -> None:
    """`async def` views run as Flask runs them, where its extra is installed."""
    pytest.importorskip("asgiref")
    runs = iter("12")

    @shop.get("/a")
    @for_flask.cached_response()
    async def view() -> str:
        return next(runs)

    assert [shop.test_client().get("/a").text for _ in range(2)] == ["1", "1"]


def test_flask_templates_are_checked_with_the_view() -> None:
    """A tag that names no argument is refused when the decorator is applied."""

    def view(number: int) -> None: ...

    with pytest.raises(ConfigurationError, match="'nmuber'"):
        for_flask.cached_response(tags=["thing:{nmuber}"])(view)
    with pytest.raises(ConfigurationError, match="'nmuber'"):
        for_flask.invalidates("thing:{nmuber}")(view)


def test_flask_remembers_for_each_request(shop: flask.Flask) -> None:
    """A `set` of what was computed before an invalidation is refused, also of another key of the same tag."""

    @shop.get("/a")
    def view() -> str:
        for_flask.current_cache.get("a", tags=["t"])
        for_flask.current_cache.invalidate("t")
        return str(for_flask.current_cache.set("b", 1, tags=["t"]))

    assert shop.test_client().get("/a").text == "False"


def test_flask_without_a_cache_says_so() -> None:
    """An application without the extension, or without a URL, is told what to do."""
    app = flask.Flask("shop")
    with pytest.raises(ConfigurationError, match="UNSTALE_URL"):
        for_flask.Unstale(app)
    with app.app_context(), pytest.raises(ConfigurationError, match="Unstale"):
        for_flask.current_cache.get("a")


def test_flask_cache_may_be_named(shop: flask.Flask) -> None:
    """A decorator may name a cache of its own."""
    with Cache.from_url("memory://", namespace="other") as own:
        client = view_of(shop, str, cache=own)
        client.get("/a")
        own.clear()
        assert client.get("/a").text == "2"


def test_flask_invalidation_that_failed_is_loud(shop: flask.Flask) -> None:
    """The write is done, readers may see what was before: the error comes out."""
    with Cache.from_url("redis://127.0.0.1:1/0") as away:

        @shop.post("/a")
        @for_flask.invalidates("a", cache=away)
        def view() -> str:
            return "x"

        with pytest.raises(StoreUnavailableError):
            shop.test_client().post("/a")
