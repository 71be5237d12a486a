import json
from typing import Annotated, Optional

import redis.asyncio as aioredis
from fastapi import APIRouter, Depends
from redis.asyncio import Redis

router = APIRouter()
redis_client: Optional[Redis] = None


async def init():
    global redis_client
    redis_client = await aioredis.from_url("redis://localhost", decode_responses=True)


async def get_redis() -> Redis:
    if redis_client is None:
        await init()
    return redis_client


async def yield_redis():
    client = aioredis.Redis()
    try:
        yield client
    finally:
        await client.close()


RedisDep = Annotated[Redis, Depends(get_redis)]


@router.get("/items/{item_id}")
async def item(item_id: int, redis: RedisDep):
    try:
        cached = await redis.get(f"item:{item_id}")
        if cached:
            return json.loads(cached)
    except aioredis.RedisError:
        pass
    row = await fetch_item(item_id)
    try:
        await redis.set(f"item:{item_id}", json.dumps(row), ex=60)  # expect: UNS005
    except aioredis.RedisError:
        pass
    return row


@router.delete("/items")
async def drop(redis=Depends(yield_redis)):
    async with redis.pipeline(transaction=True) as pipe:
        async for key in redis.scan_iter("item:*"):  # expect: UNS001
            await pipe.delete(key)
        await pipe.execute()


async def drop_all():
    r = await get_redis()
    await r.flushall()  # expect: UNS003


async def count():
    r = await get_redis()
    return sum([1 async for _ in r.scan_iter(match="item:*")])  # expect: UNS002


async def unknown_parameter(redis, pattern):
    keys = await redis.keys(pattern)  # expect: UNS001
    if keys:
        await redis.delete(*keys)


async def worker(ctx):
    keys = await ctx["redis"].keys("arq:result:*")  # expect: UNS001
    for key in keys:
        await ctx["redis"].delete(key)
