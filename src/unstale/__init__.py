"""unstale: cache invalidation on Redis and Valkey without deleting keys.

from unstale import Cache

cache = Cache.from_url("redis://localhost:6379/0", namespace="shop", ttl=300)
orders = cache.get_or_set("orders:42", load_orders, tags=["user:42/orders"])
cache.invalidate("user:42")
"""

from typing import TYPE_CHECKING

from unstale.cache import Cache
from unstale.core.capture import carry, remembering
from unstale.core.closing import Closing
from unstale.errors import UnstaleError

if TYPE_CHECKING:
    from unstale.aio import AsyncCache
    from unstale.core.sampling import Verify

__all__ = ["AsyncCache", "Cache", "Closing", "UnstaleError", "Verify", "carry", "remembering"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """`AsyncCache`, when it is first asked for: asyncio takes as long to import as all the rest. And `Verify`."""
    if name == "AsyncCache":
        from unstale.aio import AsyncCache  # noqa: PLC0415

        return AsyncCache
    if name == "Verify":
        from unstale.core.sampling import Verify  # noqa: PLC0415 - rarely wanted

        return Verify
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
