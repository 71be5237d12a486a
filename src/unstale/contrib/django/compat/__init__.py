"""django-redis's OPTIONS and settings, and those of Django's own RedisCache, in our words.

Each name that django-redis 7 knows is honoured, mapped, or ignored with one warning that names it and says why: a table
says which. A value that changes nothing (what we do anyway) is taken without a word. What is in no table is unknown,
which the caller makes an error. Names of django-valkey count where they mean the same.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from unstale.contrib.django.compat.location import Location, read_location, sentinel_url
from unstale.contrib.django.compat.values import codec_of, compression_of, herd_of, known_as
from unstale.contrib.django.notices import warn_once
from unstale.events import Event, Failed

SCAN_COUNT: Final = 1000
"""django-redis asks for 10 keys a SCAN: a hundred times the trips for the same work."""
HERD_SECONDS: Final = 60
"""HerdClient's, where CACHE_HERD_TIMEOUT says nothing."""
PICKLE_PROTOCOLS: Final = (5, -1)
"""What the codec writes, and the name that it has in Python 3.11 and newer."""


@dataclass(frozen=True, slots=True)
class Mapped:
    """What LOCATION and the options of django-redis come to.

    Attributes:
        url: see `Cache.from_url`.
        cache: options of the core.
        ignore_exceptions: IGNORE_EXCEPTIONS, or the setting DJANGO_REDIS_IGNORE_EXCEPTIONS.
        scan_count: keys that one SCAN looks at.
        unknown: names that nobody knows.
    """

    url: str = field(repr=False)
    cache: dict[str, Any] = field(default_factory=dict, repr=False)
    ignore_exceptions: bool = False
    scan_count: int = SCAN_COUNT
    unknown: tuple[str, ...] = ()


@dataclass(slots=True)
class _Draft:
    """What was understood so far."""

    location: Location
    options: Mapping[str, Any] = field(repr=False)
    cache: dict[str, Any] = field(default_factory=dict, repr=False)
    connection: dict[str, Any] = field(default_factory=dict)
    sentinel: dict[str, Any] = field(default_factory=dict)
    sentinels: Any = ()
    is_tls: bool = False
    is_herd: bool = False


Rule: TypeAlias = Callable[[_Draft, str, Any], None]
"""Takes an option's name and value into a draft."""


# Kinds of rules


def _ignored(why: str, moot: tuple[Any, ...] = ()) -> Rule:
    """Ignored with a warning; values that change nothing pass without one."""

    def rule(_: _Draft, name: str, value: Any) -> None:
        if value is not None and value not in moot:
            warn_once(f"{name} is ignored: {why}")

    return rule


def _ignored_class(why: str, *known: str) -> Rule:
    """The same for a class or its dotted path: `known` ones are as good as ours."""

    def rule(_: _Draft, name: str, value: Any) -> None:
        if value and getattr(value, "__name__", str(value).rpartition(".")[2]) not in known:
            warn_once(f"{name} {_shown(value)!r} is ignored: {why}")

    return rule


def _shown(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}" if isinstance(value, type) else str(value)


def _argument(draft: _Draft, name: str, value: Any) -> None:
    """An argument of redis-py's connections. What the URL says counts more, as in redis-py."""
    if value is not None and name.lower() not in draft.location.has:
        draft.connection[name.lower()] = value


def _tls_argument(draft: _Draft, name: str, value: Any) -> None:
    """An argument whose None says something: ssl_cert_reqs=None asks for no certificate."""
    draft.connection[name] = value


def _database(draft: _Draft, name: str, value: Any) -> None:
    _argument(draft, name, int(value) if isinstance(value, str) and value.isdecimal() else value)


def _timeout(draft: _Draft, name: str, value: Any) -> None:
    """One limit for connecting and for answers: the longer of those that are given."""
    if value is None:
        return
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 < value < math.inf:
        raise ImproperlyConfigured(f"{name} must be a number of seconds above zero, not {value!r}. None is one second.")
    draft.cache["timeout"] = max(float(value), draft.cache.get("timeout", 0.0))


