import json
from typing import Any, Optional

import redis.asyncio as redis


class CacheService:
    def __init__(self, url: str):
        self._client: Optional[redis.Redis] = None
        self.url = url

    async def connect(self):
        self._client = redis.from_url(self.url)

    @property
    def client(self) -> redis.Redis:
        return self._client

    async def get(self, key: str) -> Any:
        data = await self.client.get(key)
        return json.loads(data) if data else None

    async def set(self, key: str, value: Any, ttl: int = 300) -> None:
        await self.client.set(key, json.dumps(value), ex=ttl)

    async def delete(self, key: str):
        await self.client.delete(key)

    async def delete_pattern(self, pattern: str) -> int:
        count = 0
        async for key in self.client.scan_iter(match=pattern):  # expect: UNS001
            await self.client.delete(key)
            count += 1
        return count

    async def clear(self):
        await self.client.flushdb()  # expect: UNS003

    async def all_keys(self):
        return await self.client.keys("*")  # expect: UNS002


cache_service = CacheService("redis://localhost")


async def get_cache() -> CacheService:
    return cache_service
