"""From a URL to a store. The stores' own modules are imported only when they are wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from unstale.errors import ConfigurationError

if TYPE_CHECKING:
    from unstale.core.ports import AsyncStore, Store
    from unstale.stores.options import StoreOptions

_LATER: Final = ("redis+sentinel", "redis+cluster")
SCHEMES: Final = ("redis://", "rediss://", "unix://", "embedded://", "memory://")


def open_store(url: str, options: StoreOptions) -> Store:
    """Make the store that a URL names. Nothing is connected yet, but `embedded://` starts its server.

    Raises:
        ConfigurationError: the URL names no store, or an option in it is wrong.
    """
    match _scheme(url):
        case "embedded":
            from unstale.stores.connect import connector  # noqa: PLC0415 - redis-py is slow to import
            from unstale.stores.embedded import embedded_server  # noqa: PLC0415 - optional
            from unstale.stores.redis import RedisStore  # noqa: PLC0415

            server = embedded_server(url)
            return RedisStore(connector(server.url, options.timeout), options, on_close=server.leave)
        case "memory":
            from unstale.stores.memory import MemoryStore  # noqa: PLC0415 - rarely wanted

            return MemoryStore()
        case _:
            from unstale.stores.redis import RedisStore  # noqa: PLC0415

            return RedisStore.from_url(url, options)


def open_async_store(url: str, options: StoreOptions) -> AsyncStore:
    """Make the asyncio store that a URL names. Raises as `open_store` does."""
    match _scheme(url):
        case "embedded":
            from unstale.stores.connect import async_connector  # noqa: PLC0415
            from unstale.stores.embedded import embedded_server  # noqa: PLC0415
            from unstale.stores.redis_async import AsyncRedisStore  # noqa: PLC0415

            server = embedded_server(url)
            return AsyncRedisStore(async_connector(server.url, options.timeout), options, on_close=server.leave)
        case "memory":
            from unstale.stores.immediate import Immediate  # noqa: PLC0415
            from unstale.stores.memory import MemoryStore  # noqa: PLC0415

            return Immediate(MemoryStore())
        case _:
            from unstale.stores.redis_async import AsyncRedisStore  # noqa: PLC0415

            return AsyncRedisStore.from_url(url, options)


def _scheme(url: str) -> str:
    scheme, found, rest = str(url).partition("://")
    if scheme in _LATER:
        raise ConfigurationError(f"{scheme}:// is not supported by this release. Use one of: {', '.join(SCHEMES)}.")
    if not found or f"{scheme}://" not in SCHEMES:
        raise ConfigurationError(
            f"A cache's URL must begin with one of {', '.join(SCHEMES)}; for example redis://localhost:6379/0."
        )
    if scheme == "memory" and rest:
        raise ConfigurationError("memory:// takes nothing behind it.")
    return scheme
