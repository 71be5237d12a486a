"""Whose a response is: whom its key names, and whether a view looked at what its key does not name.

A view says how its response is kept; nobody can see whether that is true but by watching the view. So while it makes a
response that is to be kept, its request notes what is asked of it: the user, the session, cookies, the CSRF token,
messages, the accepted media types. What was looked at and is not in the key keeps the response from being kept. Headers
are not watched: what a view reads of these must be named in `vary`.

Nothing here reads or writes a cache.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from contextlib import ExitStack
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Any, Final, Self, assert_never

from django.http import HttpRequest
from django.utils.functional import LazyObject, SimpleLazyObject, empty

from unstale.contrib.django.noted_session import noting, peek
from unstale.errors import ConfigurationError

_CSRF: Final = "CSRF_COOKIE_NEEDS_UPDATE"
"""In a request's META: a CSRF token was made for it, so its response carries the cookie that goes with it."""
_SESSION_USER: Final = "_auth_user_id"
"""Where `django.contrib.auth` keeps the user in a session."""
_NOBODY: Final = "django.contrib.auth.models.AnonymousUser"
"""Django's own class for nobody, who is the same for all; guests of an application's own may differ."""
_NEGOTIATED: Final = ("accepted_types", "accepted_types_by_precedence")
"""Properties that Django keeps in the request once it was asked which media types are accepted."""
MESSAGES: Final = "messages"
"""Stands among what is known for: no messages wait to be shown."""
_NO_USER: Final = (
    "This view is kept for each user, and the request has no `user`. Add AuthenticationMiddleware to MIDDLEWARE "
    "(in asynchronous views its `auser`), or leave per_user out."
)


class Keeping(Enum):
    """For whom a response is kept; what its view may look at follows from it."""

    FOR_ALL = 1
    """Everybody gets it: the view looks neither at the user nor at session or cookies."""
    FOR_NOBODY = 2
    """For who is not logged in and has no session: the view may look at these, for all have the same, but not at
    cookies."""
    FOR_USER = 3
    """For one user with one session or credential: the view may look at everything that is his."""
    BY_COOKIE = 4
    """The key holds the request's whole Cookie header: the view may look at everything that hangs on it, and at the
    user if he is the session's."""
    BY_CREDENTIAL = 5
    """The key holds the request's Authorization header: the view may look at whom it stands for, but neither at session
    nor cookies."""


@dataclass(frozen=True, slots=True)
class Who:
    """Whom a response is for.

    Attributes:
        user: the user; whatever the application has for nobody.
        parts: what a key holds of it: the user's model and primary key, and the session or credential he came with.
        is_known: whether he is logged in.
    """

    user: Any
    parts: tuple[str, ...]
    is_known: bool


def who_of(request: HttpRequest, user: Any, *credential: str) -> Who | None:
    """Whom a response to a request of this user is for.

    The session's key is part of it. So somebody who takes on another's identity (support staff, say) never leaves pages
    that the other is given, and what a view takes from a session stays in it.

    Args:
        request: Django's own.
        user: its user.
        credential: more that the user came with.

    Returns:
        None if he cannot be told from others: a user without a primary key, a guest of the application's own, or nobody
        with things in his session.
    """
    session = vars(request).get("session")
    if not getattr(user, "is_authenticated", False):
        is_nobody = (user is None or _kind(user) == _NOBODY) and (session is None or session.is_empty())
        return Who(user, ("nobody", *credential), is_known=False) if is_nobody else None
    if (key := getattr(user, "pk", None)) is None:
        return None
    session_key = getattr(session, "session_key", None) or ""
    return Who(user, ("user", _kind(user), str(key), session_key, *credential), is_known=True)


def identify(request: HttpRequest) -> Who | None:
    """Whom a response to a request is for, by Django's `request.user`. See `who_of`.

    Raises:
        ConfigurationError: the request has no user.
    """
    if not hasattr(request, "user"):
        raise ConfigurationError(_NO_USER)
    return who_of(request, request.user)


