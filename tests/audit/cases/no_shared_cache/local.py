import cachebox
from async_rediscache import RedisCache
from cachetools import TTLCache
from django.core.cache.backends.locmem import LocMemCache
from someone import FIFOCache


class Hot:
    events = RedisCache()

    def __init__(self):
        self.hot_cache = cachebox.TTLCache(100, ttl=5)
        self.old_cache = TTLCache(100, 5)
        self.other_cache = FIFOCache(100)

    async def clear(self):
        self.hot_cache.clear()
        self.old_cache.clear()
        self.other_cache.clear()
        await self.events.clear()


class WithKeys(LocMemCache):
    def keys(self, pattern):
        return [key for key in self._cache.keys() if pattern in key]
