"""The methods that `unstale lab scale` measures, each as a project has it.

Django's caches, keys of the form `user:7:page:3`, values that are JSON text of about 1 KiB. A method stores, reads and
invalidates; it neither measures nor counts. Django is configured here, once for a process, with nothing but CACHES: so
this is imported by a process of its own (`scale_child`).
"""

from __future__ import annotations

import json
import random
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from django.conf import settings
from django.core.cache import caches

TTL_SECONDS: Final = 86_400
SOCKET_SECONDS: Final = 30.0
"""A machine that is busy with others' work is waited for: a time-out would be a lost run."""
PATTERN: Final = "user:{id}:*"
"""The one pattern that unstale's cache is told of."""


class Way(Protocol):
    """A method, for users who have `per_user` pages each."""

    def store(self, user: int) -> None:
        """Put all of a user's pages in place, as the application does when it has loaded them."""

    def read(self, user: int, page: int) -> str | None:
        """A page; None: it is not there, or stale."""

    def invalidate(self, user: int) -> object:
        """Have all of a user's pages loaded anew."""

    def forget(self, user: int) -> None:
        """Remove all that is there of a user, stale or not."""


def configure(url: str, prefix: str) -> None:
    """Make this process a Django project that has two caches on one database, and nothing else."""
    redis = {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": url,
        "KEY_PREFIX": prefix,
        "OPTIONS": {"SOCKET_TIMEOUT": SOCKET_SECONDS, "SOCKET_CONNECT_TIMEOUT": SOCKET_SECONDS},
    }
    unstale = {
        "BACKEND": "unstale.contrib.django.UnstaleCache",
        "LOCATION": url,
        "KEY_PREFIX": prefix,
        "OPTIONS": {"TAG_PATTERNS": [PATTERN], "NAMESPACE": prefix, "SOCKET_TIMEOUT": SOCKET_SECONDS},
    }
    settings.configure(
        SECRET_KEY=secrets.token_hex(32), USE_TZ=True, CACHES={"default": redis, "redis": redis, "unstale": unstale}
    )


def page_of(user: int, page: int, seed: int) -> str:
    """A page of a user's history as an API answers it: the same for the same numbers."""
    draw = random.Random(f"{seed}/{user}/{page}")
    orders = [
        {
            "id": draw.randrange(10**6, 10**7),
            "created_at": f"2026-{draw.randrange(1, 13):02d}-{draw.randrange(1, 29):02d}T10:00:00Z",
            "product": draw.choice(("bench", "lamp", "shelf", "table")),
            "quantity": draw.randrange(1, 9),
        }
        for _ in range(11)
    ]
    return json.dumps({"user": user, "page": page, "results": orders}, separators=(",", ":"))


def key_of(user: int, page: int) -> str:
    """What a project calls a page."""
    return f"user:{user}:page:{page}"


@dataclass(frozen=True, slots=True)
class Pages:
    """What all methods are made from."""

    per_user: int
    """Pages of each user."""
    seed: int

    def names(self, user: int) -> list[str]:
        """The keys of a user's pages."""
        return [key_of(user, page) for page in range(self.per_user)]

    def of(self, user: int) -> dict[str, str]:
        """A user's pages by their keys: one text for all of them, since making each would take longer than storing."""
        text = page_of(user, 0, self.seed)
        return dict.fromkeys(self.names(user), text)


class PatternDeletes:
    """django-redis as its README has it: `cache.delete_pattern("user:7:*")`, which walks all keys of the database."""

    def __init__(self, pages: Pages, arguments: Mapping[str, int]) -> None:
        self._pages = pages
        self._cache: Any = caches["redis"]
        self._arguments = arguments

    def store(self, user: int) -> None:
        """See Way."""
        self._cache.set_many(self._pages.of(user), TTL_SECONDS)

    def read(self, user: int, page: int) -> str | None:
        """See Way."""
        return self._cache.get(key_of(user, page))  # type: ignore[no-any-return] # Django ships no types

    def invalidate(self, user: int) -> object:
        """See Way."""
        return self._cache.delete_pattern(PATTERN.format(id=user), **self._arguments)

    def forget(self, user: int) -> None:
        """See Way."""
        self._cache.delete_many(self._pages.names(user))


class KnownKeys:
    """An index of each user's keys, a set of its own: what is in it is deleted by name, and so is the index."""

    def __init__(self, pages: Pages) -> None:
        from django_redis import get_redis_connection  # noqa: PLC0415 - after the settings

        self._pages = pages
        self._cache: Any = caches["redis"]
        self._redis: Any = get_redis_connection("redis")

    def store(self, user: int) -> None:
        """See Way."""
        pages = self._pages.of(user)
        self._cache.set_many(pages, TTL_SECONDS)
        self._redis.sadd(self._index(user), *map(self._cache.make_key, pages))

    def read(self, user: int, page: int) -> str | None:
        """See Way."""
        return self._cache.get(key_of(user, page))  # type: ignore[no-any-return] # Django ships no types

    def invalidate(self, user: int) -> object:
        """See Way."""
        index = self._index(user)
        return self._redis.delete(index, *self._redis.smembers(index))

    def forget(self, user: int) -> None:
        """See Way."""
        self._cache.delete_many([*self._pages.names(user), f"keys-of:{user}"])

    def _index(self, user: int) -> str:
        return str(self._cache.make_key(f"keys-of:{user}"))


class Timestamps:
    """The article's three functions, as `examples/article.py` writes them out, on Django's cache."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._cache: Any = caches["redis"]

    def store(self, user: int) -> None:
        """See Way."""
        pages = self._pages.of(user)
        now = time.time()
        self._cache.set_many({key: {"data": text, "stored_at": now} for key, text in pages.items()}, TTL_SECONDS)

    def read(self, user: int, page: int) -> str | None:
        """See Way."""
        acted_at = self._cache.get(f"ua:{user}")
        stored = self._cache.get(key_of(user, page))
        if stored is None or (acted_at is not None and stored["stored_at"] < acted_at):
            return None
        return stored["data"]  # type: ignore[no-any-return] # Django ships no types

    def invalidate(self, user: int) -> object:
        """See Way."""
        return self._cache.set(f"ua:{user}", time.time(), None)

    def forget(self, user: int) -> None:
        """See Way."""
        self._cache.delete_many([*self._pages.names(user), f"ua:{user}"])


class Unstale:
    """The line that PatternDeletes has, on a cache that was told of the pattern: one write of the user's stamp."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages
        self._cache: Any = caches["unstale"]

    def store(self, user: int) -> None:
        """See Way."""
        self._cache.set_many(self._pages.of(user), TTL_SECONDS)

    def read(self, user: int, page: int) -> str | None:
        """See Way."""
        return self._cache.get(key_of(user, page))  # type: ignore[no-any-return] # Django ships no types

    def invalidate(self, user: int) -> object:
        """See Way."""
        return self._cache.delete_pattern(PATTERN.format(id=user))

    def forget(self, user: int) -> None:
        """See Way."""
        self._cache.delete_many(self._pages.names(user))


Maker: TypeAlias = Callable[[Pages], Way]
WAYS: Final[Mapping[str, Maker]] = {
    "unstale": Unstale,
    "timestamps": Timestamps,
    "known-keys": KnownKeys,
    "pattern-deletes-1000": lambda pages: PatternDeletes(pages, {"itersize": 1000}),
    "pattern-deletes": lambda pages: PatternDeletes(pages, {}),
}
"""By the names of `scale_plan.METHODS`."""
