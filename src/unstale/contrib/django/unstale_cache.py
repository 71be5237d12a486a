"""`UnstaleCache`: the backend, with all its verbs."""

from __future__ import annotations

from unstale.contrib.django.async_backend import BothCache


class UnstaleCache(BothCache):
    """A Django cache backend whose invalidation costs one small write."""
