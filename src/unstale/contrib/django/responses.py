"""Responses kept in a cache: what the decorators of `views` and of `drf` share. The rules are those of `contrib.http`.

The key holds, beside scheme, host, path, sorted query and the headers that are named: the view, the language, the time
zone, the URLconf, and whom it is for. A view runs as the cache's loader, so its tags' stamps are observed before it
runs, and one request at a time runs it for a key. `personal.Watch` watches it.

Inside a transaction nothing is kept that may be uncommitted or of an old snapshot. A server that is away costs the view
a run: whatever IGNORE_EXCEPTIONS says, a page is not lost for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final, Self

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse
from django.http.multipartparser import MultiPartParserError
from django.http.response import HttpResponseBase, ResponseHeaders
from django.utils.module_loading import import_string
from django.utils.timezone import get_current_timezone_name
from django.utils.translation import get_language

from unstale.contrib.django import transactions
from unstale.contrib.django.aliases import cache_named
from unstale.contrib.django.backend.made_keys import as_key
from unstale.contrib.django.backend.sync import MISSING
from unstale.contrib.django.personal import MESSAGES, Keeping, Watch, Who, aload_messages, has_messages, is_personal
from unstale.contrib.django.transactions.snapshots import open_connections
from unstale.contrib.django.unstale_cache import UnstaleCache
from unstale.contrib.http import (
    UNSTORED_SECONDS,
    Headers,
    Rules,
    StoredResponse,
    UnkeptError,
    header_names,
    sorted_query,
)
from unstale.core.keys import check_tag
from unstale.core.policy import DEFAULT, Ttl
from unstale.errors import ConfigurationError, InvalidTagError, StoreError

ANSWERS: Final = (Http404, PermissionDenied, SuspiciousOperation, BadRequest, MultiPartParserError)
"""Exceptions that Django answers below 500 (`django.core.handlers.exception`)."""
SESSIONLESS: Final = (Keeping.FOR_ALL, Keeping.BY_CREDENTIAL)
"""Where the view may not look at the session, we do not either."""


class Served(HttpResponse):
    """A response from the cache."""


def cache_of(alias: str) -> UnstaleCache:
    """The cache of an alias. Raises ConfigurationError if there is none, or it is another backend."""
    backend = cache_named(alias)
    if not isinstance(backend, UnstaleCache):
        raise ConfigurationError(
            f"CACHES[{alias!r}] is no UnstaleCache, so it has no tags to keep views under. Name one by its alias; in "
            'tests, LOCATION="memory://" makes one without a server.'
        )
    return backend


def rendered(response: Any) -> Any:
    """A response with its content. One that a middleware wants to change before it is rendered stays as it is."""
    if callable(getattr(response, "render", None)) and not _has_template_middleware(tuple(settings.MIDDLEWARE)):
        return response.render()
    return response


@lru_cache(maxsize=8)
def _has_template_middleware(paths: tuple[str, ...]) -> bool:
    return any(hasattr(import_string(path), "process_template_response") for path in paths)


@dataclass(frozen=True, slots=True)
class Making:
    """How a view makes its response.

    Attributes:
        run: calls it; what it returns may be awaitable in asynchronous code.
        finish: makes of what it returned what is sent, with its content.
        is_answer: whether an exception of it is an answer below 500.
        spoils: whether it has looked, beyond what is watched in any view, at what the key does not name.
    """

    run: Callable[[], Any]
    finish: Callable[[Any], Any] = rendered
    is_answer: Callable[[Exception], bool] = lambda error: isinstance(error, ANSWERS)
    spoils: Callable[[], bool] = lambda: False


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked of a view.

    Attributes:
        request: Django's own.
        view: its name.
        tags: as TAG_PATTERNS name them; None to do without the cache.
        who: whom the response is for; None for everybody.
        parts: more that the key holds.
        covers: request headers that `parts` stand for: the response may say that it varies by them.
        is_checked: whether the framework has asked for the user by itself and checked his rights, so that a response
            for everybody may be given to a known user.
    """

    request: HttpRequest
    view: str
    tags: tuple[str, ...] | None
    who: Who | None = None
    parts: tuple[str, ...] = ()
    covers: tuple[str, ...] = ()
    is_checked: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """Where a response is kept.

    Attributes:
        backend: the cache.
        key: as the core takes it.
        tags: whole names.
        headers: the request's.
        keeping: for whom.
        ttl: seconds that it stays fresh; None for no limit.
    """

    backend: UnstaleCache
    key: str
    tags: tuple[str, ...]
    headers: Headers
    keeping: Keeping
    ttl: Ttl

    def is_dirty(self) -> bool:
        """Whether this thread's open transaction has invalidated what the response depends on."""
        try:
            return transactions.pending() and self.backend._is_dirty(self.key, self.tags)  # noqa: SLF001 - the package's own
        except StoreError:
            return True  # nobody knows, and the cache is away

    def may_not_fill(self) -> bool:
        """Whether what is made now may be uncommitted, or of an old snapshot."""
        return transactions.forbids_fill() or self.is_dirty()


