import time

from django.core.cache import cache


def generate(key):
    begun = time.time()
    data = load(key)
    current = cache.get(key)
    if current[0] > begun:
        return current[1]
    cache.set(key, (begun, data), 600)  # expect: UNS006
    return data


class Report:
    def __init__(self, key):
        self.key = key

    def get(self):
        key = self.key
        begun = time.time()
        data = load(key)
        if cache.add(key, (begun, data), 600):  # expect: UNS006
            return data
        current = cache.get(key)
        then, other = current if isinstance(current, tuple) else (None, None)
        return other if then > begun else data


def rate(key):
    now = time.time()
    last = cache.get(key)
    if now - last[0] < 60:
        raise PermissionError
    cache.set(key, (now, 1), 60)


def is_up():
    value = time.time()
    cache.set("probe", value, 60)
    return cache.get("probe") == value
