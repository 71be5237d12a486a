"""Django views: responses kept in a cache, and invalidation before a write's response is sent.

    @cached_view(ttl=300, tags=["product:{product_id}"])
    def product(request, product_id): ...            # path("products/<int:product_id>/", product): one for everybody

    @cached_view(ttl=300, per_user=True)
    def history(request): ...                        # one for each user, under the tag "user:42"

    @invalidates_view("product:{product_id}")
    def change_price(request, product_id): ...       # COMMIT in here, or by ATOMIC_REQUESTS

`async def` views too; classes by `method_decorator(cached_view(…), name="dispatch")`. Methods of Django REST framework
have `drf`. Tags are filled from the URL's converted arguments, and `{user.pk}`.

A hit runs neither the view nor decorators below ours. Whoever reads the user, the session or a cookie in a view that is
kept for everybody keeps it from being kept: `personal` says what is watched. Which requests and responses qualify
besides: `unstale.contrib.http`. docs/django-views.md has the whole.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import partial, wraps
from typing import Any, Final, TypedDict, TypeVar, Unpack, cast

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest

from unstale.contrib.django.personal import Who, aidentify, identify
from unstale.contrib.django.responses import Asked, Keeper, KeptOptions, Making, cache_of
from unstale.contrib.django.shared_tags import tag_rules
from unstale.contrib.http import ResponseOptions, Rules, TagRules, TagsOfRequest
from unstale.core.policy import DEFAULT, Ttl
from unstale.errors import ConfigurationError

V = TypeVar("V", bound=Callable[..., Any])
USER_TAG: Final = "user:{user.pk}"
READS: Final = ("GET", "HEAD")
"""Nobody is asked who he is for the sake of a response that is not kept anyway."""


class ViewOptions(TypedDict, total=False):
    """What `cached_view` can be told, all by name, all with a default.

    Attributes:
        tags: templates over the URL's arguments such as "product:{product_id}", or a function that makes the tags from
            the request. (): the response is stale at its ttl's end, or at `clear()`.
        stale_ttl: seconds more that it may be served while it is made anew, and where that fails. The cache's own.
        per_user: keep one response for each user and session. Who is not logged in and has no session gets one that is
            kept for all of these; who has things in his session gets none. False.
        user_tag: a template of the tag that a user's responses carry besides; "" for none. "user:{user.pk}".
        vary: the request headers that the response depends on; their values are part of the key. ().
        authorized: store responses to requests with `Authorization` too, for each of its values apart. False.
        key: makes what stands in the key for scheme, host, path and query, from the request. None: all of them.
        statuses: which of 200, 203, 300, 301, 404 and 410 are stored. (200,).
        max_bytes: largest body that is stored; what is longer is passed through. 1 MiB.
        cache: the alias of the cache. "default".
        x_cache: say `X-Cache: hit`, `miss` or `bypass`. False.
    """

    tags: TagsOfRequest
    stale_ttl: Ttl
    per_user: bool
    user_tag: str
    vary: Iterable[str]
    authorized: bool
    key: Callable[[Any], str] | None
    statuses: Iterable[int]
    max_bytes: int
    cache: str
    x_cache: bool


_OWN: Final = ("per_user", "user_tag", "cache")
_KNOWN: Final = frozenset({"ttl", *ViewOptions.__annotations__})


def kept_options(ttl: Ttl, options: ViewOptions, decorator: str = "cached_view") -> KeptOptions:
    """A view's options, checked. The decorator's name is for messages.

    Raises:
        ConfigurationError: an option is unknown or makes no sense.
        InvalidDurationError: a duration is no number of seconds above zero.
    """
    check_bare(decorator, ttl)
    check_options(options)
    common: dict[str, Any] = {name: value for name, value in options.items() if name not in _OWN}
    return KeptOptions(
        rules=Rules.of(cast("ResponseOptions", {**common, "ttl": ttl})),
        ttl=ttl,
        stale_ttl=options.get("stale_ttl", DEFAULT),
        key=options.get("key"),
        cache=options.get("cache", "default"),
        x_cache=options.get("x_cache", False),
    )


def check_bare(decorator: str, given: object) -> None:
    """Raise ConfigurationError if a decorator stands without brackets, so that it is given the function itself."""
    if callable(given):
        name = getattr(given, "__qualname__", type(given).__qualname__)
        raise ConfigurationError(f"@{decorator} needs brackets: write @{decorator}(ttl=…) above {name}.")


def check_options(options: Mapping[str, Any]) -> None:
    """Raise ConfigurationError if a view's options have an unknown name; "ttl" stands beside them."""
    unknown = sorted(set(options) - _KNOWN)
    if unknown:
        near = get_close_matches(unknown[0], _KNOWN, n=1)
        meant = f" Did you mean {near[0]!r}?" if near else ""
        raise ConfigurationError(f"No such option: {unknown[0]!r}.{meant} Known: {', '.join(sorted(_KNOWN))}.")


