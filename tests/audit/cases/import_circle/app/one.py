from django.core.cache import cache

from .two import store


def drop():
    store.delete_pattern("one:*")  # expect: UNS001
    cache.delete_pattern("two:*")  # expect: UNS001
