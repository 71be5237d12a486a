"""The caches of CACHES by their aliases, with a message that names the alias and those that there are."""

from __future__ import annotations

from django.conf import settings
from django.core.cache import caches
from django.core.cache.backends.base import BaseCache

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
