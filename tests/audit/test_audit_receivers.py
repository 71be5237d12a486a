"""What is known as a cache: libraries' classes and functions, by every way in which a client comes to where it is used."""
# ruff: noqa: E501 - code as other people write it

from __future__ import annotations

import ast

from unstale.tools.audit.code.indexing import indexed
from unstale.tools.audit.code.understood import Code

SOURCE = """
import aiocache, redis, valkey, fakeredis
from aiocache import caches, Cache, cached, RedisCache
from aiocache.backends.redis import RedisBackend
from redis.asyncio import Redis, RedisCluster, Sentinel, ConnectionPool
from redis.cluster import RedisCluster as RC
from redis.commands.json.path import Path
from valkey.asyncio import Valkey
from cashews import Cache as CC, cache as cc
from fastapi_cache import FastAPICache
from fastapi_cache.decorator import cache as fcache
from flask_caching import Cache as FC
from flask import current_app
from django.core import cache as dcache_module
import django.core.cache
from django.core.cache import get_cache, InvalidCacheBackendError
from django_redis.client import DefaultClient
from redis import Redis as R, StrictRedis, BlockingConnectionPool
from arq import create_pool
from arq.connections import ArqRedis, RedisSettings
from coredis import Redis as Core
from typing import AsyncIterator, Annotated
from fastapi import Depends, Request

async def a(x: ArqRedis, pool: "Redis | None", d: Annotated["Redis", Depends()]):
    await x.set("redis", 1)
    await pool.set("redis", 1)
    await d.set("redis", 1)
    p = await create_pool(RedisSettings())
    await p.set("redis", 1)
def b():
    dcache_module.cache.set("django", 1)
    django.core.cache.cache.set("django", 1)
    get_cache("x").set("django", 1)
    caches.get("default").set("aiocache", 1)
    Cache(Cache.REDIS).set("aiocache", 1)
    RedisCache().set("aiocache", 1)
    CC().set("cashews", 1)
    cc.set("cashews", 1)
    FastAPICache.get_backend().set("fastapi-cache backend", 1)
    f = FC(config={}); f.set("flask-caching", 1); f.init_app(None); f.cache.set("flask-caching", 1)
    Valkey().set("redis", 1)
    valkey.Valkey.from_url("x").set("redis", 1)
    RC.from_url("x").set("redis", 1)
    RedisCluster(host="x").set("redis", 1)
    Sentinel([]).master_for("x").set("redis", 1)
    StrictRedis.from_url("x").set("redis", 1)
    redis.from_url("x").pipeline().set("pipeline", 1)
    fakeredis.aioredis.FakeRedis().set("redis", 1)
    Core.from_url("x").set("redis", 1)
    redis.Redis.from_pool(1).set("redis", 1)
    with redis.Redis().pipeline() as pp:
        pp.set("pipeline", 1).set("pipeline", 1)
    Cache.from_url("redis://").set("aiocache", 1)
    Cache(cache_class=Cache.REDIS).set("aiocache", 1)
class S:
    r: Redis
    def __init__(self, r: R, c=None, *, k: Valkey = None):
        self.q = r
        self.c = c or redis.Redis()
        self.k = k
    def go(self):
        self.r.set("redis", 1); self.q.set("redis", 1); self.c.set("redis", 1); self.k.set("redis", 1)
    @classmethod
    async def make(cls) -> "S":
        return cls(redis.Redis())
async def t():
    s = await S.make()
    s.q.set("redis", 1)
    (await S.make()).c.set("redis", 1)
    for c in [redis.Redis(), redis.Redis()]:
        c.set("redis", 1)
    a, b = redis.Redis(), 3
    a.set("redis", 1)
    if (w := redis.Redis()):
        w.set("redis", 1)
async def life() -> AsyncIterator[Redis]:
    async with redis.asyncio.Redis() as z:
        z.set("redis", 1)
        yield z
async def use(z = Depends(life), y: Redis = Depends(life)):
    z.set("redis", 1); y.set("redis", 1)
def dd(request: Request):
    request.app.state.redis.set("redis by name", 1)
    request.state.cache.set("flask-caching by name", 1)
    current_app.extensions["redis"].set("redis by name", 1)
import valkey as rr
rr = rr.Valkey()
rr.set("redis", 1)
def nope(request, cursor, session):
    request.session.set("none", 1); session.set("none", 1); cursor.set("none", 1)
    response.headers.set("none", 1)
"""
"""Each key says which family its receiver has, and whether only its name says so; "none" where it is no cache."""


def test_every_receiver() -> None:
    """Each call of `set` has the family that its key says, and what is none is no call of a cache."""
    tree = ast.parse(SOURCE)
    code = Code([indexed("a.py", "a", tree, is_package=False)])
    wrong = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "set":
            found = code.calls.of.get(node)
            seen = "none" if found is None else f"{found.family}{' by name' if found.by_name else ''}"
            if seen != ast.literal_eval(node.args[0]):
                wrong.append((ast.unparse(node), seen))
    assert wrong == []
