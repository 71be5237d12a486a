"""`UnstaleCache`: the backend, complete. Its asynchronous half is here, its synchronous half in `backend`."""

from __future__ import annotations

from unstale.contrib.django.backend import SyncCache


class UnstaleCache(SyncCache):
    """A Django cache backend whose invalidation costs one small write."""
