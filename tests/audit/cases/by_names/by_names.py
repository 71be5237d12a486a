from elsewhere.extensions import cache, rdb
from elsewhere.services import cache_service, search_index
from elsewhere.util import get_redis_client


def clear_all():
    cache.clear()  # expect: UNS003
    search_index.clear()


def purge(like):
    for key in rdb.scan_iter(like):  # expect: UNS001
        rdb.delete(key)


def purge_other(like):
    client = get_redis_client()
    keys = client.keys(like)  # expect: UNS001
    if keys:
        client.delete(*keys)


def purge_direct(like):
    get_redis_client().delete(*get_redis_client().keys(like))  # expect: UNS001


async def fill(pk):
    found = await cache_service.get(f"a:{pk}")
    if not found:
        found = await load(pk)
        await cache_service.set(f"a:{pk}", found, 60)  # expect: UNS005
    return found


class Repo:
    def __init__(self, cache, rows):
        self._cache = cache
        self.rows = rows

    def get(self, pk):
        hit = self._cache.get(pk)
        if hit is not None:
            return hit
        row = self.rows.load(pk)
        self._cache.set(pk, row)  # expect: UNS005
        return row

    def forget(self):
        self._cache.delete_pattern("rows:*")  # expect: UNS001
        self.rows.clear()
