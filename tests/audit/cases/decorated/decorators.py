import asyncio
import hashlib
import json
from functools import wraps

from redis.asyncio import Redis

redis = Redis()


def cache_response(ttl: int = 60, prefix: str = ""):
    def decorator(func):
        @wraps(func)
        async def wrapper(*args, **kwargs):
            key = f"{prefix}:{func.__name__}:{hashlib.md5(str(kwargs).encode()).hexdigest()}"
            if cached := await redis.get(key):
                return json.loads(cached)
            result = await func(*args, **kwargs)
            await redis.setex(key, ttl, json.dumps(result, default=str))  # expect: UNS005
            return result

        return wrapper

    return decorator


def invalidates(*patterns):
    def decorator(func):
        @wraps(func)
        async def wrapper(*args, **kwargs):
            result = await func(*args, **kwargs)
            for pattern in patterns:
                keys = [key async for key in redis.scan_iter(match=pattern)]  # expect: UNS001
                if keys:
                    await redis.delete(*keys)
            return result

        return wrapper

    return decorator


@cache_response(ttl=10, prefix="a")
async def read():
    return await fetch()


@invalidates("a:*", "b:*")
async def write():
    await asyncio.sleep(0)