@dataclass(frozen=True, slots=True)
class KeptOptions:
    """How a view's responses are kept: see `views.ViewOptions`."""

    rules: Rules
    ttl: Ttl = DEFAULT
    stale_ttl: Ttl = DEFAULT
    key: Callable[[Any], str] | None = None
    cache: str = "default"
    x_cache: bool = False


class Keeper:
    """Answers requests from a cache, with the view as the loader."""

    def __init__(self, options: KeptOptions) -> None:
        """Take a view's options."""
        self._options = options
        self._rules = options.rules

    def respond(self, asked: Asked, making: Making) -> Any:
        """Answer a request.

        Args:
            asked: what is asked.
            making: makes the response.

        Returns:
            The response; what the view returned where it is not kept.

        Raises:
            Whatever the view raises.
            ConfigurationError: the alias names another backend.
        """
        place = self._place(asked)
        if place is None or place.is_dirty():
            return self._marked(making.run(), "bypass")
        load = _Load(asked, place, making, self._rules)
        packed = self._read(place, load)
        answer = self._answer(asked, place, load, packed)
        if answer is not None:
            return answer
        return self._marked(load.response if load.ran else making.run(), "bypass")

    def _read(self, place: Place, load: _Load) -> object:
        """The stored response; None where there is none, because it could not be stored. A HEAD fills nothing."""
        core = place.backend.core.inline()  # a view runs while its request does
        try:
            if load.is_head or open_connections():
                packed = core.get(place.key, MISSING, tags=place.tags)
                # Only then: what the transaction's isolation is, the database is asked.
                if packed is not MISSING or load.is_head or transactions.forbids_fill():
                    return packed
            return core.get_or_set(place.key, load, **self._times(place))
        except UnkeptError:
            return None
        except StoreError:
            if load.raised:
                raise
            return None  # the cache is away, and has said so

    async def arespond(self, asked: Asked, making: Making) -> Any:
        """The same for an asynchronous view, without a thread where it is in the cache."""
        if asked.tags is not None and (asked.who is not None or "cookie" in self._rules.vary):
            await aload_messages(asked.request)
        place = self._place(asked)
        if place is None:
            return self._marked(await making.run(), "bypass")
        load = _AsyncLoad(asked, place, making, self._rules)
        packed = await self._aread(place, load)
        answer = self._answer(asked, place, load, packed)
        if answer is not None:
            return answer
        return self._marked(load.response if load.ran else await making.run(), "bypass")

    async def _aread(self, place: Place, load: _AsyncLoad) -> object:
        core = place.backend.async_core.inline()
        try:
            if load.is_head:
                return await core.get(place.key, tags=place.tags)
            return await core.get_or_set(place.key, load, **self._times(place))
        except UnkeptError:
            return None
        except StoreError:
            if load.raised:
                raise
            return None

    def _times(self, place: Place) -> dict[str, Any]:
        stale_ttl = self._options.stale_ttl
        return {"tags": place.tags, "ttl": place.ttl, "stale_ttl": stale_ttl, "negative_ttl": UNSTORED_SECONDS}

    def _place(self, asked: Asked) -> Place | None:
        """Where the response is kept; None to do without the cache."""
        request, headers = asked.request, list(asked.request.headers.items())
        backend = cache_of(self._options.cache)
        ttl = backend.default_timeout if self._options.ttl is DEFAULT else self._options.ttl
        keeping = self._keeping(asked, headers)
        if (
            asked.tags is None
            or not self._rules.admit(request.method or "", headers)
            or (isinstance(ttl, int | float) and ttl <= 0)
            or (not asked.is_checked and (is_personal(request, keeping) or self._shows_messages(request, keeping)))
        ):
            return None
        try:
            tags = tuple(check_tag(backend.tag(name)) for name in asked.tags)
        except InvalidTagError:
            return None  # too long with prefix and version: no entry can be kept under it
        return Place(backend, as_key(backend.make_key(self._key(asked, headers))), tags, headers, keeping, ttl)

    def watch(self, asked: Asked) -> Watch:
        """Watch, for what runs before the view and may leave something for it, as for the view itself."""
        return watch_of(asked, self._keeping(asked, list(asked.request.headers.items())), self._rules)

    def _keeping(self, asked: Asked, headers: Headers) -> Keeping:
        if asked.who is not None:
            return Keeping.FOR_USER if asked.who.is_known else Keeping.FOR_NOBODY
        if "cookie" in self._rules.vary:
            return Keeping.BY_COOKIE
        if "authorization" in self._rules.vary and "authorization" in header_names(headers):
            return Keeping.BY_CREDENTIAL
        return Keeping.FOR_ALL

    def _shows_messages(self, request: HttpRequest, keeping: Keeping) -> bool:
        """Whether this client is to be shown messages. Where nobody's session is looked at, the view's look tells."""
        return keeping not in SESSIONLESS and has_messages(request)

    def _key(self, asked: Asked, headers: Headers) -> str:
        """A key. Its parts are as many in each view, or counted."""
        request, said = asked.request, header_names(headers)
        who = asked.who.parts if asked.who is not None else ("everybody",)
        parts = [
            asked.view,
            get_language() or "",
            str(getattr(request, "LANGUAGE_CODE", "")),
            get_current_timezone_name(),
            repr(getattr(request, "urlconf", None)),
            ",".join(name for name in self._rules.vary if name in said),  # "" and absent are two values
            *(str(len(who)), *who),
            *(str(len(asked.parts)), *asked.parts),
        ]
        if self._options.key is not None:
            own = self._options.key(request)
            if not isinstance(own, str):
                raise ConfigurationError(f"key must return a str, not {type(own).__name__}.")
            return self._rules.key(own, [*parts, "own", own], headers)
        query = sorted_query(request.META.get("QUERY_STRING", ""))
        place = ["GET", request.scheme or "", request.get_host(), request.path, query]
        return self._rules.key(request.path, [*parts, *place], headers)

    def _answer(self, asked: Asked, place: Place, load: _Load, packed: object) -> Any:
        """What the request is sent; None where nothing of it was kept."""
        if load.error is not None:
            raise load.error
        stored = None if load.is_own else StoredResponse.unpacked(packed)
        if stored is None:
            return None
        answer = stored.answer(asked.request.method or "", place.headers)
        response = load.response
        if response is None or answer.status != response.status_code or load.is_replaced:
            response = Served(answer.body, status=answer.status)
            response._resource_closers = getattr(load.response, "_resource_closers", [])  # noqa: SLF001 - closed with it
        response.headers = _headers(answer.headers)
        return self._marked(response, "miss" if load.ran else "hit")

    def _marked(self, response: Any, word: str) -> Any:
        if self._options.x_cache and isinstance(response, HttpResponseBase):
            response.headers["X-Cache"] = word
        return response


