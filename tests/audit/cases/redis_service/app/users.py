from fastapi import APIRouter, Depends

from app.cache import CacheService, cache_service, get_cache

router = APIRouter()


class UserRepository:
    def __init__(self, session, cache: CacheService):
        self.session = session
        self.cache = cache

    async def by_id(self, user_id: int):
        key = f"user:{user_id}"
        cached = await self.cache.get(key)
        if cached:
            return cached
        user = await self.session.get(User, user_id)
        await self.cache.set(key, user.as_dict())  # expect: UNS005
        return user

    async def update(self, user_id: int, data: dict):
        user = await self.session.get(User, user_id)
        for name, value in data.items():
            setattr(user, name, value)
        await self.session.commit()
        await self.cache.delete(f"user:{user_id}")
        await self.cache.delete_pattern("users:list:*")


@router.get("/users/{user_id}")
async def read(user_id: int, cache: CacheService = Depends(get_cache)):
    value = await cache.get(f"user:{user_id}")
    return value


@router.get("/users")
async def listing(skip: int = 0, q: str = "", cache: CacheService = Depends(get_cache)):
    key = f"users:list:{skip}:{q}"
    if (hit := await cache.get(key)) is not None:
        return hit
    rows = await load_users(skip, q)
    await cache.set(key, rows, ttl=60)  # expect: UNS005 UNS010
    return rows


@router.delete("/cache")
async def purge():
    await cache_service.clear()
