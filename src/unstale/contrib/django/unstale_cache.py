"""`UnstaleCache`: the backend, with all its verbs."""

from __future__ import annotations

from unstale.contrib.django.backend.redis_averbs import AsyncRedisUsersCache


class UnstaleCache(AsyncRedisUsersCache):
    """A Django cache backend whose invalidation costs one small write."""