def _max_connections(draft: _Draft, name: str, value: Any) -> None:
    if value is None:
        return
    text = str(value)
    if isinstance(value, bool) or not text.isdecimal() or int(text) < 1:
        raise ImproperlyConfigured(f"{name} must be an int of at least 1, not {value!r}.")
    draft.cache["max_connections"] = int(text)


def _nested(rules: Callable[[], Mapping[str, Rule]]) -> Rule:
    """A dict of options, each with a rule of its own. What is in no rule is an error: redis-py would say so, too."""

    def rule(draft: _Draft, name: str, value: Any) -> None:
        for inner, each in dict(value or {}).items():
            found = rules().get(inner) or (_tls_argument if inner.startswith("ssl_") else None)
            if found is None:
                raise ImproperlyConfigured(f"{name} has {inner!r}, which redis-py's connections do not know.")
            found(draft, inner, each)

    return rule


def _ssl(draft: _Draft, _: str, value: Any) -> None:
    draft.is_tls = draft.is_tls or bool(value)


def _connection_class(draft: _Draft, name: str, value: Any) -> None:
    if "SSL" in _shown(value):
        draft.is_tls = True
    else:
        _ignored_class("the URL says what kind of connection it is.", "Connection", "UnixDomainSocketConnection")(
            draft, name, value
        )


def _sentinels(draft: _Draft, _: str, value: Any) -> None:
    draft.sentinels = value


def _sentinel_arguments(draft: _Draft, _: str, value: Any) -> None:
    draft.sentinel.update(value or {})


def _serializer(draft: _Draft, _: str, value: Any) -> None:
    draft.cache["codec"] = codec_of(value, draft.options)


def _compressor(draft: _Draft, _: str, value: Any) -> None:
    found = compression_of(value)
    if found is not None:
        draft.cache["compression"] = found


def _client(draft: _Draft, _: str, value: Any) -> None:
    draft.is_herd = herd_of(value)


def _pickle_version(_: _Draft, name: str, value: Any) -> None:
    try:
        version = int(value)
    except (TypeError, ValueError):
        raise ImproperlyConfigured(f"{name} must be an int, not {value!r}.") from None
    if version not in PICKLE_PROTOCOLS:
        warn_once(f"{name} is ignored: values are pickled by protocol 5, which every Python since 3.8 reads.")


def _factory(_: _Draft, name: str, value: Any) -> None:
    if known_as(value) not in ("ConnectionFactory", "SentinelConnectionFactory"):
        warn_once(f"{name} {_shown(value)!r} is ignored: unstale makes its connections itself. {_INSTEAD}")


# The tables

_INSTEAD: Final = (
    "Put what a connection needs into CONNECTION_POOL_KWARGS; a credential_provider for changing passwords."
)
_OWN_READER: Final = "unstale reads its sockets itself, without decoding, by hiredis and RESP2."
_OWN_RETRIES: Final = (
    "a read is tried once more where a connection turns out broken; a write that may have happened never is."
)
_OWN_POOL: Final = "unstale has a pool of its own, one a process; max_connections is its size."
_MAINTENANCE: Final = "unstale finds out by itself, with each trip, when a server has moved."
_BY_URL: Final = "LOCATION says where the server is."
_CLOSING: Final = (
    "connections are the process's, not a request's: closing them would only make the next request slower."
)

