from base import AbstractCache, Child, RedisCache, proxy
from redis import Redis

child = Child(Redis())


class Service:
    def __init__(self, cache: AbstractCache):
        self.cache = cache

    def changed(self, pk):
        self.cache.remove_matching(f"thing:{pk}:*")


def start():
    service = Service(RedisCache(Redis()))
    service.changed(1)
    child.purge()


def keep_alive():
    proxy.ping()
