from redis.asyncio import ConnectionPool, Redis

from app.core.config import settings

pool = ConnectionPool.from_url(settings.REDIS_URL)


def get_client() -> Redis:
    return Redis(connection_pool=pool)


class Cache:
    def __init__(self, client: Redis | None = None) -> None:
        self.client = client or get_client()

    async def get(self, key: str) -> str | None:
        return await self.client.get(key)

    async def set(self, key: str, value: str, expire: int | None = None) -> None:
        await self.client.set(key, value, ex=expire)

    async def invalidate(self, *patterns: str) -> None:
        for pattern in patterns:
            cursor = 0
            while True:
                cursor, keys = await self.client.scan(cursor=cursor, match=pattern, count=100)  # expect: UNS001
                if keys:
                    await self.client.delete(*keys)
                if cursor == 0:
                    break


cache = Cache()
