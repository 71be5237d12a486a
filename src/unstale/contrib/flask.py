"""Flask: responses kept in a Cache, invalidation before a write's response is sent, an extension.

    app.config["UNSTALE_URL"] = "redis://localhost:6379/0"
    app.config["UNSTALE_OPTIONS"] = {"namespace": "shop"}
    Unstale(app)

    @app.get("/products/<int:product_id>")
    @cached_response(tags=["product:{product_id}"], ttl=300)
    def product(product_id): ...

    @app.put("/products/<int:product_id>/price")
    @invalidates("product:{product_id}")
    def change_price(product_id): ...   # commits; its tags are invalidated before the answer

The decorators stand right below the route's. Tags are filled from the view's arguments as the route converts them:
where the view does it, /products/042 is product 42 under the tag `product:042`.

A hit runs neither the view nor decorators below ours, checks of the client's rights among them; put these above, or
into `before_request`. A view that has looked into the session, or runs after a hook that has, is not stored, unless
`vary` names Cookie. A view that raises is not stored: an HTTPException below 500 (`abort`) as a response that is not
storable, the rest as the loader's error. To store a 404 (`statuses`), return it. Which requests and responses qualify:
`unstale.contrib.http`. A cache's `runner` is not used for responses: a view runs while its request does.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar, Unpack, cast

from flask import Flask, Response, current_app, request
from flask.globals import request_ctx
from werkzeug.exceptions import HTTPException
from werkzeug.local import LocalProxy

from unstale.cache import Cache
from unstale.contrib.http import (
    UNSTORED_SECONDS,
    Headers,
    ResponseOptions,
    Rules,
    StoredResponse,
    TagRules,
    UnkeptError,
    sorted_query,
)
from unstale.core.capture import remembering
from unstale.core.policy import DEFAULT
from unstale.errors import ConfigurationError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

V = TypeVar("V", bound=Callable[..., Any])

_NAME: Final = "unstale"


class Unstale:
    """The extension: an application's cache, and `unstale.remembering()` around each of its requests.

    Configuration: `UNSTALE_URL` (see `Cache.from_url`), and `UNSTALE_OPTIONS`, a dict (see `CacheOptions`).
    """

    def __init__(self, app: Flask | None = None) -> None:
        """Take an application now, or by `init_app` later."""
        if app is not None:
            self.init_app(app)

    def init_app(self, app: Flask) -> None:
        """Make an application's cache. It connects when it is first used, so a server that is away stops nothing here.

        Args:
            app: it is `current_cache` in its requests; `app.extensions["unstale"]` elsewhere.

        Raises:
            ConfigurationError: `UNSTALE_URL` is missing, or it or an option makes no sense.
        """
        url = app.config.get("UNSTALE_URL")
        if not url:
            raise ConfigurationError('Set app.config["UNSTALE_URL"], for example to "redis://localhost:6379/0".')
        app.extensions[_NAME] = Cache.from_url(url, **app.config.get("UNSTALE_OPTIONS", {}))
        app.wsgi_app = Remembering(app.wsgi_app)  # type: ignore[method-assign]


class Remembering:
    """Wraps each request in `unstale.remembering()`, so that `get` … compute … `set` in it is safe. Plain WSGI.

    What a response computes while it is being sent is outside.
    """

    def __init__(self, app: WSGIApplication) -> None:
        """Take the application that it is put around."""
        self.app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Pass a request on."""
        with remembering():
            return self.app(environ, start_response)


def _cache_of_app() -> Cache:
    cache = current_app.extensions.get(_NAME)
    if not isinstance(cache, Cache):
        raise ConfigurationError("This application has no cache. Call Unstale(app), or name one in the decorator.")
    return cache


current_cache: Cache = cast("Cache", LocalProxy(_cache_of_app))
"""The cache of the application whose request or command this is."""


def cached_response(cache: Cache | None = None, **options: Unpack[ResponseOptions]) -> Callable[[V], V]:
    """Decorate a view: its responses are kept in a cache, with an ETag, until one of their tags is invalidated.

    Args:
        cache: where to; None for the application's.
        options: see `ResponseOptions`.

    Returns:
        A decorator for views, `def` or `async def`.

    Raises:
        ConfigurationError: an option or a template makes no sense, or a template names no argument of the view.
    """
    rules = Rules.of(options)

    def decorate(view: V) -> V:
        keeper = _Keeper(cache, options, rules)
        tags = TagRules(options.get("tags", ()), inspect.signature(view).parameters)

        @wraps(view)
        def kept(*arguments: Any, **named: Any) -> Response:
            run = partial(_run, view, *arguments, **named)
            return keeper.respond(tags.of_read(_request(), _bound(view, arguments, named)), run)

        return cast("V", kept)

    return decorate


def invalidates(*tags: str, cache: Cache | None = None) -> Callable[[V], V]:
    """Decorate a view that writes: when it has answered below 400, these tags are invalidated, then it is sent.

    So the client's next read is fresh. COMMIT in the view: what is committed at teardown comes after the invalidation.

    Args:
        tags: templates over the view's arguments, such as "product:{product_id}".
        cache: whose; None for the application's.

    Returns:
        A decorator. Its view raises StoreError, a 500 to the client, if the write was done and the invalidation was
        not: readers may get what was before. It is safe to repeat.

    Raises:
        ConfigurationError: no tags, or a template makes no sense, or it names no argument of the view.
    """
    if not tags:
        raise ConfigurationError('invalidates() needs tags: write invalidates("product:{product_id}").')

    def decorate(view: V) -> V:
        rules = TagRules(tags, inspect.signature(view).parameters)

        @wraps(view)
        def invalidating(*arguments: Any, **named: Any) -> Response:
            names = rules.of(_request(), _bound(view, arguments, named))  # a bad value fails before anything is written
            response = _run(view, *arguments, **named)
            if response.status_code < 400:  # noqa: PLR2004 - HTTP's errors begin there
                (cache or _cache_of_app()).invalidate(*names)
            return response

        return cast("V", invalidating)

    return decorate


