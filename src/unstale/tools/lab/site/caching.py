"""The variants: how a history is read through a cache, and what happens when its user orders. Each is short on purpose.

Here is the application's code, as it is usually written; which backend `cache` is, `backends` says. Whether what is
answered was stale, and what it cost, is for others to find out.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from django.conf import settings
from django.core.cache import cache
from django.db import transaction
from django_redis import get_redis_connection
from django_redis.client import DefaultClient
from shop.models import Order

from unstale.tools.lab.plan import Caching
from unstale.tools.lab.site.history import Catalogue, Page

TTL: Final[int] = settings.TOLD.ttl
CATALOGUE: Final = "products"

Load: TypeAlias = Callable[[], Any]


def page_key(user_id: int, page: int) -> str:
    """The key of a page of a user's history."""
    return f"user:{user_id}:orders:{page}"


class NoDeletes:
    """`cache.get`, compute, `cache.set`, and nothing else: what a user does shows when the ttl has passed."""

    def read(self, user_id: int, page: int, load: Load) -> Page:
        """A page of a user's history."""
        return self._read(page_key(user_id, page), load)

    def catalogue(self, load: Load) -> Catalogue:
        """What is the same for all users: left to expire, in every variant."""
        return self._read(CATALOGUE, load)

    def order(self, user_id: int, save: Callable[[], Order]) -> Order:
        """Save an order, and see to what it makes stale once it is committed."""
        with transaction.atomic():
            order = save()
            transaction.on_commit(lambda: self.acted(user_id))
        return order

    def acted(self, user_id: int) -> None:
        """A user's order was committed."""

    def _read(self, key: str, load: Load) -> Any:
        data = cache.get(key)
        if data is None:
            data = load()
            cache.set(key, data, TTL)
        return data


class PatternDeletes(NoDeletes):
    """The user's keys are deleted by pattern: for which all keys of the server are looked at."""

    def acted(self, user_id: int) -> None:
        """See NoDeletes."""
        cache.delete_pattern(f"user:{user_id}:*")


class PipelinedClient(DefaultClient):
    """A client of django-redis that deletes what a pattern matches in one pipeline.

    django-redis does nearly so itself since 5.3; before that it sent one DEL a key, each a trip of its own.
    """

    def delete_pattern(
        self,
        pattern: str,
        version: int | None = None,
        prefix: str | None = None,
        client: Any = None,
        itersize: int | None = None,
    ) -> int:
        """Delete the keys that match; how many there were."""
        client = self.get_client(write=True) if client is None else client
        keys = list(client.scan_iter(match=self.make_pattern(pattern, version, prefix), count=itersize))
        with client.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.delete(key)
            pipeline.execute()
        return len(keys)


class AsyncDeletes(NoDeletes):
    """The same delete, in a Celery task: the request does not wait for it."""

    def __init__(self) -> None:
        from unstale.tools.lab.site.tasks import delete_pattern  # noqa: PLC0415 - Celery, for this variant alone

        self._delete_pattern = delete_pattern

    def acted(self, user_id: int) -> None:
        """See NoDeletes."""
        self._delete_pattern.delay(f"user:{user_id}:*")


class KnownKeys(NoDeletes):
    """Beside the pages a set of each user's keys, by which they are deleted without being looked for."""

    def read(self, user_id: int, page: int, load: Load) -> Page:
        """See NoDeletes."""
        key = page_key(user_id, page)
        data: Page | None = cache.get(key)
        if data is None:
            data = load()
            index = self._index(user_id)
            with get_redis_connection("default").pipeline(transaction=False) as pipeline:
                pipeline.sadd(index, cache.make_key(key))
                pipeline.expire(index, TTL)
                cache.set(key, data, TTL, client=pipeline)
                pipeline.execute()
        return data

    def acted(self, user_id: int) -> None:
        """See NoDeletes."""
        redis, index = get_redis_connection("default"), self._index(user_id)
        keys = redis.smembers(index)
        with redis.pipeline(transaction=False) as pipeline:
            pipeline.delete(*keys, index)
            pipeline.execute()

    def _index(self, user_id: int) -> str:
        return str(cache.make_key(f"user:{user_id}:keys"))


def user_cache_set(key: str, data: Any, duration: int) -> None:
    """Store the data together with the present time."""
    cache.set(key, {"data": data, "stored_at": time.time()}, duration)


def user_cache_get(userid: int, key: str) -> Any:
    """The data, unless the user has acted since it was stored; None where there is nothing, as `cache.get()`."""
    acted_at = cache.get(f"ua:{userid}")
    entry = cache.get(key)
    if entry is None:
        return None
    try:
        data, stored_at = entry["data"], entry["stored_at"]
    except (TypeError, KeyError):
        return entry  # without metadata: as it is
    if isinstance(acted_at, float) and isinstance(stored_at, float) and stored_at < acted_at:
        return None
    return data


def update_user_cache_timestamp(userid: int) -> None:
    """Note that the user has acted just now."""
    cache.set(f"ua:{userid}", time.time())


class Timestamps(NoDeletes):
    """The article's scheme: values know when they were stored, and users when they last acted."""

    def read(self, user_id: int, page: int, load: Load) -> Page:
        """See NoDeletes."""
        key = page_key(user_id, page)
        data: Page | None = user_cache_get(user_id, key)
        if data is None:
            data = load()
            user_cache_set(key, data, TTL)
        return data

    def acted(self, user_id: int) -> None:
        """See NoDeletes."""
        update_user_cache_timestamp(user_id)


class Unstale(PatternDeletes):
    """The same action as PatternDeletes: with unstale's backend its `delete_pattern` is one write."""

    def _read(self, key: str, load: Load) -> Any:
        return cache.get_or_set(key, load, TTL)


class UnstaleStrict(Unstale):
    """Said before the write and inside its transaction: with STRICT nothing of the user's is fresh until COMMIT."""

    def order(self, user_id: int, save: Callable[[], Order]) -> Order:
        """See NoDeletes."""
        with transaction.atomic():
            self.acted(user_id)
            return save()


CACHINGS: Final[dict[Caching, type[NoDeletes]]] = {
    "pattern-deletes": PatternDeletes,
    "pipelined-deletes": PatternDeletes,
    "async-deletes": AsyncDeletes,
    "known-keys": KnownKeys,
    "no-deletes": NoDeletes,
    "timestamps": Timestamps,
    "unstale": Unstale,
    "unstale-strict": UnstaleStrict,
}
"""By the plan's names. `pipelined-deletes` differs from `pattern-deletes` in its client alone."""