_POOL: Final[dict[str, Rule]] = {
    "max_connections": _max_connections,
    "socket_timeout": _timeout,
    "socket_connect_timeout": _timeout,
    **dict.fromkeys(("username", "password", "credential_provider"), _argument),
    "db": _database,
    **dict.fromkeys(("client_name", "lib_name", "lib_version", "driver_info"), _argument),
    **dict.fromkeys(("socket_keepalive", "socket_keepalive_options", "socket_type"), _argument),
    "ssl": _ssl,
    "connection_class": _connection_class,
    **dict.fromkeys(("encoding", "encoding_errors", "socket_read_size", "legacy_responses"), _ignored(_OWN_READER)),
    "protocol": _ignored(_OWN_READER, (2, "2")),
    "decode_responses": _ignored(_OWN_READER, (False,)),
    "parser_class": _ignored_class(_OWN_READER, "DefaultParser", "HiredisParser", "_HiredisParser", "_RESP2Parser"),
    **dict.fromkeys(("retry", "retry_on_error"), _ignored(_OWN_RETRIES)),
    "retry_on_timeout": _ignored(_OWN_RETRIES, (False, "False", "false")),
    "health_check_interval": _ignored("each trip after a second of silence proves the connection, and its role.", (0,)),
    "redis_connect_func": _ignored(_INSTEAD),
    "command_packer": _ignored(_OWN_READER),
    "timeout": _ignored("a call waits for a free connection no longer than its own timeout."),
    **dict.fromkeys(("queue_class", "cache", "cache_config", "cache_factory", "event_dispatcher"), _ignored(_OWN_POOL)),
    "maint_notifications_config": _ignored(_MAINTENANCE),
    **dict.fromkeys(("host", "port", "path"), _ignored(_BY_URL)),
}
"""redis-py's arguments of pools and connections: in CONNECTION_POOL_KWARGS, in a URL's query, and, for Django's own
RedisCache, in OPTIONS itself. Those that begin with ssl_ go to the connection."""

_OF_A_URL: Final = frozenset({"client_name", "db", "host", "password", "path", "port", "socket_keepalive", "username"})
"""Those that the core takes in a URL."""

_RULES: Final[dict[str, Rule]] = {
    # django-redis 7
    "CLIENT_CLASS": _client,
    "USERNAME": lambda draft, name, value: _argument(draft, name, value or None),
    "PASSWORD": lambda draft, name, value: _argument(draft, name, value or None),
    "SOCKET_TIMEOUT": _timeout,
    "SOCKET_CONNECT_TIMEOUT": _timeout,
    "CONNECTION_POOL_KWARGS": _nested(lambda: _POOL),
    "SENTINELS": _sentinels,
    "SENTINEL_KWARGS": _sentinel_arguments,
    "SERIALIZER": _serializer,
    "PICKLE_VERSION": _pickle_version,
    "COMPRESSOR": _compressor,
    "CONNECTION_FACTORY": _factory,
    "CONNECTION_POOL_CLASS": _ignored_class(
        _OWN_POOL, "ConnectionPool", "BlockingConnectionPool", "SentinelConnectionPool"
    ),
    "REDIS_CLIENT_CLASS": _ignored_class(
        "get_client() and get_redis_connection() give redis-py's own Redis.", "Redis", "StrictRedis"
    ),
    "REDIS_CLIENT_KWARGS": _ignored("get_client() and get_redis_connection() give redis-py's own Redis.", ({},)),
    "PARSER_CLASS": _POOL["parser_class"],
    "CLOSE_CONNECTION": _ignored(_CLOSING, (False,)),
    "REPLICA_READ_ONLY": _ignored("replicas are neither read nor written.", (True,)),
    # older names of it, and django-valkey's
    "SLAVE_READ_ONLY": _ignored("replicas are neither read nor written.", (True,)),
    "VALKEY_CLIENT_CLASS": _ignored_class("get_client() gives redis-py's own Redis.", "Valkey", "StrictValkey"),
    "VALKEY_CLIENT_KWARGS": _ignored("get_client() gives redis-py's own Redis.", ({},)),
    # Django's own RedisCache
    "serializer": _serializer,
    "pool_class": _ignored_class(_OWN_POOL, "ConnectionPool", "BlockingConnectionPool"),
    **_POOL,
}

_SETTINGS: Final[dict[str, str]] = {
    "DJANGO_REDIS_IGNORE_EXCEPTIONS": "honoured",
    "DJANGO_REDIS_LOG_IGNORED_EXCEPTIONS": "honoured",
    "DJANGO_REDIS_LOGGER": "honoured",
    "DJANGO_REDIS_SCAN_ITERSIZE": "honoured",
    "DJANGO_REDIS_CLOSE_CONNECTION": "ignored where it is True: see CLOSE_CONNECTION",
    "DJANGO_REDIS_CONNECTION_FACTORY": "as CONNECTION_FACTORY",
    "CACHE_HERD_TIMEOUT": "with HerdClient: STALE_TTL",
}
"""The settings that are read."""