def watch_of(asked: Asked, keeping: Keeping, rules: Rules) -> Watch:
    """What watches a view that is asked for a response."""
    known = {*rules.vary, *asked.covers}
    if keeping not in SESSIONLESS and not asked.is_checked:
        known.add(MESSAGES)  # that there are none
    return Watch(asked.request, keeping, asked.who, known)


class _Load:
    """A view as a loader: it returns the response's stored form, or None for what cannot be stored, and keeps the rest.

    Attributes:
        is_head: whether HEAD was asked.
        ran: whether the view was called.
        raised: whether it raised what is no answer.
        response: what it returned, with its content.
        error: the answer below 500 that it raised.
        is_own: whether the request gets the view's own response whatever is stored.
        is_replaced: whether what it returned is not what is served: an older response is.
    """

    def __init__(self, asked: Asked, place: Place, making: Making, rules: Rules) -> None:
        self._asked = asked
        self._place = place
        self._making = making
        self._rules = rules
        self.is_head = asked.request.method == "HEAD"
        self.ran = self.raised = self.is_own = self.is_replaced = False
        self.response: Any = None
        self.error: Exception | None = None

    def again(self) -> Self:
        """For the same request: to see whether it is answered as it was (`Verify.views`)."""
        return type(self)(self._asked, self._place, self._making, self._rules)

    def __call__(self) -> bytes | None:
        self.ran = self.raised = True
        with watch_of(self._asked, self._place.keeping, self._rules) as watch:
            try:
                self.response = self._making.finish(self._making.run())
            except Exception as error:
                if not self._making.is_answer(error):
                    raise
                self.raised, self.error = False, error
                return None
        self.raised = False
        if self._place.may_not_fill():  # the view itself may have written, or opened the transaction
            self.is_own = True
            raise UnkeptError
        return self._kept(watch)

    def _kept(self, watch: Watch) -> bytes | None:
        response, rules = self.response, self._rules
        status = getattr(response, "status_code", 0)
        if status >= 500 or status == 304:  # noqa: PLR2004 - the server's own errors; no whole response
            self.is_replaced = True
            raise UnkeptError
        if not isinstance(response, HttpResponse) or not getattr(response, "is_rendered", True):
            return None
        headers = [*response.items(), *(("Set-Cookie", "") for _ in response.cookies)]
        keep = replace(rules, vary=(*rules.vary, *self._asked.covers))
        if watch.spoils or self._making.spoils() or not keep.keep(status, headers):
            return None
        body = bytes(response.content)
        if len(body) > rules.max_bytes:
            return None
        if self._asked.who is not None and "cache-control" not in header_names(headers):
            headers.append(("Cache-Control", "private, no-cache"))
        return rules.stored(status, headers, body).packed()


class _AsyncLoad(_Load):
    """The same for an asynchronous view. Rendering is done in a thread, as Django does it."""

    async def __call__(self) -> bytes | None:  # type: ignore[override] # the loader of an AsyncCache
        self.ran = self.raised = True
        with watch_of(self._asked, self._place.keeping, self._rules) as watch:
            try:
                response = await self._making.run()
                if callable(getattr(response, "render", None)):
                    response = await sync_to_async(self._making.finish, thread_sensitive=True)(response)
            except Exception as error:
                if not self._making.is_answer(error):
                    raise
                self.raised, self.error = False, error
                return None
            self.response = response
        self.raised = False
        return self._kept(watch)


def _headers(pairs: Iterable[tuple[str, str]]) -> ResponseHeaders:
    """Django has one line for each name."""
    headers = ResponseHeaders({})
    for name, value in pairs:
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers
