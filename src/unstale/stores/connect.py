"""From a URL to what makes connections, by redis-py's own rules for URLs. The stores then use what it makes.

redis-py's retries are off, and RESP2 is on, without decoding: a store reads its socket itself.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from redis.backoff import NoBackoff
from redis.connection import AbstractConnection, Connection, DefaultParser, SSLConnection, parse_url
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from unstale.errors import ConfigurationError, StoreUnavailableError
from unstale.stores.arguments import MOOT, OURS, Provider, merged, taken
from unstale.stores.limits import Limits

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection as AsyncConnection

_TAKEN: Final = frozenset(
    {"connection_class", "db", "host", "password", "path", "port", "username"} | {"client_name", "socket_keepalive"}
)
_FOR_EMBEDDED: Final = ("client_name", "db", "driver_info")
"""What an embedded server's connections use of `connection`: it has no user, no TLS and no network."""
ESCAPE: Final = (
    "This URL cannot be read. Percent-encode special characters in its password: # is %23, / is %2F, ? is %3F."
)
_PORT: Final = (
    "This URL cannot be read. Behind its host it has one port, a number up to 65535, as in redis://localhost:6379/0; "
    "several hosts are for redis+sentinel:// and redis+cluster://."
)

Understood = tuple[type[Any], dict[str, Any]]
"""redis-py's class of connections, and its arguments."""


SHORTEST_SECONDS: Final = 0.001
LOOK_SECONDS: Final = 0.02


class Timed:
    """For redis-py's synchronous connections: all steps of connecting together end at a point in time.

    redis-py gives each address of a host, and each answer to what it asks of a new connection, a time limit of its own.

    Attributes:
        limits: until when all must be done, and what may end it sooner.
    """

    limits = Limits(math.inf)
    _socket_timeout: float
    _socket_connect_timeout: float
    _sock: Any

    @property
    def socket_timeout(self) -> float:
        """Seconds for the next answer."""
        return self._left(self._socket_timeout)

    @socket_timeout.setter
    def socket_timeout(self, seconds: float) -> None:
        self._socket_timeout = seconds

    @property
    def socket_connect_timeout(self) -> float:
        """Seconds for the next address."""
        return self._left(self._socket_connect_timeout)

    @socket_connect_timeout.setter
    def socket_connect_timeout(self, seconds: float) -> None:
        self._socket_connect_timeout = seconds

    def _left(self, seconds: float) -> float:
        if self.limits.until == math.inf:
            return seconds
        return min(seconds, max(self.limits.until - monotonic(), SHORTEST_SECONDS))

    def patience(self, began: float) -> float:
        """Seconds that one may wait on for an answer, before the next look at this.

        Args:
            began: the monotonic time when the wait for it began.

        Raises:
            TimeoutError: none.
        """
        left = min(began + self._socket_timeout, self.limits.until) - monotonic()
        if left <= 0 or self.limits.are_moot:
            raise RedisTimeoutError
        return min(left, LOOK_SECONDS)


class _TimedParser(DefaultParser):  # type: ignore[misc, valid-type] # chosen while redis-py is imported
    """Its reader of answers, which come in parts: each has the time that is left."""

    _patience: weakref.WeakMethod[Callable[[float], float]]

    def on_connect(self, connection: Any, **named: Any) -> None:
        """Read from this connection."""
        super().on_connect(connection, **named)
        self._patience = weakref.WeakMethod(connection.patience)  # a cycle would keep a lost connection's socket open

    def read_from_socket(self, *arguments: Any, **named: Any) -> Any:
        """Read a part."""
        began, patience = monotonic(), self._patience()
        while patience is not None and self._sock is not None:
            self._sock.settimeout(patience(began))
            with suppress(RedisTimeoutError):
                return super().read_from_socket(*arguments, **named)
        return super().read_from_socket(*arguments, **named)


def timed(kind: type[Any]) -> type[Any]:
    """A class of redis-py's synchronous connections that can be told when all must be done."""
    return type(f"Timed{kind.__name__}", (Timed, kind), {})


def connector(
    url: str, timeout: float, connection: Mapping[str, object] | None = None
) -> Callable[[], AbstractConnection]:
    """What makes synchronous connections to a URL.

    Args:
        url: redis://, rediss:// or unix://.
        timeout: seconds for connecting, and again for each answer.
        connection: more arguments for redis-py's connections.

    Raises:
        ConfigurationError: redis-py does not understand the URL, an option in it, or an argument.
    """
    kind, arguments = understood(url, connection or {})
    return maker(timed(kind), for_wire(arguments, timeout))