def settings_read() -> tuple[tuple[str, object], ...]:
    """The settings that have a part in a configuration, for its identity: where they differ, the engine does."""
    return tuple((name, repr(getattr(settings, name, None))) for name in _SETTINGS)


def known_names() -> frozenset[str]:
    """Every name that is not ours and may stand in OPTIONS."""
    return frozenset(_RULES)


def mapped(location: object, options: Mapping[str, Any]) -> Mapped:
    """Map LOCATION and the options that are not ours.

    Args:
        location: LOCATION.
        options: of OPTIONS, those that are not `options.OWN`.

    Raises:
        ImproperlyConfigured: a value makes no sense, or a client spreads keys over servers.
    """
    draft = _Draft(read_location(location, _POOL.keys() - _OF_A_URL), options)
    for name, text in draft.location.query:
        _POOL[name](draft, name, _number(text) if _POOL[name] is _timeout else text)
    unknown = []
    for name, value in options.items():
        rule = _RULES.get(name) or (_tls_argument if str(name).startswith("ssl_") else None)
        if rule is None:
            unknown.append(str(name))
        else:
            rule(draft, name, value)
    _read_settings(draft, options)
    return Mapped(
        url=_url(draft),
        cache={**draft.cache, **{name: value for name, value in _reaching(draft).items() if value}},
        ignore_exceptions=_ignores(),
        scan_count=_scan_count(),
        unknown=tuple(sorted(unknown)),
    )


def _read_settings(draft: _Draft, options: Mapping[str, Any]) -> None:
    factory = getattr(settings, "DJANGO_REDIS_CONNECTION_FACTORY", None)
    if factory and "CONNECTION_FACTORY" not in options:
        _factory(draft, "DJANGO_REDIS_CONNECTION_FACTORY", factory)
    closing = getattr(settings, "DJANGO_REDIS_CLOSE_CONNECTION", False)
    if closing and "CLOSE_CONNECTION" not in options:
        _RULES["CLOSE_CONNECTION"](draft, "DJANGO_REDIS_CLOSE_CONNECTION", closing)
    if draft.is_herd:
        draft.cache["stale_ttl"] = getattr(settings, "CACHE_HERD_TIMEOUT", HERD_SECONDS)
    if getattr(settings, "DJANGO_REDIS_LOG_IGNORED_EXCEPTIONS", False):
        draft.cache["on_event"] = LogFailures(getattr(settings, "DJANGO_REDIS_LOGGER", "django_redis.cache"))


def _reaching(draft: _Draft) -> dict[str, Any]:
    return {"connection": draft.connection, "sentinel": draft.sentinel}


def _url(draft: _Draft) -> str:
    url = draft.location.url
    if draft.sentinels:
        return sentinel_url(draft.location, draft.sentinels, tls=draft.is_tls)
    return f"rediss{url[5:]}" if draft.is_tls and url.startswith(("redis://", "redis+cluster://")) else url


def _number(text: str) -> float | str:
    """A URL says everything in words."""
    try:
        return float(text)
    except ValueError:
        return text


def _ignores() -> bool:
    given = getattr(settings, "DJANGO_REDIS_IGNORE_EXCEPTIONS", False)
    if not isinstance(given, bool):
        raise ImproperlyConfigured(f"DJANGO_REDIS_IGNORE_EXCEPTIONS must be True or False, not {given!r}.")
    return given


def _scan_count() -> int:
    count = getattr(settings, "DJANGO_REDIS_SCAN_ITERSIZE", SCAN_COUNT)
    if type(count) is not int or count < 1:
        raise ImproperlyConfigured(f"DJANGO_REDIS_SCAN_ITERSIZE must be an int of at least 1, not {count!r}.")
    return count


class LogFailures:
    """An events hook that logs what was ignored, as django-redis does with DJANGO_REDIS_LOG_IGNORED_EXCEPTIONS."""

    def __init__(self, logger: str) -> None:
        """Take the logger's name."""
        self._logger = logging.getLogger(logger)

    def __call__(self, event: Event) -> None:
        """Log it, if it is a failure that no caller is told of."""
        if isinstance(event, Failed) and not event.is_raised:
            self._logger.error("Exception ignored", exc_info=event.error)
