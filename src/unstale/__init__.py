"""unstale: cache invalidation on Redis and Valkey without deleting keys.

from unstale import Cache

cache = Cache.from_url("redis://localhost:6379/0", namespace="shop", ttl=300)
orders = cache.get_or_set("orders:42", load_orders, tags=["user:42/orders"])
cache.invalidate("user:42")
"""

from unstale.cache import Cache
from unstale.core.capture import remembering
from unstale.errors import UnstaleError

__all__ = ["Cache", "UnstaleError", "remembering"]
__version__ = "0.1.0"
