import functools
import logging

import requests
from cachetools import TTLCache
from django.db import models

log = logging.getLogger(__name__)
cache = {}
_cache: dict = {}
session = requests.Session()
local_cache = TTLCache(10, 10)


def keys_of_dict():
    for key in list(cache.keys()):
        cache.pop(key)
    cache.clear()
    _cache.clear()


def get(url):
    found = cache.get(url)
    if found is None:
        found = requests.get(url)
        cache[url] = found
    return found


class Registry:
    def __init__(self):
        self.cache = {}
        self._items = []

    def get(self, name):
        value = self.cache.get(name)
        if value is None:
            value = load(name)
            self.cache[name] = value
        return value

    def clear(self):
        self.cache.clear()
        self._items.clear()

    def keys(self):
        return self.cache.keys()

    def delete(self, name):
        del self.cache[name]


@functools.lru_cache
def settings():
    return 1


def reset():
    settings.cache_clear()
    local_cache.clear()
    session.cookies.clear()


def remove(user):
    user.orders.all().delete()
    session.delete("http://example.com")
    Registry().clear()
    Registry().delete("x")


def scan(cursor):
    return cursor.execute("SELECT 1"), log.clear if hasattr(log, "clear") else None


class Store(models.Model):
    cached_at = models.DateTimeField()

    def is_fresh(self, other):
        return self.cached_at > other.updated_at


class Document:
    def keys(self, prefix):
        return []

    def set(self, key, value):
        pass


def other_classes(document: Document):
    for key in document.keys("a"):
        document.set(key, 1)


def with_parameter(cache):
    value = cache.get("x")
    if value is None:
        value = load("x")
        cache["x"] = value
    return value


def s3(bucket):
    for key in bucket.list_keys("x"):
        bucket.delete(key)
