from fastapi import APIRouter, Depends, Query

from app.core.redis import Cache, cache, get_client
from app.services import items

router = APIRouter()


@router.get("/items")
async def search(q: str = Query("", max_length=50), page: int = 1):
    key = f"search:{q}:{page}"
    await cache.set(key, await run(q, page), 60)


@router.get("/items/by/{name}")
async def by_name(name: str, client=Depends(get_client)):
    await client.setex(f"name:{name}", 60, await load(name))  # expect: UNS010


@router.put("/items/{item_id}")
async def update(item_id: int):
    await items.changed(item_id)
    await get_client().flushdb()  # expect: UNS003
