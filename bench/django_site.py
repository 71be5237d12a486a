"""What the Django part compares, as a project has it: settings with a database, and one cache of each backend.

Each backend is taken as it comes, with its defaults. unstale's declares two patterns, so that each key carries two
tags; it signs what it pickles, and asks the server once a second who it is. Nothing is measured here.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from typing import Any, Final

import django
from django.conf import settings
from django.core.cache import CacheHandler
from django.db import connection
from django.utils.connection import ConnectionProxy

SQLITE: Final = "SQLite"
POSTGRESQL: Final = "PostgreSQL"


@dataclass(frozen=True, slots=True)
class Config:
    """How much is measured.

    Attributes:
        rounds: of each verb, in each of which all backends have their turn.
        calls: of each in a round.
        sizes: keys in the database in which a pattern is deleted.
        pattern_rounds: the same as `rounds`, for `delete_pattern`.
        load_rounds: the same, for requests to the shop.
        load_seconds: that one view is asked in a round.
        users: of the shop, each with a list of his own.
        databases: under the shop.
    """

    rounds: int = 40
    calls: int = 500
    sizes: tuple[int, ...] = (10_000, 100_000)
    pattern_rounds: int = 5
    load_rounds: int = 6
    load_seconds: float = 1.0
    users: int = 100
    databases: tuple[str, ...] = (SQLITE, POSTGRESQL)

    def scaled(self, scale: float) -> Config:
        """With so many times the rounds, the calls where that leaves less than one round, and the seconds."""
        rounds = max(1, round(self.rounds * scale))
        return replace(
            self,
            rounds=rounds,
            calls=max(20, round(self.calls * min(1.0, self.rounds * scale))),
            pattern_rounds=max(1, round(self.pattern_rounds * scale)),
            load_rounds=max(1, round(self.load_rounds * scale)),
            load_seconds=max(0.1, self.load_seconds * min(1.0, self.load_rounds * scale)),
        )

    def small(self) -> Config:
        """With a tenth of the keys."""
        return replace(self, sizes=tuple(size // 10 for size in self.sizes))


@dataclass(frozen=True, slots=True)
class Backend:
    """A cache backend.

    Attributes:
        path: of its class.
        async_path: of the class whose `aget` is measured, where that is another one.
        options: OPTIONS; all else is the backend's default.
    """

    path: str
    async_path: str = ""
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def is_there(self) -> bool:
        """Whether it is installed."""
        return find_spec(self.path.partition(".")[0]) is not None


UNSTALE: Final = "unstale"
DJANGO_REDIS: Final = "django-redis"
REDIS_CACHE: Final = "Django RedisCache"
DJANGO_VALKEY: Final = "django-valkey"
PATTERNS: Final = ("user:{id}:*", "user:{id}:orders:*")
BACKENDS: Final[dict[str, Backend]] = {
    UNSTALE: Backend("unstale.contrib.django.UnstaleCache", options={"TAG_PATTERNS": PATTERNS}),
    DJANGO_REDIS: Backend("django_redis.cache.RedisCache"),
    REDIS_CACHE: Backend("django.core.cache.backends.redis.RedisCache"),
    DJANGO_VALKEY: Backend("django_valkey.cache.ValkeyCache", "django_valkey.async_cache.cache.AsyncValkeyCache"),
}

VALUE: Final = secrets.token_hex(512)
"""A kilobyte of text: bytes would not be pickled by all of them."""
TTL: Final = 86400


def installed() -> list[str]:
    """The backends that can be measured here."""
    return [name for name, backend in BACKENDS.items() if backend.is_there]


def missing() -> str:
    """What is not measured, as a sentence; empty where nothing is missing."""
    names = ", ".join(name for name in BACKENDS if name not in installed())
    return f"Not measured, since not installed: {names}." if names else ""


def configure() -> None:
    """Be a Django project with a database that was used, unless this process is one already."""
    if not settings.configured:
        database = {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}
        settings.configure(SECRET_KEY=secrets.token_hex(32), DATABASES={"default": database}, USE_TZ=True)
        django.setup()
        connection.ensure_connection()


def cache_at(backend: str, url: str, options: dict[str, Any] | None = None) -> Any:
    """A cache with this backend's class, reached as `django.core.cache.cache` is."""
    configure()
    params = {"BACKEND": backend, "LOCATION": url, "OPTIONS": options or {}}
    return ConnectionProxy(CacheHandler({"default": params}), "default")


def cache_of(name: str, url: str, *, is_async: bool = False) -> Any:
    """A cache of BACKENDS."""
    backend = BACKENDS[name]
    return cache_at((is_async and backend.async_path) or backend.path, url, backend.options)
