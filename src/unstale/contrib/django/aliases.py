"""The caches of CACHES by their aliases, and the aliases of caches: by them processes know which is meant."""

from __future__ import annotations

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

    As their backends have them: a subclass may have options of its own.
    """
    made = ((alias, caches[alias]) for alias, params in settings.CACHES.items() if _may_be_ours(params["BACKEND"]))
    return {alias: backend._engine for alias, backend in made if isinstance(backend, KeyedCache)}  # noqa: SLF001 - our own


def _may_be_ours(backend: str) -> bool:
    try:
        kind = import_string(backend)
    except ImportError:  # whoever uses it is told
        return False
    return not isinstance(kind, type) or issubclass(kind, KeyedCache)


def alias_of(engine: Engine, what: str) -> str:
    """The alias under which another process finds an engine's cache.

    Args:
        engine: the cache's.
        what: needs it: the beginning of the message.

    Raises:
        ImproperlyConfigured: CACHES has none.
    """
    for alias, one in engines().items():
        if one is engine:
            return alias
    raise ImproperlyConfigured(f"{what} needs a cache that stands in CACHES.")