async def aidentify(request: HttpRequest) -> Who | None:
    """The same in asynchronous code, by `request.auser()`; None also where a middleware has set another `user`.

    Raises:
        ConfigurationError: the request has no user, or none that can be awaited.
    """
    given = vars(request).get("user")
    ask = getattr(request, "auser", None)
    if ask is None and not _is_seen(given):
        raise ConfigurationError(_NO_USER)
    user = given if ask is None else await ask()
    who = who_of(request, user)
    return None if who is not None and _is_seen(given) and not _is_same(given, who) else who


def is_personal(request: HttpRequest, keeping: Keeping) -> bool:
    """Whether something around the view has found out whose this request is, by what its key does not hold.

    The view may depend on what came of that.
    """
    user = vars(request).get("user")
    match keeping:
        case Keeping.FOR_ALL:
            return _was_read(request) or (_is_seen(user) and bool(getattr(user, "is_authenticated", False)))
        case Keeping.BY_CREDENTIAL:
            return _was_read(request)
        case Keeping.BY_COOKIE:
            return _is_seen(user) and not _is_of_session(request, user)
        case Keeping.FOR_USER | Keeping.FOR_NOBODY:
            return False
        case _:
            assert_never(keeping)


def _was_read(request: HttpRequest) -> bool:
    session = vars(request).get("session")
    return session is not None and bool(
        peek(session, "accessed", default=True) or peek(session, "modified", default=True)
    )


def _is_of_session(request: HttpRequest, user: Any) -> bool:
    """Whether a user is the one whom the session names, or nobody where it names none."""
    session = vars(request).get("session")
    if session is None or not session.accessed:  # so he was found by other means
        return False
    key = getattr(user, "pk", None) if getattr(user, "is_authenticated", False) else ""
    return str(session.get(_SESSION_USER, "")) == str(key)


def has_messages(request: HttpRequest) -> bool:
    """Whether messages wait to be shown, which a kept page could not have."""
    messages = vars(request).get("_messages")
    return messages is not None and len(messages) > 0


async def aload_messages(request: HttpRequest) -> None:
    """In asynchronous code, load what `has_messages` reads without waiting: the session."""
    session = vars(request).get("session")
    if session is not None and "_messages" in vars(request):
        await session.aget("_messages")


def _kind(user: Any) -> str:
    meta = getattr(user, "_meta", None)
    return str(meta.label) if meta is not None else f"{user.__class__.__module__}.{user.__class__.__qualname__}"


def _is_seen(user: Any) -> bool:
    """Whether a user is there: it is none that Django would look up only when asked."""
    return user is not None and not (issubclass(type(user), LazyObject) and user._wrapped is empty)  # noqa: SLF001


def _is_same(user: Any, who: Who) -> bool:
    if not getattr(user, "is_authenticated", False):
        return not who.is_known
    return who.is_known and (_kind(user), getattr(user, "pk", None)) == (_kind(who.user), who.user.pk)


