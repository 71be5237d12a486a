"""FastAPI: `unstale.contrib.starlette` for routes that have dependencies and response models.

    app = FastAPI(lifespan=cache_lifespan("redis://localhost:6379/0", namespace="shop"))
    router = APIRouter(route_class=UnstaleRoute)

    @router.get("/products/{product_id}")
    @cached_response(tags=["product:{product_id}"], ttl=300)
    async def product(product_id: int, db: Db) -> Product: ...

    @router.put("/products/{product_id}/price")
    @invalidates("product:{product_id}")
    async def change_price(product_id: int, price: Price, db: Db, cache: CacheDep) -> None: ...

The decorators stand right below the route's, and take effect through `UnstaleRoute`; anywhere else the endpoint raises
rather than run without them. What is kept is the whole route's response: dependencies, validation, response model and
serialisation included. They belong to the loader, since a dependency may read what the tags stand for. So **a hit
runs no dependency**, one that checks the client's rights among them. Requests with `Authorization` are therefore not
answered from the cache; headers and cookies that any dependency declares must be named in `vary` (or in `ignore`),
which is checked when the route is made; other checks (of an address, for one) belong into middleware.

Tags are filled from the parameters as FastAPI converts them: /products/042 is `product:42`.

A dependency with `yield` that commits must do it before the response is sent: `Depends(…, scope="function")`. Better
commit in the endpoint. `def` endpoints may be decorated as well; FastAPI runs them in a thread.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine, Iterator
from functools import wraps
from typing import Annotated, Any, Final, NoReturn, TypeAlias, TypeVar, Unpack, cast

from fastapi import Depends, Request, Response, routing
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from fastapi.security.base import SecurityBase
from pydantic import BaseModel
from starlette.background import BackgroundTask
from starlette.types import Receive, Scope, Send

from unstale.aio import AsyncCache
from unstale.contrib.http import ResponseOptions, TagRules
from unstale.contrib.starlette import Keeper, RememberingMiddleware, cache_lifespan, cache_of
from unstale.errors import ConfigurationError, InvalidKeyError

CacheDep: TypeAlias = Annotated[AsyncCache, Depends(cache_of)]
"""The application's cache, as a parameter of an endpoint or a dependency: `cache: CacheDep`."""

Handler: TypeAlias = "Callable[[Request], Coroutine[Any, Any, Response]]"
E = TypeVar("E", bound=Callable[..., Any])

_PLANS: Final = "__unstale_plans__"
_GUARDED: Final = "__unstale_guarded__"
_MISSING: Final = object()


def cached_response(cache: AsyncCache | None = None, **options: Unpack[ResponseOptions]) -> Callable[[E], E]:
    """Decorate an endpoint: its route's responses are kept, with an ETag, until one of their tags is invalidated.

    Args:
        cache: where to; None for the application's, of `cache_lifespan`.
        options: see `ResponseOptions`.

    Returns:
        A decorator for `async def` and `def` endpoints of routers with `route_class=UnstaleRoute`.

    Raises:
        ConfigurationError: an option or a template makes no sense. Whether the route has the parameters that the
            templates name, and whether `vary` names the headers that it reads, shows when the route is made.
    """
    return _planned(_Kept(cache, options))


def invalidates(*tags: str, cache: AsyncCache | None = None) -> Callable[[E], E]:
    """Decorate an endpoint that writes: when its route has answered below 400, these tags are invalidated.

    Then the response is sent, so the client's next read is fresh. Before, dependencies of `scope="function"` end.

    Args:
        tags: templates over the path's and the query's parameters, such as "product:{product_id}".
        cache: whose; None for the application's, of `cache_lifespan`.

    Returns:
        A decorator. Its route raises StoreError, a 500 to the client, if the write was done and the invalidation was
        not: readers may get what was before. It is safe to repeat.

    Raises:
        ConfigurationError: no tags, or a template makes no sense.
    """
    if not tags:
        raise ConfigurationError('invalidates() needs tags: write invalidates("product:{product_id}").')
    return _planned(_Invalidating(cache, TagRules(tags)))


