from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi_cache import FastAPICache
from fastapi_cache.backends.redis import RedisBackend
from fastapi_cache.coder import PickleCoder
from redis import asyncio as aioredis
from cashews import cache as cashews_cache
from aiocache import Cache as AioCache
from aiocache.serializers import PickleSerializer

aio = AioCache(AioCache.REDIS, namespace="main", serializer=PickleSerializer())  # expect: UNS008


@asynccontextmanager
async def lifespan(app: FastAPI):
    app.state.redis = aioredis.from_url("redis://localhost")
    FastAPICache.init(RedisBackend(app.state.redis), prefix="x", coder=PickleCoder)  # expect: UNS008
    yield
    await app.state.redis.close()


app = FastAPI(lifespan=lifespan)


@app.post("/products")
async def create(request: Request):
    await FastAPICache.clear(namespace="products")  # expect: UNS001
    await cashews_cache.delete_match("product:*")  # expect: UNS001
    await aio.clear(namespace="main")  # expect: UNS001
    keys = await request.app.state.redis.keys("product:*")  # expect: UNS001
    if keys:
        await request.app.state.redis.delete(*keys)


@app.post("/all")
async def clear_all():
    await FastAPICache.clear()  # expect: UNS003
    await aio.clear()  # expect: UNS003
    await cashews_cache.clear()  # expect: UNS003


@app.get("/one")
async def one(request: Request):
    await FastAPICache.clear(namespace="products", key="one")
    return await request.app.state.redis.get("product:1")
