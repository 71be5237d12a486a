"""Starlette: responses kept in an AsyncCache, invalidation before a write's response is sent, the cache's lifespan.

    app = Starlette(routes=[...], lifespan=cache_lifespan("redis://localhost:6379/0", namespace="shop"))

    @cached_response(tags=["product:{product_id}"], ttl=300)
    async def product(request: Request) -> Response: ...       # Route("/products/{product_id:int}", product)

    @invalidates("product:{product_id}")
    async def change_price(request: Request) -> Response: ...  # commits; its tags are invalidated before the answer

`def` endpoints may be decorated too: they run in a thread, as Starlette runs them. Convert a path's parameters in the
path (`{product_id:int}`): where the endpoint does it, /products/042 is product 42 under the tag `product:042`.

A hit runs neither the endpoint nor what it calls, checks of the client's rights among it; put these into middleware.
An endpoint that raises is not stored: an HTTPException below 500 as a response that is not storable, the rest as the
loader's error. To store a 404 (`statuses`), return it. Which requests and responses qualify: `unstale.contrib.http`.
A cache's `runner` is not used for responses: a view runs while its request does.

Other middleware works on what is served from here, so put GZipMiddleware and CORSMiddleware around, as usual.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import wraps
from typing import Any, Self, TypeAlias, TypeVar, Unpack, cast

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from unstale.aio import AsyncCache
from unstale.contrib.http import (
    UNSTORED_SECONDS,
    ResponseOptions,
    Rules,
    StoredResponse,
    TagRules,
    UnkeptError,
    sorted_query,
)
from unstale.core.capture import remembering
from unstale.core.policy import DEFAULT
from unstale.errors import ConfigurationError, StoreError
from unstale.options import CacheOptions

View: TypeAlias = "Callable[[], Awaitable[Response]]"
E = TypeVar("E", bound=Callable[..., Any])


def cached_response(cache: AsyncCache | None = None, **options: Unpack[ResponseOptions]) -> Callable[[E], E]:
    """Decorate an endpoint: its responses are kept in a cache, with an ETag, until one of their tags is invalidated.

    Args:
        cache: where to; None for the application's, of `cache_lifespan`.
        options: see `ResponseOptions`.

    Returns:
        A decorator for `async def` and `def` endpoints, and for the methods of an HTTPEndpoint.

    Raises:
        ConfigurationError: an option or a template makes no sense. Whether the path has the parameters that the
            templates name shows at the first request.
    """
    keeper = Keeper(cache, options)
    tags = TagRules(options.get("tags", ()))

    def decorate(endpoint: E) -> E:
        @wraps(endpoint)
        async def kept(*arguments: Any) -> Response:
            request: Request = arguments[-1]
            return await keeper.respond(
                request, tags.of_read(request, request.path_params), lambda: _run(endpoint, *arguments)
            )

        return cast("E", kept)

    return decorate


def invalidates(*tags: str, cache: AsyncCache | None = None) -> Callable[[E], E]:
    """Decorate an endpoint that writes: when it has answered below 400, these tags are invalidated, then it is sent.

    So the client's next read is fresh. COMMIT in the endpoint: what is committed after it comes after the invalidation.

    Args:
        tags: templates over the path's parameters, such as "product:{product_id}".
        cache: whose; None for the application's, of `cache_lifespan`.

    Returns:
        A decorator. Its endpoint raises StoreError, a 500 to the client, if the write was done and the invalidation was
        not: readers may get what was before. It is safe to repeat.

    Raises:
        ConfigurationError: no tags, or a template makes no sense.
    """
    if not tags:
        raise ConfigurationError('invalidates() needs tags: write invalidates("product:{product_id}").')
    rules = TagRules(tags)

    def decorate(endpoint: E) -> E:
        @wraps(endpoint)
        async def invalidating(*arguments: Any) -> Response:
            request: Request = arguments[-1]
            names = rules.of(request, request.path_params)  # a bad value fails before anything is written
            response = await _run(endpoint, *arguments)
            if response.status_code < 400:  # noqa: PLR2004 - HTTP's errors begin there
                await (cache or cache_of(request)).invalidate(*names)
            return response

        return cast("E", invalidating)

    return decorate


async def _run(endpoint: Callable[..., Any], *arguments: Any) -> Response:
    """Call an endpoint as Starlette does. A thread inherits the context, so what it reads from the cache is known."""
    if inspect.iscoroutinefunction(endpoint):
        response: Response = await endpoint(*arguments)
        return response
    return await run_in_threadpool(endpoint, *arguments)


def cache_of(connection: HTTPConnection) -> AsyncCache:
    """The application's cache, which `cache_lifespan` has put at `app.state.unstale`.

    Args:
        connection: a request or a WebSocket of it.

    Raises:
        ConfigurationError: there is none. Mounted applications have their own state: give these the cache itself.
    """
    cache = getattr(connection.app.state, "unstale", None)
    if not isinstance(cache, AsyncCache):
        raise ConfigurationError(
            "This application has no cache. Make it with lifespan=cache_lifespan(url), or name one in the decorator."
        )
    return cache


def cache_lifespan(
    url: str, **options: Unpack[CacheOptions]
) -> Callable[[Starlette], AbstractAsyncContextManager[None]]:
    """A lifespan that makes the application's cache at start-up and closes it at shutdown.

    In a lifespan of your own: `async with cache_lifespan(url)(app): …`. A server that cannot be reached is logged as a
    warning and no more: reads go on without it.

    Args:
        url: see `AsyncCache.from_url`.
        options: see `CacheOptions`.

    Returns:
        What Starlette and FastAPI take as `lifespan`.
    """

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with AsyncCache.from_url(url, **options) as cache:
            try:
                await cache.ping()
            except StoreError as error:
                logging.getLogger("unstale").warning("the cache is away, started without it: %s", error)
            app.state.unstale = cache
            yield

    return lifespan


class RememberingMiddleware:
    """Wraps each request in `unstale.remembering()`, so that `get` … compute … `set` in it is safe. Plain ASGI."""

    def __init__(self, app: ASGIApp) -> None:
        """Take the application that it is put around."""
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        with remembering():
            await self.app(scope, receive, send)


class Keeper:
    """Answers one route's requests from a cache, with the view as the loader."""

    def __init__(self, cache: AsyncCache | None, options: ResponseOptions) -> None:
        """Check the options. Raises ConfigurationError."""
        self.rules = Rules.of(options)
        self._cache = cache
        self._own_key = options.get("key")
        self._times = {"ttl": options.get("ttl", DEFAULT), "stale_ttl": options.get("stale_ttl", DEFAULT)}
        self._says = options.get("x_cache", False)

    async def respond(self, request: Request, tags: tuple[str, ...] | None, view: View) -> Response:
        """Answer a request.

        Args:
            request: it.
            tags: what its response depends on; None to do without the cache.
            view: makes the response.

        Raises:
            Whatever the view raises.
        """
        headers = request.headers.items()
        if tags is None or not self.rules.admit(request.method, headers) or self._is_personal(request):
            return self._marked(await view(), "bypass")
        load = _Load(request, view, self.rules)
        packed = await self._read(request, tags, load)
        if load.error is not None:
            raise load.error
        stored = StoredResponse.unpacked(packed)
        if stored is None:
            return self._marked(load.response or await view(), "bypass")
        response = _served(stored.answer(request.method, headers))
        if load.response is not None:
            response.background = load.response.background
        return self._marked(response, "miss" if load.ran else "hit")

    async def _read(self, request: Request, tags: tuple[str, ...], load: _Load) -> object:
        """The stored response; None where there is none, because it could not be stored. A HEAD fills nothing."""
        cache = (self._cache or cache_of(request)).inline()  # a view runs while its request does
        key = self._key(request)
        if request.method == "HEAD":
            return await cache.get(key, tags=tags)
        try:
            return await cache.get_or_set(key, load, tags=tags, negative_ttl=UNSTORED_SECONDS, **self._times)
        except UnkeptError:
            return None

    def _key(self, request: Request) -> str:
        headers = request.headers.items()
        if self._own_key is not None:
            own = self._own_key(request)
            return self.rules.key(own, ["own", own], headers)
        path = request.scope.get("root_path", "") + request.scope["path"]
        raw = request.scope.get("raw_path") or b""
        parts = [request.url.scheme, request.url.netloc.lower(), path, raw.decode("latin-1")]
        return self.rules.key(path, ["GET", *parts, sorted_query(request.url.query)], headers)

    def _is_personal(self, request: Request) -> bool:
        """Whether somebody is logged in, or a session cannot tell whether it was read; not if Cookie is in the key."""
        if "cookie" in self.rules.vary:
            return False
        session, user = request.scope.get("session"), request.scope.get("user")
        return bool(getattr(session, "accessed", session is not None) or getattr(user, "is_authenticated", False))

    def _marked(self, response: Response, word: str) -> Response:
        if self._says:
            response.headers["x-cache"] = word
        return response


class _Load:
    """A view as a loader: it returns the response's stored form, or None for what cannot be stored, and keeps the rest.

    Attributes:
        ran: whether the view was called.
        response: what it returned.
        error: the HTTPException that it answered with.
    """

    def __init__(self, request: Request, view: View, rules: Rules) -> None:
        self._request = request
        self._view = view
        self._rules = rules
        self.ran = False
        self.response: Response | None = None
        self.error: HTTPException | None = None

    def again(self) -> Self:
        """For the same request: to see whether it is answered as it was (`Verify.views`)."""
        return type(self)(self._request, self._view, self._rules)

    async def __call__(self) -> bytes | None:
        self.ran = True
        try:
            self.response = response = await self._view()
        except HTTPException as error:
            if error.status_code >= 500:  # noqa: PLR2004 - the server's own errors
                raise
            self.error = error
            return None
        if response.status_code >= 500 or response.status_code == 304:  # noqa: PLR2004 - the same; no whole response
            raise UnkeptError
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in response.raw_headers]
        if not self._rules.keep(response.status_code, headers) or self._read_session():
            return None
        body = await _whole_body(response, self._rules.max_bytes)
        return None if body is None else self._rules.stored(response.status_code, headers, body).packed()

    def _read_session(self) -> bool:
        """Whether the view looked into the session; the middleware says `Vary: Cookie` for that later, outside."""
        return "cookie" not in self._rules.vary and bool(getattr(self._request.scope.get("session"), "accessed", False))


async def _whole_body(response: Response, max_bytes: int) -> bytes | None:
    """A response's body; None if it is too long, or sent in a way of its own. What was read of it is put back."""
    if type(response).__call__ is Response.__call__:
        return bytes(response.body) if len(response.body) <= max_bytes else None
    if not isinstance(response, StreamingResponse) or type(response).__call__ is not StreamingResponse.__call__:
        return None
    chunks: list[bytes] = []
    size = 0
    rest = aiter(response.body_iterator)
    async for chunk in rest:
        chunks.append(chunk.encode(response.charset) if isinstance(chunk, str) else bytes(chunk))
        size += len(chunks[-1])
        if size > max_bytes:
            response.body_iterator = _put_back(chunks, rest)
            return None
    return b"".join(chunks)


async def _put_back(chunks: list[bytes], rest: AsyncIterator[Any]) -> AsyncIterator[Any]:
    for chunk in chunks:
        yield chunk
    async for chunk in rest:
        yield chunk


def _served(answer: StoredResponse) -> Response:
    response = Response(answer.body, answer.status)
    response.raw_headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers]
    return response


__all__ = ["Keeper", "RememberingMiddleware", "cache_lifespan", "cache_of", "cached_response", "invalidates"]
