"""What is done by hand between two deploys of a migration (see `migrating`): sessions moved, the rest removed."""

from __future__ import annotations

import math
from typing import Any

from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured

from unstale.cache import Cache
from unstale.contrib.django.migration.migrating import LEAVING, SESSIONS, SHARING, STAGES, is_session
from unstale.contrib.django.migration.old_side import ABSENT
from unstale.core.globs import escape


def move_sessions(alias: str = "default") -> int:
    """Move the sessions that are on django-redis's side to ours: once all pods have MIGRATING = "leaving".

    Returns:
        How many there were. Call it again if it fails.
    """
    backend, cache = _migrating(alias, LEAVING)
    moved = 0
    for key in cache.old.keys(backend.make_pattern(f"{escape(SESSIONS)}*")):
        if is_session(key):
            moved += _move(backend, cache, key)
    return moved


def _move(backend: Any, cache: Any, made: str) -> bool:
    """A fill under a lease: who deletes or sets the session meanwhile takes the lease away."""
    left = cache.old.ttl(made)
    tags = _tags_of(backend, made)
    if left is not None:

        def load() -> Any:
            value = cache.old.get(made)
            if value is ABSENT:
                raise _GoneError
            return value

        try:
            Cache.get_or_set(cache, made, load, tags=tags, ttl=None if left == math.inf else left)
        except _GoneError:
            return False
    return bool(cache.old.delete([made]))


class _GoneError(Exception):
    """The session was deleted meanwhile."""


def return_sessions(alias: str = "default") -> int:
    """The way back: move the sessions that are ours to django-redis's side, once all pods have MIGRATING = True.

    Returns:
        How many there were.
    """
    backend, cache = _migrating(alias, SHARING)
    moved = 0
    for made in list(Cache.iter_keys(cache, backend.make_pattern(f"{escape(SESSIONS)}*"))):
        tags = _tags_of(backend, made)
        left, value = Cache.ttl(cache, made, tags=tags), Cache.get(cache, made, ABSENT, tags=tags)
        if is_session(made) and left is not None and value is not ABSENT:
            cache.old.set(made, value, left, nx=True)
            moved += Cache.delete(cache, made, tags=tags)
    return moved


def remove_old(alias: str = "default") -> None:
    """Remove all keys of django-redis's: they are read by nobody any more, and would be old if that changed.

    Raises:
        ImproperlyConfigured: MIGRATING is not "leaving" here.
    """
    _migrating(alias, LEAVING)[1].old.forget_all()


def _tags_of(backend: Any, made: str) -> tuple[str, ...]:
    return backend._plan(backend._engine.options.reverse_key(made), None).tags or ()  # noqa: SLF001 - our own


def _migrating(alias: str, stage: str) -> tuple[Any, Any]:
    backend: Any = caches[alias]
    engine = getattr(backend, "_engine", None)
    if engine is None or engine.options.migrating != stage:
        wanted = next(given for given, named in STAGES.items() if named == stage)
        raise ImproperlyConfigured(f'This needs OPTIONS["MIGRATING"] = {wanted!r} in CACHES[{alias!r}].')
    return backend, engine.cache