def _request() -> Any:
    return request._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 - werkzeug's documented way


def _bound(view: Callable[..., Any], arguments: tuple[Any, ...], named: dict[str, Any]) -> dict[str, Any]:
    """The view's arguments by name, defaults included. Raises TypeError as the call itself would."""
    bound = inspect.signature(view).bind(*arguments, **named)
    bound.apply_defaults()
    return bound.arguments


def _run(view: Callable[..., Any], *arguments: Any, **named: Any) -> Response:
    """Call a view as Flask does."""
    return current_app.make_response(current_app.ensure_sync(view)(*arguments, **named))


class _Keeper:
    """Answers one view's requests from a cache, with the view as the loader."""

    def __init__(self, cache: Cache | None, options: ResponseOptions, rules: Rules) -> None:
        self._rules = rules
        self._cache = cache
        self._own_key = options.get("key")
        self._times = {"ttl": options.get("ttl", DEFAULT), "stale_ttl": options.get("stale_ttl", DEFAULT)}
        self._says = options.get("x_cache", False)

    def respond(self, tags: tuple[str, ...] | None, view: Callable[[], Response]) -> Response:
        """Answer the current request; without the cache where `tags` is None."""
        headers = list(request.headers.items())
        if tags is None or not self._rules.admit(request.method, headers):
            return self._marked(view(), "bypass")
        load = _Load(view, self._rules)
        packed = self._read(headers, tags, load)
        if load.error is not None:
            raise load.error
        stored = StoredResponse.unpacked(packed)
        if stored is None:
            return self._marked(load.response or view(), "bypass")
        answer = stored.answer(request.method, headers)
        response = current_app.response_class(answer.body, answer.status)
        response.headers.clear()
        response.headers.extend(answer.headers)
        if load.response is not None:
            response.call_on_close(load.response.close)
        return self._marked(response, "miss" if load.ran else "hit")

    def _read(self, headers: Headers, tags: tuple[str, ...], load: _Load) -> object:
        """The stored response; None where there is none, because it could not be stored. A HEAD fills nothing."""
        cache = (self._cache or _cache_of_app()).inline()  # a view runs while its request does
        key = self._key(headers)
        if request.method == "HEAD":
            return cache.get(key, tags=tags)
        try:
            return cache.get_or_set(key, load, tags=tags, negative_ttl=UNSTORED_SECONDS, **self._times)
        except UnkeptError:
            return None

    def _key(self, headers: Headers) -> str:
        if self._own_key is not None:
            own = self._own_key(_request())
            return self._rules.key(own, ["own", own], headers)
        path = request.root_path + request.path
        query = request.query_string.decode("latin-1")
        return self._rules.key(path, ["GET", request.scheme, request.host, path, sorted_query(query)], headers)

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

    def __init__(self, view: Callable[[], Response], rules: Rules) -> None:
        self._view = view
        self._rules = rules
        self.ran = False
        self.response: Response | None = None
        self.error: HTTPException | None = None

    def again(self) -> Self:
        """For the same request: to see whether it is answered as it was (`Verify.views`)."""
        return type(self)(self._view, self._rules)

    def __call__(self) -> bytes | None:
        self.ran = True
        try:
            self.response = response = self._view()
        except HTTPException as error:
            if error.code is None or error.code >= 500:  # noqa: PLR2004 - the server's own errors
                raise
            self.error = error
            return None
        if response.status_code >= 500 or response.status_code == 304:  # noqa: PLR2004 - the same; no whole response
            raise UnkeptError
        headers = list(response.headers.items())
        if not self._rules.keep(response.status_code, headers) or self._has_read_session():
            return None
        body = _whole_body(response, self._rules.max_bytes)
        return None if body is None else self._rules.stored(response.status_code, headers, body).packed()

    def _has_read_session(self) -> bool:
        """Whether this request has looked into the session: Flask says `Vary: Cookie` for that only after the view.

        `flask.session` would say that it was looked into now, so it is found where the context keeps it.
        """
        if "cookie" in self._rules.vary:
            return False
        context = vars(request_ctx._get_current_object())  # type: ignore[attr-defined]  # noqa: SLF001 - see above
        session = context.get("_session", context.get("session"))
        return bool(getattr(session, "accessed", True) or getattr(session, "modified", True))


def _whole_body(response: Response, max_bytes: int) -> bytes | None:
    """A response's body; None if it is too long, or a file. What was read of it is put back."""
    if response.direct_passthrough:
        return None
    if response.is_sequence:
        body = response.get_data()
        return body if len(body) <= max_bytes else None
    chunks: list[bytes] = []
    size = 0
    rest = response.iter_encoded()
    for chunk in rest:
        chunks.append(chunk)
        size += len(chunk)
        if size > max_bytes:
            response.call_on_close(getattr(response.response, "close", lambda: None))
            response.response = _put_back(chunks, rest)
            return None
    return b"".join(chunks)


def _put_back(chunks: list[bytes], rest: Iterable[bytes]) -> Iterable[bytes]:
    yield from chunks
    yield from rest


__all__ = ["Remembering", "Unstale", "cached_response", "current_cache", "invalidates"]
