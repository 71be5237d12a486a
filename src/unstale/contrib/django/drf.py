"""Django REST framework: viewsets and views whose responses are kept under their user's tag until he writes.

    class Orders(CachedViewSetMixin, ModelViewSet):
        cache_ttl = 300
        cache_tags = ("orders",)

`list` and `retrieve` are kept, one response for each user; `create`, `update`, `partial_update`, `destroy` and every
other action that answers an unsafe method make the user's and `cache_tags` stale. `@cached_action` and
`@invalidates_action` do it for single methods: of viewsets, of APIViews, and below `@api_view`.

Authentication, permissions, throttles, negotiation and versioning are done for **every** request, hits too; only then
the cache is asked. Permissions for objects are judged by the view, so for a hit they were judged when it was made, for
the same user; with `cache_per_user = False` what they judge is not kept. What else is watched there: `drf_looks`.

What is kept is what the client would get: `finalize_response` and the renderer belong to it. The browsable API is never
kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import lru_cache, partial, wraps
from typing import Any, ClassVar, Final, TypeVar, Unpack, cast
from uuid import UUID

from django.db.models import Model
from rest_framework.exceptions import APIException
from rest_framework.renderers import BrowsableAPIRenderer
from rest_framework.request import Request
from rest_framework.views import APIView

from unstale.contrib.django.drf_looks import Prelude, noting
from unstale.contrib.django.personal import Who, who_of
from unstale.contrib.django.responses import ANSWERS, Asked, Keeper, Making, Served, cache_of, rendered
from unstale.contrib.django.shared_tags import tag_rules
from unstale.contrib.django.views import (
    READS,
    USER_TAG,
    UserTags,
    ViewOptions,
    has_succeeded,
    kept_options,
    tags_to_invalidate,
)
from unstale.contrib.http import TagRules, TagsOfRequest
from unstale.core.policy import DEFAULT, Ttl
from unstale.errors import ConfigurationError, InvalidKeyError, InvalidTagError

M = TypeVar("M", bound=Callable[..., Any])

_SAFE: Final = ("GET", "HEAD", "OPTIONS", "TRACE")


class CachedViewSetMixin:
    """Put it before the viewset's (or APIView's) own base classes.

    Attributes:
        cache_ttl: seconds that a response stays fresh; None for no limit; the cache's TIMEOUT.
        cache_stale_ttl: seconds more that it may be served while it is made anew; the cache's own.
        cache_tags: templates over the URL's arguments and `{user.pk}`, or a method that makes them from the request.
            One that names the viewset's lookup is left out where the URL has none, as in `list`. What is written
            makes them stale. ().
        cache_per_user: one response for each user and credential. False: one for all who are permitted, if from the
            checks on nobody looks at the user, his session, cookies or token, and no permission judges objects. True.
        cache_user_tag: the tag of a user's responses, which his writes make stale; "" for none. "user:{user.pk}".
        cache_actions: which actions are kept (for an APIView: "get"). {"list", "retrieve"}.
        cache_vary: request headers that the response depends on. ().
        cache_max_bytes: largest body that is kept. 1 MiB.
        cache_alias: the alias of the cache. "default".
        cache_x_cache: say `X-Cache: hit`, `miss` or `bypass`. False.
    """

    cache_ttl: Ttl = DEFAULT
    cache_stale_ttl: Ttl = DEFAULT
    cache_tags: TagsOfRequest = ()
    cache_per_user: bool = True
    cache_user_tag: str = USER_TAG
    cache_actions: ClassVar[Iterable[str]] = frozenset({"list", "retrieve"})
    cache_vary: ClassVar[Iterable[str]] = ()
    cache_max_bytes: int = 1024 * 1024
    cache_alias: str = "default"
    cache_x_cache: bool = False

    _cache_prelude: Prelude | None = None
    _cache_written: tuple[str, ...] = ()

    def dispatch(self, request: Any, *arguments: Any, **named: Any) -> Any:
        """As the framework does; nothing is watched any longer, whatever has become of the request."""
        try:
            return super().dispatch(request, *arguments, **named)  # type: ignore[misc] # APIView's
        finally:
            if self._cache_prelude is not None:
                self._cache_prelude.end()

    def initial(self, request: Request, *arguments: Any, **named: Any) -> None:
        """Do all checks, then put the cache around the method that is called next."""
        prelude = Prelude(cast("APIView", self), request)
        super().initial(request, *arguments, **named)  # type: ignore[misc] # APIView's
        method = request.method.lower()
        handler = getattr(self, method, None)
        if handler is None:
            return
        action = getattr(self, "action", None) or ("get" if method == "head" else method)
        if request.method in READS and action in self.cache_actions:
            if not self.cache_per_user:
                prelude.begin(self._keeper().watch(_asked(request)))
                self._cache_prelude = prelude
            setattr(self, method, partial(self._cached, handler, action))
        elif request.method not in _SAFE:
            setattr(self, method, partial(self._invalidating, handler))

    def tags_to_invalidate(self, request: Request, response: Any) -> Iterable[str]:  # noqa: ARG002 - for who overrides it
        """The tags that a write has made stale; override it where it changes what belongs to others.

        Args:
            request: the write.
            response: its answer, below 400.

        Returns:
            The writer's own tag, and `cache_tags`: as they were before the write, and as they are.
        """
        try:
            return (*self._cache_written, *self._tags_of_write(request))
        except (InvalidKeyError, InvalidTagError):
            if not self._cache_written:
                raise
            return self._cache_written  # the write has deleted what they name, as one's own account

    def _keeper(self) -> Keeper:
        values = (self.cache_ttl, self.cache_stale_ttl, tuple(self.cache_vary), self.cache_max_bytes)
        return _keeper(*values, self.cache_alias, self.cache_x_cache)

    def _cached(self, handler: Callable[..., Any], action: str, request: Request, *arguments: Any, **named: Any) -> Any:
        who = _who(request) if self.cache_per_user else None
        tags = self._tags_of_read(request, who)
        if self._cache_prelude is not None and self._cache_prelude.end():
            tags = None
        return _respond(self._keeper(), request, action, tags, who, partial(handler, request, *arguments, **named))

    def _tags_of_read(self, request: Request, who: Who | None) -> tuple[str, ...] | None:
        rules, own = self._tags(), self._own_tag(who)
        if not self.cache_per_user:
            if "user" in rules.arguments:
                raise ConfigurationError("Tags of the user need cache_per_user: without it all get one response.")
            return rules.of_read(request, self.kwargs)  # type: ignore[attr-defined] # View's
        own_tags = own.of_read(request, {"user": request.user})
        tags = rules.of_read(request, self._named(request))
        return None if who is None or tags is None or own_tags is None else (*own_tags, *tags)

    def _own_tag(self, who: Who | None) -> TagRules:
        """The rule of the tag of a user who is logged in."""
        return _rules((self.cache_user_tag,) if self.cache_user_tag and who is not None and who.is_known else ())

    def _invalidating(self, handler: Callable[..., Any], request: Request, *arguments: Any, **named: Any) -> Any:
        backend = cache_of(self.cache_alias)
        self._cache_written = self._tags_of_write(request)  # a bad value fails before anything is written
        response = handler(request, *arguments, **named)
        if has_succeeded(response) and (tags := tuple(dict.fromkeys(self.tags_to_invalidate(request, response)))):
            backend.invalidate(*tags)
        return response

    def _tags_of_write(self, request: Request) -> tuple[str, ...]:
        """Asked before the write, which may take his key from the user, and after it: it may have logged one in."""
        user = request.user
        is_known = bool(getattr(user, "is_authenticated", False)) and getattr(user, "pk", None) is not None
        own = self._own_tag(Who(user, (), is_known))
        return (*own.of(request, {"user": user}), *self._tags().of(request, self._named(request)))

    def _tags(self) -> TagRules:
        if callable(self.cache_tags) or isinstance(self.cache_tags, str):  # for a str it says what to write
            return tag_rules(self.cache_tags)
        lookup = getattr(self, "lookup_url_kwarg", None) or getattr(self, "lookup_field", "pk")
        here = cast("Mapping[str, Any]", self.kwargs)  # type: ignore[attr-defined] # View's
        missing = lookup if lookup not in here else None
        return _rules(tuple(tag for tag in self.cache_tags if missing not in _rules((tag,)).arguments))

    def _named(self, request: Request) -> dict[str, Any]:
        return {"user": request.user, **self.kwargs}  # type: ignore[attr-defined] # View's


def cached_action(ttl: Ttl = DEFAULT, **options: Unpack[ViewOptions]) -> Callable[[M], M]:
    """Decorate a method of a viewset or an APIView, or a function below `@api_view`: its responses are kept.

    `per_user` is True where nothing is said, `x_cache` what a CachedViewSetMixin's `cache_x_cache` says, and
    `authorized` means nothing: who the user is, is known by then.

    Args:
        ttl: seconds (or a timedelta) that a response stays fresh; None for no limit; by default the cache's TIMEOUT.
        options: see `ViewOptions`.

    Returns:
        A decorator; put it below `@action` and `@api_view`.

    Raises:
        ConfigurationError: an option or a template makes no sense.
        InvalidDurationError: a duration is no number of seconds above zero.
    """
    options = {"per_user": True, **options}
    kept, tags = kept_options(ttl, options, "cached_action"), UserTags(options)
    kept = replace(kept, rules=replace(kept.rules, authorized=True))
    keeper, marking = Keeper(kept), Keeper(replace(kept, x_cache=options.get("x_cache", True)))

    def decorate(method: M) -> M:
        @wraps(method)
        def cached(*arguments: Any, **named: Any) -> Any:
            request, view = _request_of(arguments)
            if request.method not in READS:
                return method(*arguments, **named)
            who = _who(request) if tags.per_user else None
            names, run = tags.of_read(request, view.kwargs, who), partial(method, *arguments, **named)
            chosen = marking if getattr(view, "cache_x_cache", False) else keeper
            return _respond(chosen, request, method.__name__, names, who, run)

        return cast("M", cached)

    return decorate


def invalidates_action(*tags: str, cache: str = "default") -> Callable[[M], M]:
    """Decorate a method that writes: when it has answered below 400, these tags are invalidated, then it is sent.

    Args:
        tags: templates over the URL's arguments and `{user.pk}`, such as "user:{user.pk}".
        cache: the alias of the cache.

    Returns:
        A decorator; put it below `@action` and `@api_view`. See `views.invalidates_view`.

    Raises:
        ConfigurationError: no tags, or a template makes no sense.
    """
    rules = tags_to_invalidate("invalidates_action", tags)

    def decorate(method: M) -> M:
        @wraps(method)
        def invalidating(*arguments: Any, **named: Any) -> Any:
            request, view = _request_of(arguments)
            names = rules.of(request, {"user": request.user, **view.kwargs})
            response = method(*arguments, **named)
            if has_succeeded(response):
                cache_of(cache).invalidate(*names)
            return response

        return cast("M", invalidating)

    return decorate


def _request_of(arguments: tuple[Any, ...]) -> tuple[Request, Any]:
    """The framework's request that a method is called with, and its view."""
    for each in arguments[:2]:
        if isinstance(each, Request):
            return each, each.parser_context["view"]
    raise ConfigurationError(
        "This decorator is for methods of Django REST framework, which are given its request: put it below @action and "
        "@api_view. For Django's own views there is `cached_view` of unstale.contrib.django.views."
    )