class Watch:
    """Watches what a view looks at, and what it changes, while it makes a response. Use as a context manager.

    Attributes:
        spoils: at its end: whether the response must not be kept.
    """

    def __init__(self, request: HttpRequest, keeping: Keeping, who: Who | None, known: AbstractSet[str]) -> None:
        """Take what is known.

        Args:
            request: Django's own.
            keeping: for whom the response is to be kept.
            who: whom its key names.
            known: request headers whose values its key holds; MESSAGES if none were waiting.
        """
        self._request = request
        self._keeping = keeping
        self._who = who
        self._known = known
        self._put_back: list[Callable[[], None]] = []
        self._looks: list[Callable[[], bool]] = []
        self._notes = ExitStack()
        self.spoils = False

    def __enter__(self) -> Self:
        """Begin to watch."""
        given = vars(self._request)
        for name in _NEGOTIATED:
            given.pop(name, None)
        session, messages = given.get("session"), given.get("_messages")
        self._nonce = given.get("_csp_nonce")
        self._looks.append(lambda: given.get("session") is not session)
        self._watch_csrf()
        self._watch_flag(session, "modified")
        self._watch_flag(messages, "added_new")
        if MESSAGES not in self._known:
            self._watch_flag(messages, "used")
        if self._keeping in (Keeping.FOR_ALL, Keeping.BY_CREDENTIAL):
            self._watch_flag(session, "accessed")
            uses = self._notes.enter_context(noting(session))
            self._looks.append(lambda: bool(uses))
        if "cookie" not in self._known and self._keeping is not Keeping.FOR_USER:
            self._watch_cookies()
        if self._keeping is Keeping.FOR_ALL:
            self._watch_asking()
        self._watch_user(given.get("user"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Judge, and leave the request as it would be."""
        self._notes.close()
        given = vars(self._request)
        self.spoils = (
            any(look() for look in self._looks)
            or ("accept" not in self._known and any(name in given for name in _NEGOTIATED))
            or (bool(given.get("_csp_nonce")) and not self._nonce)
        )
        for put_back in reversed(self._put_back):
            put_back()

    def _watch_csrf(self) -> None:
        """A page with a token is of use only to whoever has the cookie that goes with it."""
        meta = self._request.META
        before = meta.pop(_CSRF, False)
        self._looks.append(lambda: bool(meta.get(_CSRF)))
        if before:
            self._put_back.append(lambda: meta.update({_CSRF: before}))

    def _watch_flag(self, holder: Any, name: str) -> None:
        """A flag that an object raises itself; if it was up before it is up again afterwards."""
        before = peek(holder, name)
        if before is None:
            return
        setattr(holder, name, False)
        self._looks.append(lambda: bool(peek(holder, name)))
        if before:
            self._put_back.append(lambda: setattr(holder, name, True))

    def _watch_cookies(self) -> None:
        request, cookies = self._request, self._request.COOKIES
        noted: Any = SimpleLazyObject(lambda: cookies)
        request.COOKIES = noted
        self._looks.append(lambda: _is_seen(noted))
        self._put_back.append(lambda: setattr(request, "COOKIES", cookies))

    def _watch_asking(self) -> None:
        """`request.auser`: whoever calls it wants to know the user."""
        request, ask = self._request, vars(self._request).get("auser")
        if ask is None:
            return
        asked: list[bool] = []

        async def noted() -> Any:
            asked.append(True)
            return await ask()

        request.auser = noted
        self._looks.append(lambda: bool(asked))
        self._put_back.append(lambda: setattr(request, "auser", ask))

    def _watch_user(self, user: Any) -> None:
        """Whether the user is looked at, where that matters; and whether he is another afterwards."""
        request, keeping, watched = self._request, self._keeping, user
        if keeping is Keeping.BY_CREDENTIAL:
            return
        if user is not None and keeping in (Keeping.FOR_ALL, Keeping.BY_COOKIE):
            if _is_seen(user):
                watched = request.user = SimpleLazyObject(lambda: user)
            by_cookie = keeping is Keeping.BY_COOKIE
            self._looks.append(lambda: _is_seen(watched) and not (by_cookie and _is_of_session(request, watched)))
        self._looks.append(lambda: self._is_another(watched))
        if watched is not user:
            self._put_back.append(lambda: self._put_user_back(watched, user))

    def _is_another(self, watched: Any) -> bool:
        after, who = vars(self._request).get("user"), self._who
        if after is watched:
            return False
        return who is None or not who.is_known or not _is_seen(after) or not _is_same(after, who)

    def _put_user_back(self, watched: Any, user: Any) -> None:
        if vars(self._request).get("user") is watched:  # else the view has set another
            self._request.user = user
