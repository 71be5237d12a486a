"""A store whose trips are timed, for hooks that ask for it. A store without one is not wrapped, and pays nothing.

It stands around a store and adds nothing else: what it does not time is the store's own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from time import monotonic
from typing import Any, Final

from unstale.errors import BreakerOpenError
from unstale.events import Trip

TRIPS: Final = (
    *("read", "peek", "open", "commit", "release", "bump", "close_stamps", "complete"),
    *("modify", "heads", "scan", "remove", "ping"),
)
"""The verbs of `core.ports.Store` that ask the server."""

Tell = Callable[[Trip], None]


class TimedStore:
    """A Store or an AsyncStore around another, told how long each of its trips took.

    A trip that the breaker did not let go is none, and is not told; nor is one that its caller has cancelled.
    """

    def __init__(self, store: Any, tell: Tell) -> None:
        """Take both."""
        self._timed_store = store
        for name in TRIPS:
            verb = getattr(store, name)
            make = _awaited if iscoroutinefunction(verb) else _called
            setattr(self, name, make(verb, name, tell))

    def __getattr__(self, name: str) -> Any:
        """All else is the store's."""
        return getattr(self._timed_store, name)


def _called(verb: Callable[..., Any], name: str, tell: Tell) -> Callable[..., Any]:
    def trip(*arguments: Any, **named: Any) -> Any:
        began = monotonic()
        try:
            found = verb(*arguments, **named)
        except Exception as error:
            _failed(name, began, error, tell)
            raise
        tell(Trip(name, monotonic() - began))
        return found

    return trip


def _awaited(verb: Callable[..., Awaitable[Any]], name: str, tell: Tell) -> Callable[..., Awaitable[Any]]:
    async def trip(*arguments: Any, **named: Any) -> Any:
        began = monotonic()
        try:
            found = await verb(*arguments, **named)
        except Exception as error:
            _failed(name, began, error, tell)
            raise
        tell(Trip(name, monotonic() - began))
        return found

    return trip


def _failed(name: str, began: float, error: Exception, tell: Tell) -> None:
    if not isinstance(error, BreakerOpenError):
        tell(Trip(name, monotonic() - began, failed=True))
