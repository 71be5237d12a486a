from redis import asyncio as aioredis


class RedisUtil:
    @classmethod
    async def create(cls) -> aioredis.Redis:
        return await aioredis.from_url("redis://localhost")
