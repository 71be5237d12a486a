from dependency_injector import containers, providers
from redis.asyncio import Redis, from_url


async def init_redis(url: str):
    session = await from_url(url)
    yield session
    await session.close()


class Service:
    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def clear(self, user_id: int) -> None:
        keys = []
        async for key in self._redis.scan_iter(f"u:{user_id}:*"):  # expect: UNS001
            keys.append(key)
        if keys:
            await self._redis.delete(*keys)


class Container(containers.DeclarativeContainer):
    redis_pool = providers.Resource(init_redis, url="redis://")
    service = providers.Factory(Service, redis=redis_pool)


class Handler:
    def __init__(self, cache_client):
        self.cache_client = cache_client

    def handle(self, key):
        self.cache_client.setex(key, 60, compute(key))
        return self.cache_client.scan_iter("*")  # expect: UNS002