def cached_view(ttl: Ttl = DEFAULT, **options: Unpack[ViewOptions]) -> Callable[[V], V]:
    """Decorate a view: its responses are kept in a cache, with an ETag, until one of their tags is invalidated.

    Args:
        ttl: seconds (or a timedelta) that a response stays fresh; None for no limit; by default the cache's TIMEOUT.
        options: see `ViewOptions`.

    Returns:
        A decorator for views, `def` or `async def`; also for `method_decorator`.

    Raises:
        ConfigurationError: an option or a template makes no sense. Whether the URL has the arguments that the templates
            name shows at the first request.
        InvalidDurationError: a duration is no number of seconds above zero.
    """
    keeper, tags = Keeper(kept_options(ttl, options)), UserTags(options)

    def decorate(view: V) -> V:
        name = f"{getattr(view, '__module__', '')}.{getattr(view, '__qualname__', type(view).__qualname__)}"

        @wraps(view)
        def kept(*arguments: Any, **named: Any) -> Any:
            request = _request_of(arguments)
            who = identify(request) if tags.per_user and request.method in READS else None
            asked = Asked(request, name, tags.of_read(request, named, who), who)
            return keeper.respond(asked, Making(partial(view, *arguments, **named)))

        @wraps(view)
        async def akept(*arguments: Any, **named: Any) -> Any:
            request = _request_of(arguments)
            who = await aidentify(request) if tags.per_user and request.method in READS else None
            asked = Asked(request, name, tags.of_read(request, named, who), who)
            return await keeper.arespond(asked, Making(partial(view, *arguments, **named)))

        return cast("V", akept if _is_async(view) else kept)

    return decorate


def invalidates_view(*tags: str, cache: str = "default") -> Callable[[V], V]:
    """Decorate a view that writes: when it has answered below 400, these tags are invalidated, then it is sent.

    So the client's next read is fresh. Inside `atomic()`, ATOMIC_REQUESTS too, that takes effect at COMMIT, which also
    comes before the response is sent.

    Args:
        tags: templates over the URL's arguments such as "product:{product_id}", and `{user.pk}`.
        cache: the alias of the cache.

    Returns:
        A decorator. Its view raises StoreError, a 500 to the client, if the write was done and the invalidation was
        not, and there is no outbox: readers may get what was before. It is safe to repeat.

    Raises:
        ConfigurationError: no tags, or a template makes no sense.
    """
    rules = tags_to_invalidate("invalidates_view", tags)
    by_user = "user" in rules.arguments

    def decorate(view: V) -> V:
        @wraps(view)
        def invalidating(*arguments: Any, **named: Any) -> Any:
            request = _request_of(arguments)
            user = {"user": request.user} if by_user else {}
            names = rules.of(request, {**user, **named})  # a bad value fails before anything is written
            response = view(*arguments, **named)
            if has_succeeded(response):
                cache_of(cache).invalidate(*names)
            return response

        @wraps(view)
        async def ainvalidating(*arguments: Any, **named: Any) -> Any:
            request = _request_of(arguments)
            user = {"user": await request.auser()} if by_user else {}
            names = rules.of(request, {**user, **named})
            response = await cast("Awaitable[Any]", view(*arguments, **named))
            if has_succeeded(response):
                await cache_of(cache).ainvalidate(*names)
            return response

        return cast("V", ainvalidating if _is_async(view) else invalidating)

    return decorate


def tags_to_invalidate(decorator: str, tags: tuple[str, ...]) -> TagRules:
    """The templates of a decorator that invalidates. Raises ConfigurationError."""
    if not tags or callable(tags[0]):
        raise ConfigurationError(f'{decorator}() needs tags: write @{decorator}("product:{{product_id}}").')
    return tag_rules(tags)


def has_succeeded(response: Any) -> bool:
    """Whether a view has answered below 400. What is no response Django complains of."""
    return getattr(response, "status_code", 500) < 400  # noqa: PLR2004 - HTTP's errors begin there


class UserTags:
    """The tags of a view's responses, its user's among them.

    Attributes:
        per_user: whether there is one response for each user.
    """

    def __init__(self, options: ViewOptions) -> None:
        """Check the templates. Raises ConfigurationError."""
        self.per_user = options.get("per_user", False)
        self._rules = tag_rules(options.get("tags", ()))
        user_tag = options.get("user_tag", USER_TAG)
        self._of_user = tag_rules((user_tag,) if user_tag else ())
        if not self.per_user and ("user" in self._rules.arguments or "user_tag" in options):
            raise ConfigurationError("Tags of the user need per_user=True: without it everybody gets one response.")

    def of_read(self, request: Any, named: Mapping[str, Any], who: Who | None) -> tuple[str, ...] | None:
        """The tags of a response; None to do without the cache.

        Raises:
            ConfigurationError: the URL has no such argument.
        """
        if not self.per_user:
            return self._rules.of_read(request, named)
        if who is None:
            return None
        user = {"user": who.user}
        tags = self._rules.of_read(request, {**user, **named})
        own = self._of_user.of_read(request, user) if who.is_known else ()
        return None if tags is None or own is None else (*own, *tags)


def _request_of(arguments: tuple[Any, ...]) -> Any:
    """The request that a view is called with; Django REST framework's is none of Django's."""
    if arguments and isinstance(arguments[0], HttpRequest):
        return arguments[0]
    raise ConfigurationError(
        "This decorator is for views, whose first argument is Django's request. For a class use method_decorator; for "
        "methods and viewsets of Django REST framework use `cached_action` of unstale.contrib.django.drf."
    )


def _is_async(view: Callable[..., Any]) -> bool:
    """Whether what a view returns is awaited. `method_decorator` hands on the `dispatch` of a class in a partial."""
    if iscoroutinefunction(view):
        return True
    method = view.func if isinstance(view, partial) else view
    is_dispatch = getattr(method, "__name__", "") == "dispatch"
    return is_dispatch and bool(getattr(getattr(method, "__self__", None), "view_is_async", False))


__all__ = ["USER_TAG", "UserTags", "ViewOptions", "cached_view", "invalidates_view"]
