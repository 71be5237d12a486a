"""From a URL to a store. The stores' own modules are imported only when they are wanted."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from unstale.errors import ConfigurationError
from unstale.stores.addresses import shown

if TYPE_CHECKING:
    from unstale.core.ports import AsyncStore, Store
    from unstale.stores.options import StoreOptions

_OF_CLUSTERS: Final = ("redis+cluster", "rediss+cluster")
_OF_SENTINELS: Final = ("redis+sentinel", "rediss+sentinel")
SCHEMES: Final = (
    *("redis://", "rediss://", "unix://", "redis+sentinel://", "rediss+sentinel://"),
    *(f"{scheme}://" for scheme in _OF_CLUSTERS),
    *("embedded://", "memory://"),
)


def is_cluster(url: str) -> bool:
    """Whether a URL names a cluster: then the names in it must be laid out for one (`core.keys.Names`)."""
    return str(url).partition("://")[0] in _OF_CLUSTERS


def open_store(url: str, options: StoreOptions) -> Store:
    """Make the store that a URL names. Nothing is connected yet, but `embedded://` starts its server.

    Raises:
        ConfigurationError: the URL names no store, or an option in it is wrong.
    """
    scheme, options = checked_scheme(url, options), replace(options, server=shown(str(url)))
    match scheme:
        case "embedded":
            from unstale.stores.connect import connector, for_embedded  # noqa: PLC0415 - redis-py is slow to import
            from unstale.stores.embedded import embedded_server  # noqa: PLC0415 - optional
            from unstale.stores.redis import RedisStore  # noqa: PLC0415

            connection = for_embedded(options.connection)
            server = embedded_server(url)
            connect = connector(server.url, options.timeout, connection)
            return RedisStore(connect, replace(options, wait=0), on_close=server.leave)
        case "redis+sentinel" | "rediss+sentinel":
            from unstale.stores.redis import RedisStore  # noqa: PLC0415

            return RedisStore.of_service(url, options)
        case "redis+cluster" | "rediss+cluster":
            from unstale.stores.cluster_sync import ClusterStore  # noqa: PLC0415 - rarely wanted

            return ClusterStore(url, options)
        case "memory":
            from unstale.stores.memory import MemoryStore  # noqa: PLC0415 - rarely wanted

            return MemoryStore()
        case _:
            from unstale.stores.redis import RedisStore  # noqa: PLC0415

            return RedisStore.from_url(url, options)


def open_async_store(url: str, options: StoreOptions) -> AsyncStore:
    """Make the asyncio store that a URL names. Raises as `open_store` does."""
    scheme, options = checked_scheme(url, options), replace(options, server=shown(str(url)))
    match scheme:
        case "embedded":
            from unstale.stores.connect import async_connector, for_embedded  # noqa: PLC0415
            from unstale.stores.embedded import embedded_server  # noqa: PLC0415
            from unstale.stores.redis_async import AsyncRedisStore  # noqa: PLC0415

            connection = for_embedded(options.connection)
            server = embedded_server(url)
            connect = async_connector(server.url, options.timeout, connection)
            return AsyncRedisStore(connect, replace(options, wait=0), on_close=server.leave)
        case "redis+sentinel" | "rediss+sentinel":
            from unstale.stores.redis_async import AsyncRedisStore  # noqa: PLC0415

            return AsyncRedisStore.of_service(url, options)
        case "redis+cluster" | "rediss+cluster":
            from unstale.stores.cluster_async import AsyncClusterStore  # noqa: PLC0415

            return AsyncClusterStore(url, options)
        case "memory":
            from unstale.stores.immediate import Immediate  # noqa: PLC0415
            from unstale.stores.memory import MemoryStore  # noqa: PLC0415

            return Immediate(MemoryStore())
        case _:
            from unstale.stores.redis_async import AsyncRedisStore  # noqa: PLC0415

            return AsyncRedisStore.from_url(url, options)


def checked_scheme(url: str, options: StoreOptions) -> str:
    """A URL's scheme.

    `embedded://` and `memory://` may be what a test puts in the place of a production URL: options for connections
    that they have no use for are ignored there.

    Raises:
        ConfigurationError: it is none of ours, or the options do not go with it.
    """
    scheme, found, rest = str(url).partition("://")
    if not found or f"{scheme}://" not in SCHEMES:
        raise ConfigurationError(
            f"A cache's URL must begin with one of {', '.join(SCHEMES)}; for example redis://localhost:6379/0."
        )
    if scheme == "memory" and rest:
        raise ConfigurationError("memory:// takes nothing behind it.")
    if options.sentinel and scheme not in (*_OF_SENTINELS, "embedded", "memory"):
        raise ConfigurationError("The option sentinel needs a URL that begins with redis+sentinel://.")
    return scheme
