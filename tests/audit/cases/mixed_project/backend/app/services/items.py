from app.core.redis import Cache, cache


async def one(db, item_id: int, cache: Cache = cache):
    if found := await cache.get(f"item:{item_id}"):
        return found
    item = await db.get(item_id)
    await cache.set(f"item:{item_id}", item.json(), expire=60)  # expect: UNS005
    return item


async def changed(item_id: int):
    await cache.invalidate(f"item:{item_id}*", "items:*")
