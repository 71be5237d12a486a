"""The caches of CACHES by their aliases, and the aliases of caches: by them processes know which is meant."""

from __future__ import annotations

from contextlib import suppress

from django.conf import settings
from django.core.cache import caches
from django.core.cache.backends.base import BaseCache
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from unstale.contrib.django.backend.engine import Engine
from unstale.contrib.django.backend.keyed import KeyedCache
from unstale.errors import ConfigurationError


def cache_named(alias: str) -> BaseCache:
    """The cache of an alias, whoever's backend it is.

    Raises:
        ConfigurationError: CACHES has no such alias.
        Whatever the backend raises for settings that make no sense.
    """
    if alias not in settings.CACHES:
        known = ", ".join(settings.CACHES)
        raise ConfigurationError(f"CACHES has no alias {alias!r}. There are: {known}.")
    found: BaseCache = caches[alias]
    return found


def engines() -> dict[str, Engine]:
    """Our caches in CACHES, by alias: in whatever process, the same aliases mean the same caches.

    Raises:
        ImproperlyConfigured, ConfigurationError: the settings of one make no sense.
    """
    found = ((alias, _engine_at(alias)) for alias in settings.CACHES)
    return {alias: engine for alias, engine in found if engine is not None}


def _engine_at(alias: str) -> Engine | None:
    """The engine of an alias, as its backend has it, since a subclass may have options of its own; None: not ours."""
    try:
        kind = import_string(settings.CACHES[alias]["BACKEND"])
    except ImportError:  # whoever uses it is told
        return None
    if isinstance(kind, type) and not issubclass(kind, KeyedCache):
        return None  # it may want what is not installed, or connect
    backend = caches[alias]
    return backend._engine if isinstance(backend, KeyedCache) else None  # noqa: SLF001 - our own


def alias_of(engine: Engine, what: str) -> str:
    """The alias under which another process finds an engine's cache.

    Args:
        engine: the cache's.
        what: needs it: the beginning of the message.

    Raises:
        ImproperlyConfigured: CACHES has none.
    """
    for alias in settings.CACHES:
        with suppress(ImproperlyConfigured, ConfigurationError):  # another's settings: whoever uses it is told
            if _engine_at(alias) is engine:
                return alias
    raise ImproperlyConfigured(f"{what} needs a cache that stands in CACHES.")