def async_connector(
    url: str, timeout: float, connection: Mapping[str, object] | None = None
) -> Callable[[], AsyncConnection]:
    """What makes asyncio connections to a URL. Raises as `connector` does."""
    kind, arguments = understood_for_asyncio(url, connection or {})
    return maker(kind, for_link(arguments, timeout))


def understood(url: str, connection: Mapping[str, object]) -> Understood:
    """The class of a URL's synchronous connections and its arguments, without what a store fixes."""
    return _understood(url, connection, parse_url, Connection)


def understood_for_asyncio(url: str, connection: Mapping[str, object]) -> Understood:
    """The class of a URL's asyncio connections and its arguments, without what a store fixes."""
    from redis.asyncio.connection import Connection as AsyncTcp  # noqa: PLC0415 - asyncio is slow to import
    from redis.asyncio.connection import parse_url as parse_for_asyncio  # noqa: PLC0415

    return _understood(url, connection, parse_for_asyncio, AsyncTcp)


def for_wire(arguments: Mapping[str, Any], timeout: float) -> dict[str, Any]:
    """A synchronous connection's arguments with what a store fixes."""
    return {**_fixed(arguments, timeout), "retry": Retry(NoBackoff(), 0), "parser_class": _TimedParser}


def for_link(arguments: Mapping[str, Any], timeout: float) -> dict[str, Any]:
    """An asyncio connection's arguments with what a store fixes."""
    from redis.asyncio.retry import Retry as AsyncRetry  # noqa: PLC0415

    return {**_fixed(arguments, timeout), "retry": AsyncRetry(NoBackoff(), 0)}


def for_embedded(connection: Mapping[str, object]) -> dict[str, object]:
    """What of `connection` an embedded server's connections use. The rest is ignored, but it must be known.

    Raises:
        ConfigurationError: redis-py knows no such argument.
    """
    known = taken(connection, SSLConnection, "connection")
    return {name: known[name] for name in _FOR_EMBEDDED if name in known}


def _fixed(arguments: Mapping[str, Any], timeout: float) -> dict[str, Any]:
    fixed = {"protocol": 2, "decode_responses": False, "retry_on_timeout": False}
    limits = {"socket_timeout": timeout, "socket_connect_timeout": timeout}
    provider = arguments.get("credential_provider")
    return {**arguments, **limits, **fixed, "credential_provider": None if provider is None else Provider(provider)}


def _understood(
    url: str, connection: Mapping[str, object], parse: Callable[[str], Any], usual: type[Any]
) -> Understood:
    try:
        options: dict[str, Any] = parse(url)
    except ValueError:  # its text may show a part of the password
        raise unreadable(url) from None
    parts = urlsplit(url)
    if "@" in parts.path + parts.query + parts.fragment and "path" not in options:  # so what is shown may be a secret
        raise ConfigurationError(ESCAPE)
    kind = options.pop("connection_class", usual)
    path = parts.path.strip("/")
    if "path" not in options and path and not path.isdecimal():
        raise ConfigurationError(f"Behind the host a URL has the database's number, not {path[:20]!r}.")
    for name in options:
        if name in OURS:
            raise ConfigurationError(f"Give {name} to the cache, not in the URL: Cache.from_url(url, {name}=…).")
        if name not in _TAKEN | MOOT and not name.startswith("ssl_"):
            raise ConfigurationError(f"A cache's URL takes no option {name[:40]!r}.")
    return kind, merged(options, taken(connection, kind, "connection"))


def unreadable(url: str) -> ConfigurationError:
    """What is said of a URL whose parts nobody can tell. It shows nothing of it; without an @ there is no password."""
    return ConfigurationError(f"{ESCAPE} Is its port one number, up to 65535?" if "@" in url else _PORT)


def maker(kind: type[Any], options: dict[str, Any]) -> Callable[[], Any]:
    """Make one to see that it can be made; it is not connected.

    Raises:
        ConfigurationError: it cannot.
    """
    try:
        kind(**options)
    except (TypeError, ValueError, RedisError) as error:
        raise ConfigurationError(
            f"An option in this URL, or an argument in connection, has a value that redis-py cannot use: {error}"
        ) from error
    return lambda: made(lambda: kind(**options))


def made(make: Callable[[], Any]) -> Any:
    """A connection, not connected yet.

    Raises:
        StoreUnavailableError: the process has no file descriptor left: redis-py reads its own version from a file.
    """
    try:
        return make()
    except OSError as error:
        raise StoreUnavailableError(f"No connection can be made: {error.strerror}.") from error