class UnstaleRoute(APIRoute):
    """The route class through which `cached_response` and `invalidates` take effect.

    `APIRouter(route_class=UnstaleRoute)`; for routes of the application itself `app.router.route_class = UnstaleRoute`.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        """Make the route of an endpoint, decorated or not.

        Raises:
            ConfigurationError: an option does not fit the route, or another decorator stands above ours.
        """
        super().__init__(path, _unguarded(endpoint), **options)

    def get_route_handler(self) -> Handler:
        """The route's handler, with what its decorators asked for around it."""
        handler = super().get_route_handler()
        for plan in getattr(self.endpoint, _PLANS, ()):
            handler = plan.around(handler, self)
        return handler


class _Kept:
    """The plan of `cached_response`."""

    def __init__(self, cache: AsyncCache | None, options: ResponseOptions) -> None:
        self._keeper = Keeper(cache, options)
        self._tags = TagRules(options.get("tags", ()))
        self._known = {name.lower() for name in (*self._keeper.rules.vary, *options.get("ignore", ()))}

    def around(self, handler: Handler, route: APIRoute) -> Handler:
        """Keep what a handler returns. Raises ConfigurationError where the key would leave something out."""
        methods = route.methods or set()
        if not methods <= {"GET", "HEAD"}:
            raise ConfigurationError(f"{route.path} answers {', '.join(sorted(methods))}; only GET can be kept.")
        unnamed = sorted(_headers_read(_dependant_of(route)) - self._known - {"authorization"})
        if unnamed:
            raise ConfigurationError(
                f"{route.path} reads the header {unnamed[0]!r}, and clients that differ in it would share a response. "
                "Name it in vary=[…], or in ignore=[…] if the response does not depend on it."
            )
        parameters = _Parameters(route, self._tags)

        async def kept(request: Request) -> Response:
            values = parameters.of(request)
            tags = None if values is None else self._tags.of_read(request, values)
            return await self._keeper.respond(request, tags, lambda: handler(request))

        return kept


class _Invalidating:
    """The plan of `invalidates`."""

    def __init__(self, cache: AsyncCache | None, tags: TagRules) -> None:
        self._cache = cache
        self._tags = tags

    def around(self, handler: Handler, route: APIRoute) -> Handler:
        """Invalidate after what a handler did. Raises ConfigurationError where the route lacks a parameter."""
        parameters = _Parameters(route, self._tags)

        async def invalidating(request: Request) -> Response:
            values = parameters.of(request)
            tags = None if values is None else self._tags.of(request, values)  # fails before anything is written
            response = await handler(request)
            if response.status_code >= 400:  # noqa: PLR2004 - HTTP's errors begin there
                return response
            if tags is None:
                raise InvalidKeyError(f"{route.path} has answered a request whose parameters give no tags.")
            return _Invalidated(response, self._cache or cache_of(request), tags)

        return invalidating


class _Invalidated(Response):
    """A write's response that invalidates before it is sent: by then FastAPI has ended what commits."""

    def __init__(self, response: Response, cache: AsyncCache, tags: tuple[str, ...]) -> None:
        self._response = response
        self._cache = cache
        self._tags = tags
        self.status_code = response.status_code
        self.raw_headers = response.raw_headers
        self.background: BackgroundTask | None = response.background

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._cache.invalidate(*self._tags)
        await self._response(scope, receive, send)