@lru_cache(maxsize=256)
def _keeper(
    ttl: Ttl,
    stale_ttl: Ttl,
    vary: tuple[str, ...],
    max_bytes: int,
    alias: str,
    x_cache: bool,  # noqa: FBT001 - the same
) -> Keeper:
    options: ViewOptions = {"vary": vary, "max_bytes": max_bytes, "cache": alias, "x_cache": x_cache}
    if stale_ttl is not DEFAULT:
        options["stale_ttl"] = stale_ttl
    kept = kept_options(ttl, options)
    return Keeper(replace(kept, rules=replace(kept.rules, authorized=True)))


@lru_cache(maxsize=1024)
def _rules(tags: tuple[str, ...]) -> TagRules:
    return tag_rules(tags)


def _who(request: Request) -> Who | None:
    """Whom a response is for: the authenticated user, by what he was authenticated, and the credential he sent.

    Two tokens of one user may have different rights. So what `request.auth` is belongs to the key; where that cannot be
    said, the Authorization header says it, and without one nothing is kept.
    """
    user, auth = request.user, request.auth  # where it is done lazily, this authenticates
    header = request.META.get("HTTP_AUTHORIZATION", "")
    if isinstance(auth, Model):
        shown = f"{auth._meta.label} {auth.pk}"  # noqa: SLF001 - Django's public way
    elif auth is None or isinstance(auth, str | bytes | int | UUID):
        shown = f"{type(auth).__name__} {auth!r}"
    elif header:
        shown = type(auth).__qualname__
    else:
        return None
    by = type(request.successful_authenticator)
    return who_of(request._request, user, f"{by.__module__}.{by.__qualname__}", shown, header)  # noqa: SLF001 - the same


