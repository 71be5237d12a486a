"""A session that notes each use of it: `accessed` is not raised for `session_key` or `is_empty()`.

While it is watched, its class is one that notes. So nobody holds a reference that is not watched, `isinstance` holds,
and `request.session = …` and what SessionMiddleware does afterwards are as ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final

from django.contrib.sessions.backends.base import SessionBase

_USES: Final = "unstale_uses"
"""Where a session that is watched has its list."""
_IS_NOTING: Final = "unstale_is_noting"


@lru_cache(maxsize=64)
def _noting(kind: Any) -> type:
    """A session's class that notes. It has the same name, which Django signs with.

    Indexing, `in` and the like are noted too: Django's ask for `_session`. It has one base: CPython 3.11 lets no object
    change to a class with a second one that has no `__dict__`.
    """

    def noted(session: Any, name: str) -> Any:
        object.__getattribute__(session, "__dict__")[_USES].append(name)
        return kind.__getattribute__(session, name)

    named = {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
    return type(kind.__name__, (kind,), {**named, "__getattribute__": noted, _IS_NOTING: True})


@contextmanager
def noting(session: Any) -> Iterator[list[str]]:
    """Note what a session is asked for: the names, as they come. One that cannot be watched counts as used."""
    uses: list[str] = []
    kind: Any = type(session)
    if session is None or not issubclass(kind, SessionBase):
        if session is not None:
            uses.append("unwatched")
        yield uses
        return
    outer = peek(session, _USES)
    setattr(session, _USES, uses)
    if outer is None:
        session.__class__ = _noting(kind)
    try:
        yield uses
    finally:
        if outer is None:
            session.__class__ = kind
            delattr(session, _USES)
        else:
            setattr(session, _USES, outer)
            outer.extend(uses)


def peek(session: Any, name: str, *, default: Any = None) -> Any:
    """An attribute, read without being noted: for whoever watches."""
    if not getattr(type(session), _IS_NOTING, False):
        return getattr(session, name, default)
    try:
        return object.__getattribute__(session, name)
    except AttributeError:
        return default
