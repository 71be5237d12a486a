from django.core.cache import cache, caches
from django.core.cache.backends.base import BaseCache
from django.core.cache.backends.locmem import LocMemCache
from django_redis.cache import RedisCache


def through_locmem(prefix):
    cache.delete_many([key for key in cache._cache.keys() if prefix in key])  # expect: UNS001


class OwnCache(RedisCache):
    def delete_startswith(self, prefix):
        return self.delete_pattern(prefix + "*")  # expect: UNS001

    def clear(self):
        return super().clear()  # expect: UNS003


def own(store: OwnCache):
    store.delete_startswith("x")
    store.set("a", 1, timeout=None)  # expect: UNS009


class Holder:
    backend: BaseCache

    def __init__(self, alias="default"):
        self.backend = caches[alias]

    def refresh(self, pk, load):
        value = self.backend.get(pk)
        if value is None:
            value = load(pk)
            self.backend.set(pk, value, 60)  # expect: UNS005
        return value

    def staff(self, request):
        if request.user.is_staff:
            rows = everything()
        else:
            rows = public()
        self.backend.set("rows", rows, 60)  # expect: UNS011


def local():
    return LocMemCache("x", {}).get("a")
