"""Django: a cache backend, invalidation that knows transactions, cached views, models to tags.

    CACHES = {"default": {"BACKEND": "unstale.contrib.django.UnstaleCache", "LOCATION": "redis://…",
                          "OPTIONS": {"TAG_PATTERNS": ["user:{id}:*"]}}}

This package translates and delegates: it holds no caching logic. Only the files that need Django REST framework,
Celery or the debug toolbar import them.
"""

from unstale.contrib.django.unstale_cache import UnstaleCache

__all__ = ["UnstaleCache"]
