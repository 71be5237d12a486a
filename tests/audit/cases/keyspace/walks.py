import asyncio

import redis
from redis import asyncio as aioredis

pool = redis.ConnectionPool()
client = redis.StrictRedis(connection_pool=pool)


def one_liner(pattern):
    client.delete(*client.keys(pattern))  # expect: UNS001


def raw():
    keys = client.execute_command("KEYS", "cart:*")  # expect: UNS001
    for key in keys:
        client.execute_command("DEL", key)


def listing():
    return [key.decode() for key in client.scan_iter("job:*")]  # expect: UNS002


def values(pattern):
    keys = client.keys(pattern)  # expect: UNS002
    return client.mget(keys)


def walk_and_hand_on(pattern):
    remove(list(client.scan_iter(pattern)))  # expect: UNS001


def remove(keys):
    for key in keys:
        client.unlink(key)


def generate(pattern):
    for key in client.scan_iter(pattern):  # expect: UNS001
        yield key


def use_generator():
    for key in generate("a:*"):
        client.delete(key)


async def gathered(redis_client: aioredis.Redis, pattern: str):
    keys = await redis_client.keys(pattern)  # expect: UNS001
    await asyncio.gather(*[redis_client.delete(key) for key in keys])


async def cursor_loop(redis_client: aioredis.Redis, pattern: str):
    cursor = b"0"
    while cursor:
        cursor, found = await redis_client.scan(cursor, match=pattern)  # expect: UNS001
        if found:
            await redis_client.unlink(*found)


def collection():
    return list(client.sscan_iter("members")), list(client.hscan_iter("fields"))


def expired():
    for key in client.scan_iter("session:*"):  # expect: UNS001
        if client.ttl(key) == -1:
            client.delete(key)


def by_map(pattern):
    list(map(client.delete, client.keys(pattern)))  # expect: UNS001


def copy_ttl():
    for key in client.scan_iter("x:*"):  # expect: UNS002
        client.expire(key, 60)


def flush():
    client.execute_command("FLUSHDB")  # expect: UNS003
