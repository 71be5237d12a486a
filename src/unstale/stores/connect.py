"""From a URL to what makes connections, by redis-py's own rules for URLs. The stores then use what it makes.

redis-py's retries are off, and RESP2 is on, without decoding: a store reads its socket itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from redis.backoff import NoBackoff
from redis.connection import AbstractConnection, Connection, parse_url
from redis.exceptions import RedisError
from redis.retry import Retry

from unstale.errors import ConfigurationError

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection as AsyncConnection

_OURS: Final = ("max_connections", "timeout")
"""Options of redis-py's pool, which is not used; StoreOptions has them."""
_TAKEN: Final = frozenset(
    {"connection_class", "db", "host", "password", "path", "port", "username"} | {"client_name", "socket_keepalive"}
)
_MOOT: Final = frozenset(
    {"decode_responses", "health_check_interval", "protocol", "retry_on_timeout"}
    | {"socket_connect_timeout", "socket_timeout"}
)
"""Options that other clients of the same URL may need: they change nothing here."""
_ESCAPE: Final = (
    "This URL cannot be read. Percent-encode special characters in its password: # is %23, / is %2F, ? is %3F."
)


def connector(url: str, timeout: float) -> Callable[[], AbstractConnection]:
    """What makes synchronous connections to a URL.

    Raises:
        ConfigurationError: redis-py does not understand the URL or an option in it.
    """
    kind, options = _understood(url, timeout, parse_url, Connection)
    return _maker(kind, {**options, "retry": Retry(NoBackoff(), 0)})


def async_connector(url: str, timeout: float) -> Callable[[], AsyncConnection]:
    """What makes asyncio connections to a URL. Raises as `connector` does."""
    from redis.asyncio.connection import Connection as AsyncTcp  # noqa: PLC0415 - asyncio is slow to import
    from redis.asyncio.connection import parse_url as parse_for_asyncio  # noqa: PLC0415
    from redis.asyncio.retry import Retry as AsyncRetry  # noqa: PLC0415

    kind, options = _understood(url, timeout, parse_for_asyncio, AsyncTcp)
    return _maker(kind, {**options, "retry": AsyncRetry(NoBackoff(), 0)})


def _understood(
    url: str, timeout: float, parse: Callable[[str], Any], usual: type[Any]
) -> tuple[type[Any], dict[str, Any]]:
    """The class of a URL's connections and its arguments."""
    try:
        options: dict[str, Any] = parse(url)
    except ValueError:  # its text may show a part of the password
        raise ConfigurationError(_ESCAPE) from None
    parts = urlsplit(url)
    if "@" in parts.path + parts.query + parts.fragment and "path" not in options:  # so what is shown may be a secret
        raise ConfigurationError(_ESCAPE)
    kind = options.pop("connection_class", usual)
    path = parts.path.strip("/")
    if "path" not in options and path and not path.isdecimal():
        raise ConfigurationError(f"Behind the host a URL has the database's number, not {path[:20]!r}.")
    for name in options:
        if name in _OURS:
            raise ConfigurationError(f"Give {name} to the cache, not in the URL: Cache.from_url(url, {name}=…).")
        if name not in _TAKEN | _MOOT and not name.startswith("ssl_"):
            raise ConfigurationError(f"A cache's URL takes no option {name[:40]!r}.")
    fixed = {"protocol": 2, "decode_responses": False, "retry_on_timeout": False}
    return kind, {**options, "socket_timeout": timeout, "socket_connect_timeout": timeout, **fixed}


def _maker(kind: type[Any], options: dict[str, Any]) -> Callable[[], Any]:
    """Make one to see that it can be made; it is not connected."""
    try:
        kind(**options)
    except (TypeError, ValueError, RedisError) as error:
        raise ConfigurationError(f"An option in this URL has a value that redis-py cannot use: {error}") from error
    return lambda: kind(**options)
