"""What a view of Django REST framework that is kept for everybody finds out about whom it answers.

The framework itself authenticates each request, so the user is always known before the view runs. What is noted is who
asks the framework's request for him afterwards, and what was put on view or request while the checks ran. Django's own
request is `personal`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from typing import Any, Final

from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from unstale.contrib.django.personal import Watch

_LOOKS: Final = "unstale_looks"
_OF_THE_FRAMEWORK: Final = frozenset(
    {
        *("view.format_kwarg", "request.version", "request.versioning_scheme"),
        *("request.accepted_renderer", "request.accepted_media_type", "request._parsed_accept_list"),
        *("request._user", "request._auth", "request._authenticator", "request.csrf_processing_done"),
        *("request._data", "request._files", "request._full_data", "request._stream", "request._content_type"),
    }
)
"""What its own checks leave behind (REST framework 3.18). The user is watched; the rest hangs on what the key holds, or
on a body, with which nothing is kept."""


class _Noting:
    """A request that notes who asks for its user or its token. They may be None, so no stand-in can tell."""

    unstale_looks: list[str]

    @property
    def user(self) -> Any:
        self.unstale_looks.append("user")
        return super().user  # type: ignore[misc] # Request's

    @user.setter
    def user(self, value: Any) -> None:
        self.unstale_looks.append("user")
        super(_Noting, type(self)).user.fset(self, value)  # type: ignore[misc] # the same

    @property
    def auth(self) -> Any:
        self.unstale_looks.append("auth")
        return super().auth  # type: ignore[misc] # the same

    @auth.setter
    def auth(self, value: Any) -> None:
        self.unstale_looks.append("auth")
        super(_Noting, type(self)).auth.fset(self, value)  # type: ignore[misc] # the same

    @property
    def successful_authenticator(self) -> Any:
        self.unstale_looks.append("authenticator")
        return super().successful_authenticator  # type: ignore[misc] # the same


@lru_cache(maxsize=64)
def _noting(kind: type[Request]) -> type[Request]:
    return type(f"Noting{kind.__name__}", (_Noting, kind), {})


@contextmanager
def noting(request: Request) -> Iterator[list[str]]:
    """Note who asks for the user or his token, and permissions that judge objects. What is inside counts outside."""
    kind: Any = type(request)
    looks: list[str] = []
    outer: list[str] | None = vars(request).get(_LOOKS)
    setattr(request, _LOOKS, looks)
    if outer is None:
        request.__class__ = _noting(kind)
    try:
        with _judging(request.parser_context["view"], looks):
            yield looks
    finally:
        if outer is None:
            request.__class__ = kind
            delattr(request, _LOOKS)
        else:
            setattr(request, _LOOKS, outer)
            outer.extend(looks)


@contextmanager
def _judging(view: Any, looks: list[str]) -> Iterator[None]:
    """A permission may judge an object by a user whom it has remembered, without asking anybody again."""
    check: Callable[[Any, Any], None] = view.check_object_permissions
    before = vars(view).get("check_object_permissions")

    def noted(request: Request, obj: Any) -> None:
        if type(view).check_object_permissions is not APIView.check_object_permissions or any(
            _judges_objects(each) for each in view.get_permissions()
        ):
            looks.append("object")
        check(request, obj)

    view.check_object_permissions = noted
    try:
        yield
    finally:
        if before is None:
            del view.check_object_permissions
        else:
            view.check_object_permissions = before


def _judges_objects(permission: Any) -> bool:
    """Whether a permission has a say about objects. One that is put together by operators has its parts' say."""
    if parts := [part for name in ("op1", "op2") if (part := getattr(permission, name, None)) is not None]:
        return any(_judges_objects(part) for part in parts)
    own = getattr(type(permission), "has_object_permission", None)
    return own is not None and own is not BasePermission.has_object_permission


class Prelude:
    """What comes before the handler of a view that is kept for everybody.

    Code that runs below the mixin's `initial()`, permissions and throttles too, must look at the user, so there it
    counts what they leave behind for the handler. After it each look counts.
    """

    def __init__(self, view: APIView, request: Request) -> None:
        """Take what is there before the checks."""
        self._view = view
        self._request = request
        self._before = self._attributes()
        self._watching = ExitStack()
        self._watch: Watch | None = None
        self._looks: list[str] = []

    def begin(self, watch: Watch) -> None:
        """The checks are done. `watch` watches Django's request."""
        after = self._attributes()
        left = [name for name, value in after.items() if self._before.get(name, self) is not value]
        self._looks = self._watching.enter_context(noting(self._request))
        self._watch = self._watching.enter_context(watch)
        self._looks += [name for name in left if name not in _OF_THE_FRAMEWORK]

    def end(self) -> bool:
        """The handler is called next, or never. Whether somebody knows by now whom it answers."""
        self._watching.close()
        return bool(self._looks) or (self._watch is not None and self._watch.spoils)

    def _attributes(self) -> dict[str, Any]:
        view, request = self._view, self._request
        held = {"view": vars(view), "kwargs": view.kwargs, "request": vars(request)}
        return {f"{holder}.{name}": value for holder, values in held.items() for name, value in values.items()}


__all__ = ["Prelude", "noting"]
