"""redis-py's clients for the place of a store: for what unstale does not do itself, such as locks, hashes and sets.

The same address, credentials, TLS, sentinels and database; everything else is redis-py's own: its decoding (bytes), its
pool, its errors. None of unstale's promises hold for what is read and written with one.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from redis import ConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.connection import SSLConnection
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from unstale.errors import ConfigurationError
from unstale.stores import cluster_url
from unstale.stores.arguments import MOOT
from unstale.stores.connect import Understood, for_embedded, understood, understood_for_asyncio
from unstale.stores.sentinel import sentinel_arguments
from unstale.stores.sentinel_url import place_of
from unstale.stores.urls import checked_scheme, is_cluster

if TYPE_CHECKING:
    from redis.asyncio import Redis as AsyncRedis

    from unstale.stores.addresses import Address
    from unstale.stores.options import StoreOptions

ANSWER_SECONDS: Final = 5.0
"""The time limit where none is given: longer than a store's, since there are slow commands."""


@dataclass(frozen=True, slots=True)
class _Library:
    """The half of redis-py that a client comes from.

    Attributes:
        understood: reads URLs.
        pool: its pool.
        service_pool: its pool for what sentinels name.
        sentinel: its Sentinel.
        retry: its Retry.
        tls: its connection over TLS.
    """

    understood: Callable[[str, Mapping[str, object]], Understood]
    pool: Any
    service_pool: Any
    sentinel: Any
    retry: Any
    tls: type[Any]


class _ServicePool(SentinelConnectionPool):
    """A pool that closes its connections to the sentinels as well, when it is closed."""

    def disconnect(self, inuse_connections: bool = True) -> None:  # noqa: FBT001, FBT002 - redis-py's
        """Close all connections; or those that nobody uses, to reach a new primary."""
        super().disconnect(inuse_connections)
        if inuse_connections:
            for client in self.sentinel_manager.sentinels:
                client.close()


def client_for(url: str, options: StoreOptions, *, socket_timeout: float | None = ANSWER_SECONDS) -> Redis:
    """A client of redis-py's for the server of a store. Close it when it is no longer used.

    Args:
        url: a cache's URL, but not memory://. An embedded server lives as long as the client does.
        options: how to reach the server; at most its `max_connections` are made.
        socket_timeout: seconds for each answer; None for no limit. A command that waits on the server needs more than
            it may wait there. Connecting, and each sentinel, has ANSWER_SECONDS.

    Returns:
        Redis; for a cluster redis-py's RedisCluster, which has the same verbs, and connects at once. There a command or
        a script with several keys needs them in one slot.

    Raises:
        ConfigurationError: the URL names no server, or an option makes no sense.
        redis.exceptions.RedisClusterException: no node of a cluster can be reached.
    """
    if is_cluster(url):
        from redis.cluster import ClusterNode, RedisCluster  # noqa: PLC0415 - rarely wanted

        seeds, arguments = _of_cluster(url, options, socket_timeout, understood, SSLConnection)
        nodes = [ClusterNode(*seed) for seed in seeds]  # type: ignore[no-untyped-call]
        return cast("Redis", RedisCluster(startup_nodes=nodes, **arguments))
    library = _Library(understood, ConnectionPool, _ServicePool, Sentinel, Retry, SSLConnection)
    return Redis.from_pool(_pool(url, options, socket_timeout, library))


def async_client_for(url: str, options: StoreOptions, *, socket_timeout: float | None = ANSWER_SECONDS) -> AsyncRedis:
    """An asyncio client of redis-py's, for one event loop. See `client_for`; close it with `aclose()`."""
    from redis import asyncio as library  # noqa: PLC0415 - asyncio is slow to import

    if is_cluster(url):
        from redis.asyncio.cluster import ClusterNode, RedisCluster  # noqa: PLC0415 - rarely wanted

        seeds, arguments = _of_cluster(url, options, socket_timeout, understood_for_asyncio, library.SSLConnection)
        return cast("AsyncRedis", RedisCluster(startup_nodes=[ClusterNode(*seed) for seed in seeds], **arguments))
    from redis.asyncio.retry import Retry as AsyncRetry  # noqa: PLC0415
    from redis.asyncio.sentinel import Sentinel as AsyncSentinel  # noqa: PLC0415
    from redis.asyncio.sentinel import SentinelConnectionPool as AsyncServicePool  # noqa: PLC0415

    class ServicePool(AsyncServicePool):
        """As _ServicePool."""

        async def disconnect(self, inuse_connections: bool = True) -> None:  # noqa: FBT001, FBT002 - redis-py's
            """See _ServicePool."""
            await super().disconnect(inuse_connections)
            if inuse_connections:
                for client in self.sentinel_manager.sentinels:
                    await client.aclose()

    half = _Library(
        *(understood_for_asyncio, library.ConnectionPool, ServicePool, AsyncSentinel, AsyncRetry),
        tls=library.SSLConnection,
    )
    return library.Redis.from_pool(_pool(url, options, socket_timeout, half))


def _pool(url: str, options: StoreOptions, socket_timeout: float | None, library: _Library) -> Any:
    connection = options.connection
    match checked_scheme(url, options):
        case "memory":
            raise ConfigurationError(
                "memory:// has no server, so no client, no locks, hashes or sets. In tests, embedded:// has."
            )
        case "redis+sentinel" | "rediss+sentinel":
            return _service_pool(url, options, socket_timeout, library)
        case "embedded":
            from unstale.stores.embedded import embedded_server  # noqa: PLC0415 - optional

            connection = for_embedded(connection)
            server = embedded_server(url)
            pool = _plain_pool(library.understood(server.url, connection), options, socket_timeout, library)
            weakref.finalize(pool, server.leave)
            return pool
        case _:
            return _plain_pool(library.understood(url, connection), options, socket_timeout, library)


def _plain_pool(place: Understood, options: StoreOptions, socket_timeout: float | None, library: _Library) -> Any:
    kind, arguments = place
    return library.pool(connection_class=kind, **_arguments(arguments, options, socket_timeout))


def _service_pool(url: str, options: StoreOptions, socket_timeout: float | None, library: _Library) -> Any:
    place = place_of(url)
    kind, arguments = library.understood(place.url, options.connection)
    arguments.pop("host")
    given = {**sentinel_arguments(options.sentinel, ANSWER_SECONDS), "retry": library.retry(NoBackoff(), 0)}
    sentinel = library.sentinel(place.sentinels, sentinel_kwargs=given)
    secure = issubclass(kind, library.tls)
    return library.service_pool(place.service, sentinel, ssl=secure, **_arguments(arguments, options, socket_timeout))


def _of_cluster(
    url: str,
    options: StoreOptions,
    socket_timeout: float | None,
    understand: Callable[[str, Mapping[str, object]], Understood],
    tls: type[Any],
) -> tuple[tuple[Address, ...], dict[str, Any]]:
    checked_scheme(url, options)
    place = cluster_url.place_of(url)
    kind, arguments = understand(place.url, options.connection)
    own = _arguments(cluster_url.arguments_of_a_node(arguments), options, socket_timeout)
    return place.seeds, {**own, "ssl": issubclass(kind, tls), "require_full_coverage": False}


def _arguments(arguments: Mapping[str, Any], options: StoreOptions, socket_timeout: float | None) -> dict[str, Any]:
    kept = {name: value for name, value in arguments.items() if name not in MOOT}
    limits = {"socket_timeout": socket_timeout, "socket_connect_timeout": ANSWER_SECONDS}
    return {**kept, **limits, "max_connections": options.max_connections}
