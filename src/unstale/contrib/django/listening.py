"""Who hears of what happens in the caches of this process: the debug toolbar's panel, and tests.

Two kinds of listeners. Every invalidation is told to those of `invalidations`, which costs nothing on the hit path. All
events are told to the recorders of the running context (a request), but only by caches that were made to tell: those
of a project that has the debug toolbar installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from django.conf import settings

from unstale.events import Event, Hook, together

Told = Callable[["tuple[str, ...]"], None]

_told: list[Told] = []
_recorder: ContextVar[Hook | None] = ContextVar("unstale_recorder", default=None)
_TOOLBAR: Final = "debug_toolbar"


def tell(tags: tuple[str, ...]) -> None:
    """Say that these tags, by their whole names, were invalidated: it has taken effect."""
    for one in tuple(_told):
        one(tags)


@contextmanager
def invalidations(told: Told) -> Iterator[None]:
    """Hear of all invalidations that take effect in this process meanwhile."""
    _told.append(told)
    try:
        yield
    finally:
        _told.remove(told)


def record_with(recorder: Hook | None) -> None:
    """Tell all events of this context to a recorder from here on, if its caches tell; None for no more."""
    _recorder.set(recorder)


def hook_for(own: Hook | None) -> Hook | None:
    """The hook of a cache: the project's own, and the recorders where there is a toolbar to show them."""
    # Not from the registry of apps: a cache may be used while apps are loaded, or in a script that never loads them.
    if all(name.partition(".")[0] != _TOOLBAR for name in settings.INSTALLED_APPS):
        return own
    return _Recording() if own is None else together(own, _Recording())


class _Recording:
    """A hook that tells the running context's recorder."""

    only_measures = True
    """A panel is no log."""

    def __call__(self, event: Event) -> None:
        """Tell it, if there is one."""
        recorder = _recorder.get()
        if recorder is not None:
            recorder(event)
