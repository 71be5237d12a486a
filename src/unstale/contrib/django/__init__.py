"""Django: a cache backend, invalidation that knows transactions, cached views, models to tags.

    CACHES = {"default": {"BACKEND": "unstale.contrib.django.UnstaleCache", "LOCATION": "redis://…",
                          "OPTIONS": {"TAG_PATTERNS": ["user:{id}:*"]}}}

This package translates and delegates: it holds no caching logic. Only the files that need Django REST framework,
Celery or the debug toolbar import them. What it names is imported when it is first asked for: settings name the
backend, and apps are loaded, before there are models.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from unstale.contrib.django.backend.redis_verbs import get_redis_connection
    from unstale.contrib.django.functions import cached
    from unstale.contrib.django.registry import invalidate_for, invalidates
    from unstale.contrib.django.unstale_cache import UnstaleCache
    from unstale.contrib.django.views import cached_view, invalidates_view

__all__ = [
    "UnstaleCache",
    "cached",
    "cached_view",
    "get_redis_connection",
    "invalidate_for",
    "invalidates",
    "invalidates_view",
]

_WHERE: Final = {
    "UnstaleCache": "unstale_cache",
    "cached": "functions",
    "cached_view": "views",
    "get_redis_connection": "backend.redis_verbs",
    "invalidate_for": "registry",
    "invalidates": "registry",
    "invalidates_view": "views",
}


def __getattr__(name: str) -> object:
    """What this package names."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
