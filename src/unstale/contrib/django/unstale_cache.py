"""`UnstaleCache`: the backend, with all its verbs."""

from __future__ import annotations

from typing import Any

from unstale.contrib.django.backend.redis_averbs import AsyncRedisUsersCache
from unstale.contrib.django.later import Later


class UnstaleCache(AsyncRedisUsersCache):
    """A Django cache backend whose invalidation costs one small write."""

    def later(self, runner: Any = None, *, using: str | None = None) -> Later:
        """Invalidations that may be large, off the request path: `cache.later().delete_pattern("old:*")`.

        Args:
            runner: in place of OPTIONS["RUNNER"]; see `runners`.
            using: the database whose transaction it belongs to; every one that is open by default.

        Raises:
            ConfigurationError: there is no runner.
        """
        return Later(self, runner, using)
