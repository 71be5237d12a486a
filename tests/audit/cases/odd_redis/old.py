import pickle as pk

import aioredis
import fakeredis
import redis
from rediscluster import RedisCluster

cluster = RedisCluster(startup_nodes=[{"host": "h", "port": "1"}])
fake = fakeredis.FakeStrictRedis()


async def old_style():
    pool = await aioredis.create_redis_pool("redis://")
    async for key in pool.iscan(match="x:*"):  # expect: UNS001
        await pool.delete(key)
    await pool.set("a", pk.dumps(1), expire=5)
    return pk.loads(await pool.get("a"))  # expect: UNS008


def on_cluster():
    for key in cluster.scan_iter("y:*", count=1000):  # expect: UNS001
        cluster.delete(key)
    for node in cluster.get_nodes():
        node.info()


def context_manager():
    with redis.Redis() as conn:
        conn.delete(*list(conn.scan_iter("z:*")))  # expect: UNS001
    with redis.Redis().pipeline() as pipe:
        pipe.multi()
        pipe.set("q", 1)
        pipe.execute()


def partial_pages():
    cursor = "0"
    while cursor != 0:
        cursor, part = fake.scan(cursor=cursor, match="w:*", count=50)  # expect: UNS001
        for each in part:
            fake.unlink(each)


def recursion(cursor=0):
    cursor, part = fake.scan(cursor, match="v:*")  # expect: UNS001
    if part:
        fake.delete(*part)
    if cursor:
        recursion(cursor)
