import json
import time

from aiogram import Bot
from redis.asyncio.client import Redis

redis = Redis.from_url("redis://")


async def language(user_id: int) -> str:
    value = await redis.get(f"lang:{user_id}")
    return value.decode() if value else "en"


async def set_language(user_id: int, lang: str):
    await redis.set(f"lang:{user_id}", lang)


async def may_send(user_id: int) -> bool:
    if await redis.exists(f"cool:{user_id}"):
        return False
    await redis.set(f"cool:{user_id}", int(time.time()), ex=5)
    return True


async def rates(bot: Bot):
    cached = await redis.get("rates")
    if cached is None:
        async with bot.session.get("http://example.com") as response:
            data = await response.json()
        await redis.set("rates", json.dumps(data))  # expect: UNS005 UNS009
        return data
    return json.loads(cached)


async def online():
    return [int(each) for each in await redis.smembers("online")]
