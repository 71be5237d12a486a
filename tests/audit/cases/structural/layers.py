from typing import Protocol

from django.core.cache import cache
from django.db import transaction
from redis import Redis


class Pages(Protocol):
    def read(self, key: str) -> bytes | None: ...

    def keep(self, key: str, value: bytes) -> None: ...

    def drop_like(self, pattern: str) -> None: ...


class RedisPages:
    def __init__(self):
        self.r = Redis()

    def read(self, key):
        return self.r.get(key)

    def keep(self, key, value):
        self.r.set(key, value, ex=60)

    def drop_like(self, pattern):
        for key in self.r.scan_iter(pattern):  # expect: UNS001
            self.r.delete(key)


class MemoryPages:
    def __init__(self):
        self.items = {}

    def read(self, key):
        return self.items.get(key)

    def keep(self, key, value):
        self.items[key] = value

    def drop_like(self, pattern):
        self.items.clear()


BACKENDS = {"redis": RedisPages, "memory": MemoryPages}


def make(kind: str) -> Pages:
    return BACKENDS[kind]()


class Site:
    def __init__(self, pages: Pages):
        self.pages = pages

    def page(self, key):
        found = self.pages.read(key)
        if found is None:
            found = render(key)
            self.pages.keep(key, found)  # expect: UNS005
        return found

    def publish(self, page):
        with transaction.atomic():
            page.save()
            self.pages.drop_like(f"{page.site}:*")  # expect: UNS004


def taken():
    forget = cache.delete_pattern
    forget("a:*")  # expect: UNS001
    other = getattr(cache, "delete_pattern", None)
    if other:
        other("b:*")  # expect: UNS001
    getattr(cache, "clear")()  # expect: UNS003