class _Parameters:
    """The parameters that a route's tags name, as FastAPI converts them."""

    def __init__(self, route: APIRoute, tags: TagRules) -> None:
        """Find them. Raises ConfigurationError: the route has no such parameter."""
        fields: dict[str, Any] = {}
        for dependant in _all(_dependant_of(route)):
            for field in (*dependant.path_params, *dependant.query_params):
                fields.setdefault(field.name, field)  # the endpoint's own go before its dependencies' own
        missing = sorted(tags.arguments - set(fields))
        if missing:
            known = ", ".join(fields) or "none"
            raise ConfigurationError(
                f"A tag of {route.path} names {missing[0]!r}, no parameter of its path or query. There are: {known}."
            )
        self._fields = {name: fields[name] for name in sorted(tags.arguments)}

    def of(self, request: Request) -> dict[str, Any] | None:
        """Their values; None where one is absent or wrong, which FastAPI itself answers with 422."""
        values = {name: self._value(field, request) for name, field in self._fields.items()}
        return None if any(value is _MISSING for value in values.values()) else values

    def _value(self, field: Any, request: Request) -> Any:
        name = getattr(field, "validation_alias", None) or field.alias
        raw = request.path_params.get(name, request.query_params.get(name, _MISSING))
        if raw is _MISSING:
            return _MISSING if field.field_info.is_required() else field.get_default()
        value, errors = field.validate(raw, {}, loc=("tag", name))
        return _MISSING if errors else value


def _dependant_of(route: APIRoute) -> Dependant:
    """What a route depends on, with what `include_router` adds: recent FastAPI keeps that beside the route."""
    variable = getattr(routing, "_effective_route_context_var", None)
    context = None if variable is None else variable.get()
    found: Dependant = route.dependant if context is None or context.original_route is not route else context.dependant
    return found


def _all(dependant: Dependant) -> Iterator[Dependant]:
    """A route's dependencies, at any depth, and its endpoint."""
    yield dependant
    for inner in dependant.dependencies:
        yield from _all(inner)


def _headers_read(dependant: Dependant) -> set[str]:
    """The request headers that a route declares to read, in lower case."""
    found: set[str] = set()
    for part in _all(dependant):
        for field in part.header_params:
            found.update(_header_names(field))
        if part.cookie_params:
            found.add("cookie")
        call: object = part.call
        model = call.model if isinstance(call, SecurityBase) else None
        place = getattr(getattr(model, "in_", None), "value", "")
        if place in ("header", "cookie"):
            found.add("cookie" if place == "cookie" else getattr(model, "name", "").lower())
    return found


def _header_names(field: Any) -> set[str]:
    """The names of one parameter, which may be a model of many headers."""
    made = field.field_info.annotation
    if inspect.isclass(made) and issubclass(made, BaseModel):
        return {(inner.alias or name.replace("_", "-")).lower() for name, inner in made.model_fields.items()}
    return {(getattr(field, "validation_alias", None) or field.alias).lower()}


def _planned(plan: _Kept | _Invalidating) -> Callable[[E], E]:
    """A decorator that leaves a plan for the route at the endpoint, and the endpoint guarded."""

    def decorate(endpoint: E) -> E:
        function: Any = _unguarded(endpoint)
        if function is endpoint and hasattr(function, _PLANS):
            raise ConfigurationError(f"{function.__qualname__}() is decorated already; give the other route its own.")
        setattr(function, _PLANS, (*getattr(function, _PLANS, ()), plan))

        @wraps(function)
        def guard(*_: Any, **__: Any) -> NoReturn:
            raise ConfigurationError(
                f"{function.__qualname__}() is decorated for UnstaleRoute, which its router does not use: make it "
                "APIRouter(route_class=UnstaleRoute). A test that calls it directly calls its __wrapped__."
            )

        setattr(guard, _GUARDED, (guard, function))
        return cast("E", guard)

    return decorate


def _unguarded(endpoint: Any) -> Any:
    """The endpoint behind our guard. Raises ConfigurationError: something stands above it."""
    guard, function = getattr(endpoint, _GUARDED, (endpoint, endpoint))
    if guard is not endpoint:
        raise ConfigurationError(f"Put ours on top of {endpoint.__qualname__}(), right below the route's.")
    return function


__all__ = [
    "CacheDep",
    "RememberingMiddleware",
    "UnstaleRoute",
    "cache_lifespan",
    "cache_of",
    "cached_response",
    "invalidates",
]
