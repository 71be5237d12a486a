import asyncio

from asgiref.sync import async_to_sync, sync_to_async
from django.core.cache import cache
from redis.asyncio import Redis

client = Redis()


def wait_for(function):
    def now(*args):
        return asyncio.run(function(*args))

    return now


async def article(pk):
    found = await sync_to_async(cache.get)(f"article:{pk}")
    if found is None:
        found = await load_article(pk)
        await sync_to_async(cache.set)(f"article:{pk}", found, 60)  # expect: UNS005
    return found


def drop():
    async_to_sync(client.flushdb)()  # expect: UNS003


def author(pk):
    found = wait_for(client.get)(f"author:{pk}")
    if not found:
        found = load_author(pk)
        wait_for(client.set)(f"author:{pk}", found)  # expect: UNS005 UNS009
    return found
