"""From a URL to a store. The stores' own modules are imported only when they are wanted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from unstale.errors import ConfigurationError

if TYPE_CHECKING:
    from unstale.core.ports import Store
    from unstale.stores.options import StoreOptions

_LATER: Final = ("redis+sentinel", "redis+cluster")
SCHEMES: Final = ("redis://", "rediss://", "unix://", "embedded://", "memory://")


def open_store(url: str, options: StoreOptions) -> Store:
    """Make the store that a URL names. Nothing is connected yet, but `embedded://` starts its server.

    Raises:
        ConfigurationError: the URL names no store, or an option in it is wrong.
    """
    scheme, found, _ = str(url).partition("://")
    match scheme if found else "":
        case "redis" | "rediss" | "unix":
            from unstale.stores.redis import RedisStore  # noqa: PLC0415 - redis-py is slow to import

            return RedisStore.from_url(url, options)
        case "embedded":
            from unstale.stores.embedded import embedded_store  # noqa: PLC0415 - optional

            return embedded_store(url, options)
        case "memory" if url != "memory://":
            raise ConfigurationError("memory:// takes nothing behind it.")
        case "memory":
            from unstale.stores.memory import MemoryStore  # noqa: PLC0415 - rarely wanted

            return MemoryStore()
        case _ if scheme in _LATER:
            raise ConfigurationError(f"{scheme}:// is not supported by this release. Use one of: {', '.join(SCHEMES)}.")
        case _:
            raise ConfigurationError(
                f"A cache's URL must begin with one of {', '.join(SCHEMES)}; for example redis://localhost:6379/0."
            )