def _respond(
    keeper: Keeper, request: Request, action: str, tags: tuple[str, ...] | None, who: Who | None, run: partial[Any]
) -> Any:
    """Answer from the cache, or by `run`. What is finished is not finished again by `dispatch`."""
    view, finished = request.parser_context["view"], []
    renderer = getattr(request, "accepted_renderer", None)

    def finish(response: Any) -> Any:
        finished.append(True)
        return rendered(view.finalize_response(request, response, *view.args, **view.kwargs))

    asked = replace(
        _asked(request),
        view=f"{_path(view)}.{action}",
        tags=None if renderer is None or isinstance(renderer, BrowsableAPIRenderer) else tags,
        who=who,
        parts=_parts(request, renderer),
    )
    watching: AbstractContextManager[list[str]] = noting(request) if who is None else nullcontext([])
    with watching as looks:
        response = keeper.respond(asked, Making(run, finish, _is_answer, lambda: bool(looks)))
    if finished or isinstance(response, Served):
        view.finalize_response = _as_it_is
    return response


def _asked(request: Request) -> Asked:
    """What is asked, as far as it is the same for each view."""
    inner = request._request  # noqa: SLF001 - where the framework keeps Django's own
    return Asked(inner, view="", tags=None, covers=("accept",), is_checked=True)


def _parts(request: Request, renderer: Any) -> tuple[str, ...]:
    """What was negotiated."""
    version, scheme = getattr(request, "version", None), getattr(request, "versioning_scheme", None)
    return (_path(renderer), str(getattr(request, "accepted_media_type", "")), repr(version), _path(scheme))


def _path(thing: object) -> str:
    return f"{type(thing).__module__}.{type(thing).__qualname__}"


def _is_answer(error: Exception) -> bool:
    return isinstance(error, ANSWERS) or (isinstance(error, APIException) and error.status_code < 500)  # noqa: PLR2004


def _as_it_is(_: Request, response: Any, *__: Any, **___: Any) -> Any:
    """In the place of `finalize_response`, for a response that has been through it."""
    return response
