"""A FastAPI app with metrics, for several workers of uvicorn, as docs/metrics.md says."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from prometheus_client import make_asgi_app

from unstale import AsyncCache
from unstale.contrib.prometheus import hook, page_registry

cache = AsyncCache.from_url(os.environ["METERED_CACHE"], namespace="metered", on_event=hook("api"), timeout=5)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """The cache ends with the app."""
    yield
    await cache.close()


app = FastAPI(lifespan=lifespan)
app.mount("/metrics", make_asgi_app(page_registry()))


@app.get("/orders/{user}")
async def orders(user: int) -> dict[str, int]:
    """One read of the cache; which process did it."""

    async def load() -> int:
        return user

    await cache.get_or_set(f"orders:{user}", load, tags=[f"user:{user}"])
    return {"process": os.getpid()}
